use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use awaitly_core::journal::Refused;
use awaitly_core::store::{Lease, Opened, Store, StoreError};
use futures_util::future::join_all;

use super::{Case, SYNC, ok, same_records, value};

/// With concurrent appends of 64 runs, of which every fourth is refused for a different reason, each append gets its
/// own result, and every acknowledged record is stored.
pub(super) async fn appends_of_many_runs_each_learn_their_own_fate<S: Store>(store: &S) {
    let cases: Vec<_> = (0..64).map(|number| Case::new(store, &format!("many-{number}"))).collect();
    join_all(cases.iter().enumerate().map(async |(number, case)| {
        let lease = case.begin().await;
        for round in 0..8 {
            let key = format!("step-{round}");
            let text = format!("{number}/{round}");
            case.append(&lease, value(key.clone(), &text)).await;
            if number % 4 == 0 {
                let again = store.append(&lease, value(key.clone(), "again"), SYNC).await;
                assert_eq!(again, Err(case.already_recorded(key)), "of run {number}");
            }
            if number % 4 == 1 {
                let older = Lease::new(case.run.clone(), lease.token() - 1, lease.slot());
                assert_eq!(
                    store.append(&older, value("older", ""), SYNC).await,
                    Err(case.lost()),
                    "of run {number}"
                );
            }
        }
    }))
    .await;
    for (number, case) in cases.iter().enumerate() {
        let expected: Vec<_> =
            (0..8).map(|round| value(format!("step-{round}"), &format!("{number}/{round}"))).collect();
        same_records(&case.stored().await.records, &expected);
    }
}

/// Of two concurrent appends under one key, one is acknowledged, and its record is stored.
pub(super) async fn of_two_records_under_one_key_one_stands<S: Store>(store: &S) {
    let case = Case::new(store, "one-key");
    let lease = case.begin().await;
    let fates = join_all(
        (0..8)
            .map(async |number: u32| store.append(&lease, value("charge", &number.to_string()), SYNC).await),
    )
    .await;
    let acknowledged: Vec<_> = (0..8_u32).zip(&fates).filter(|(_, fate)| fate.is_ok()).collect();
    let [(number, _)] = acknowledged.as_slice() else {
        panic!("expected one of eight appends to be acknowledged, the store answered {fates:?}");
    };
    same_records(&case.stored().await.records, &[value("charge", &number.to_string())]);
}

/// Of many owners that open a run concurrently, one gets the lease, and the others learn that the run is busy.
pub(super) async fn of_many_owners_at_once_one_gets_the_lease<S: Store>(store: &S) {
    let case = Case::new(store, "owners");
    let answers = join_all((0..16).map(async |_| case.open(case.request()).await)).await;
    let held = answers.iter().filter(|answer| matches!(answer, Opened::Held { .. })).count();
    let busy =
        answers.iter().filter(|answer| matches!(answer, Opened::Refused(Refused::Busy { .. }))).count();
    assert_eq!((held, busy), (1, 15), "the store answered {answers:?}");
}

/// If the future of an append is dropped, before or after its first poll, the record is stored completely or not
/// stored, and neither the run nor its lease is damaged.
pub(super) async fn dropped_append_is_recorded_whole_or_absent<S: Store>(store: &S) {
    for polls in 0..3 {
        let case = Case::new(store, "dropped");
        let lease = case.begin().await;
        case.append(&lease, value("reserve", "a")).await;
        poll_times(polls, pin!(store.append(&lease, value("charge", "whole"), SYNC))).await;
        case.append(&lease, value("ship", "b")).await;
        store.release(&lease);
        let (lease, run) = case.held(case.request()).await;
        let (without, with) = (
            vec![value("reserve", "a"), value("ship", "b")],
            vec![value("reserve", "a"), value("charge", "whole"), value("ship", "b")],
        );
        let recorded = run.records.len() == with.len();
        assert!(!recorded || polls > 0, "an append that was never polled was recorded");
        same_records(&run.records, if recorded { &with } else { &without });
        match store.append(&lease, value("charge", "again"), SYNC).await {
            Err(StoreError::AlreadyRecorded { .. }) if recorded => {}
            answer if !recorded => ok("append", answer),
            other => panic!("expected the dropped record to stand, the store answered {other:?}"),
        }
    }
}

/// If the future of an opening is dropped before its lease arrives, the lease is released.
pub(super) async fn lease_of_dropped_opening_is_given_back<S: Store>(store: &S) {
    for polls in 0..8 {
        let case = Case::new(store, "dropped opening");
        {
            let opening = pin!(store.open(case.request()));
            if let Some(opened) = poll_times(polls, opening).await {
                let Opened::Held { lease, .. } = ok("open", opened) else { panic!("the run is new") };
                store.release(&lease);
            }
        }
        let freed = async {
            while !matches!(case.open(case.request()).await, Opened::Held { .. }) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let freed = tokio::time::timeout(Duration::from_secs(30), freed).await;
        assert!(freed.is_ok(), "the lease of an opening that was dropped after {polls} polls stays held");
    }
}

/// Polls `future` up to `polls` times, and lets other tasks run in between.
pub(super) async fn poll_times<F: Future>(polls: usize, mut future: Pin<&mut F>) -> Option<F::Output> {
    for _ in 0..polls {
        if let Poll::Ready(output) = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
            return Some(output);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    None
}
