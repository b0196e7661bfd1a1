//! Submissions whose deduplication key a queued run has.

use std::collections::HashMap;

use awaitly_core::store::{RunId, Submit, Unique};
use sqlx::postgres::PgConnection;
use sqlx::{Error, Row};

use super::submit::{Run, delay, earliest};
use crate::postgres::rows::{self, millis};
use crate::postgres::statements::Statements;
use crate::postgres::text;

/// Returns the queued run with the key of each submission. A submission that replaces it has given it a new input, start
/// and deadline. A run that is claimed meanwhile no longer has the key, and is not returned.
pub(super) async fn find(
    connection: &mut PgConnection,
    statements: &Statements,
    runs: &[Run<'_>],
) -> Result<HashMap<RunId, RunId>, Error> {
    let keyed: Vec<_> = runs.iter().filter_map(|(run, _)| Some((*run, run.unique.as_ref()?))).collect();
    let mut found = HashMap::new();
    if keyed.is_empty() {
        return Ok(found);
    }
    let queues: Vec<_> = keyed.iter().map(|(run, _)| text::stored(&run.queue)).collect();
    let keys: Vec<_> = keyed.iter().map(|(_, unique)| text::stored(&unique.key)).collect();
    let duplicates = &statements.submitting.duplicates;
    let rows = duplicates.query().bind(queues).bind(keys).fetch_all(&mut *connection).await?;
    let mut queued = HashMap::new();
    for row in &rows {
        let place: (String, String) = (row.try_get(0)?, row.try_get(1)?);
        queued.insert(place, (rows::run_id(row, 2)?, row.try_get::<i64, _>(3)?));
    }
    for (run, Unique { key, replaces }) in keyed {
        let place = (text::stored(&run.queue).into_owned(), text::stored(key).into_owned());
        let Some((duplicate, slot)) = queued.get(&place) else { continue };
        if !*replaces || replace(connection, statements, *slot, run, &place.1).await? {
            found.insert(run.run.clone(), duplicate.clone());
        }
    }
    Ok(found)
}

/// Replaces the input, the start and the deadline of the run in `slot`, and returns whether that run still has the key.
async fn replace(
    connection: &mut PgConnection,
    statements: &Statements,
    slot: i64,
    run: &Submit,
    key: &str,
) -> Result<bool, Error> {
    let input = run.input.as_ref();
    statements
        .submitting
        .debounce
        .query()
        .bind(slot)
        .bind(text::stored(&run.workflow))
        .bind(input.map(|input| text::stored(input.payload.as_str())))
        .bind(input.map(|input| input.fingerprint.to_bits().cast_signed()))
        .bind(delay(run.start))
        .bind(earliest(run.start))
        .bind(run.start_by.map(millis))
        .bind(key)
        .fetch_one(connection)
        .await?
        .try_get(0)
}
