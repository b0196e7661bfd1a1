use std::time::Duration;

use awaitly_core::journal::{Fingerprint, Kind, Status};
use awaitly_core::store::{Opened, Store};

use super::opening::ending;
use super::{Case, SYNC, ok, record, rewrite, same_records, value};

/// Text that may confuse a store, a file name or a query.
pub(super) const AWKWARD: [&str; 14] = [
    "it's",
    "\"quoted\"",
    "'); DROP TABLE awaitly_steps; --",
    "a\0b",
    "\0",
    "line\nend\r\n",
    "../../etc/passwd",
    "back\\slash",
    "%00 %s {} $1 ?1 :a",
    "  spaces  ",
    "\u{feff}\u{202e}\u{200b}",
    "🫖👩‍👩‍👧‍👦",
    "null",
    "\u{10ffff}",
];

/// Records are returned in the order in which they were appended, not in the order of their keys, each with its kind,
/// its payload and the fingerprint of its input.
pub(super) async fn records_come_back_whole_and_in_order<S: Store>(store: &S) {
    let case = Case::new(store, "order");
    let lease = case.begin().await;
    let kinds = [Kind::Value, Kind::Failed, Kind::Stopped];
    let fingerprints = [None, Some(0), Some(1), Some(u64::MAX), Some(1 << 63)];
    let mut records = Vec::new();
    for number in (0..120).rev() {
        let mut next = record(format!("step-{number}"), kinds[number % 3], &format!("value {number}"));
        next.input = fingerprints[number % 5].map(Fingerprint::from_bits);
        records.push(next);
    }
    for next in &records {
        case.append(&lease, next.clone()).await;
    }
    same_records(&case.stored().await.records, &records);
    store.release(&lease);
    let (_, run) = case.held(case.request()).await;
    same_records(&run.records, &records);
}

/// Keys and payloads are plain text: quotes, NUL, line ends and emoji are returned unchanged, and keys with any
/// difference are different keys.
pub(super) async fn awkward_text_comes_back_as_it_was<S: Store>(store: &S) {
    let case = Case::new(store, "awkward");
    let lease = case.begin().await;
    let mut records: Vec<_> = AWKWARD.iter().map(|text| value(*text, text)).collect();
    records.extend(["a\0", "a", "A", "a\0c", " a"].map(|key| value(key, key)));
    for next in &records {
        case.append(&lease, next.clone()).await;
    }
    same_records(&case.stored().await.records, &records);
    let mut ended = ending(Status::Failed);
    ended.failed_on = AWKWARD.map(Into::into).to_vec();
    ended.error = Some(AWKWARD.concat().into());
    case.finish(&lease, ended.clone()).await;
    let stored = case.stored().await;
    assert_eq!(stored.header.failed_on, ended.failed_on);
    assert_eq!(stored.header.outcome, ended.outcome);
}

/// A payload of a megabyte is returned unchanged.
pub(super) async fn large_payload_comes_back_as_it_was<S: Store>(store: &S) {
    let case = Case::new(store, "large");
    let lease = case.begin().await;
    let large = value("large", &"tea \0 \" 🫖 ".repeat(80_000));
    case.append(&lease, large.clone()).await;
    case.append(&lease, value("small", "a")).await;
    same_records(&case.stored().await.records, &[large, value("small", "a")]);
}

/// A second record under a key is refused and leaves the first unchanged; the run continues.
pub(super) async fn key_is_recorded_once<S: Store>(store: &S) {
    let case = Case::new(store, "once");
    let lease = case.begin().await;
    case.append(&lease, value("charge", "first")).await;
    let again = store.append(&lease, record("charge", Kind::Failed, "second"), SYNC).await;
    assert_eq!(again, Err(case.already_recorded("charge")));
    case.append(&lease, value("ship", "a")).await;
    same_records(&case.stored().await.records, &[value("charge", "first"), value("ship", "a")]);
}

/// A replacement removes the old record and comes last, like a newly appended record; if the key has no record, the
/// replacement is only added.
pub(super) async fn replaced_record_is_the_only_one_under_its_key<S: Store>(store: &S) {
    let case = Case::new(store, "replaced");
    let lease = case.begin().await;
    for key in ["reserve", "charge", "ship"] {
        case.append(&lease, value(key, "first")).await;
    }
    ok("replace", store.replace(&lease, record("charge", Kind::Failed, "second"), SYNC).await);
    ok("replace", store.replace(&lease, value("mail", "first"), SYNC).await);
    let expected = [
        value("reserve", "first"),
        value("ship", "first"),
        record("charge", Kind::Failed, "second"),
        value("mail", "first"),
    ];
    same_records(&case.stored().await.records, &expected);
    let again = store.append(&lease, value("charge", "third"), SYNC).await;
    assert_eq!(again, Err(case.already_recorded("charge")));
}

/// A rewrite replaces all old records with the new ones, in their order, and sets the version; later records follow
/// them.
pub(super) async fn rewrite_replaces_the_journal_and_its_version<S: Store>(store: &S) {
    let case = Case::new(store, "rewritten");
    let lease = case.begin().await;
    for key in ["pay", "reserve", "old"] {
        case.append(&lease, value(key, "1")).await;
    }
    let records = vec![value("ship", "2"), value("pay", "2"), value("charge", "2")];
    ok("rewrite", store.rewrite(&lease, rewrite(7, records.clone())).await);
    let stored = case.stored().await;
    assert_eq!(stored.header.version, 7);
    assert_eq!(stored.header.status, Status::Running);
    same_records(&stored.records, &records);
    case.append(&lease, value("old", "2")).await;
    case.append(&lease, value("a", "2")).await;
    let later = [records, vec![value("old", "2"), value("a", "2")]].concat();
    same_records(&case.stored().await.records, &later);
    ok("rewrite", store.rewrite(&lease, rewrite(8, vec![])).await);
    assert!(case.stored().await.records.is_empty());
}

/// A rewrite with a repeated key is refused and leaves the journal unchanged.
pub(super) async fn rewrite_with_a_key_twice_is_refused_whole<S: Store>(store: &S) {
    let case = Case::new(store, "rewritten-twice");
    let lease = case.begin().await;
    case.append(&lease, value("pay", "1")).await;
    let before = case.stored().await;
    let twice = vec![value("charge", "a"), value("ship", "b"), value("charge", "c")];
    let refused = store.rewrite(&lease, rewrite(2, twice)).await;
    assert_eq!(refused, Err(case.already_recorded("charge")));
    assert_eq!(case.stored().await, before);
    case.append(&lease, value("charge", "d")).await;
}

/// Finishing sets the status, the outcome and the keys on which the run failed, keeps the records, and releases the
/// lease.
pub(super) async fn finishing_keeps_the_outcome_and_frees_the_lease<S: Store>(store: &S) {
    for status in [Status::Waiting, Status::Completed, Status::Failed, Status::Cancelled] {
        let case = Case::new(store, status.as_str());
        let (lease, _) = case.held(case.request().ttl(Duration::from_secs(600))).await;
        case.append(&lease, value("reserve", "a")).await;
        let mut ended = ending(status);
        ended.failed_on = vec!["reserve".into(), "it's".into()];
        case.finish(&lease, ended.clone()).await;
        let stored = case.stored().await;
        assert_eq!(stored.header.status, status);
        assert_eq!(stored.header.outcome, ended.outcome);
        assert_eq!(stored.header.failed_on, ended.failed_on);
        same_records(&stored.records, &[value("reserve", "a")]);
        match (status, case.open(case.request()).await) {
            (Status::Waiting, Opened::Held { .. }) => {}
            (_, Opened::Ended(header)) => assert_eq!(header, stored.header),
            (_, other) => {
                panic!("expected a {status} run to be free, the store answered {other:?}")
            }
        }
    }
}
