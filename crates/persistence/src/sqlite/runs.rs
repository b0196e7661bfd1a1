//! The rows of `awaitly_runs`: reading them, and writing them with their checksum.

use std::borrow::Cow;
use std::sync::Arc;

use awaitly_core::dispatch::{Parent, Place};
use awaitly_core::journal::{Header, Key, Outcome, Payload, Status, Timestamp};
use awaitly_core::store::{Lease, Owner, RunId};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};

use super::checksum;
use super::clock::millis;
use super::columns::{BODY, BODY_CHECKSUM, RUN, RUN_ROW};
use super::error::{Failure, undecodable};
use super::rows::{fingerprint, kind_of, moment, payload, text, time};
use super::schema;

/// A row of `awaitly_runs` without its large columns.
#[derive(Debug)]
pub(super) struct RunRow {
    pub(super) slot: i64,
    pub(super) run: RunId,
    pub(super) header: Header,
    pub(super) token: u64,
    /// `None` if the lease was released.
    pub(super) held: Option<Held>,
    pub(super) ready: Ready,
    /// Whether the run may have missed a message: one came since the execution began, and since then no receive found that
    /// the run has no messages.
    pub(super) has_mail: bool,
    /// Whether the run was [in front](Self::is_in_front) when its row was read or written last.
    was_in_front: bool,
    format: u32,
    /// The checksum of the large columns.
    body: i64,
}

/// A row of `awaitly_runs`. The outcome of the run is in its header.
#[derive(Debug)]
pub(super) struct WholeRow {
    pub(super) row: RunRow,
    pub(super) input: Option<Payload>,
}

/// The lease columns of a run whose lease was not released; it may have expired.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) owner: Box<str>,
    /// The lock file of the owner's store.
    pub(super) lock_file: Option<Box<str>>,
    pub(super) until: Timestamp,
}

/// The list of a run, as the column `ready` keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ready {
    /// The run becomes due later, or never. If an owner holds it, it becomes due when the lease ends.
    Later = 0,
    /// An owner holds the run, and only a change makes it due.
    Held = 1,
    /// The run is due.
    Now = 2,
    /// The run is due, but its key has as many running runs as the queue permits.
    Behind = 3,
}

macro_rules! select {
    ($columns:expr, $condition:literal) => {
        concat!("SELECT ", $columns, " FROM awaitly_runs WHERE ", $condition)
    };
}

const BY_NAME: &str = select!(concat!(run_row!(""), ", ", body_columns!()), "run_id = ?");
const BY_SLOT: &str = select!(concat!(run_row!(""), ", ", body_columns!()), "id = ?");
const ROW_BY_NAME: &str = select!(run_row!(""), "run_id = ?");
const ROW_BY_SLOT: &str = select!(run_row!(""), "id = ?");

/// Reads a run, including its input and its outcome.
pub(super) fn whole(connection: &Connection, run: &RunId) -> Result<Option<WholeRow>, Failure> {
    let mut statement = connection.prepare_cached(BY_NAME)?;
    let mut rows = statement.query([&**run])?;
    rows.next()?.map(whole_row).transpose()
}

/// Reads the run in this slot, including its input and its outcome.
pub(super) fn whole_in(connection: &Connection, slot: i64) -> Result<Option<WholeRow>, Failure> {
    let mut statement = connection.prepare_cached(BY_SLOT)?;
    let mut rows = statement.query([slot])?;
    rows.next()?.map(whole_row).transpose()
}

/// Reads a run without its large columns.
pub(super) fn row(connection: &Connection, run: &RunId) -> Result<Option<RunRow>, Failure> {
    let mut statement = connection.prepare_cached(ROW_BY_NAME)?;
    let mut rows = statement.query([&**run])?;
    rows.next()?.map(|row| run_row_at(row, 0)).transpose()
}

/// Reads the run in this slot without its large columns.
pub(super) fn row_in(connection: &Connection, slot: i64) -> Result<Option<RunRow>, Failure> {
    let mut statement = connection.prepare_cached(ROW_BY_SLOT)?;
    let mut rows = statement.query([slot])?;
    rows.next()?.map(|row| run_row_at(row, 0)).transpose()
}

/// Reads a run from [`run_row`] and [`body_columns`].
fn whole_row(row: &Row<'_>) -> Result<WholeRow, Failure> {
    let mut run = run_row_at(row, 0)?;
    checksum::verify_body(row)?;
    let [input, fingerprint_of_input, kind, outcome] = [0, 1, 2, 3].map(|column| RUN_ROW + column);
    run.header.input = fingerprint(row, fingerprint_of_input)?;
    run.header.outcome = match (row.get(kind)?, payload(row, outcome, "outcome")?) {
        (Some(kind), Some(payload)) => Some(Outcome::from_parts(kind_of(kind, "outcome_kind")?, payload)),
        (None, None) => None,
        _ => return Err(undecodable("outcome").into()),
    };
    Ok(WholeRow { row: run, input: payload(row, input, "input")? })
}

/// Reads the small columns of a run from [`run_row`], beginning with the column `first`.
pub(super) fn run_row_at(row: &Row<'_>, first: usize) -> Result<RunRow, Failure> {
    let format = row.get(first + 4)?;
    schema::supported(format)?;
    checksum::verify_run(row, first)?;
    let status = Status::from_name(text(row, first + 5, "status")?).ok_or_else(|| undecodable("status"))?;
    let mut header = Header::new(
        text(row, first + 2, "workflow")?.into(),
        row.get(first + 3)?,
        status,
        moment(row, first + 12)?,
    );
    header.failed_on = failed_on(text(row, first + 6, "failed_on")?)?;
    header.error = optional_text(row, first + 11, "error")?;
    header.changed = moment(row, first + 13)?;
    header.wake = time(row, first + 14)?;
    header.cancel_requested = row.get(first + 15)?;
    header.place = place(row, first + 17)?;
    header.paused = row.get(first + 22)?;
    header.crashes = row.get(first + 23)?;
    header.parent = parent(row, first + 25)?;
    header.tags = tags(row, first + 27)?;
    header.place.unique = optional_text(row, first + 28, "unique_key")?.map(Arc::from);
    let run = RunId::new(text(row, first + 1, "run_id")?).map_err(|_| undecodable("run_id"))?;
    let mut found = RunRow::new(row.get(first)?, run, header, row.get::<_, i64>(first + 7)?.cast_unsigned());
    found.held = held(row, first + 8)?;
    found.has_mail = row.get(first + 29)?;
    found.header.restarts = row.get(first + 30)?;
    found.ready = match row.get(first + RUN + 1)? {
        0 => Ready::Later,
        1 => Ready::Held,
        2 => Ready::Now,
        3 => Ready::Behind,
        _ => return Err(undecodable("ready").into()),
    };
    found.was_in_front = found.is_in_front();
    (found.format, found.body) = (format, row.get(first + BODY_CHECKSUM)?);
    Ok(found)
}

/// Reads the place of a run in its queue from five columns.
fn place(row: &Row<'_>, first: usize) -> Result<Place, Failure> {
    let mut place = Place::default();
    place.queue = text(row, first, "queue")?.into();
    place.key = optional_text(row, first + 1, "queue_key")?.map(Arc::from);
    place.priority = row.get(first + 2)?;
    place.rank = row.get(first + 3)?;
    place.start_by = time(row, first + 4)?;
    Ok(place)
}

/// Reads the lease of a run from three columns.
fn held(row: &Row<'_>, first: usize) -> Result<Option<Held>, Failure> {
    let Some(owner) = optional_text(row, first, "owner")? else { return Ok(None) };
    let lock_file = optional_text(row, first + 1, "lock_file")?;
    Ok(Some(Held { owner, lock_file, until: moment(row, first + 2)? }))
}

/// Reads the parent of a run from two columns.
fn parent(row: &Row<'_>, first: usize) -> Result<Option<Box<Parent>>, Failure> {
    let Some(run) = optional_text(row, first, "parent_run")? else { return Ok(None) };
    let run = RunId::new(&*run).map_err(|_| undecodable("parent_run"))?;
    let key: Arc<str> = text(row, first + 1, "parent_key")?.into();
    Ok(Some(Box::new(Parent { run, key: key.into() })))
}

fn tags(row: &Row<'_>, column: usize) -> Result<Vec<Arc<str>>, Failure> {
    match payload(row, column, "tags")? {
        None => Ok(Vec::new()),
        Some(tags) => Ok(tags.decode().map_err(|_| undecodable("tags"))?),
    }
}

fn failed_on(text: &str) -> Result<Vec<Key>, Failure> {
    match text {
        NONE => Ok(Vec::new()),
        text => Ok(Payload::from_stored(text).decode().map_err(|_| undecodable("failed_on"))?),
    }
}

fn optional_text(row: &Row<'_>, column: usize, name: &'static str) -> Result<Option<Box<str>>, Failure> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        value => Ok(Some(value.as_str().map_err(|_| undecodable(name))?.into())),
    }
}

/// The JSON form of an empty list.
const NONE: &str = "[]";

/// Adds a run. The parameters have the numbers of the columns; see [`RunRow::write`].
const INSERT: &str = concat!(
    "INSERT INTO awaitly_runs (",
    run_row!(""),
    ", ",
    body_columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, \
    ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37) ON CONFLICT (run_id) DO NOTHING"
);

/// A change of a run: the statement that writes the columns that it concerns. SQLite updates an index if the statement
/// names one of its columns, even if the value stays, so each change names few columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns(&'static str);

macro_rules! update {
    ($($set:literal),*) => {
        Columns(concat!("UPDATE awaitly_runs SET ", $($set, ", ",)* "due_at = ?25, checksum = ?32, ready = ?33 WHERE id = ?1"))
    };
}

/// The lease.
pub(super) const LEASE: Columns = update!("token = ?8, owner = ?9, lock_file = ?10, lease_until = ?11");
/// The lease of the owner that holds it.
pub(super) const RENEWAL: Columns = update!("lease_until = ?11");
/// The lease, and a status that [`Header::claim`] sets.
pub(super) const CLAIM: Columns = update!(
    "version = ?4, status = ?6, token = ?8, owner = ?9, lock_file = ?10, lease_until = ?11, changed_at = ?14, \
    wake_at = ?15, crashes = ?24"
);
/// Another status with all that belongs to it, and the lease.
pub(super) const STATUS: Columns = update!(
    "status = ?6, failed_on = ?7, owner = ?9, lock_file = ?10, lease_until = ?11, error = ?12, changed_at = ?14, \
    wake_at = ?15, cancel_requested = ?16, body_checksum = ?17, crashes = ?24, has_mail = ?30, outcome_kind = ?36, \
    outcome = ?37"
);
/// A request to cancel the run, new mail, and the time at which the run becomes due.
pub(super) const WAKE: Columns = update!("wake_at = ?15, cancel_requested = ?16, has_mail = ?30");
/// The place in a queue, and the time at which the run becomes due.
pub(super) const PLACE: Columns =
    update!("wake_at = ?15, queue = ?18, priority = ?20, rank = ?21, unique_key = ?29");
pub(super) const PAUSED: Columns = update!("paused = ?23");
/// The input, the start and the deadline of a queued run.
pub(super) const START: Columns = update!(
    "wake_at = ?15, body_checksum = ?17, rank = ?21, start_by = ?22, input = ?34, input_fingerprint = ?35"
);
/// Everything that changes if the run starts again.
pub(super) const RESTART: Columns = update!(
    "version = ?4, status = ?6, failed_on = ?7, owner = ?9, lock_file = ?10, lease_until = ?11, error = ?12, \
    changed_at = ?14, wake_at = ?15, body_checksum = ?17, rank = ?21, start_by = ?22, crashes = ?24, unique_key = ?29, \
    has_mail = ?30, restarts = ?31, input = ?34, input_fingerprint = ?35, outcome_kind = ?36, outcome = ?37"
);
/// The version, and the keys that the run failed on.
pub(super) const VERSION: Columns =
    Columns("UPDATE awaitly_runs SET version = ?4, failed_on = ?7, checksum = ?32 WHERE id = ?1");

impl RunRow {
    /// Creates the row of a run without a lease.
    pub(super) const fn new(slot: i64, run: RunId, header: Header, token: u64) -> Self {
        let (held, ready, has_mail, was_in_front) = (None, Ready::Later, false, false);
        Self { slot, run, header, token, held, ready, has_mail, was_in_front, format: 1, body: 0 }
    }

    /// Gives the lease to an owner until `until`.
    pub(super) fn lend(&mut self, owner: &Owner, lock_file: Option<&str>, until: Timestamp) -> Lease {
        self.token += 1;
        let lock_file = lock_file.map(Into::into);
        self.held = Some(Held { owner: owner.as_str().into(), lock_file, until });
        Lease::new(self.run.clone(), self.token, self.slot)
    }

    /// Returns whether the run is one of those of its key that are running or start next.
    const fn is_in_front(&self) -> bool {
        matches!(self.ready, Ready::Now) || self.held.is_some()
    }

    /// Returns whether the run has left the front since the last call, so that another run of its key may start.
    pub(super) fn has_left_front(&mut self) -> bool {
        let is_in_front = self.is_in_front();
        std::mem::replace(&mut self.was_in_front, is_in_front) && !is_in_front
    }

    /// Takes the run from all lists, because it is deleted.
    pub(super) fn leave(&mut self) {
        (self.ready, self.held) = (Ready::Later, None);
    }

    /// Returns whether an owner ever held the run or it was imported, so that it may have records.
    pub(super) const fn may_have_journal(&self) -> bool {
        self.token > 0
    }

    /// Puts the run on the list that belongs to its present state.
    pub(super) fn list(&mut self, now: Timestamp) {
        self.ready = match self.due_at() {
            Some(due) if due <= now => Ready::Now,
            None if self.held.is_some() => Ready::Held,
            _ => Ready::Later,
        };
    }

    /// Returns the time from which the run is due.
    pub(super) fn due_at(&self) -> Option<Timestamp> {
        self.header.due_at(self.held.as_ref().map(|held| held.until))
    }

    /// Writes the changed columns of a run. The large columns must not have changed.
    pub(super) fn write(&self, connection: &Connection, columns: Columns) -> Result<(), Failure> {
        self.execute(connection, columns.0, [ValueRef::Null; BODY]).map(drop)
    }

    /// Executes a statement whose parameters are the columns of [`run_row`] and [`body_columns`], by their numbers.
    /// Returns the number of changed rows.
    fn execute(
        &self,
        connection: &Connection,
        sql: &str,
        body: [ValueRef<'_>; BODY],
    ) -> Result<usize, Failure> {
        let failed_on = match &*self.header.failed_on {
            [] => Cow::Borrowed(NONE),
            // A list of strings always has a JSON form.
            keys => {
                Cow::Owned(Payload::encode(keys).map_err(|_| undecodable("failed_on"))?.as_str().to_owned())
            }
        };
        let tags = match &*self.header.tags {
            [] => None,
            tags => Some(Payload::encode(tags).map_err(|_| undecodable("tags"))?),
        };
        let values = self.values(&failed_on, tags.as_ref().map(Payload::as_str));
        let rest = [checksum::of(&values), self.ready as i64].map(ValueRef::Integer);
        let mut statement = connection.prepare_cached(sql)?;
        let wanted = statement.parameter_count();
        let parameters = values.into_iter().chain(rest).chain(body).take(wanted);
        Ok(statement.execute(params_from_iter(parameters.map(ToSqlOutput::Borrowed)))?)
    }

    /// Returns the columns that the checksum covers.
    fn values<'a>(&'a self, failed_on: &'a str, tags: Option<&'a str>) -> [ValueRef<'a>; RUN] {
        let Self { slot, run, header, token, held, has_mail, format, body, .. } = self;
        let (place, parent) = (&header.place, header.parent.as_deref());
        let held = held.as_ref();
        [
            ValueRef::Integer(*slot),
            of_text(run),
            of_text(&header.workflow),
            ValueRef::Integer(header.version.into()),
            ValueRef::Integer((*format).into()),
            of_text(header.status.as_str()),
            of_text(failed_on),
            ValueRef::Integer(token.cast_signed()),
            or_null(held.map(|held| of_text(&held.owner))),
            or_null(held.and_then(|held| held.lock_file.as_deref()).map(of_text)),
            ValueRef::Integer(held.map_or(0, |held| millis(held.until))),
            or_null(header.error.as_deref().map(of_text)),
            of_time(header.created),
            of_time(header.changed),
            or_null(header.wake.map(of_time)),
            ValueRef::Integer(header.cancel_requested.into()),
            ValueRef::Integer(*body),
            of_text(&place.queue),
            or_null(place.key.as_deref().map(of_text)),
            ValueRef::Integer(place.priority.into()),
            ValueRef::Integer(place.rank),
            or_null(place.start_by.map(of_time)),
            ValueRef::Integer(header.paused.into()),
            ValueRef::Integer(header.crashes.into()),
            or_null(self.due_at().map(of_time)),
            or_null(parent.map(|parent| of_text(&parent.run))),
            or_null(parent.map(|parent| of_text(&parent.key))),
            or_null(tags.map(of_text)),
            or_null(place.unique.as_deref().map(of_text)),
            ValueRef::Integer((*has_mail).into()),
            ValueRef::Integer(header.restarts.into()),
        ]
    }
}

impl WholeRow {
    /// Adds the run. Returns `false` if a run with its id exists already.
    pub(super) fn insert(&mut self, connection: &Connection) -> Result<bool, Failure> {
        self.execute(connection, INSERT).map(|added| added > 0)
    }

    /// Writes the changed columns of the run, including its outcome.
    pub(super) fn write(&mut self, connection: &Connection, columns: Columns) -> Result<(), Failure> {
        self.execute(connection, columns.0).map(drop)
    }

    fn execute(&mut self, connection: &Connection, sql: &str) -> Result<usize, Failure> {
        let Self { row, input } = self;
        let outcome = row.header.outcome.as_ref();
        let body = [
            or_null(input.as_ref().map(|input| of_text(input.as_str()))),
            or_null(row.header.input.map(|input| ValueRef::Integer(input.to_bits().cast_signed()))),
            or_null(outcome.map(|outcome| ValueRef::Integer(outcome.kind().to_number().into()))),
            or_null(outcome.map(|outcome| of_text(outcome.payload().as_str()))),
        ];
        row.body = checksum::of(&body);
        row.execute(connection, sql, body)
    }
}

pub(super) const fn of_text(text: &str) -> ValueRef<'_> {
    ValueRef::Text(text.as_bytes())
}

pub(super) fn of_time(moment: Timestamp) -> ValueRef<'static> {
    ValueRef::Integer(millis(moment))
}

pub(super) fn or_null(value: Option<ValueRef<'_>>) -> ValueRef<'_> {
    value.unwrap_or(ValueRef::Null)
}
