//! Takes the runs of a queue that has limits or is fair.
//!
//! A claim locks the row of the queue until it commits, so only one claim at a time takes runs of the queue. Each claim
//! counts the live leases.

use std::sync::Arc;

use awaitly_core::dispatch::{Allowance, Pace, Queue};
use awaitly_core::journal::Payload;
use awaitly_core::store::Ending;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection as _, Error, Row};

use super::claim::{SOON, Visit};
use super::probe::columns;
use super::take;
use crate::postgres::error::{Reason, undecodable};
use crate::postgres::rows::{moment, ttl_millis};
use crate::postgres::schema::{Failure, in_transaction};
use crate::postgres::statements::Statements;

/// The commit need not wait for the disk, like the commits of other claims.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
     SET LOCAL idle_in_transaction_session_timeout = '3s'; SET LOCAL synchronous_commit = off";

/// The maximum number of times that a claim searches for runs whose key has room. Then it leaves the queue to the next
/// claim.
const ROUNDS: usize = 16;

/// The time, in milliseconds, after which a claim checks a full queue again. The end of a run in another process makes
/// room, but does not wake the workers of this process.
const FULL: i64 = 1000;

/// The maximum number of runs behind a limit that a claim lists at once if the queue has no limit any more.
const MANY: u32 = 5000;

/// The rows of taken runs, and the time at which another claim may find more runs.
type Rows = (Vec<PgRow>, Option<i64>);

/// A locked queue.
struct Locked {
    queue: Queue,
    name: String,
    now: i64,
    allowance: Allowance,
    virtual_time: i64,
}

/// A due run of the queue.
struct Candidate {
    slot: i64,
    rank: i64,
    priority: i32,
    key: Option<String>,
    fits: bool,
    version: i64,
}

/// Takes up to `wanted` runs of the queue `name`, if its settings permit them.
pub(super) async fn take(visit: &mut Visit<'_>, name: &str, part: i16, wanted: usize) -> Result<(), Error> {
    let (workflows, versions) = columns(&visit.claiming.request.workflows);
    let (statements, claiming, claims) = (visit.statements, visit.claiming, visit.claims);
    let connection = &mut *visit.connection;
    let taken: Result<Option<Rows>, Failure> = in_transaction!(BEGIN, connection, transaction => {
        let Some(mut locked) = Locked::new(&mut transaction, statements, name).await? else { return Ok(None) };
        locked.catch_up(&mut transaction, statements, wanted).await?;
        let lanes = Lanes { workflows, versions };
        let (chosen, mut next) = locked.choose(&mut transaction, statements, &lanes, wanted).await?;
        let mut rows = Vec::new();
        if !chosen.is_empty() {
            rows = statements
                .special
                .take
                .query()
                .bind(chosen.iter().map(|chosen| chosen.slot).collect::<Vec<_>>())
                .bind(chosen.iter().map(|chosen| chosen.version).collect::<Vec<_>>())
                .bind(&claiming.owner)
                .bind(ttl_millis(claiming.request.ttl))
                .bind(part)
                .fetch_all(&mut *transaction)
                .await?;
        }
        locked.keep(&mut transaction, statements, &chosen).await?;
        if locked.queue.fair && claims % 64 == 0 {
            statements.special.forget_keys.query().bind(name).execute(&mut *transaction).await?;
        }
        if let Some(opens) = locked.allowance.opens_at() {
            let opens = opens.as_millis().cast_signed();
            next = Some(next.map_or(opens, |next: i64| next.min(opens)));
        }
        Ok(Some((rows, next)))
    });
    match taken {
        Ok(Some((rows, next))) => {
            visit.add(take::found(&rows));
            next.into_iter().for_each(|next| visit.come_back(next));
        }
        // Another claim takes runs of this queue.
        Ok(None) => visit.come_back_soon(),
        // Another session has locked one of its rows.
        Err(Failure::Postgres(error)) if Reason::of(&error) == Reason::Single => visit.come_back_soon(),
        Err(Failure::Postgres(error)) => return Err(error),
        Err(Failure::Refused(_)) => return Err(undecodable("settings")),
    }
    Ok(())
}

/// The lanes of the queue: one for each served workflow.
struct Lanes {
    workflows: Vec<String>,
    versions: Vec<i64>,
}

impl Locked {
    async fn new(
        connection: &mut PgConnection,
        statements: &Statements,
        name: &str,
    ) -> Result<Option<Self>, Error> {
        let special = &statements.special;
        let Some(row) = special.lock.query().bind(name).fetch_optional(&mut *connection).await? else {
            return Ok(None);
        };
        let queue = match row.try_get::<Option<&str>, _>(1)? {
            Some(settings) => decoded(settings)?,
            None => Queue::new(""),
        };
        let pace = Pace { arrival: row.try_get::<i64, _>(2)?.cast_unsigned() };
        let now = row.try_get(0)?;
        let rows = special.count.query().bind(name).fetch_all(connection).await?;
        let running = rows.iter().map(|row| {
            let runs = u32::try_from(row.try_get::<i64, _>(1)?).unwrap_or(u32::MAX);
            Ok((row.try_get::<String, _>(0)?.into(), runs))
        });
        let running = running.collect::<Result<Vec<(Arc<str>, u32)>, Error>>()?;
        let allowance = Allowance::new(&queue, pace, moment(now), running);
        Ok(Some(Self { queue, name: name.to_owned(), now, allowance, virtual_time: row.try_get(3)? }))
    }

    /// Makes the runs ready that were behind the limit of their key and may start now.
    async fn catch_up(
        &self,
        connection: &mut PgConnection,
        statements: &Statements,
        wanted: usize,
    ) -> Result<(), Error> {
        let special = &statements.special;
        let rows = special.keys_behind.query().bind(&self.name).fetch_all(&mut *connection).await?;
        let most = if self.queue.per_key.is_some() { u32::try_from(wanted).unwrap_or(MANY) } else { MANY };
        let (mut keys, mut rooms) = (Vec::new(), Vec::new());
        for row in &rows {
            let key: String = row.try_get(0)?;
            let room = self.allowance.left_for(Some(&key)).min(most);
            if room > 0 {
                keys.push(key);
                rooms.push(i64::from(room));
            }
        }
        if !keys.is_empty() {
            special.catch_up.query().bind(&self.name).bind(keys).bind(rooms).execute(connection).await?;
        }
        Ok(())
    }

    /// Chooses the runs that start, and returns the time at which another claim may find more runs.
    async fn choose(
        &mut self,
        connection: &mut PgConnection,
        statements: &Statements,
        lanes: &Lanes,
        wanted: usize,
    ) -> Result<(Vec<Candidate>, Option<i64>), Error> {
        let special = &statements.special;
        let mut chosen: Vec<Candidate> = Vec::new();
        for _ in 0..ROUNDS {
            let room = (wanted - chosen.len()).min(self.allowance.left() as usize);
            // The chosen runs stay in `ready` until the claim takes them all.
            let depth = room + chosen.len();
            let mut found = self.candidates(connection, statements, lanes, depth).await?;
            found.retain(|found| chosen.iter().all(|chosen| chosen.slot != found.slot));
            if found.is_empty() {
                return Ok((chosen, None));
            }
            if room == 0 {
                let is_full = chosen.len() < wanted;
                return Ok((chosen, Some(if is_full { self.now + FULL } else { self.now })));
            }
            let (mut behind, mut is_odd) = (Vec::new(), false);
            for candidate in found {
                if !candidate.fits {
                    is_odd = true;
                } else if chosen.len() == wanted || self.allowance.left() == 0 {
                    break;
                } else if self.allowance.admit(candidate.key.as_deref()) {
                    chosen.push(candidate);
                } else {
                    behind.push(candidate.slot);
                }
            }
            if !behind.is_empty() {
                special.put_behind.query().bind(behind).execute(&mut *connection).await?;
            }
            if is_odd {
                let relist =
                    special.relist.query().bind(&lanes.workflows).bind(&lanes.versions).bind(&self.name);
                let relist = relist.bind(depth as i64).bind(Ending::too_late().error);
                relist.execute(&mut *connection).await?;
            }
        }
        Ok((chosen, Some(self.now)))
    }

    /// Locks the first due runs, and returns one more than `depth` of them, in the order in which they start.
    async fn candidates(
        &self,
        connection: &mut PgConnection,
        statements: &Statements,
        lanes: &Lanes,
        depth: usize,
    ) -> Result<Vec<Candidate>, Error> {
        let candidates = statements.special.candidates.query().bind(&lanes.workflows).bind(&lanes.versions);
        let rows = candidates.bind(&self.name).bind(depth as i64 + 1).fetch_all(connection).await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            found.push(Candidate {
                slot: row.try_get(0)?,
                rank: row.try_get(1)?,
                priority: row.try_get(2)?,
                key: row.try_get(3)?,
                fits: row.try_get(4)?,
                version: row.try_get(5)?,
            });
        }
        found.sort_by_key(|candidate| (candidate.rank, candidate.slot));
        found.truncate(depth + 1);
        Ok(found)
    }

    /// Stores the state of the rate and the virtual time.
    async fn keep(
        &self,
        connection: &mut PgConnection,
        statements: &Statements,
        chosen: &[Candidate],
    ) -> Result<(), Error> {
        let started = chosen.iter().map(|run| run.rank.saturating_add(i64::from(run.priority))).max();
        let virtual_time = started.map_or(self.virtual_time, |rank| rank.max(self.virtual_time));
        let special = &statements.special;
        let keep = special.keep.query().bind(&self.name).bind(self.allowance.pace().arrival.cast_signed());
        let is_special = self.queue.is_limited() || self.queue.fair;
        keep.bind(virtual_time).bind(is_special).execute(connection).await.map(drop)
    }
}

pub(super) fn decoded(settings: &str) -> Result<Queue, Error> {
    Payload::from_stored(settings).decode().map_err(|_| undecodable("settings"))
}

impl Visit<'_> {
    /// Lets another claim follow soon, because another session has locked rows.
    fn come_back_soon(&mut self) {
        let now = self.now;
        self.come_back(now + SOON);
    }
}
