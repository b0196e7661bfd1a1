use std::time::Duration;

use awaitly_core::journal::{Header, Key, Kind, Payload, Refused, Status, Timestamp, WaitEntry};
use awaitly_core::store::{
    Cancelled, DeleteIf, DueQuery, Ending, Lease, Opened, Operate, Owner, Purpose, RunQuery, RunSummary,
    StoreError, StoredRun, Wait,
};

use super::opening::ending;
use super::{AWKWARD, Case, SYNC, all_pages, ok, record, run_id, same_records, value};

const HOUR: Duration = Duration::from_secs(3600);

/// Runs are listed from the newest to the oldest, in pages without gaps or duplicates, even if runs begin in between.
pub(super) async fn runs_are_listed_in_pages<S: Operate>(store: &S) {
    let workflow = unique("listed");
    let cases: Vec<_> = (0..7).map(|number| Case::new(store, &format!("listed-{number}"))).collect();
    for case in &cases {
        begin(case, &workflow).await;
    }
    let found = all_pages(async |after| {
        let mut query = RunQuery::new().workflow(&*workflow).limit(3);
        query.after = after;
        let page = ok("list", store.list(query).await);
        begin(&Case::new(store, "meanwhile"), &workflow).await;
        assert!(page.items.len() <= 3);
        page
    })
    .await;
    let runs: Vec<_> = found.iter().map(|run| run.run.clone()).collect();
    let expected: Vec<_> = cases.iter().rev().map(|case| case.run.clone()).collect();
    assert_eq!(runs, expected, "the newest first");
    let bad = store.list(RunQuery::new().after("nowhere")).await;
    assert_eq!(bad, Err(StoreError::BadCursor { cursor: "nowhere".into() }));
}

/// Runs of several statuses are listed in one order, page by page, each once.
pub(super) async fn runs_of_several_statuses_are_listed_in_one_order<S: Operate>(store: &S) {
    let workflow = unique("statuses");
    let mut expected = Vec::new();
    for number in 0..10 {
        let case = Case::new(store, &format!("status-{number}"));
        let lease = begin(&case, &workflow).await;
        let status = [Status::Failed, Status::Completed, Status::Cancelled][number % 3];
        case.finish(&lease, ending(status)).await;
        if status != Status::Completed {
            expected.insert(0, case.run);
        }
    }
    let found = all_pages(async |after| {
        let mut query = RunQuery::new().workflow(&*workflow).limit(2);
        query = query.status(Status::Cancelled).status(Status::Failed).status(Status::Failed);
        query.after = after;
        ok("list", store.list(query).await)
    })
    .await;
    assert_eq!(found.into_iter().map(|run| run.run).collect::<Vec<_>>(), expected, "the newest first");
}

/// A list shows the actual state of a run.
pub(super) async fn list_shows_summary_of_run<S: Operate>(store: &S) {
    let workflow = unique("shown");
    let case = Case::new(store, "shown");
    let lease = begin(&case, &workflow).await;
    let [shown] = list(store, RunQuery::new().workflow(&*workflow)).await.try_into().expect("one run");
    assert!(shown.held, "somebody executes it");
    case.append(&lease, value("charge", "1")).await;
    let ended = Ending { failed_on: vec!["charge".into()], ..ending(Status::Failed) };
    case.finish(&lease, ended).await;
    let header = case.stored().await.header;
    let [shown] = list(store, RunQuery::new().workflow(&*workflow)).await.try_into().expect("one run");
    assert_eq!(shown, RunSummary::of(case.run.clone(), &header, None));
    assert_eq!((shown.status, shown.error.as_deref()), (Status::Failed, Some("it's over")));
    assert!(shown.changed >= shown.created);
}

/// Runs are found by workflow, status, age, recorded key and error text, and texts match exactly.
pub(super) async fn query_filters_runs_by_status_key_and_error<S: Operate>(store: &S) {
    let workflow = unique("found");
    let failed = Case::new(store, "failed");
    let lease = begin(&failed, &workflow).await;
    failed.append(&lease, value("ch_rge", "1")).await;
    failed.finish(&lease, Ending { error: Some("100% \\declined_".into()), ..ending(Status::Failed) }).await;
    let running = Case::new(store, "running");
    let lease = begin(&running, &workflow).await;
    running.append(&lease, value("charge", "1")).await;
    let completed = Case::new(store, "completed");
    let lease = begin(&completed, &workflow).await;
    completed.finish(&lease, Ending { error: None, ..ending(Status::Completed) }).await;

    let known = [(&failed, "failed"), (&running, "running"), (&completed, "completed")];
    let name = |run: RunSummary| known.iter().find(|(case, _)| case.run == run.run).map(|(_, name)| *name);
    let find = async |query: RunQuery| -> Vec<&str> {
        let found = list(store, query.workflow(&*workflow)).await;
        found.into_iter().filter_map(name).collect()
    };
    assert_eq!(find(RunQuery::new()).await, ["completed", "running", "failed"]);
    assert_eq!(find(RunQuery::new().status(Status::Failed)).await, ["failed"]);
    let two = RunQuery::new().status(Status::Failed).status(Status::Running);
    assert_eq!(find(two).await, ["running", "failed"]);
    assert_eq!(find(RunQuery::new().key("charge")).await, ["running"]);
    assert_eq!(find(RunQuery::new().key("ch_rge")).await, ["failed"]);
    assert!(find(RunQuery::new().key("ch%")).await.is_empty());
    for part in ["% \\d", "declined_", "100%", ""] {
        assert_eq!(find(RunQuery::new().error(part)).await, ["failed"], "{part}");
    }
    for other in ["Declined", "1%0", "decline__", "'"] {
        assert!(find(RunQuery::new().error(other)).await.is_empty(), "{other}");
    }
    let created = failed.stored().await.header.created;
    let later = created.after(HOUR);
    assert!(find(RunQuery::new().created_from(later)).await.is_empty());
    assert!(find(RunQuery::new().created_before(created)).await.is_empty());
    assert_eq!(find(RunQuery::new().created_from(created).created_before(later)).await.len(), 3);
    assert!(find(RunQuery::new().changed_before(created)).await.is_empty());
    assert_eq!(find(RunQuery::new().changed_before(later)).await.len(), 3);
    let nobody = list(store, RunQuery::new().workflow(format!("{workflow}%"))).await;
    assert!(nobody.is_empty());
}

/// Opening a run, recording its steps and releasing it do not change the time of its last status change; ending it
/// does.
pub(super) async fn only_a_new_status_counts_as_a_change<S: Operate>(store: &S) {
    let case = Case::new(store, "changed");
    let lease = case.begin().await;
    let begun = case.stored().await.header;
    assert_eq!(begun.changed, begun.created);
    case.append(&lease, value("a", "1")).await;
    store.release(&lease);
    let lease = case.begin().await;
    assert_eq!(case.stored().await.header.changed, begun.changed);
    case.finish(&lease, ending(Status::Failed)).await;
    let ended = case.stored().await.header;
    assert!(ended.changed >= begun.changed);
    assert_eq!(ended.created, begun.created);
    assert_eq!(ended.error.as_deref(), Some("it's over"));
}

/// A request to cancel a run stays until the run has ended. A waiting run becomes due at once. The owner of a run that
/// is being executed learns of the request when it renews its lease, or the next owner does.
pub(super) async fn request_to_cancel_stays_until_the_run_has_ended<S: Operate>(store: &S) {
    let nobody = Case::new(store, "nobody");
    assert_eq!(ok("cancel", store.cancel(&nobody.run).await), Cancelled::NoSuchRun);

    let free = Case::new(store, "free");
    let lease = free.begin().await;
    free.finish(&lease, Ending::new(Status::Waiting)).await;
    assert!(!is_due(store, &free).await);
    for _ in 0..2 {
        assert_eq!(ok("cancel", store.cancel(&free.run).await), Cancelled::Requested);
        let header = free.stored().await.header;
        assert_eq!((header.status, header.cancel_requested), (Status::Waiting, true));
        assert!(is_due(store, &free).await);
    }
    let (lease, run) = free.held(free.request()).await;
    assert!(run.header.cancel_requested);
    ok("revive", store.revive(&lease, Vec::new()).await);
    assert!(free.stored().await.header.cancel_requested, "its work is not undone yet");
    free.finish(&lease, ending(Status::Cancelled)).await;
    assert!(!free.stored().await.header.cancel_requested, "it is done");
    let again = ok("cancel", store.cancel(&free.run).await);
    assert_eq!(again, Cancelled::Ended(Status::Cancelled));

    let held = Case::new(store, "held");
    let lease = held.begin().await;
    assert!(!ok("renew", store.renew(&lease, HOUR).await).cancel);
    assert_eq!(ok("cancel", store.cancel(&held.run).await), Cancelled::Requested);
    assert!(ok("renew", store.renew(&lease, HOUR).await).cancel);
    store.release(&lease);
    let (lease, run) = held.held(held.request()).await;
    assert!(run.header.cancel_requested, "the next owner learns of it");
    held.finish(&lease, ending(Status::Cancelled)).await;
    assert!(!held.stored().await.header.cancel_requested, "it is done");
}

async fn is_due<S: Operate>(store: &S, case: &Case<'_, S>) -> bool {
    let due = ok("due", store.due(DueQuery::new().limit(100_000)).await);
    due.iter().any(|due| due.run == case.run)
}

/// A run that begins to wait before its owner learns of a request to cancel it is due at once. If the owner knew of the
/// request, the run waits in the middle of its undo and is not due; it is still to be cancelled when it is resumed.
pub(super) async fn cancel_request_survives_change_to_waiting<S: Operate>(store: &S) {
    for (cancelling, is_due_at_once) in [(false, true), (true, false)] {
        let case = Case::new(store, &format!("cancelled on its way, cancelling: {cancelling}"));
        let lease = case.begin().await;
        assert_eq!(ok("cancel", store.cancel(&case.run).await), Cancelled::Requested);
        let wake = Some(case.stored().await.header.created.after(HOUR));
        case.finish(&lease, Ending { wake, cancelling, ..Ending::new(Status::Waiting) }).await;
        let header = case.stored().await.header;
        assert_eq!((header.status, header.cancel_requested), (Status::Waiting, true));
        assert_eq!(header.wake == wake, cancelling);
        assert_eq!(is_due(store, &case).await, is_due_at_once);
    }
    let case = Case::new(store, "cancelled by its owner");
    let lease = case.begin().await;
    let ending =
        Ending { waits_on: vec!["manager".into()], cancelling: true, ..Ending::new(Status::Waiting) };
    case.finish(&lease, ending).await;
    let header = case.stored().await.header;
    assert_eq!((header.status, header.cancel_requested, header.wake), (Status::Waiting, true, None));
}

/// A run whose journal records that it is too late to cancel refuses a request, unless the request came first.
pub(super) async fn request_to_cancel_comes_too_late_or_in_time<S: Operate>(store: &S) {
    let too_late = || value(&*Key::TOO_LATE_TO_CANCEL, "");
    let late = Case::new(store, "too late");
    let lease = late.begin().await;
    late.append(&lease, too_late()).await;
    assert_eq!(ok("cancel", store.cancel(&late.run).await), Cancelled::TooLate);
    assert!(!ok("renew", store.renew(&lease, HOUR).await).cancel);
    let opened = late.open(late.request().purpose(Purpose::Cancel)).await;
    assert_eq!(opened, Opened::Refused(Refused::TooLateToCancel));

    let early = Case::new(store, "in time");
    let lease = early.begin().await;
    assert_eq!(ok("cancel", store.cancel(&early.run).await), Cancelled::Requested);
    early.append(&lease, too_late()).await;
    assert_eq!(ok("cancel", store.cancel(&early.run).await), Cancelled::Requested);
    assert!(ok("renew", store.renew(&lease, HOUR).await).cancel);
}

/// Opening a run for cancellation while another owner holds it leaves a request.
pub(super) async fn opening_a_held_run_to_cancel_it_leaves_a_request<S: Operate>(store: &S) {
    let case = Case::new(store, "opened while held");
    let lease = case.begin().await;
    let opened = case.open(case.request().purpose(Purpose::Cancel)).await;
    assert!(matches!(opened, Opened::Refused(Refused::Busy { .. })), "{opened:?}");
    assert!(ok("renew", store.renew(&lease, HOUR).await).cancel);
}

/// A run is marked as cancelled without an undo only if no owner holds it.
pub(super) async fn free_run_is_marked_as_cancelled_without_an_undo<S: Operate>(store: &S) {
    let case = Case::new(store, "marked");
    assert_eq!(ok("mark", store.cancel_without_undo(&case.run).await), Cancelled::NoSuchRun);
    let lease = case.begin().await;
    assert_eq!(ok("mark", store.cancel_without_undo(&case.run).await), Cancelled::Held);
    case.finish(&lease, Ending::new(Status::Waiting)).await;
    assert_eq!(ok("cancel", store.cancel(&case.run).await), Cancelled::Requested);
    assert_eq!(ok("mark", store.cancel_without_undo(&case.run).await), Cancelled::WithoutUndo);
    let header = case.stored().await.header;
    assert_eq!((header.status, header.cancel_requested, header.wake), (Status::Cancelled, false, None));
    assert!(!is_due(store, &case).await);
    let again = ok("mark", store.cancel_without_undo(&case.run).await);
    assert_eq!(again, Cancelled::Ended(Status::Cancelled));
}

/// The clock of the store moves forward, and leases and times are measured by it.
pub(super) async fn renewal_tells_the_time_of_the_store<S: Operate>(store: &S) {
    let case = Case::new(store, "time");
    let lease = case.begin().await;
    let first = ok("renew", store.renew(&lease, HOUR).await).now;
    let second = ok("renew", store.renew(&lease, HOUR).await).now;
    assert!(first <= second && case.stored().await.header.created <= first);
}

/// A deleted run is gone with all its records, and its run id is free. Runs that an owner holds, or that do not meet
/// the condition, stay.
pub(super) async fn deleting_takes_all_of_a_run_and_no_other<S: Operate>(store: &S) {
    let ended = Case::new(store, "ended");
    let lease = ended.begin().await;
    ended.append(&lease, value("charge", "1")).await;
    ended.finish(&lease, ending(Status::Completed)).await;
    let held = Case::new(store, "held");
    let held_lease = held.begin().await;
    let waiting = Case::new(store, "waiting");
    let lease = waiting.begin().await;
    waiting.finish(&lease, Ending::new(Status::Waiting)).await;
    let all =
        || vec![ended.run.clone(), held.run.clone(), waiting.run.clone(), run_id("nobody-deletes-this")];

    let changed = ended.stored().await.header.changed;
    let early = ok("delete", store.delete(all(), DeleteIf::EndedBefore(changed)).await);
    assert_eq!(early, [], "it ended at that moment, not before");
    let old = DeleteIf::EndedBefore(Timestamp::from_millis(changed.as_millis() + 1));
    assert_eq!(ok("delete", store.delete(all(), old).await), std::slice::from_ref(&ended.run));
    assert_eq!(ok("load", store.load(&ended.run).await), None);
    assert_eq!(ok("delete", store.delete(all(), DeleteIf::Free).await), std::slice::from_ref(&waiting.run));
    held.append(&held_lease, value("charge", "1")).await;

    let (lease, run) = ended.held(ended.request()).await;
    assert!(run.records.is_empty(), "a run begins anew under a run id that was deleted");
    ended.append(&lease, value("charge", "2")).await;
    same_records(&ended.stored().await.records, &[value("charge", "2")]);
}

/// The owner of a run that was deleted and begun again cannot write.
pub(super) async fn lease_of_a_deleted_run_cannot_write<S: Operate>(store: &S) {
    let case = Case::new(store, "deleted");
    let (old, _) = case.held(case.request().ttl(Duration::ZERO)).await;
    let deleted = ok("delete", store.delete(vec![case.run.clone()], DeleteIf::Free).await);
    assert_eq!(deleted, std::slice::from_ref(&case.run));
    assert_eq!(store.append(&old, value("late", "1"), SYNC).await, Err(case.lost()));
    let new = case.begin().await;
    assert_eq!(store.append(&old, value("late", "1"), SYNC).await, Err(case.lost()));
    assert_eq!(store.finish(&old, ending(Status::Failed)).await, Err(case.lost()));
    case.append(&new, value("charge", "1")).await;
    same_records(&case.stored().await.records, &[value("charge", "1")]);
}

/// An imported run is loaded exactly as it was exported, whatever its status and texts, and continues at its old
/// position. An import does not replace an existing run.
pub(super) async fn imported_run_is_the_one_that_was_exported<S: Operate>(store: &S) {
    for status in Status::ALL {
        let case = Case::new(store, "imported");
        let stored = made(status);
        assert!(ok("import", store.import(case.run.clone(), stored.clone()).await));
        assert_eq!(case.stored().await, stored);
        let other = made(Status::Completed);
        assert!(!ok("import", store.import(case.run.clone(), other).await));
        assert_eq!(case.stored().await, stored);
        if !status.has_ended() {
            let (lease, run) = case.held(case.request().version(3)).await;
            same_records(&run.records, &stored.records);
            ok("revive", store.revive(&lease, vec![]).await);
            case.append(&lease, value("later", "1")).await;
            let all = [stored.records, vec![value("later", "1")]].concat();
            same_records(&case.stored().await.records, &all);
        }
    }
    let mut twice = made(Status::Running);
    twice.records.push(value("it's", "again"));
    let case = Case::new(store, "twice");
    let refused = store.import(case.run.clone(), twice).await;
    assert_eq!(refused, Err(case.already_recorded("it's")));
    assert_eq!(ok("load", store.load(&case.run).await), None);
}

/// A record that need not survive a crash of the system is visible at once, in order, to all readers.
pub(super) async fn batched_record_is_there_at_once<S: Operate>(store: &S) {
    let case = Case::new(store, "batched");
    let lease = case.begin().await;
    let batched = awaitly_core::store::Durability::Batched;
    case.append(&lease, value("a", "1")).await;
    ok("append", store.append(&lease, value("b", "1"), batched).await);
    ok("replace", store.replace(&lease, value("a", "2"), batched).await);
    case.append(&lease, value("c", "1")).await;
    same_records(&case.stored().await.records, &[value("b", "1"), value("a", "2"), value("c", "1")]);
    let again = store.append(&lease, value("b", "2"), batched).await;
    assert_eq!(again, Err(case.already_recorded("b")));
    store.release(&lease);
    assert_eq!(store.append(&lease, value("d", "1"), batched).await, Err(case.lost()));
}

fn made(status: Status) -> StoredRun {
    let at = Timestamp::from_millis;
    let mut header = Header::new("checkout".into(), 3, status, at(1_000_000_000_000));
    header.changed = at(1_000_000_000_001);
    if status.has_ended() {
        let ended = ending(status);
        (header.outcome, header.error) = (ended.outcome, Some(AWKWARD.concat().into()));
        header.failed_on = AWKWARD.map(Into::into).to_vec();
    }
    if status == Status::Waiting {
        header.wake = Some(at(2_000_000_000_000));
    }
    let records = AWKWARD.iter().rev().map(|key| record(*key, Kind::Value, key)).collect();
    let entry = |key: &str, expires| WaitEntry {
        key: Key::from(key.to_owned()),
        token: format!("{} {key}", unique("token")).into(),
        request: Payload::from_stored("[1]"),
        since: at(1_000_000_000_002),
        expires,
    };
    let waits = vec![entry("ask \0 1", None), entry("ask 2", Some(at(2_000_000_000_000)))];
    StoredRun { header, input: None, records, waits }
}

fn unique(name: &str) -> String {
    format!("{name}-{}", Owner::unique().as_str())
}

async fn begin<S: Operate>(case: &Case<'_, S>, workflow: &str) -> Lease {
    let mut request = case.request();
    request.workflow = workflow.into();
    case.held(request).await.0
}

async fn list<S: Operate>(store: &S, query: RunQuery) -> Vec<RunSummary> {
    ok("list", store.list(query).await).items
}

/// Text that is hostile by its size or depth is returned exactly, or is refused without a change.
pub(super) async fn hostile_text_comes_back_or_is_refused<S: Operate>(store: &S) {
    let case = Case::new(store, "hostile");
    let lease = case.begin().await;
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let of = |key: String, json: &str| {
        let mut record = value(key, "");
        record.outcome = awaitly_core::journal::Outcome::Value(Payload::from_stored(json));
        record
    };
    // Text that no index can compress.
    let mut seed = 1_u64;
    let random: String = (0..1 << 20)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b' ' + (seed >> 58) as u8)
        })
        .collect();
    let mut expected = Vec::new();
    for hostile in
        [of("deep".into(), &deep), of(random, "1"), of("%_'\"\\".repeat(200), "\"%_\""), of("a".into(), "1")]
    {
        match store.append(&lease, hostile.clone(), SYNC).await {
            Ok(()) => expected.push(hostile),
            Err(StoreError::Unstorable { .. }) => {}
            Err(other) => panic!("expected the record to be taken or refused, the store answered: {other}"),
        }
        same_records(&case.stored().await.records, &expected);
    }
    assert!(expected.len() >= 2, "the store takes almost nothing");
}

/// A time in an imported run, a rewritten question or a wait is returned unchanged, or the store refuses it with
/// [`StoreError::Unstorable`]. Every store accepts times up to [`Timestamp::MAX`], and therefore every time that a
/// delay leads to.
pub(super) async fn moments_come_back_or_are_refused<S: Operate>(store: &S) {
    let beyond = [Timestamp::MAX.as_millis() + 1, i64::MAX.cast_unsigned(), u64::MAX];
    for moment in beyond.map(Timestamp::from_millis).into_iter().chain([Timestamp::MAX]) {
        for (field, stored) in with_moment(moment) {
            let case = Case::new(store, field);
            match store.import(case.run.clone(), stored.clone()).await {
                Err(StoreError::Unstorable { .. }) if moment > Timestamp::MAX => {
                    assert_eq!(ok("load", store.load(&case.run).await), None, "{field}: refused and stored");
                }
                imported => {
                    assert!(ok("import", imported));
                    assert_eq!(case.stored().await, stored, "{field} at {moment:?}");
                }
            }
        }
        let case = Case::new(store, "moments");
        let lease = case.begin().await;
        let mut rewrite = super::rewrite(1, vec![]);
        let asked = asked_until(moment);
        rewrite.contents.waits = vec![asked.clone()];
        match store.rewrite(&lease, rewrite).await {
            Err(StoreError::Unstorable { .. }) if moment > Timestamp::MAX => {
                assert!(case.stored().await.waits.is_empty(), "the refused rewrite changed the run");
            }
            rewritten => {
                ok("rewrite", rewritten);
                assert_eq!(case.stored().await.waits, [asked]);
            }
        }
        match store.finish(&lease, Ending { wake: Some(moment), ..Ending::new(Status::Waiting) }).await {
            Err(StoreError::Unstorable { .. }) if moment > Timestamp::MAX => {
                assert_eq!(case.stored().await.header.status, Status::Running, "refused and stored");
            }
            finished => {
                ok("finish", finished);
                assert_eq!(case.stored().await.header.wake, Some(moment));
            }
        }
    }
    let case = Case::new(store, "never");
    let lease = case.begin().await;
    let request = Payload::from_stored("{}");
    let wait = Wait { key: "ask".into(), token: "t".into(), request, expires_in: Some(Duration::MAX) };
    ok("wait", store.wait(&lease, wait).await);
    let stored = case.stored().await;
    let copy = Case::new(store, "copy");
    let _ = ok("import", store.import(copy.run.clone(), stored.clone()).await);
    assert_eq!(copy.stored().await.waits, stored.waits, "an entry that never expires can be copied");
}

/// Returns runs that differ in the one field that holds `moment`.
fn with_moment(moment: Timestamp) -> [(&'static str, StoredRun); 5] {
    let base = || {
        let mut stored = made(Status::Waiting);
        stored.waits = vec![asked_until(Timestamp::MAX)];
        stored
    };
    let mut runs = ["created", "changed", "wake", "since", "expires"].map(|field| (field, base()));
    let [created, changed, wake, since, expires] = &mut runs;
    created.1.header.created = moment;
    changed.1.header.changed = moment;
    wake.1.header.wake = Some(moment);
    since.1.waits[0].since = moment;
    expires.1.waits[0].expires = Some(moment);
    runs
}

fn asked_until(moment: Timestamp) -> WaitEntry {
    WaitEntry {
        key: "ask".into(),
        token: unique("token").into(),
        request: Payload::from_stored("[1]"),
        since: Timestamp::from_millis(1_000_000_000_002),
        expires: Some(moment),
    }
}
