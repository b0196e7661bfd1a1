use std::time::Duration;

use awaitly_core::journal::{Contents, Key, Kind, Outcome, Payload, Settling, Status, Unanswered, WaitEntry};
use awaitly_core::store::{
    Answer, Cancelled, DueQuery, Ending, Lease, Operate, Rewrite, StoreError, StoredRun, Wait, WaitQuery,
    Waiting,
};
use futures_util::future::join_all;

use super::opening::ending;
use super::{Case, SYNC, all_pages, ok, record, same_records, value};

const HOUR: Duration = Duration::from_secs(3600);

/// A waiting entry is returned unchanged, both when the run is loaded and when it is opened again, and is listed with
/// its run and workflow.
pub(super) async fn entry_that_waits_rests_with_the_run<S: Operate>(store: &S) {
    let case = Case::new(store, "waits");
    let lease = case.begin().await;
    case.wait(&lease, "manager", Some(HOUR)).await;
    let stored = case.stored().await;
    let [entry] = stored.waits.as_slice() else { panic!("expected one entry, found {:?}", stored.waits) };
    assert_eq!((&*entry.key, &*entry.token), ("manager", &*token(&case, "manager")));
    assert_eq!(entry.request.as_str(), "{\"who\":\"it's \\u0000 ada\"}");
    assert_eq!(entry.expires, Some(entry.since.after(HOUR)));
    assert!(stored.records.is_empty());
    assert_eq!(
        case.waiting().await,
        [Waiting { run: case.run.clone(), workflow: "checkout".into(), entry: entry.clone() }]
    );
    store.release(&lease);
    assert_eq!(case.held(case.request()).await.1.waits, stored.waits);
}

/// Asking again under a key leaves the waiting entry unchanged; a key that has an outcome cannot wait.
pub(super) async fn question_is_asked_once<S: Operate>(store: &S) {
    let case = Case::new(store, "asked once");
    let lease = case.begin().await;
    case.wait(&lease, "manager", None).await;
    let first = case.stored().await.waits;
    let again = Wait { token: "other".into(), ..wait(&case, "manager", Some(HOUR)) };
    ok("wait", store.wait(&lease, again).await);
    assert_eq!(case.stored().await.waits, first);
    case.append(&lease, value("charge", "1")).await;
    let refused = store.wait(&lease, wait(&case, "charge", None)).await;
    assert_eq!(refused, Err(case.already_recorded("charge")));
}

/// An answer replaces the entry: it is recorded after the earlier records and before the records of later leases, under
/// any holder of the lease, and the entry no longer waits.
pub(super) async fn answer_takes_the_place_of_the_entry<S: Operate>(store: &S) {
    for kind in [Kind::Value, Kind::Failed, Kind::Stopped] {
        let case = Case::new(store, "answer");
        let lease = case.begin().await;
        case.append(&lease, value("reserve", "a")).await;
        case.wait(&lease, "manager", Some(HOUR)).await;
        assert_eq!(case.answer("manager", kind).await, Ok(()));
        let expected = [value("reserve", "a"), record("manager", kind, "yes")];
        same_records(&case.stored().await.records, &expected);
        assert!(case.stored().await.waits.is_empty());
        assert!(case.waiting().await.is_empty());
        let again = store.append(&lease, value("manager", "no"), SYNC).await;
        assert_eq!(again, Err(case.already_recorded("manager")));
        case.finish(&lease, Ending::new(Status::Waiting)).await;
        let (lease, _) = case.held(case.request()).await;
        case.append(&lease, value("ship", "b")).await;
        let [reserve, manager] = expected;
        same_records(&case.stored().await.records, &[reserve, manager, value("ship", "b")]);
    }
}

/// An answer is refused without a change if no entry waits for it, if it is a duplicate or too late, or if its token is
/// wrong.
pub(super) async fn answer_without_open_entry_is_refused<S: Operate>(store: &S) {
    let case = Case::new(store, "refused");
    let refused = |unanswered| Err(unanswered);
    assert_eq!(case.answer("manager", Kind::Value).await, refused(Unanswered::NoSuchRun));
    let lease = case.begin().await;
    assert_eq!(case.answer("manager", Kind::Value).await, refused(Unanswered::NotAsked));
    case.wait(&lease, "late", Some(Duration::ZERO)).await;
    assert_eq!(case.answer("late", Kind::Value).await, refused(Unanswered::Expired));
    case.wait(&lease, "manager", None).await;
    let wrong = Answer::new(case.run.clone(), "manager", yes(Kind::Value)).token("wrong");
    assert_eq!(ok("answer", store.answer(wrong).await), refused(Unanswered::WrongToken));
    let right = Answer::new(case.run.clone(), "manager", yes(Kind::Value)).token(token(&case, "manager"));
    assert_eq!(ok("answer", store.answer(right).await), Ok(()));
    let before = case.stored().await;
    assert_eq!(case.answer("manager", Kind::Failed).await, refused(Unanswered::AlreadyAnswered));
    assert_eq!(case.stored().await, before);
    case.wait(&lease, "director", None).await;
    case.finish(&lease, ending(Status::Failed)).await;
    let status = Status::Failed;
    assert_eq!(case.answer("director", Kind::Value).await, refused(Unanswered::Ended { status }));
    assert!(case.waiting().await.is_empty(), "nothing waits in a run that has ended");
}

/// Of many concurrent answers, one is accepted and recorded.
pub(super) async fn of_many_answers_at_once_one_is_taken<S: Operate>(store: &S) {
    let case = Case::new(store, "many answers");
    let lease = case.begin().await;
    case.wait(&lease, "manager", None).await;
    case.finish(&lease, Ending { waits_on: vec!["manager".into()], ..Ending::new(Status::Waiting) }).await;
    let fates = join_all((0..16).map(async |number: u32| {
        let payload = Payload::encode(&number).expect("a number has a JSON form");
        let answer = Answer::new(case.run.clone(), "manager", Outcome::Value(payload));
        ok("answer", store.answer(answer).await)
    }))
    .await;
    let taken: Vec<_> = (0..16_u32).zip(&fates).filter(|(_, fate)| **fate == Ok(())).collect();
    let [(number, _)] = taken.as_slice() else {
        panic!("expected one of 16 answers, the store took {fates:?}")
    };
    let others = fates.iter().filter(|fate| **fate == Err(Unanswered::AlreadyAnswered));
    assert_eq!(others.count(), 15);
    let records = case.stored().await.records;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].outcome.payload().as_str(), number.to_string());
}

/// The holder of the lease can expire an entry after its deadline. Of a timely answer and an expiry, one is recorded,
/// and the holder learns which.
pub(super) async fn entry_expires_unless_it_was_answered<S: Operate>(store: &S) {
    let case = Case::new(store, "expires");
    let lease = case.begin().await;
    for (key, expires_in) in [("late", Duration::ZERO), ("early", HOUR), ("answered", HOUR)] {
        case.wait(&lease, key, Some(expires_in)).await;
    }
    assert_eq!(case.answer("answered", Kind::Value).await, Ok(()));
    let expired = |key: &'static str| record(key, Kind::Stopped, "expired");
    let expire = async |record| store.settle(&lease, record, Settling::Expire).await;
    let late = ok("settle", expire(expired("late")).await);
    assert_eq!(late, Some(expired("late").outcome));
    assert_eq!(ok("settle", expire(expired("early")).await), None);
    assert_eq!(ok("settle", expire(expired("answered")).await), Some(yes(Kind::Value)));
    assert_eq!(ok("settle", expire(expired("never asked")).await), None);
    same_records(&case.stored().await.records, &[record("answered", Kind::Value, "yes"), expired("late")]);
    let keys: Vec<_> = case.stored().await.waits.into_iter().map(|entry| entry.key).collect();
    assert_eq!(keys, [Key::from("early")]);
    case.finish(&lease, Ending::new(Status::Waiting)).await;
    assert_eq!(expire(expired("early")).await, Err(case.lost()));
    assert_eq!(store.wait(&lease, wait(&case, "new", None)).await, Err(case.lost()));
}

/// The holder of the lease can withdraw an entry at any time. An earlier answer stays, and no later answer is accepted.
pub(super) async fn entry_is_withdrawn_unless_it_was_answered<S: Operate>(store: &S) {
    let case = Case::new(store, "withdrawn");
    let lease = case.begin().await;
    for key in ["open", "answered"] {
        case.wait(&lease, key, Some(HOUR)).await;
    }
    assert_eq!(case.answer("answered", Kind::Value).await, Ok(()));
    let withdrawn = |key: &'static str| record(key, Kind::Stopped, "withdrawn");
    let withdraw = async |record| store.settle(&lease, record, Settling::Withdraw).await;
    assert_eq!(ok("settle", withdraw(withdrawn("open")).await), Some(withdrawn("open").outcome));
    assert_eq!(ok("settle", withdraw(withdrawn("answered")).await), Some(yes(Kind::Value)));
    assert_eq!(ok("settle", withdraw(withdrawn("never asked")).await), None);
    assert!(case.stored().await.waits.is_empty());
    assert_eq!(case.answer("open", Kind::Value).await, Err(Unanswered::AlreadyAnswered));
}

/// A waiting run becomes due when it is answered, even if the answer came before the run began to wait, and when its
/// wake time comes; a run that waits only for an answer is not due before.
pub(super) async fn waiting_run_is_due_once_answered<S: Operate>(store: &S) {
    let waits_on = || vec![Key::from("manager")];
    let asleep = Case::new(store, "answered later");
    let lease = asleep.begin().await;
    assert!(!asleep.is_due().await, "somebody executes it");
    asleep.wait(&lease, "manager", None).await;
    asleep.finish(&lease, Ending { waits_on: waits_on(), ..Ending::new(Status::Waiting) }).await;
    assert!(!asleep.is_due().await, "nobody has answered");
    assert_eq!(asleep.answer("manager", Kind::Value).await, Ok(()));
    assert!(asleep.is_due().await, "it was answered");
    let lease = asleep.begin().await;
    assert!(!asleep.is_due().await, "somebody executes it");
    store.release(&lease);
    assert!(asleep.is_due().await, "it was given up before it was revived");
    let lease = asleep.begin().await;
    ok("revive", store.revive(&lease, vec![]).await);
    asleep.finish(&lease, ending(Status::Completed)).await;
    assert!(!asleep.is_due().await, "it has ended");

    let early = Case::new(store, "answered before");
    let lease = early.begin().await;
    early.wait(&lease, "manager", None).await;
    assert_eq!(early.answer("manager", Kind::Value).await, Ok(()));
    early.finish(&lease, Ending { waits_on: waits_on(), ..Ending::new(Status::Waiting) }).await;
    assert!(early.is_due().await, "it was answered before it had come to wait");

    let sleeper = Case::new(store, "sleeps");
    let lease = sleeper.begin().await;
    let now = sleeper.stored().await.header.created;
    sleeper.finish(&lease, Ending { wake: Some(now.after(HOUR)), ..Ending::new(Status::Waiting) }).await;
    assert!(!sleeper.is_due().await, "its time has not come");
    assert_eq!(sleeper.stored().await.header.wake, Some(now.after(HOUR)));
    let lease = sleeper.begin().await;
    sleeper.finish(&lease, Ending { wake: Some(now), ..Ending::new(Status::Waiting) }).await;
    assert!(sleeper.is_due().await, "its time has come");
}

/// If an answer arrives while a run begins to wait, the run is due, whichever comes first.
pub(super) async fn answer_on_the_way_to_wait_is_never_missed<S: Operate>(store: &S) {
    for _ in 0..24 {
        let case = Case::new(store, "on its way");
        let lease = case.begin().await;
        case.wait(&lease, "manager", None).await;
        let ending = Ending { waits_on: vec!["manager".into()], ..Ending::new(Status::Waiting) };
        let (answered, ()) = tokio::join!(case.answer("manager", Kind::Value), case.finish(&lease, ending));
        assert_eq!(answered, Ok(()));
        assert!(case.is_due().await, "it was answered, and nobody is told");
    }
}

/// An interrupted run is due once its lease is free.
pub(super) async fn interrupted_run_is_due<S: Operate>(store: &S) {
    let case = Case::new(store, "interrupted");
    let (_, _) = case.held(case.request().ttl(Duration::ZERO)).await;
    assert!(case.is_due().await, "its lease has expired");
    let lease = case.begin().await;
    assert!(!case.is_due().await);
    store.release(&lease);
    assert!(case.is_due().await, "its lease was given back");
    let due = ok("due", store.due(DueQuery::new().limit(usize::MAX >> 1)).await);
    let due = due.iter().find(|due| due.run == case.run).expect("the run is due");
    assert_eq!((&*due.workflow, due.version), ("checkout", 1));
    assert!(due.since >= case.stored().await.header.created);
}

/// A rewrite keeps the waiting entries under their new keys: an existing token can still be used to answer. The keys on
/// which a run failed are kept too.
pub(super) async fn rewrite_takes_the_questions_along<S: Operate>(store: &S) {
    let case = Case::new(store, "renamed");
    let lease = case.begin().await;
    case.wait(&lease, "approval", Some(HOUR)).await;
    case.wait(&lease, "withdrawn", None).await;
    let StoredRun { waits, .. } = case.stored().await;
    let [approval, withdrawn] = waits.as_slice() else { panic!("expected two entries, found {waits:?}") };
    let renamed = WaitEntry { key: "manager".into(), ..approval.clone() };
    let contents =
        Contents { waits: vec![renamed.clone()], failed_on: vec!["charge".into()], ..Contents::default() };
    ok("rewrite", store.rewrite(&lease, Rewrite::new(2, contents, &waits)).await);
    let stored = case.stored().await;
    assert_eq!((stored.waits, stored.header.failed_on), (vec![renamed], vec!["charge".into()]));
    assert_eq!(case.waiting().await.len(), 1);
    for gone in [approval, withdrawn] {
        let answer = Answer::new(case.run.clone(), gone.key.clone(), yes(Kind::Value));
        assert_eq!(ok("answer", store.answer(answer).await), Err(Unanswered::NotAsked));
    }
    let answer = Answer::new(case.run.clone(), "manager", yes(Kind::Value)).token(approval.token.clone());
    assert_eq!(ok("answer", store.answer(answer).await), Ok(()));
    same_records(&case.stored().await.records, &[record("manager", Kind::Value, "yes")]);
}

/// A rewrite of a journal that was answered after it was read is refused, and changes nothing.
pub(super) async fn rewrite_never_loses_an_answer<S: Operate>(store: &S) {
    let case = Case::new(store, "answered before it was rewritten");
    let lease = case.begin().await;
    case.append(&lease, value("reserve", "a")).await;
    case.wait(&lease, "manager", None).await;
    case.wait(&lease, "auditor", None).await;
    let read = case.stored().await;
    assert_eq!(case.answer("manager", Kind::Value).await, Ok(()));
    let before = case.stored().await;
    let contents = Contents { records: read.records, waits: read.waits.clone(), failed_on: vec![] };
    let refused = store.rewrite(&lease, Rewrite::new(2, contents, &read.waits)).await;
    assert_eq!(refused, Err(StoreError::Answered { run: (*case.run).into() }));
    assert_eq!(case.stored().await, before);
    let contents =
        Contents { records: before.records.clone(), waits: before.waits.clone(), failed_on: vec![] };
    ok("rewrite", store.rewrite(&lease, Rewrite::new(2, contents, &before.waits)).await);
    let stored = case.stored().await;
    same_records(&stored.records, &before.records);
    assert_eq!((stored.waits, stored.header.version), (before.waits, 2));
}

/// Due runs are filtered by workflow, if the query names some: the runs of other workflows do not precede them.
pub(super) async fn due_query_filters_by_workflow<S: Operate>(store: &S) {
    let (one, other) = (Case::new(store, "ours"), Case::new(store, "theirs"));
    let [ours, theirs] = [format!("{}' \u{0}", &*one.run), format!("{}%", &*other.run)];
    for (case, workflow) in [(&other, &theirs), (&one, &ours)] {
        let mut request = case.request().ttl(Duration::ZERO);
        request.workflow = workflow.as_str().into();
        let (_, _) = case.held(request).await;
    }
    let due = async |query: DueQuery| -> Vec<&str> {
        let due = ok("due", store.due(query.limit(usize::MAX >> 1)).await).into_iter();
        let names = [(&one.run, "ours"), (&other.run, "theirs")];
        due.filter_map(|due| names.iter().find(|(run, _)| **run == due.run).map(|(_, name)| *name)).collect()
    };
    assert_eq!(due(DueQuery::new().workflow(&*ours)).await, ["ours"]);
    assert_eq!(due(DueQuery::new().workflow(&*theirs)).await, ["theirs"]);
    assert_eq!(due(DueQuery::new().workflow(&*ours).workflow(&*theirs)).await.len(), 2);
    assert_eq!(due(DueQuery::new()).await.len(), 2, "all workflows");
    assert!(due(DueQuery::new().workflow("nobody's")).await.is_empty());
    let first = ok("due", store.due(DueQuery::new().workflow(&*ours).limit(1)).await);
    assert_eq!(
        first.iter().map(|due| &due.run).collect::<Vec<_>>(),
        [&one.run],
        "theirs is overdue for longer"
    );
}

/// Entries are listed by run, by key and by token, newest first, in pages without gaps.
pub(super) async fn waiting_entries_are_listed_in_pages<S: Operate>(store: &S) {
    let key = format!("manager-{}", awaitly_core::store::Owner::unique().as_str());
    let cases: Vec<_> = (0..5).map(|number| Case::new(store, &format!("asks-{number}"))).collect();
    for case in &cases {
        let lease = case.begin().await;
        case.wait(&lease, &key, None).await;
        case.wait(&lease, "other", None).await;
        case.finish(&lease, Ending::new(Status::Waiting)).await;
    }
    let found = all_pages(async |after| {
        let mut query = WaitQuery::new().key(key.clone()).limit(2);
        query.after = after;
        let page = ok("waiting", store.waiting(query).await);
        assert!(page.items.len() <= 2);
        page
    })
    .await;
    assert!(found.is_sorted_by(|one, next| one.entry.since >= next.entry.since), "the newest first");
    let mut runs: Vec<_> = found.iter().map(|waiting| waiting.run.clone()).collect();
    runs.sort();
    let mut expected: Vec<_> = cases.iter().map(|case| case.run.clone()).collect();
    expected.sort();
    assert_eq!(runs, expected);
    let by_token = WaitQuery::new().token(token(&cases[3], &key));
    let found = ok("waiting", store.waiting(by_token).await).items;
    assert_eq!(found.iter().map(|waiting| &waiting.run).collect::<Vec<_>>(), [&cases[3].run]);
    let of_run = WaitQuery::new().run(cases[1].run.clone());
    assert_eq!(ok("waiting", store.waiting(of_run).await).items.len(), 2);
}

/// Listeners are notified when a run is answered, cancelled or released.
pub(super) async fn answer_and_cancellation_wake_listeners<S: Operate>(store: &S) {
    let case = Case::new(store, "wakes");
    let lease = case.begin().await;
    case.wait(&lease, "manager", None).await;
    case.finish(&lease, Ending { waits_on: vec!["manager".into()], ..Ending::new(Status::Waiting) }).await;
    let mut wakes = store.wakes();
    assert_eq!(case.answer("manager", Kind::Value).await, Ok(()));
    told(&mut wakes, "an answer").await;
    let mut wakes = store.wakes();
    assert_eq!(ok("cancel", store.cancel(&case.run).await), Cancelled::Requested);
    told(&mut wakes, "a cancellation").await;
}

pub(super) async fn told(wakes: &mut awaitly_core::store::Wakes, of: &str) {
    let told = tokio::time::timeout(Duration::from_secs(20), wakes.changed()).await;
    assert!(matches!(told, Ok(true)), "nobody was told of {of}");
}

impl<S: Operate> Case<'_, S> {
    async fn wait(&self, lease: &Lease, key: &str, expires_in: Option<Duration>) {
        ok("wait", self.store.wait(lease, wait(self, key, expires_in)).await);
    }

    async fn answer(&self, key: &'static str, kind: Kind) -> Result<(), Unanswered> {
        ok("answer", self.store.answer(Answer::new(self.run.clone(), key, yes(kind))).await)
    }

    async fn waiting(&self) -> Vec<Waiting> {
        ok("waiting", self.store.waiting(WaitQuery::new().run(self.run.clone())).await).items
    }

    async fn is_due(&self) -> bool {
        ok("due", self.store.due(DueQuery::new().limit(usize::MAX >> 1)).await)
            .iter()
            .any(|due| due.run == self.run)
    }
}

fn yes(kind: Kind) -> Outcome {
    record("", kind, "yes").outcome
}

/// Returns a token that no other entry has, because stores are shared during the check.
fn token<S>(case: &Case<'_, S>, key: &str) -> String {
    format!("{} {key}", &*case.run)
}

fn wait<S>(case: &Case<'_, S>, key: &str, expires_in: Option<Duration>) -> Wait {
    let request = Payload::from_stored("{\"who\":\"it's \\u0000 ada\"}");
    Wait { key: key.to_owned().into(), token: token(case, key).into(), request, expires_in }
}
