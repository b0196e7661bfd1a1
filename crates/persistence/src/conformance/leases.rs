use std::time::Duration;

use awaitly_core::journal::{Refused, Status};
use awaitly_core::store::{Lease, Opened, Store};

use super::opening::ending;
use super::{Case, SYNC, ok, rewrite, same_records, value};

pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// While a lease lasts, no other owner gets one, and a refused owner learns the maximum remaining time.
pub(super) async fn held_run_is_busy_for_a_second_owner<S: Store>(store: &S) {
    let case = Case::new(store, "busy");
    let (lease, _) = case.held(case.request().ttl(MINUTE)).await;
    let remaining = busy(&case).await;
    assert!(remaining <= MINUTE, "a lease of a minute is said to last for {remaining:?}");
    case.append(&lease, value("reserve", "a")).await;
}

/// An expired lease goes to the next owner that asks, with a higher token.
pub(super) async fn expired_lease_is_taken_over<S: Store>(store: &S) {
    let case = Case::new(store, "expired");
    let (old, new) = replaced(&case).await;
    assert!(new.token() > old.token(), "tokens grow: {} came after {}", new.token(), old.token());
    case.append(&new, value("reserve", "a")).await;
    busy(&case).await;
}

/// A renewal counts from its own moment: it can extend a lease, or shorten it.
pub(super) async fn renewed_lease_lasts_from_now<S: Store>(store: &S) {
    let case = Case::new(store, "renewed");
    let (lease, _) = case.held(case.request().ttl(MINUTE)).await;
    ok("renew", store.renew(&lease, 60 * MINUTE).await);
    let remaining = busy(&case).await;
    assert!(remaining > MINUTE, "a lease renewed for an hour is said to last for {remaining:?}");
    ok("renew", store.renew(&lease, Duration::ZERO).await);
    case.begin().await;
}

/// A released lease is free for the next owner, and the run is unchanged.
pub(super) async fn released_lease_is_free_at_once<S: Store>(store: &S) {
    let case = Case::new(store, "released");
    let lease = case.begin().await;
    case.append(&lease, value("reserve", "a")).await;
    store.release(&lease);
    let (_, run) = case.held(case.request()).await;
    assert_eq!(run.header.status, Status::Running);
    same_records(&run.records, &[value("reserve", "a")]);
}

/// Every write under an older token than the run's newest is refused and changes nothing, and the new owner keeps its
/// lease. The refused renewal is how an owner learns that it was replaced.
pub(super) async fn lost_lease_cannot_write<S: Store>(store: &S) {
    let case = Case::new(store, "lost");
    let (old, new) = replaced(&case).await;
    case.append(&new, value("reserve", "new")).await;
    every_write_is_lost(&case, &old).await;
    busy(&case).await;
    ok("renew", store.renew(&new, MINUTE).await);
    case.finish(&new, ending(Status::Completed)).await;
    assert_eq!(case.stored().await.header.status, Status::Completed);
}

/// The release of a lost lease leaves the new owner's lease in place.
pub(super) async fn release_of_lost_lease_keeps_new_lease<S: Store>(store: &S) {
    let case = Case::new(store, "release");
    let (old, new) = replaced(&case).await;
    store.release(&old);
    busy(&case).await;
    case.append(&new, value("reserve", "new")).await;
}

/// An owner that gave up its lease, by finishing or by releasing it, cannot write, even if no other owner has taken the
/// run.
pub(super) async fn lease_that_was_given_back_cannot_write<S: Store>(store: &S) {
    for finishing in [true, false] {
        let case = Case::new(store, "given-back");
        let lease = case.begin().await;
        if finishing {
            case.finish(&lease, ending(Status::Completed)).await;
        } else {
            store.release(&lease);
        }
        every_write_is_lost(&case, &lease).await;
    }
}

/// Checks that each write under `lease` is refused, and that the run stays unchanged.
async fn every_write_is_lost<S: Store>(case: &Case<'_, S>, lease: &Lease) {
    let (store, before) = (case.store, case.stored().await);
    for answer in [
        store.append(lease, value("reserve", "late"), SYNC).await,
        store.append(lease, value("ship", "late"), SYNC).await,
        store.replace(lease, value("reserve", "late"), SYNC).await,
        store.replace(lease, value("ship", "late"), SYNC).await,
        store.revive(lease, vec!["reserve".into()]).await,
        store.rewrite(lease, rewrite(9, vec![value("reserve", "late")])).await,
        store.finish(lease, ending(Status::Failed)).await,
        store.renew(lease, MINUTE).await.map(drop),
    ] {
        assert_eq!(answer, Err(case.lost()));
    }
    assert_eq!(case.stored().await, before);
}

/// Returns an expired lease, and the lease of the owner that took over the run.
async fn replaced<S: Store>(case: &Case<'_, S>) -> (Lease, Lease) {
    let (old, _) = case.held(case.request().ttl(Duration::ZERO)).await;
    let (new, _) = case.held(case.request().ttl(MINUTE)).await;
    (old, new)
}

async fn busy<S: Store>(case: &Case<'_, S>) -> Duration {
    match case.open(case.request()).await {
        Opened::Refused(Refused::Busy { remaining }) => remaining,
        other => panic!("expected the run to be busy, the store answered {other:?}"),
    }
}
