//! The place of a run in the line of its queue, and its owner.

use awaitly_core::store::{Owner, RunId, Standing};
use sqlx::Row;

use crate::postgres::pool::Connection;
use crate::postgres::schema::Failure;
use crate::postgres::statements::Statements;
use crate::postgres::text;

/// Returns the name under which a lease is stored: the name of the owner, and a unique part, by which a call whose answer
/// was lost finds its leases. The unique part is short, because each claimed run must fit beside its old version into a
/// page.
pub(in crate::postgres) fn unique_owner(owner: &Owner) -> String {
    let unique = Owner::unique();
    let random = unique.as_str().rsplit('-').next().unwrap_or_default();
    text::stored(&format!("{} {random}", owner.as_str())).into_owned()
}

/// Returns the name of the owner of a stored lease.
fn name_of(stored: String) -> String {
    let mut name = text::loaded(stored);
    name.truncate(name.rfind(' ').unwrap_or(name.len()));
    name
}

pub(super) async fn read(
    mut connection: Connection,
    statements: &Statements,
    run: &RunId,
) -> Result<Option<Standing>, Failure> {
    let standing = statements.queues.standing.query();
    let standing = standing.bind(text::stored(run)).bind(Standing::MOST_AHEAD.cast_signed());
    let Some(row) = standing.fetch_optional(&mut *connection).await? else { return Ok(None) };
    let (owner, ahead): (Option<String>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
    let queue_paused = row.try_get(2)?;
    let in_line = ahead.map(|ahead| Standing::InLine { ahead: ahead.cast_unsigned(), queue_paused });
    Ok(owner.map(|owner| Standing::Held { owner: name_of(owner).into() }).or(in_line))
}
