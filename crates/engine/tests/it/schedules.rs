use awaitly_core::clock::{days, hours, mins, ms, secs};
use awaitly_core::journal::{Payload, Status, Timestamp};
use awaitly_core::store::around::{Call, Request};
use awaitly_core::store::{Around, Dispatch, Operate, PutSchedule, RunQuery, ScheduleQuery, StoreError};
use awaitly_core::{DurableRun, RunError, step};
use awaitly_engine::{Client, Contract, Overlap, Schedule, ScheduleError, Worker};
use awaitly_persistence::MemoryStore;

use crate::world::{Distant, work};

const REPORT: Contract<u64, u64, RunError> = Contract::new("report");

/// Sleeps for this many minutes in the store.
async fn report(run: DurableRun, minutes: u64) -> Result<u64, RunError> {
    step!(run.sleep("work", mins(minutes)));
    Ok(minutes)
}

/// Sleeps for this many minutes without the store, and keeps its place in the worker.
async fn busy(_: DurableRun, minutes: u64) -> Result<u64, RunError> {
    tokio::time::sleep(mins(minutes)).await;
    Ok(minutes)
}

/// Returns a store whose clock begins at this moment of 2027.
fn begun_at(moment: &str) -> (MemoryStore, Client<MemoryStore>) {
    let moment: jiff::Timestamp = format!("2027-{moment}Z").parse().unwrap();
    let store = MemoryStore::made_at(Timestamp::from_millis(moment.as_millisecond() as u64));
    (store.clone(), Client::new(store))
}

fn worker(store: &MemoryStore) -> Worker<MemoryStore> {
    Worker::new(store.clone()).serve(REPORT, report)
}

/// Returns the runs of all schedules with their statuses, in the order of their ids.
async fn runs(store: &MemoryStore) -> Vec<(String, Status)> {
    let page = store.list(RunQuery::new().limit(1000)).await.unwrap();
    let mut runs: Vec<_> = page.items.into_iter().map(|run| (run.run.to_string(), run.status)).collect();
    runs.sort_by(|one, other| one.0.cmp(&other.0));
    runs
}

#[tokio::test(start_paused = true)]
async fn two_workers_start_each_time_once_across_a_change_of_the_clock() {
    let (store, client) = begun_at("03-27T12:00:00");
    let nightly = Schedule::cron("30 2 * * *").zone("Europe/Vienna");
    let nightly = client.schedule("nightly", nightly, REPORT, &1).await.unwrap();
    let info = nightly.info().await.unwrap();
    assert_eq!((info.next.len(), info.to_string()), (5, "nightly: `report`".to_owned()));
    let (one, two) = (worker(&store), worker(&store));
    let (one, two) = (one.run_until(tokio::time::sleep(days(3))), two.run_until(tokio::time::sleep(days(3))));
    let (one, two) = tokio::join!(one, two);
    one.and(two).unwrap();
    let ids: Vec<_> = runs(&store).await.into_iter().map(|(run, _)| run).collect();
    let expected =
        ["nightly@2027-03-28T01:00:00Z", "nightly@2027-03-29T00:30:00Z", "nightly@2027-03-30T00:30:00Z"];
    assert_eq!(ids, expected);
    assert!(runs(&store).await.iter().all(|(_, status)| *status == Status::Completed));
}

#[tokio::test(start_paused = true)]
async fn missed_times_start_after_an_outage_if_they_are_young_enough() {
    for (catch_up, expected) in [(hours(30), 24), (hours(3), 3), (secs(0), 0)] {
        let (store, client) = begun_at("01-01T00:30:00");
        client.schedule("hourly", Schedule::every(hours(1)).catch_up(catch_up), REPORT, &1).await.unwrap();
        tokio::time::sleep(days(1)).await;
        worker(&store).run_until(tokio::time::sleep(mins(10))).await.unwrap();
        assert_eq!(runs(&store).await.len(), expected, "{catch_up:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn paused_schedule_starts_no_runs_and_does_not_catch_up() {
    let (store, client) = begun_at("01-01T00:30:00");
    let hourly =
        client.schedule("hourly", Schedule::every(hours(1)).catch_up(days(30)), REPORT, &1).await.unwrap();
    let done = async {
        tokio::time::sleep(hours(2)).await;
        hourly.pause().await.unwrap();
        tokio::time::sleep(days(7)).await;
        assert!(hourly.info().await.unwrap().paused);
        // A program that defines the schedule again does not resume it.
        client.schedule("hourly", Schedule::every(hours(1)).catch_up(days(30)), REPORT, &1).await.unwrap();
        tokio::time::sleep(hours(2)).await;
        hourly.resume().await.unwrap();
        tokio::time::sleep(hours(2)).await;
    };
    work(&worker(&store), done).await;
    let ids: Vec<_> = runs(&store).await.into_iter().map(|(run, _)| run).collect();
    let expected = ["01T01", "01T02", "08T05", "08T06"].map(|time| format!("hourly@2027-01-{time}:00:00Z"));
    assert_eq!(ids, expected);
}

#[tokio::test(start_paused = true)]
async fn overlap_is_allowed_skipped_buffered_or_cancelled() {
    use Status::{Cancelled, Completed};
    for (overlap, completed, cancelled, most_skipped) in [
        (Overlap::Allow, 6, 0, 0),
        (Overlap::Skip, 3, 0, 3),
        (Overlap::Buffer, 4, 0, 2),
        (Overlap::Cancel, 1, 5, 0),
    ] {
        let (store, client) = begun_at("01-01T00:30:00");
        // Each run takes longer than the period.
        let hourly = Schedule::every(hours(1)).overlap(overlap);
        let hourly = client.schedule("hourly", hourly, REPORT, &90).await.unwrap();
        let done = async {
            tokio::time::sleep(hours(6)).await;
            hourly.pause().await.unwrap();
            tokio::time::sleep(hours(6)).await;
        };
        work(&worker(&store), done).await;
        let runs = runs(&store).await;
        let count = |status| runs.iter().filter(|(_, one)| *one == status).count();
        assert_eq!((count(Completed), count(Cancelled)), (completed, cancelled), "{overlap:?}: {runs:?}");
        assert_eq!(6 - runs.len(), most_skipped, "{overlap:?}: {runs:?}");
    }
}

/// A store that changes no schedule, as if each worker died before that.
#[derive(Clone)]
struct Stubborn(MemoryStore);

impl Around for Stubborn {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.0
    }

    async fn around<R: Request<MemoryStore>>(&self, request: R) -> Result<R::Answer, StoreError> {
        match R::CALL {
            Call::PutSchedules => Err(StoreError::Unavailable { detail: "test".into() }),
            _ => request.send(&self.0).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn overlap_holds_if_workers_die_before_they_change_the_schedule() {
    for (overlap, expected) in [
        (Overlap::Skip, vec!["01", "05"]),
        (Overlap::Buffer, vec!["01", "02"]),
        (Overlap::Allow, vec!["01", "02", "03", "04", "05"]),
    ] {
        let (store, client) = begun_at("01-01T00:30:00");
        let hourly = Schedule::every(hours(1)).catch_up(hours(9)).overlap(overlap);
        client.schedule("hourly", hourly, REPORT, &210).await.unwrap();
        let dying = Worker::new(Stubborn(store.clone())).serve(REPORT, report);
        dying.run_until(tokio::time::sleep(mins(160))).await.unwrap();
        work(&worker(&store), tokio::time::sleep(mins(121))).await;
        let found: Vec<_> = runs(&store).await.into_iter().map(|(run, _)| run).collect();
        let expected: Vec<_> =
            expected.iter().map(|hour| format!("hourly@2027-01-01T{hour}:00:00Z")).collect();
        assert_eq!(found, expected, "{overlap:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn runs_are_triggered_and_backfilled_once() {
    let (store, client) = begun_at("01-02T00:30:00");
    let hourly = client.schedule("hourly", Schedule::every(hours(1)), REPORT, &1).await.unwrap();
    hourly.pause().await.unwrap();
    let triggered = hourly.trigger().await.unwrap();
    assert_eq!(&*triggered, "hourly@2027-01-02T00:30:00Z");
    let now = store.now().await.unwrap();
    let ids = hourly.backfill(now.before(days(1))..now).await.unwrap();
    assert_eq!((ids.len(), &*ids[0]), (24, "hourly@2027-01-01T01:00:00Z"));
    assert_eq!(hourly.backfill(now.before(hours(2))..now).await.unwrap().len(), 2);
    assert_eq!(runs(&store).await.len(), 25);
    assert!(hourly.delete().await.unwrap() && !hourly.delete().await.unwrap());
    assert_eq!(hourly.trigger().await, Err(ScheduleError::NoSuchSchedule));
    assert!(client.schedules(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn invalid_schedule_is_refused() {
    let (_, client) = begun_at("01-01T00:00:00");
    let refused = async |name: &str, schedule| client.schedule(name, schedule, REPORT, &1).await.unwrap_err();
    assert!(matches!(refused("", Schedule::cron("* * * * *")).await, ScheduleError::BadName { bytes: 0 }));
    let long = "x".repeat(401);
    assert!(matches!(
        refused(&long, Schedule::cron("* * * * *")).await,
        ScheduleError::BadName { bytes: 401 }
    ));
    assert!(matches!(refused("a", Schedule::cron("x")).await, ScheduleError::BadCron { .. }));
    let zone = refused("a", Schedule::cron("* * * * *").zone("Mars")).await;
    assert_eq!(
        zone.to_string(),
        "there is no time zone `Mars`: use a name of the tz database, for example `Europe/Vienna`"
    );
    assert!(matches!(refused("a", Schedule::every(ms(1))).await, ScheduleError::TooOften { .. }));
    assert_eq!(refused("a", Schedule::cron("0 0 31 2 *")).await, ScheduleError::Never);
}

#[tokio::test(start_paused = true)]
async fn changed_definition_replaces_the_rule_and_busy_worker_still_fires() {
    let (store, client) = begun_at("01-01T00:30:00");
    client.schedule("often", Schedule::every(hours(1)), REPORT, &1).await.unwrap();
    client.schedule("often", Schedule::every(mins(20)), REPORT, &300).await.unwrap();
    assert_eq!(client.schedules(None).await.unwrap().len(), 1);
    // The worker has room for one run, which takes five hours.
    let busy_worker = || Worker::new(store.clone()).serve(REPORT, busy).concurrency(1).grace(secs(0));
    busy_worker().run_until(tokio::time::sleep(hours(2))).await.unwrap();
    assert_eq!(runs(&store).await.len(), 6);
    let other = client.schedule("other", Schedule::cron("0 0 1 1 *"), REPORT, &1).await.unwrap();
    let done = async {
        tokio::time::sleep(mins(30)).await;
        other.delete().await.unwrap();
    };
    work(&busy_worker(), done).await;
    assert!(runs(&store).await.len() >= 7);
}

#[tokio::test(start_paused = true)]
async fn tick_starts_due_schedules() {
    let (store, client) = begun_at("01-01T00:30:00");
    client.schedule("hourly", Schedule::every(hours(1)), REPORT, &0).await.unwrap();
    tokio::time::sleep(mins(31)).await;
    let ticked = worker(&store).tick(secs(10)).await.unwrap();
    assert_eq!((ticked.executed, ticked.idle), (1, true));
}

#[tokio::test(start_paused = true)]
async fn schedule_that_cannot_be_read_stops_and_is_repaired() {
    let (store, client) = begun_at("03-01T00:30:00");
    let hourly = || client.schedule("s", Schedule::cron("0 * * * *"), REPORT, &1);
    let handle = hourly().await.unwrap();
    let stored = store.schedules(ScheduleQuery::new()).await.unwrap().remove(0);
    let unknown = Payload::from_stored(stored.rule.as_str().replace("UTC", "Mars/Olympus"));
    assert_ne!(unknown, stored.rule);
    let change =
        PutSchedule { name: "s".into(), version: Some(stored.version), put: Some((stored.due, unknown)) };
    assert_eq!(store.put_schedules(vec![change]).await.unwrap(), [true]);
    let worker = Worker::new(store.clone()).serve(REPORT, report);
    work(&worker, tokio::time::sleep(hours(2))).await;
    assert!(store.list(RunQuery::new()).await.unwrap().items.is_empty());
    assert!(matches!(handle.resume().await, Err(ScheduleError::UnknownZone { .. })));
    hourly().await.unwrap();
    work(&worker, tokio::time::sleep(hours(3))).await;
    let completed = store.list(RunQuery::new().status(Status::Completed)).await.unwrap();
    assert!(completed.items.len() >= 2, "{:?}", completed.items);
}

#[tokio::test]
async fn schedule_whose_runs_no_store_keeps_is_refused() {
    let (_, client) = begun_at("01-01T00:00:00");
    const TEXT: Contract<String, u64, RunError> = Contract::new("text");
    let hourly = || client.schedule("s", Schedule::every(hours(1)), TEXT, &"x".to_owned());
    let long = "x".repeat(600);
    for refused in [hourly().key(&*long).await, hourly().queue(&*long).await] {
        assert!(matches!(refused, Err(ScheduleError::Store(StoreError::Unstorable { .. }))), "{refused:?}");
    }
    let large = client.schedule("s", Schedule::every(hours(1)), TEXT, &"x".repeat(Payload::MAX_BYTES)).await;
    assert!(matches!(large, Err(ScheduleError::Store(StoreError::Unstorable { .. }))), "{large:?}");
    assert!(client.schedules(None).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn schedule_whose_run_is_refused_stops_alone() {
    let (store, client) = begun_at("03-01T00:30:00");
    let hourly = |name: &str| client.schedule(name, Schedule::every(hours(1)), REPORT, &1).key("short");
    let (bad, _) = (hourly("bad").await.unwrap(), hourly("good").await.unwrap());
    let stored = store.schedules(ScheduleQuery::new().name("bad")).await.unwrap().remove(0);
    let long = Payload::from_stored(stored.rule.as_str().replace("short", &"x".repeat(600)));
    let change =
        PutSchedule { name: "bad".into(), version: Some(stored.version), put: Some((stored.due, long)) };
    assert_eq!(store.put_schedules(vec![change]).await.unwrap(), [true]);
    work(&worker(&store), tokio::time::sleep(hours(3))).await;
    let ids = || async { runs(&store).await.into_iter().map(|(run, _)| run).collect::<Vec<_>>() };
    let good = ["01", "02", "03"].map(|hour| format!("good@2027-03-01T{hour}:00:00Z"));
    assert_eq!(ids().await, good);
    hourly("bad").await.unwrap();
    work(&worker(&store), tokio::time::sleep(hours(1))).await;
    assert!(ids().await.contains(&"bad@2027-03-01T04:00:00Z".to_owned()), "{:?}", ids().await);
    assert_eq!(bad.info().await.unwrap().next.len(), 5);
}

/// A store that cancels no run.
#[derive(Clone)]
struct Uncancelling(MemoryStore);

impl Around for Uncancelling {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.0
    }

    async fn around<R: Request<MemoryStore>>(&self, request: R) -> Result<R::Answer, StoreError> {
        match R::CALL {
            Call::Cancel => Err(StoreError::Corrupt { detail: "test".into() }),
            _ => request.send(&self.0).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn run_that_cannot_be_cancelled_holds_back_its_own_schedule_only() {
    let (store, client) = begun_at("01-01T00:30:00");
    let cancelling = Schedule::every(hours(1)).overlap(Overlap::Cancel);
    client.schedule("cancelling", cancelling, REPORT, &600).await.unwrap();
    client.schedule("other", Schedule::every(hours(1)), REPORT, &1).await.unwrap();
    let worker = Worker::new(Uncancelling(store.clone())).serve(REPORT, report);
    worker.run_until(tokio::time::sleep(hours(4))).await.unwrap();
    let runs = runs(&store).await;
    let count = |name: &str| runs.iter().filter(|(run, _)| run.starts_with(name)).count();
    assert_eq!((count("cancelling"), count("other")), (1, 4), "{runs:?}");
}

#[tokio::test(start_paused = true)]
async fn changed_definition_keeps_the_times_that_are_due() {
    let (store, client) = begun_at("01-01T00:30:00");
    let schedule = |minutes: u64| {
        let hourly = Schedule::every(hours(1)).overlap(Overlap::Buffer);
        client.schedule("hourly", hourly, REPORT, &minutes)
    };
    schedule(150).await.unwrap();
    tokio::time::sleep(mins(31)).await;
    // The first time is due, and no worker has seen it.
    schedule(151).await.unwrap();
    work(&worker(&store), tokio::time::sleep(mins(129))).await;
    // The second time waits for the end of the first run, which comes before the next time.
    schedule(5).await.unwrap();
    work(&worker(&store), tokio::time::sleep(mins(31))).await;
    let hours =
        runs(&store).await.into_iter().map(|(run, _)| run["hourly@2027-01-01T".len()..][..2].to_owned());
    assert_eq!(hours.collect::<Vec<_>>(), ["01", "02"]);
}

#[tokio::test(start_paused = true)]
async fn schedule_that_is_created_again_keeps_its_new_definition() {
    let (store, client) = begun_at("01-01T00:30:00");
    let schedule = |period| client.schedule("s", Schedule::every(period), REPORT, &1);
    let old = schedule(hours(1)).await.unwrap();
    // The worker starts a run while the schedule is deleted and created again.
    let late_submissions = Distant::new(store.clone(), ms(50), |call| call == Call::Submit);
    let worker = Worker::new(late_submissions).serve(REPORT, report);
    let test = async {
        tokio::time::sleep(mins(30) + ms(20)).await;
        assert_eq!(runs(&store).await.len(), 1);
        assert!(old.delete().await.unwrap());
        schedule(mins(20)).await.unwrap();
        tokio::time::sleep(mins(1)).await;
        assert_eq!(old.info().await.unwrap().schedule, Schedule::every(mins(20)));
    };
    worker.run_until(test).await.unwrap();
}
