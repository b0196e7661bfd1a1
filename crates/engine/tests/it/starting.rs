use awaitly_core::clock::{hours, mins, secs};
use awaitly_core::store::{Operate, RunQuery};
use awaitly_core::{DurableRun, RunError, step};
use awaitly_engine::{Contract, RunExt, Schedule, Worker};

use crate::world::{SUM, memory, sum, work};

#[tokio::test(start_paused = true)]
async fn run_starts_again_with_a_fresh_journal_until_it_returns() {
    const LOOP: Contract<u64, u64, RunError> = Contract::new("loop");
    let (store, client) = memory();
    let body = async |run: DurableRun, round: u64| {
        let mut log = run.stream("log");
        log.append(&round).await?;
        step!(run.sleep("pause", hours(1)));
        let note: u64 = step!(run.receive("note"));
        if round < 50 { Err(run.restart(&(round + note))) } else { Ok(round) }
    };
    let worker = Worker::new(store.clone()).serve(LOOP, body);
    let run = client.start(LOOP, "a", &0).await.unwrap();
    for _ in 0..60 {
        run.send("note", &1).await.unwrap();
    }
    assert_eq!(work(&worker, run.result()).await, Ok(50));
    let stored = awaitly_core::store::Store::load(&store, run.id()).await.unwrap().unwrap();
    assert!(stored.records.len() <= 3, "{:?}", stored.records);
    assert_eq!(run.stream::<u64>("log", 0, awaitly_engine::Follow::Never).await.unwrap(), [50]);
}

#[tokio::test(start_paused = true)]
async fn debounced_calls_start_one_run_with_the_last_input() {
    let (store, client) = memory();
    let begun = tokio::time::Instant::now();
    let mut last = None;
    for number in 0..10_u64 {
        let run = client.start(SUM, format!("run {number}"), &vec![number]);
        last = Some(run.debounce("customer-7", mins(5)).await.unwrap());
        tokio::time::sleep(mins(1)).await;
    }
    let last = last.unwrap();
    assert_eq!(&**last.id(), "run 0");
    let worker = Worker::new(store.clone()).serve(SUM, sum);
    assert_eq!(work(&worker, last.result()).await, Ok(9));
    assert!(begun.elapsed() >= mins(14) && begun.elapsed() < mins(14) + secs(5), "{:?}", begun.elapsed());
    assert_eq!(store.list(RunQuery::new()).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn tagged_runs_are_listed() {
    let (store, client) = memory();
    client.start(SUM, "a", &vec![1]).tag("red").tag("large").await.unwrap();
    let many = (0..3_u64).map(|number| (number.to_string(), vec![number]));
    client.start_many(SUM, many).tag("small").deduplicate("once").await.unwrap();
    let tagged = async |tag: &str| store.list(RunQuery::new().tag(tag)).await.unwrap().items.len();
    assert_eq!((tagged("red").await, tagged("small").await, tagged("none").await), (1, 1, 0));
    let unfit = client.start(SUM, "b", &vec![1]).tag("").await.unwrap_err();
    assert!(unfit.to_string().contains("a tag of 0 bytes"), "{unfit}");
}

#[tokio::test(start_paused = true)]
async fn scheduled_run_knows_its_time() {
    const REPORT: Contract<(), Option<u64>, RunError> = Contract::new("report");
    let (store, client) = memory();
    let body = async |run: DurableRun, ()| Ok(run.scheduled_for().map(|time| time.as_millis() % 60_000));
    let worker = Worker::new(store).serve(REPORT, body);
    let each_minute = client.schedule("each minute", Schedule::every(mins(1)), REPORT, &()).await.unwrap();
    let next = each_minute.info().await.unwrap().next[0];
    let ids = each_minute.backfill(next..next.after(secs(1))).await.unwrap();
    let run = client.find(REPORT, ids[0].to_shared()).unwrap();
    let other = client.start(REPORT, "by hand", &()).await.unwrap();
    assert_eq!(
        work(&worker, async { (run.result().await, other.result().await) }).await,
        (Ok(Some(0)), Ok(None))
    );
}
