use std::time::Duration;

use awaitly_core::journal::{Kind, Outcome, Payload, Refused, Status};
use awaitly_core::store::{Ending, Input, Opened, Purpose, Store};

use super::{Case, SYNC, ok, record, run_id, same_records, value};

/// A request that requires an existing run never begins one, whatever its purpose, and opens the run if it exists.
pub(super) async fn missing_run_is_refused_when_existing_is_required<S: Store>(store: &S) {
    let case = Case::new(store, "absent");
    for purpose in [Purpose::Resume, Purpose::Retry, Purpose::Cancel] {
        let opened = case.open(case.request().purpose(purpose).existing()).await;
        assert_eq!(opened, Opened::Refused(Refused::NoSuchRun));
    }
    assert_eq!(ok("load", store.load(&case.run).await), None);
    let lease = case.begin().await;
    case.append(&lease, value("reserve", "a")).await;
    store.release(&lease);
    let (_, run) = case.held(case.request().existing()).await;
    same_records(&run.records, &[value("reserve", "a")]);
}

/// Two owners with one name are still two owners.
pub(super) async fn held_run_is_busy_for_owner_of_equal_name<S: Store>(store: &S) {
    let case = Case::new(store, "namesakes");
    let request = case.request();
    let (lease, _) = case.held(request.clone()).await;
    let opened = case.open(request).await;
    assert!(matches!(opened, Opened::Refused(Refused::Busy { .. })), "the store answered {opened:?}");
    case.append(&lease, value("reserve", "a")).await;
}

/// Loading a run that was never opened returns `None`.
pub(super) async fn unknown_run_is_not_found<S: Store>(store: &S) {
    let case = Case::new(store, "unknown");
    assert_eq!(store.load(&case.run).await, Ok(None));
}

/// A new run is running, has the workflow, version and input of the request, and has no records.
pub(super) async fn new_run_takes_header_from_request<S: Store>(store: &S) {
    let case = Case::new(store, "begins");
    let input = Input::of(&["tea", "o'clock"]).expect("text has a JSON form");
    let (lease, run) = case.held(case.request().version(3).input(input.clone())).await;
    assert_eq!(lease.run(), &case.run, "the lease is for the run that was asked for");
    let stored = case.stored().await;
    assert_eq!(run, stored, "what opening returns is what rests in the store");
    assert_eq!(&*stored.header.workflow, "checkout");
    assert_eq!(stored.header.version, 3);
    assert_eq!(stored.header.status, Status::Running);
    assert_eq!(stored.header.input, Some(input.fingerprint));
    assert_eq!(stored.header.outcome, None);
    assert!(stored.header.failed_on.is_empty());
    assert_eq!(stored.input.as_ref().map(Payload::as_str), Some(input.payload.as_str()));
    assert!(stored.records.is_empty());
}

/// A run whose owner went away is opened with its records, and with its own input and version, whatever the version of
/// the request.
pub(super) async fn interrupted_run_is_resumed_with_its_records<S: Store>(store: &S) {
    let case = Case::new(store, "interrupted");
    let input = Input::of(&42).expect("a number has a JSON form");
    let (lease, _) = case.held(case.request().input(input.clone()).ttl(Duration::ZERO)).await;
    case.append(&lease, value("reserve", "a")).await;
    case.append(&lease, record("charge", Kind::Failed, "b")).await;
    let (lease, run) = case.held(case.request().version(2)).await;
    assert_eq!(run.header.status, Status::Running);
    assert_eq!(run.header.version, 1, "only a rewrite changes the version");
    assert_eq!(run.header.input, Some(input.fingerprint));
    same_records(&run.records, &[value("reserve", "a"), record("charge", Kind::Failed, "b")]);
    case.append(&lease, value("ship", "c")).await;
    same_records(
        &case.stored().await.records,
        &[value("reserve", "a"), record("charge", Kind::Failed, "b"), value("ship", "c")],
    );
}

/// A waiting run is opened unchanged, and is running once it is revived.
pub(super) async fn waiting_run_is_resumed<S: Store>(store: &S) {
    let case = Case::new(store, "waiting");
    let lease = case.begin().await;
    case.append(&lease, value("ask", "sent")).await;
    case.finish(&lease, Ending::new(Status::Waiting)).await;
    let (lease, run) = case.held(case.request()).await;
    assert_eq!(run.header.status, Status::Waiting);
    same_records(&run.records, &[value("ask", "sent")]);
    assert_eq!(case.stored().await, run, "opening changes nothing but the lease");
    ok("revive", store.revive(&lease, vec![]).await);
    assert_eq!(case.stored().await.header.status, Status::Running);
}

/// Opening an ended run returns its outcome and leaves the run unchanged, whatever the purpose, unless the run may be
/// retried or undone.
pub(super) async fn ended_run_is_not_opened<S: Store>(store: &S) {
    for (status, purpose) in [
        (Status::Completed, Purpose::Resume),
        (Status::Failed, Purpose::Resume),
        (Status::Cancelled, Purpose::Resume),
        (Status::Completed, Purpose::Retry),
        (Status::Completed, Purpose::Cancel),
        (Status::Failed, Purpose::Cancel),
    ] {
        let case = Case::new(store, status.as_str());
        let lease = case.begin().await;
        case.append(&lease, value("reserve", "a")).await;
        case.finish(&lease, ending(status)).await;
        let before = case.stored().await;
        let opened = case.open(case.request().purpose(purpose)).await;
        assert_eq!(opened, Opened::Ended(before.header.clone()), "{status}, to {purpose:?}");
        assert_eq!(case.stored().await, before);
    }
}

/// A failed run is opened for a retry unchanged: it still has the records on which it failed, and stays failed until it
/// is revived, so that an abandoned retry changes nothing.
pub(super) async fn released_retry_leaves_run_unchanged<S: Store>(store: &S) {
    let case = Case::new(store, "given up");
    let lease = case.begin().await;
    case.append(&lease, value("charge", "first")).await;
    case.finish(&lease, Ending { failed_on: vec!["charge".into()], ..ending(Status::Failed) }).await;
    let before = case.stored().await;
    let (lease, run) = case.held(case.request().purpose(Purpose::Retry)).await;
    assert_eq!(run, before);
    store.release(&lease);
    assert_eq!(case.stored().await, before);
}

/// A revival forgets the outcome and removes the records under the given keys, in one commit. The other records keep
/// their order, and a removed key can be recorded again.
pub(super) async fn reviving_drops_the_records_under_its_keys_and_no_others<S: Store>(store: &S) {
    let case = Case::new(store, "revive");
    let lease = case.begin().await;
    for key in ["reserve", "charge", "ship", "charge#2", "mail"] {
        case.append(&lease, value(key, "first")).await;
    }
    let failed_on = vec!["charge".into(), "mail".into(), "never recorded".into()];
    case.finish(&lease, Ending { failed_on: failed_on.clone(), ..ending(Status::Failed) }).await;
    let (lease, run) = case.held(case.request().purpose(Purpose::Retry)).await;
    assert_eq!(run.header.failed_on, failed_on);
    ok("revive", store.revive(&lease, failed_on).await);
    let kept = [value("reserve", "first"), value("ship", "first"), value("charge#2", "first")];
    let stored = case.stored().await;
    assert_eq!(stored.header.status, Status::Running);
    assert_eq!(stored.header.outcome, None, "the old outcome is forgotten");
    assert!(stored.header.failed_on.is_empty(), "what the run failed on is forgotten");
    same_records(&stored.records, &kept);
    case.append(&lease, value("charge", "second")).await;
    let [reserve, ship, charge_2] = kept;
    same_records(&case.stored().await.records, &[reserve, ship, charge_2, value("charge", "second")]);
}

/// A waiting or cancelled run is opened for its undo, and keeps its status until the undo is recorded and the run has
/// ended.
pub(super) async fn run_is_opened_to_be_undone<S: Store>(store: &S) {
    for status in [Status::Waiting, Status::Cancelled] {
        let case = Case::new(store, "undone");
        let lease = case.begin().await;
        case.append(&lease, value("charge", "first")).await;
        case.finish(&lease, Ending::new(status)).await;
        let (lease, run) = case.held(case.request().purpose(Purpose::Cancel)).await;
        assert_eq!((run.header.status, run.records.len()), (status, 1));
        case.append(&lease, value("undo charge", "second")).await;
        assert_eq!(case.stored().await.header.status, status);
        case.finish(&lease, Ending { failed_on: vec!["charge".into()], ..Ending::new(Status::Cancelled) })
            .await;
        let stored = case.stored().await;
        assert_eq!((stored.header.status, stored.records.len()), (Status::Cancelled, 2));
        assert_eq!(stored.header.failed_on, ["charge".into()]);
    }
}

/// A request that does not fit the stored run is refused without a change: one of another workflow, of an older version, or
/// with another input. A request without an input uses the run's own.
pub(super) async fn unfit_request_is_refused_without_change<S: Store>(store: &S) {
    let case = Case::new(store, "unfit");
    let input = |number: i32| Input::of(&number).expect("a number has a JSON form");
    drop(case.held(case.request().version(4).input(input(1)).ttl(Duration::ZERO)).await);
    let before = case.stored().await;
    let mut other = case.request().version(4);
    other.workflow = "refund".into();
    for (request, refused) in [
        (other, Refused::OtherWorkflow { workflow: "checkout".into() }),
        (case.request().version(3), Refused::NewerVersion { stored: 4 }),
        (case.request().version(4).input(input(2)), Refused::InputChanged),
    ] {
        assert_eq!(case.open(request).await, Opened::Refused(refused));
        assert_eq!(case.stored().await, before);
    }
    let (_, run) = case.held(case.request().version(4)).await;
    assert_eq!(run.input, Some(input(1).payload));
}

/// Run ids are compared byte for byte: without case folding or trimming, and without an end at NUL.
pub(super) async fn run_ids_that_look_alike_stay_apart<S: Store>(store: &S) {
    let unique = Case::new(store, "alike").run;
    let endings =
        ["", "/", "/..", "\0", "\0a", "\0b", " ", "\n", "A", "a", "%41", "'", "''", "é", "e\u{301}", "🫖"];
    let cases: Vec<_> =
        endings.iter().map(|ending| Case { store, run: run_id(&format!("{}{ending}", &*unique)) }).collect();
    for (case, ending) in cases.iter().zip(endings) {
        let lease = case.begin().await;
        ok("append", store.append(&lease, value("which", ending), SYNC).await);
    }
    for (case, ending) in cases.iter().zip(endings) {
        same_records(&case.stored().await.records, &[value("which", ending)]);
    }
}

pub(super) fn ending(status: Status) -> Ending {
    let payload = Payload::encode(status.as_str()).expect("text has a JSON form");
    let outcome = match status {
        Status::Completed => Outcome::Value(payload),
        Status::Cancelled => Outcome::Stopped(payload),
        _ => Outcome::Failed(payload),
    };
    Ending { outcome: Some(outcome), error: Some("it's over".into()), ..Ending::new(status) }
}
