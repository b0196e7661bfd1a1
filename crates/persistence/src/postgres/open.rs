//! Opens an existing run. A lane begins a new one.

use std::sync::Arc;

use awaitly_core::journal::{Opening, Record, Timestamp, WaitEntry, admit};
use awaitly_core::store::{Lease, Open, Opened, StoredRun};
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row};

use super::pool::Connection;
use super::rows::{self, RunRow, moment, ttl_millis};
use super::schema::{Failure, in_transaction};
use super::statements::Statements;
use super::text;
use crate::unclaimed::{Back, Unclaimed};

/// The result of a request for a run.
pub(super) enum Asked {
    Opened(Opened),
    Held {
        lease: Unclaimed,
        now: Timestamp,
        run: RunRow,
    },
    /// The run does not exist, or another session changed it in between.
    Again,
}

/// Decides on the current state of the run, and takes the lease if that state is unchanged.
///
/// If an earlier attempt of this request was given the lease and its answer was lost, the request recognises that lease
/// as its own.
pub(super) async fn ask(
    mut connection: Connection,
    statements: &Statements,
    request: &Open,
    back: &Arc<dyn Back>,
) -> Result<Asked, Failure> {
    let row =
        statements.run.query().bind(text::stored(&request.run)).fetch_optional(&mut *connection).await?;
    let Some(run) = row.as_ref().map(rows::run).transpose()? else {
        return Ok(match admit(request, None) {
            Opening::Refuse(refused) => Asked::Opened(Opened::Refused(refused)),
            _ => Asked::Again,
        });
    };
    let owner = text::stored(request.owner.as_str());
    let claim = |token: i64, slot| {
        let lease = Lease::new(request.run.clone(), token.cast_unsigned(), slot);
        Unclaimed::new(lease).committed(Arc::clone(back))
    };
    if run.owner.as_deref() == Some(&*owner) {
        return Ok(Asked::Held { lease: claim(run.token, run.slot), now: run.now, run });
    }
    match admit(request, Some((&run.header, run.lease()))) {
        Opening::Refuse(refused) => Ok(Asked::Opened(Opened::Refused(refused))),
        Opening::Ended => Ok(Asked::Opened(Opened::Ended(run.header))),
        // An existing run does not begin, so its lease is taken.
        Opening::Begin | Opening::Take => {
            let taken = statements
                .take
                .query()
                .bind(run.slot)
                .bind(run.token)
                .bind(run.owner.as_deref())
                .bind(owner)
                .bind(ttl_millis(request.ttl))
                .bind(run.header.status.as_str())
                .bind(run.lease_until)
                .fetch_optional(&mut *connection)
                .await?;
            let Some(row) = taken else { return Ok(Asked::Again) };
            let now = moment(row.try_get(0)?);
            Ok(Asked::Held { lease: claim(run.token + 1, run.slot), now, run })
        }
    }
}

/// Returns the records and waiting entries of a run.
pub(super) async fn journal(
    connection: &mut PgConnection,
    statements: &Statements,
    slot: i64,
) -> Result<(Vec<Record>, Vec<WaitEntry>), sqlx::Error> {
    // Waiting entries are read first: an entry that is answered in between appears twice, instead of being missed
    // twice.
    let waits = statements.waits.query().bind(slot).fetch_all(&mut *connection).await?;
    let records = statements.records.query().bind(slot).fetch_all(connection).await?;
    let waits = waits.iter().map(rows::wait_entry).collect::<Result<_, _>>()?;
    Ok((rows::records(&records)?, waits))
}

/// The timeouts keep a process that freezes or is cut off in the middle from holding the snapshot.
const BEGIN_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; \
     SET LOCAL idle_in_transaction_session_timeout = '3s'";

/// Returns a complete run from one snapshot.
pub(super) async fn stored(
    mut connection: Connection,
    statements: &Statements,
    run: &str,
) -> Result<Option<StoredRun>, Failure> {
    in_transaction!(BEGIN_SNAPSHOT, connection, snapshot => {
        let row = statements.run.query().bind(text::stored(run)).fetch_optional(&mut *snapshot).await?;
        let Some(RunRow { slot, header, input, .. }) = row.as_ref().map(rows::run).transpose()? else {
            return Ok(None);
        };
        let (records, waits) = journal(&mut snapshot, statements, slot).await?;
        Ok(Some(StoredRun { header, input, records, waits }))
    })
}
