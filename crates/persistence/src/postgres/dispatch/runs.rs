//! Pauses runs, and changes their places in queues.

use std::collections::{HashMap, HashSet};

use awaitly_core::dispatch::Place;
use awaitly_core::store::{Pausing, Reschedule, RunId};
use sqlx::{Connection as _, Row};

use super::fair::Keys;
use super::submit::key_of;
use crate::postgres::pool::Connection;
use crate::postgres::rows::{self, RUN_ID, RunRow, millis};
use crate::postgres::schema::{Failure, in_transaction};
use crate::postgres::statements::Statements;
use crate::postgres::text;

pub(super) async fn pause(
    mut connection: Connection,
    statements: &Statements,
    channel: &str,
    runs: &[RunId],
    pausing: Pausing,
) -> Result<Vec<RunId>, Failure> {
    let pauses = pausing == Pausing::Pause;
    let ids: Vec<_> = runs.iter().map(|run| text::stored(run)).collect();
    in_transaction!(connection, transaction => {
        let rows = statements.queues.to_pause.query().bind(ids).bind(pauses).fetch_all(&mut *transaction).await?;
        let (mut slots, mut changed) = (Vec::new(), HashSet::new());
        for row in &rows {
            slots.push(row.try_get::<i64, _>(0)?);
            changed.insert(rows::run_id(row, 1)?);
        }
        if pauses {
            statements.unlist.query().bind(slots.clone()).execute(&mut *transaction).await?;
            statements.queues.pause_runs.query().bind(slots).execute(&mut *transaction).await?;
        } else {
            statements.queues.resume_runs.query().bind(slots).execute(&mut *transaction).await?;
        }
        statements.notify.query().bind(channel).execute(&mut *transaction).await?;
        Ok(in_order(runs, changed))
    })
}

pub(super) async fn reschedule(
    mut connection: Connection,
    statements: &Statements,
    channel: &str,
    runs: &[RunId],
    change: &Reschedule,
) -> Result<Vec<RunId>, Failure> {
    let ids: Vec<_> = runs.iter().map(|run| text::stored(run)).collect();
    in_transaction!(connection, transaction => {
        let rows = statements.queues.to_reschedule.query().bind(ids).fetch_all(&mut *transaction).await?;
        let mut found = HashMap::new();
        for row in &rows {
            found.insert(rows::run_id(row, RUN_ID)?, rows::run(row)?);
        }
        let changed = in_order(runs, found.keys().cloned().collect());
        let mut rows: Vec<RunRow> = changed.iter().filter_map(|run| found.remove(run)).collect();
        // Copies all runs, because the ranks in fair queues depend on all of them.
        let places: Vec<Place> = rows.iter_mut().map(|row| change.apply(&mut row.header, row.now)).collect();
        let keys = places.iter().map(|place| key_of(&place.queue, place.key.as_deref()));
        let mut keys = Keys::lock(&mut transaction, statements, keys).await?;
        let places: Vec<_> = places.into_iter().map(|place| keys.rank(place)).collect();
        keys.keep(&mut transaction, statements).await?;
        let slots: Vec<_> = rows.iter().map(|row| row.slot).collect();
        statements.unlist.query().bind(slots.clone()).execute(&mut *transaction).await?;
        statements
            .queues
            .reschedule
            .query()
            .bind(slots)
            .bind(places.iter().map(|place| text::stored(&place.queue)).collect::<Vec<_>>())
            .bind(places.iter().map(|place| place.priority).collect::<Vec<_>>())
            .bind(places.iter().map(|place| place.rank).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.header.wake.map(millis)).collect::<Vec<_>>())
            .execute(&mut *transaction)
            .await?;
        statements.notify.query().bind(channel).execute(&mut *transaction).await?;
        Ok(changed)
    })
}

/// Returns the changed runs in the order of the request, each once.
fn in_order(runs: &[RunId], mut changed: HashSet<RunId>) -> Vec<RunId> {
    runs.iter().filter_map(|run| changed.take(run)).collect()
}
