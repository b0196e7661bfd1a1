//! The attempts of a lane for each kind of operation, and the answers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use awaitly_core::journal::{Refused, Timestamp};
use awaitly_core::store::{Lease, Renewed, StoreError, Submitted};
use sqlx::Error;
use sqlx::postgres::PgConnection;

use super::Lane;
use super::calls::{RefusedAppends, append, begin, finish, give_back, renew};
use super::ops::{Append, Began, Begin, Finish, Flush, Release, Renew};
use super::place::{Place, place};
use crate::postgres::dispatch::{Claiming, Submitting, Taken, claim, submit};
use crate::postgres::error::lost;
use crate::postgres::patience::Patience;
use crate::postgres::text;
use crate::unclaimed::Unclaimed;

/// Operations that are carried out together.
pub(super) trait Work: Sized + Send + Sync {
    type Done: Send;

    /// Whether each operation is tried alone if one of them may be the cause of a failure.
    const APART: bool = true;

    /// Makes one attempt. `again` means that an earlier attempt may have been committed, but its answer was lost.
    fn attempt(
        lane: &mut Lane,
        batch: &[Self],
        again: bool,
    ) -> impl Future<Output = Result<Self::Done, Error>> + Send;

    fn answer(lane: &mut Lane, batch: Vec<Self>, done: Self::Done);

    /// Gives up a batch that failed with `error`.
    fn refuse(lane: &mut Lane, batch: Vec<Self>, error: &StoreError);

    fn patience(&self) -> Patience;
}

/// The methods of operations that have an answer.
macro_rules! with_a_fate {
    () => {
        fn refuse(_: &mut Lane, batch: Vec<Self>, error: &StoreError) {
            batch.into_iter().for_each(|one| drop(one.fate.send(Err(error.clone()))));
        }

        fn patience(&self) -> Patience {
            self.patience
        }
    };
}

impl Work for Append {
    type Done = RefusedAppends;

    async fn attempt(lane: &mut Lane, batch: &[Self], again: bool) -> Result<Self::Done, Error> {
        let statements = Arc::clone(&lane.statements);
        append(certain(lane).await?, &statements, batch, again).await
    }

    fn answer(lane: &mut Lane, batch: Vec<Self>, refused: Self::Done) {
        lane.unflushed.note(&batch, &refused);
        for (place, Self { fate, .. }) in batch.into_iter().enumerate() {
            drop(fate.send(refused.get(&place).cloned().map_or(Ok(()), Err)));
        }
    }

    with_a_fate!();
}

impl Work for Begin {
    type Done = HashMap<(String, String), (i64, u64, Timestamp)>;

    async fn attempt(lane: &mut Lane, batch: &[Self], _: bool) -> Result<Self::Done, Error> {
        begin(lane.link.connection().await?, &lane.statements, batch).await
    }

    fn answer(_: &mut Lane, batch: Vec<Self>, mut begun: Self::Done) {
        for Self { request, fate, back, .. } in batch {
            let place = (text::stored(&request.run).into_owned(), request.owner.as_str().to_owned());
            let began = begun.remove(&place).map(|(slot, token, now)| {
                let lease = Unclaimed::new(Lease::new(request.run.clone(), token, slot)).committed(back);
                Began { lease, now }
            });
            drop(fate.send(Ok(began)));
        }
    }

    with_a_fate!();
}

impl Work for Finish {
    type Done = HashSet<Place>;

    async fn attempt(lane: &mut Lane, batch: &[Self], again: bool) -> Result<Self::Done, Error> {
        finish(lane.link.connection().await?, &lane.statements, batch, again).await
    }

    fn answer(lane: &mut Lane, batch: Vec<Self>, finished: Self::Done) {
        for Self { lease, fate, .. } in batch {
            drop(fate.send(if finished.contains(&place(&lease)) { Ok(()) } else { Err(lost(&lease)) }));
        }
        lane.bell.ring();
    }

    with_a_fate!();
}

impl Work for Renew {
    type Done = HashMap<Place, Renewed>;

    async fn attempt(lane: &mut Lane, batch: &[Self], _: bool) -> Result<Self::Done, Error> {
        renew(lane.link.connection().await?, &lane.statements.renew, batch).await
    }

    fn answer(_: &mut Lane, batch: Vec<Self>, renewed: Self::Done) {
        for Self { lease, fate, .. } in batch {
            drop(fate.send(renewed.get(&place(&lease)).copied().ok_or_else(|| lost(&lease))));
        }
    }

    with_a_fate!();
}

impl Work for Release {
    type Done = ();

    /// Tried alone, each locked row would stop the lane for the length of a lock timeout.
    const APART: bool = false;

    async fn attempt(lane: &mut Lane, batch: &[Self], _: bool) -> Result<(), Error> {
        let leases: Vec<_> = batch.iter().map(|release| release.lease.clone()).collect();
        give_back(lane.link.connection().await?, &lane.statements, &lane.channel, &leases).await
    }

    fn answer(lane: &mut Lane, batch: Vec<Self>, (): ()) {
        let leases: Vec<_> = batch.into_iter().map(|release| release.lease).collect();
        lane.releasing.are_free(&leases);
        lane.bell.ring();
    }

    fn refuse(lane: &mut Lane, batch: Vec<Self>, error: &StoreError) {
        if batch.is_empty() {
            return;
        }
        tracing::warn!(%error, leases = batch.len(), "leases could not be given back, the store tries again");
        let leases: Vec<_> = batch.into_iter().map(|release| release.lease).collect();
        lane.releasing.are_held_up(&leases);
        lane.held_up.add(leases);
    }

    fn patience(&self) -> Patience {
        self.patience
    }
}

impl Work for Flush {
    type Done = ();

    /// Flushes earlier records to the disk, or finds out that they may be lost.
    async fn attempt(lane: &mut Lane, _: &[Self], _: bool) -> Result<(), Error> {
        if lane.unflushed.is_empty() {
            return Ok(());
        }
        let statements = Arc::clone(&lane.statements);
        statements.flush.query().execute(certain(lane).await?).await?;
        lane.unflushed.are_flushed();
        Ok(())
    }

    fn answer(_: &mut Lane, batch: Vec<Self>, (): ()) {
        batch.into_iter().for_each(|flush| drop(flush.fate.send(Ok(()))));
    }

    with_a_fate!();
}

impl Work for Claiming {
    /// The results of the claims.
    type Done = Vec<Taken<Lease>>;

    async fn attempt(lane: &mut Lane, batch: &[Self], again: bool) -> Result<Self::Done, Error> {
        let (connection, mut done) = (lane.link.connection().await?, Vec::with_capacity(batch.len()));
        for claiming in batch {
            lane.claims = lane.claims.wrapping_add(1);
            done.push(claim(connection, &lane.statements, claiming, lane.claims, again).await?);
        }
        Ok(done)
    }

    fn answer(lane: &mut Lane, batch: Vec<Self>, done: Self::Done) {
        for (Self { fate, back, .. }, Taken { runs, now, next, schedule }) in batch.into_iter().zip(done) {
            lane.vacuum.note(runs.len(), lane.link.options(), lane.statements.claiming.vacuum.sql());
            let unclaimed = |lease| Unclaimed::new(lease).committed(Arc::clone(&back));
            let runs = runs.into_iter().map(|(lease, run)| (unclaimed(lease), run)).collect();
            drop(fate.send(Ok(Taken { runs, now, next, schedule })));
        }
    }

    with_a_fate!();
}

impl Work for Submitting {
    /// The results of the runs of each submission.
    type Done = Vec<Vec<Result<Submitted, Refused>>>;

    async fn attempt(lane: &mut Lane, batch: &[Self], _: bool) -> Result<Self::Done, Error> {
        let channel = lane.notices.is_next_free().then_some(&*lane.channel);
        submit(lane.link.connection().await?, &lane.statements, channel, batch).await
    }

    fn answer(lane: &mut Lane, batch: Vec<Self>, done: Self::Done) {
        for (Self { fate, .. }, results) in batch.into_iter().zip(done) {
            drop(fate.send(Ok(results)));
        }
        lane.notices.changed();
        lane.bell.ring();
    }

    with_a_fate!();
}

/// Returns a connection that may write records. If the last connection was lost with records that may not have been on
/// the disk, their leases are released first.
async fn certain(lane: &mut Lane) -> Result<&mut PgConnection, Error> {
    let Lane { link, statements, channel, unflushed, .. } = lane;
    let connection = link.connection().await?;
    let doubtful = unflushed.doubtful();
    if !doubtful.is_empty() {
        give_back(connection, statements, channel, &doubtful).await?;
        unflushed.are_given_back();
    }
    Ok(connection)
}
