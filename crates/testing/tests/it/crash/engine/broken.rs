//! Stores that break a promise to workers: the crash test has to find them.

use std::sync::{Arc, Mutex};

use awaitly_core::clock::secs;
use awaitly_core::journal::Status;
use awaitly_core::store::around::{Parts, Reply, Request};
use awaitly_core::store::{Around, Held, Store, StoreError};
use awaitly_persistence::MemoryStore;
use awaitly_testing::PausedClock;
use awaitly_testing::crash::{CrashTest, Finding};

use super::scenarios;

/// A store whose claims hand out each run twice.
#[derive(Clone)]
struct Twice {
    store: MemoryStore,
    how: How,
    claimed: Arc<Mutex<Vec<Held>>>,
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    /// A later claim returns the runs of an earlier one again, with their leases.
    OldLeases,
    /// The store forgets the leases, so that a later claim takes new ones.
    NewLeases,
}

impl Around for Twice {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.store
    }

    async fn around<R: Request<MemoryStore>>(&self, request: R) -> Result<R::Answer, StoreError> {
        let mut answer = request.send(&self.store).await?;
        if let Reply::Claim(claimed) = R::reply(&mut answer) {
            let mut earlier = self.claimed.lock().unwrap();
            match self.how {
                How::OldLeases => {
                    let again = std::mem::replace(&mut *earlier, claimed.runs.clone());
                    claimed.runs.extend(again);
                }
                How::NewLeases => claimed.runs.iter().for_each(|held| self.store.release(&held.lease)),
            }
        }
        Ok(answer)
    }
}

#[tokio::test(start_paused = true)]
async fn run_that_is_handed_out_twice_is_found() {
    for how in [How::OldLeases, How::NewLeases] {
        let broken = move || Twice { store: PausedClock::new().store(), how, claimed: Arc::default() };
        let test = CrashTest::new().store(broken).interleaved().seed(3).time_limit(secs(2));
        let report = test.everywhere(scenarios::backfill).await;
        let is_found = |finding: &Finding| matches!(finding, Finding::TakenTwice { .. });
        assert!(report.findings().iter().any(is_found), "{report}");
        assert!(report.to_string().contains("to a second owner while the first one held it"), "{report}");
    }
}

/// A store that forgets the time at which a waiting run becomes due.
pub(super) struct Forgetful(pub(super) MemoryStore);

impl Around for Forgetful {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.0
    }

    async fn around<R: Request<MemoryStore>>(&self, mut request: R) -> Result<R::Answer, StoreError> {
        if let Parts::Finish { ending, .. } = request.parts()
            && ending.status == Status::Waiting
        {
            ending.wake = None;
        }
        request.send(&self.0).await
    }
}

/// A store that loses the messages to a run.
#[derive(Clone)]
struct Lossy(MemoryStore);

impl Around for Lossy {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.0
    }

    async fn around<R: Request<MemoryStore>>(&self, mut request: R) -> Result<R::Answer, StoreError> {
        // A second message with the id of the first one.
        if let Parts::SendMail { messages } = request.parts() {
            messages.iter_mut().for_each(|message| message.id = None);
        }
        request.send(&self.0).await
    }
}

#[tokio::test(start_paused = true)]
async fn message_that_is_sent_twice_is_found() {
    let test = CrashTest::new().store(|| Lossy(PausedClock::new().store())).max_accidents(1);
    let report = test.everywhere(scenarios::mail).await;
    assert!(!report.findings().is_empty(), "{report}");
    assert!(report.to_string().contains("messages are sent"), "{report}");
}
