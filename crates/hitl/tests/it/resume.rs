use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use awaitly_core::clock::{days, ms, secs};
use awaitly_core::journal::Status;
use awaitly_core::{DurableRun, RunError, Workflow, step};
use awaitly_hitl::{Approvals, AutoResume, Inbox, ResumeError};
use awaitly_persistence::{MemoryStore, SqliteStore};
use tokio_util::sync::CancellationToken;

use crate::world::{Office, waits};

async fn expense(run: DurableRun) -> Result<u64, RunError> {
    let asked: u64 = run.input()?;
    let approved: bool = step!(run.approval("manager"));
    Ok(if approved { asked } else { 0 })
}

#[tokio::test]
async fn answered_run_is_resumed_by_worker_with_its_workflow() {
    let office = Office::new();
    let workflow = office.workflow.clone().input(&4200_u64);
    assert_eq!(workflow.run("r", async |run| expense(run.clone()).await).await, waits("manager"));
    let resume = AutoResume::new(office.store.clone()).workflow(office.workflow.clone(), expense);
    let other = Workflow::new("other").store(office.store.clone());
    let stranger = AutoResume::new(office.store.clone()).workflow(other, expense);
    let stop = CancellationToken::new();
    let served = tokio::spawn({
        let stop = stop.clone();
        async move { resume.serve(stop).await }
    });
    tokio::task::yield_now().await;
    office.inbox.approve("r", "manager", &true).await.unwrap();
    while office.status("r").await != Status::Completed {
        tokio::task::yield_now().await;
    }
    assert_eq!(office.workflow.run("r", async |run| expense(run.clone()).await).await, Ok(4200));
    stop.cancel();
    served.await.unwrap();
    assert_eq!(stranger.run("none").await, Err(ResumeError::NoSuchRun));
    assert_eq!(stranger.run("r").await, Err(ResumeError::UnknownWorkflow { workflow: "expense".into() }));
}

#[tokio::test(start_paused = true)]
async fn parked_and_interrupted_runs_are_resumed() {
    let store = MemoryStore::new();
    let workflow = Workflow::new("nap").store(store.clone()).park_after(secs(1));
    async fn nap(run: DurableRun) -> Result<(), RunError> {
        run.sleep("night", days(1)).await
    }
    let body = async |run: &DurableRun| nap(run.clone()).await;
    assert_eq!(workflow.run("parked", body).await, waits("night"));
    // The timeout drops this run during its sleep.
    let awake = Workflow::new("nap").store(store.clone());
    assert!(tokio::time::timeout(secs(1), awake.run("dropped", body)).await.is_err());
    let resume = AutoResume::new(store.clone()).workflow(workflow.clone(), nap);
    let stop = CancellationToken::new();
    let serve = resume.serve(stop.clone());
    let watch = async {
        tokio::time::sleep(days(1) + secs(60)).await;
        stop.cancel();
    };
    tokio::join!(serve, watch);
    for run in ["parked", "dropped"] {
        assert_eq!(workflow.run(run, body).await, Ok(()), "{run}");
    }
}

#[tokio::test(start_paused = true)]
async fn repeatedly_interrupted_run_is_resumed_less_often() {
    let store = MemoryStore::new();
    let workflow = Workflow::new("broken").store(store.clone());
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let broken = move |run: DurableRun| {
        let tries = Arc::clone(&counted);
        async move {
            tries.fetch_add(1, Ordering::Relaxed);
            // Two steps with one key interrupt a run, which can then be resumed.
            step!(run, "a", key = "k", async { Ok::<_, RunError>(1) });
            step!(run, "b", key = "k", async { Ok::<_, RunError>(2) });
            Ok::<_, RunError>(())
        }
    };
    let first = broken.clone();
    assert!(workflow.run("r", async |run: &DurableRun| first(run.clone()).await).await.is_err());
    let resume = AutoResume::new(store).workflow(workflow, broken);
    let stop = CancellationToken::new();
    let watch = async {
        tokio::time::sleep(secs(60)).await;
        stop.cancel();
    };
    tokio::join!(resume.serve(stop.clone()), watch);
    let tries = tries.load(Ordering::Relaxed);
    assert!((8..=16).contains(&tries), "{tries} tries in a minute");
}

#[tokio::test]
async fn ten_thousand_paused_runs_hold_no_task() {
    let store = MemoryStore::new();
    let workflow = Workflow::new("expense").store(store.clone()).input(&1_u64);
    for number in 0..10_000 {
        let body = async |run: &DurableRun| expense(run.clone()).await;
        assert_eq!(workflow.run(format!("r{number}"), body).await, waits("manager"));
    }
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
    let inbox = Inbox::new(store.clone());
    inbox.everywhere("manager", |reply| reply.approve(&true)).await.unwrap();
    let resume = AutoResume::new(store.clone()).workflow(workflow, expense);
    let mut resumed = 0;
    loop {
        match resume.once().await.unwrap().len() {
            0 => break,
            some => resumed += some,
        }
    }
    assert_eq!(resumed, 10_000);
}

#[tokio::test]
async fn answered_run_continues_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let open = async || SqliteStore::open(folder.path().join("runs.db")).await.unwrap();
    {
        let workflow = Workflow::new("expense").store(open().await).input(&7_u64);
        assert_eq!(workflow.run("r", async |run| expense(run.clone()).await).await, waits("manager"));
    }
    Inbox::new(open().await).approve("r", "manager", &true).await.unwrap();
    let store = open().await;
    let workflow = Workflow::new("expense").store(store.clone());
    let resume = AutoResume::new(store).every(ms(1)).workflow(workflow.clone(), expense);
    assert_eq!(resume.once().await.unwrap()[0].ended, Ok(()));
    assert_eq!(workflow.run("r", async |run| expense(run.clone()).await).await, Ok(7));
}

#[test]
#[should_panic(expected = "`expense` has no store")]
fn worker_refuses_a_workflow_without_a_store() {
    let body = async |_: DurableRun| Ok::<_, RunError>(());
    let _ = AutoResume::new(MemoryStore::new()).workflow(Workflow::new("expense"), body);
}
