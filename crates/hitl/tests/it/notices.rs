use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use awaitly_core::clock::{days, hours};
use awaitly_core::journal::Status;
use awaitly_core::store::{DueQuery, Operate};
use awaitly_core::{DurableRun, RunError};
use awaitly_hitl::{Approvals, Notice, Notifier};

use crate::world::{Office, waits};

/// A notifier that keeps its notices, after a given number of failures.
#[derive(Clone, Default)]
struct Post {
    told: Arc<Mutex<Vec<Notice>>>,
    fails: Arc<Mutex<u32>>,
}

impl Notifier for Post {
    type Error = &'static str;

    async fn notify(&self, notice: Notice) -> Result<(), &'static str> {
        {
            let mut fails = self.fails.lock().unwrap();
            if *fails > 0 {
                *fails -= 1;
                return Err("the post is closed");
            }
        }
        self.told.lock().unwrap().push(notice);
        Ok(())
    }
}

impl Post {
    /// Returns the number of each reminder; `None` for a first notice.
    fn reminders(&self) -> Vec<Option<u64>> {
        self.told.lock().unwrap().iter().map(Notice::reminder).collect()
    }
}

async fn ask(office: &Office, post: &Post) -> Result<bool, RunError> {
    let body = async |run: &DurableRun| {
        run.approval("manager")
            .prompt("May I?")
            .answerer("ada")
            .expires_in(days(3))
            .notify(post)
            .remind_every(hours(24))
            .await
    };
    office.workflow.run("r", body).await
}

#[tokio::test(start_paused = true)]
async fn open_question_is_notified_once_and_then_reminded() {
    let (office, post) = (Office::new(), Post::default());
    for _ in 0..3 {
        assert_eq!(ask(&office, &post).await, waits("manager"));
    }
    assert_eq!(post.reminders(), [None]);
    let told = post.told.lock().unwrap()[0].clone();
    assert_eq!((told.prompt.as_deref(), &told.answerers[..]), (Some("May I?"), &["ada".to_owned()][..]));
    let question = office.inbox.at("r", "manager").show().await.unwrap();
    assert_eq!(told.token, question.token());
    assert!(!format!("{told:?}").contains(question.token()));
    tokio::time::sleep(hours(23)).await;
    assert!(office.store.due(DueQuery::new()).await.unwrap().is_empty());
    tokio::time::sleep(hours(1)).await;
    assert_eq!(office.store.due(DueQuery::new()).await.unwrap().len(), 1, "the reminder is due");
    for _ in 0..3 {
        assert_eq!(ask(&office, &post).await, waits("manager"));
    }
    assert_eq!(post.reminders(), [None, Some(1)]);
    assert!(office.store.due(DueQuery::new()).await.unwrap().is_empty());
    office.inbox.at("r", "manager").by("ada").approve(&true).await.unwrap();
    assert_eq!(ask(&office, &post).await, Ok(true));
    assert_eq!(post.reminders().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn failed_notice_is_retried_while_the_run_waits() {
    let (office, post) = (Office::new(), Post::default());
    *post.fails.lock().unwrap() = 2;
    assert_eq!(ask(&office, &post).await, waits("manager"));
    assert_eq!(post.reminders(), [None], "after two failures");

    let (office, post) = (Office::new(), Post::default());
    *post.fails.lock().unwrap() = 4;
    assert_eq!(ask(&office, &post).await, waits("manager"));
    assert_eq!(post.reminders(), [], "the notifier failed four times");
    assert_eq!(ask(&office, &post).await, waits("manager"));
    assert_eq!(post.reminders(), [None], "the resumed run sends the notice again");
}

#[tokio::test(start_paused = true)]
async fn retried_question_is_notified_again() {
    let (office, post) = (Office::new(), Post::default());
    assert_eq!(ask(&office, &post).await, waits("manager"));
    office.inbox.at("r", "manager").by("ada").reject("no").await.unwrap();
    ask(&office, &post).await.unwrap_err();
    let again = office.workflow.retry("r", async |run: &DurableRun| {
        run.approval::<bool>("manager").answerer("ada").notify(&post).await
    });
    assert_eq!(again.await, waits("manager"));
    assert_eq!(post.reminders(), [None; 2]);
    let told = post.told.lock().unwrap();
    assert_ne!(told[0].token, told[1].token, "the second question has a new token");
}

/// The moment at which a notifier panics.
#[derive(Clone, Copy)]
enum Panics {
    Called,
    Polled,
    Dropped,
}

/// A notifier that panics and counts its calls.
struct Clumsy {
    when: Panics,
    asked: AtomicU32,
}

/// A future that is ready or stays pending, and panics if it is polled or dropped.
struct Trap {
    when: Panics,
    ends: bool,
}

impl Future for Trap {
    type Output = Result<(), &'static str>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(!matches!(self.when, Panics::Polled), "polled");
        if self.ends { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        assert!(!matches!(self.when, Panics::Dropped) || std::thread::panicking(), "dropped");
    }
}

impl Notifier for Clumsy {
    type Error = &'static str;

    fn notify(&self, _: Notice) -> impl Future<Output = Result<(), &'static str>> + Send {
        // The first future stays pending, so that the timeout of the attempt drops it.
        let ends = self.asked.fetch_add(1, Ordering::Relaxed) > 0;
        assert!(!matches!(self.when, Panics::Called), "called");
        Trap { when: self.when, ends }
    }
}

#[tokio::test(start_paused = true)]
async fn panicking_notifier_leaves_the_run_waiting() {
    for when in [Panics::Called, Panics::Polled, Panics::Dropped] {
        let (office, clumsy) = (Office::new(), Clumsy { when, asked: AtomicU32::new(0) });
        let body = async |run: &DurableRun| run.approval::<bool>("manager").notify(&clumsy).await;
        assert_eq!(office.workflow.run("r", body).await, waits("manager"));
        assert_eq!(office.status("r").await, Status::Waiting);
        assert!(clumsy.asked.load(Ordering::Relaxed) > 1, "the notice is attempted again");
        office.inbox.approve("r", "manager", &true).await.unwrap();
        assert_eq!(office.workflow.run("r", body).await, Ok(true));

        let body = async |run: &DurableRun| run.quorum::<bool>("board", 1, ["ada"]).notify(&clumsy).await;
        assert!(matches!(office.workflow.run("q", body).await, Err(RunError::Waiting { .. })));
        assert_eq!(office.status("q").await, Status::Waiting);
    }
}
