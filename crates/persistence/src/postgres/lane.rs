//! The tasks that write: what every run does again and again, shared in as few statements as can be.
//!
//! There are two, each on a connection of its own: one appends records, the other begins and ends runs and keeps
//! their leases. So a record never waits for the commit of an ending, nor a lease for that of a record. What has
//! queued up since the last commit returned goes into the next one: see [`group`](crate::group).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use awaitly_core::journal::{Payload, Record, Timestamp};
use awaitly_core::store::{Bell, Durability, Ending, Lease, Open, Renewed, StoreError};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Error, Row};
use tokio::sync::oneshot;

use super::error::{concerns_one, is_duplicate, store_error};
use super::link::{Link, Patience};
use super::rows::{millis, moment};
use super::statements::{Statement, Statements};
use super::text;
use crate::group::{Queued, Receiver, Sender};
use crate::limits::LONGEST_TTL;

pub(super) type Fate<T> = oneshot::Sender<Result<T, StoreError>>;

/// What a lane is asked to do.
#[derive(Debug)]
pub(super) enum Op {
    Begin(Begin),
    Append(Append),
    Finish(Finish),
    Renew(Renew),
    Release(Lease),
    /// Answered once everything before it was carried out.
    Flush(Fate<()>),
    Close(Fate<()>),
}

#[derive(Debug)]
pub(super) struct Begin {
    pub(super) request: Arc<Open>,
    /// `None`: the run is there already.
    pub(super) fate: Fate<Option<Began>>,
    pub(super) back: Turns,
}

#[derive(Debug)]
pub(super) struct Finish {
    pub(super) lease: Lease,
    pub(super) ending: Box<Ending>,
    pub(super) fate: Fate<()>,
}

#[derive(Debug)]
pub(super) struct Renew {
    pub(super) lease: Lease,
    pub(super) ttl: Duration,
    pub(super) fate: Fate<Renewed>,
}

#[derive(Debug)]
pub(super) struct Append {
    pub(super) lease: Lease,
    pub(super) record: Record,
    pub(super) durability: Durability,
    pub(super) fate: Fate<()>,
}

/// A run that has just begun.
#[derive(Debug)]
pub(super) struct Began {
    pub(super) lease: Unclaimed,
    pub(super) now: Timestamp,
}

/// A lease on its way to who asked for it. Where that future is dropped before the lease has arrived, the lease
/// is given back, wherever it is then.
#[derive(Debug)]
pub(super) struct Unclaimed(Option<(Lease, Turns)>);

impl Unclaimed {
    pub(super) const fn new(lease: Lease, back: Turns) -> Self {
        Self(Some((lease, back)))
    }

    /// The lease, to be given back by who has it now.
    pub(super) fn claim(mut self) -> Option<Lease> {
        self.0.take().map(|(lease, _)| lease)
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some((lease, back)) = self.0.take() {
            back.release(lease);
        }
    }
}

/// Leases that are on their way back.
pub(super) type Releasing = Arc<Mutex<HashSet<Place>>>;

/// The way to the lane that keeps leases.
#[derive(Debug, Clone)]
pub(super) struct Turns {
    pub(super) ops: Sender<Op>,
    /// Nobody waits for a lease to be given back; so whoever asks next does, to find it free.
    pub(super) releasing: Releasing,
}

impl Turns {
    pub(super) fn release(&self, lease: Lease) {
        let place = place(&lease);
        self.leases().insert(place);
        if !self.ops.send(Op::Release(lease)) {
            // The lane has ended: the lease lasts until its time is over.
            self.leases().remove(&place);
        }
    }

    /// Whether the lease was given back, though that may not have arrived.
    pub(super) fn gives_back(&self, lease: &Lease) -> bool {
        self.leases().contains(&place(lease))
    }

    /// Waits until every lease that was given back is free.
    pub(super) async fn settled(&self) -> Result<(), StoreError> {
        if self.leases().is_empty() {
            return Ok(());
        }
        self.ops.ask(Op::Flush).await
    }

    fn leases(&self) -> MutexGuard<'_, HashSet<Place>> {
        self.releasing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queued for Op {
    fn bytes(&self) -> usize {
        match self {
            Self::Begin(Begin { request, .. }) => {
                request.input.as_ref().map_or(0, |input| input.payload.len())
            }
            Self::Append(Append { record, .. }) => record.key.len() + record.outcome.payload().len(),
            Self::Finish(Finish { ending, .. }) => {
                ending.outcome.as_ref().map_or(0, |outcome| outcome.payload().len())
            }
            Self::Renew(_) | Self::Release(_) | Self::Flush(_) | Self::Close(_) => 0,
        }
    }
}

/// A task that writes.
pub(super) struct Lane {
    pub(super) ops: Receiver<Op>,
    pub(super) link: Link,
    pub(super) statements: Arc<Statements>,
    pub(super) patience: Duration,
    pub(super) bell: Bell,
    /// What other processes listen to.
    pub(super) channel: Arc<str>,
    pub(super) releasing: Releasing,
}

/// What a batch is made of, each kind for a statement of its own.
#[derive(Default)]
struct Batch {
    begins: Vec<Begin>,
    appends: Vec<Append>,
    finishes: Vec<Finish>,
    renewals: Vec<Renew>,
    releases: Vec<Lease>,
    flushes: Vec<Fate<()>>,
    closing: Vec<Fate<()>>,
}

impl Lane {
    /// Writes until the store is closed or its last handle is dropped.
    pub(super) async fn run(mut self) {
        let mut ops = Vec::new();
        let mut closing = Vec::new();
        while self.ops.take(&mut ops).await {
            let company = ops.len();
            let mut batch = Batch::sorted(ops.drain(..));
            if !batch.closing.is_empty() {
                // What is queued already is still carried out; nothing more is let in.
                self.ops.close();
                closing.append(&mut batch.closing);
            }
            self.carry_out(batch).await;
            self.ops.gather(company).await;
        }
        self.link.close().await;
        closing.into_iter().for_each(|fate: Fate<()>| drop(fate.send(Ok(()))));
    }

    async fn carry_out(&mut self, batch: Batch) {
        let Batch { begins, appends, finishes, renewals, releases, flushes, closing: _ } = batch;
        if !appends.is_empty() {
            self.append(appends).await;
        }
        // Nothing keeps leases from being renewed in time.
        if !renewals.is_empty() {
            self.renew(renewals).await;
        }
        // What is given back first can be opened next.
        if !releases.is_empty() {
            self.release(&releases).await;
        }
        if !finishes.is_empty() {
            self.finish(finishes).await;
        }
        if !begins.is_empty() {
            self.begin(begins).await;
        }
        flushes.into_iter().for_each(|fate| drop(fate.send(Ok(()))));
    }

    /// A record that follows another one under the same key in the same batch waits for what becomes of that.
    async fn append(&mut self, mut appends: Vec<Append>) {
        while !appends.is_empty() {
            let mut keys = HashSet::with_capacity(appends.len());
            let (now, later): (Vec<_>, Vec<_>) =
                appends.into_iter().partition(|one| keys.insert((one.lease.slot(), one.record.key.clone())));
            self.append_distinct(now).await;
            appends = later;
        }
    }

    async fn append_distinct(&mut self, appends: Vec<Append>) {
        let mut patience = Patience::new(self.patience);
        let mut again = false;
        loop {
            let attempt = async {
                let connection = self.link.connection().await?;
                append(connection, &self.statements, &appends, again).await
            };
            match patience.within(attempt).await {
                Ok(refused) => return answer_appends(appends, &refused),
                // Where the reason lies in one of them, each is tried by itself.
                Err(error) if appends.len() > 1 && concerns_one(&error) => {
                    for one in appends {
                        Box::pin(self.append_distinct(vec![one])).await;
                    }
                    return;
                }
                Err(error) => {
                    self.link.lost();
                    again = true;
                    if let Err(error) = patience.after(error).await {
                        return appends.into_iter().for_each(|one| drop(one.fate.send(Err(error.clone()))));
                    }
                }
            }
        }
    }

    async fn begin(&mut self, begins: Vec<Begin>) {
        // Who asked has gone: nobody would give the lease back. The others in one order for all processes, so that
        // two that begin the same runs do not wait for each other.
        let mut begins: Vec<_> = begins.into_iter().filter(|begin| !begin.fate.is_closed()).collect();
        begins.sort_by(|one, next| one.request.run.cmp(&next.request.run));
        let mut patience = Patience::new(self.patience);
        loop {
            let attempt = async {
                let connection = self.link.connection().await?;
                begin(connection, &self.statements, &begins).await
            };
            match patience.within(attempt).await {
                Ok(mut begun) => {
                    for Begin { request, fate, back } in begins {
                        let place =
                            (text::stored(&request.run).into_owned(), request.owner.as_str().to_owned());
                        let began = begun.remove(&place).map(|(slot, token, now)| {
                            let lease = Unclaimed::new(Lease::new(request.run.clone(), token, slot), back);
                            Began { lease, now }
                        });
                        drop(fate.send(Ok(began)));
                    }
                    return;
                }
                Err(error) if begins.len() > 1 && concerns_one(&error) => {
                    for one in begins {
                        Box::pin(self.begin(vec![one])).await;
                    }
                    return;
                }
                Err(error) => {
                    self.link.lost();
                    if let Err(error) = patience.after(error).await {
                        return begins
                            .into_iter()
                            .for_each(|begin| drop(begin.fate.send(Err(error.clone()))));
                    }
                }
            }
        }
    }

    async fn finish(&mut self, finishes: Vec<Finish>) {
        let mut patience = Patience::new(self.patience);
        let mut again = false;
        let outcome = loop {
            let attempt = async {
                let connection = self.link.connection().await?;
                finish(connection, &self.statements, &finishes, again).await
            };
            match patience.within(attempt).await {
                Ok(finished) => break Ok(finished),
                Err(error) if finishes.len() > 1 && concerns_one(&error) => {
                    for one in finishes {
                        Box::pin(self.finish(vec![one])).await;
                    }
                    return;
                }
                Err(error) => {
                    self.link.lost();
                    again = true;
                    if let Err(error) = patience.after(error).await {
                        break Err(error);
                    }
                }
            }
        };
        // One that waits may have been answered on its way, which other processes have not heard of.
        if outcome.is_ok() && finishes.iter().any(|finish| !finish.ending.waits_on.is_empty()) {
            self.notify().await;
        }
        for Finish { lease, fate, .. } in finishes {
            drop(fate.send(match &outcome {
                Ok(finished) if finished.contains(&place(&lease)) => Ok(()),
                Ok(_) => Err(lost(&lease)),
                Err(error) => Err(error.clone()),
            }));
        }
        self.bell.ring();
    }

    async fn renew(&mut self, renewals: Vec<Renew>) {
        let mut patience = Patience::new(self.patience);
        let outcome = loop {
            let attempt = async {
                let connection = self.link.connection().await?;
                renew(connection, &self.statements.renew, &renewals).await
            };
            match patience.within(attempt).await {
                Ok(renewed) => break Ok(renewed),
                Err(error) if renewals.len() > 1 && concerns_one(&error) => {
                    for one in renewals {
                        Box::pin(self.renew(vec![one])).await;
                    }
                    return;
                }
                Err(error) => {
                    self.link.lost();
                    if let Err(error) = patience.after(error).await {
                        break Err(error);
                    }
                }
            }
        };
        for Renew { lease, fate, .. } in renewals {
            drop(fate.send(match &outcome {
                Ok(renewed) => renewed.get(&place(&lease)).copied().ok_or_else(|| lost(&lease)),
                Err(error) => Err(error.clone()),
            }));
        }
    }

    /// Where this fails other processes find out by asking.
    async fn notify(&mut self) {
        let attempt = async {
            let connection = self.link.connection().await?;
            self.statements.notify.query().bind(&*self.channel).execute(connection).await
        };
        if let Err(error) = Patience::new(self.patience).within(attempt).await {
            self.link.lost();
            tracing::warn!(error = %store_error(&error), "other processes were not told");
        }
    }

    /// Where this fails the leases last until their time is over.
    async fn release(&mut self, leases: &[Lease]) {
        let mut patience = Patience::new(self.patience);
        loop {
            let attempt = async {
                let connection = self.link.connection().await?;
                let (slots, runs, tokens) = columns(leases.iter());
                let release = self.statements.release.query().bind(slots).bind(runs).bind(tokens);
                release.bind(&*self.channel).execute(connection).await
            };
            let Err(error) = patience.within(attempt).await else { break };
            if leases.len() > 1 && concerns_one(&error) {
                for lease in leases {
                    Box::pin(self.release(std::slice::from_ref(lease))).await;
                }
                return;
            }
            self.link.lost();
            if let Err(error) = patience.after(error).await {
                tracing::warn!(%error, "leases could not be given back: they last until their time is over");
                break;
            }
        }
        let mut releasing = self.releasing.lock().unwrap_or_else(PoisonError::into_inner);
        for lease in leases {
            releasing.remove(&place(lease));
        }
        drop(releasing);
        self.bell.ring();
    }
}

impl Batch {
    fn sorted(ops: impl Iterator<Item = Op>) -> Self {
        let mut batch = Self::default();
        for op in ops {
            match op {
                Op::Begin(begin) => batch.begins.push(begin),
                Op::Append(append) => batch.appends.push(append),
                Op::Finish(finish) => batch.finishes.push(finish),
                Op::Renew(renew) => batch.renewals.push(renew),
                Op::Release(lease) => batch.releases.push(lease),
                Op::Flush(fate) => batch.flushes.push(fate),
                Op::Close(fate) => batch.closing.push(fate),
            }
        }
        batch
    }
}

/// Why a record was not added, and the place of its operation.
type RefusedAppends = HashMap<usize, StoreError>;

fn answer_appends(appends: Vec<Append>, refused: &RefusedAppends) {
    for (place, Append { fate, .. }) in appends.into_iter().enumerate() {
        drop(fate.send(refused.get(&place).cloned().map_or(Ok(()), Err)));
    }
}

/// Appends records of distinct keys. `again`: an earlier attempt may have been committed, its answer was lost.
async fn append(
    connection: &mut PgConnection,
    statements: &Statements,
    appends: &[Append],
    again: bool,
) -> Result<RefusedAppends, Error> {
    let mut refused = RefusedAppends::new();
    for (place, held) in not_added(connection, statements, appends).await? {
        let Some(one) = appends.get(place) else { continue };
        if let Some(error) = why(connection, statements, one, held, again).await? {
            refused.insert(place, error);
        }
    }
    Ok(refused)
}

/// The places of those that were not added, each with whether its lease is held where that is known.
async fn not_added(
    connection: &mut PgConnection,
    statements: &Statements,
    appends: &[Append],
) -> Result<Vec<(usize, Option<bool>)>, Error> {
    let durable = appends.iter().any(|one| one.durability == Durability::Sync);
    if let ([one], true) = (appends, durable) {
        let Append { lease, record, .. } = one;
        let added = statements.append.writing(lease, record).execute(connection).await;
        return match added {
            Ok(added) if added.rows_affected() == 1 => Ok(vec![]),
            Ok(_) => Ok(vec![(0, None)]),
            Err(error) if is_duplicate(&error) => Ok(vec![(0, None)]),
            Err(error) => Err(error),
        };
    }
    let (slots, runs, tokens) = columns(appends.iter().map(|one| &one.lease));
    let records = || appends.iter().map(|one| &one.record);
    let inputs: Vec<_> =
        records().map(|record| record.input.map(|input| input.to_bits().cast_signed())).collect();
    let kinds: Vec<_> = records().map(|record| i16::from(record.outcome.kind().to_number())).collect();
    let keys: Vec<_> = records().map(|record| text::stored(&record.key)).collect();
    let payloads: Vec<_> = records().map(|record| text::stored(record.outcome.payload().as_str())).collect();
    let many = if durable { &statements.append_many } else { &statements.append_many_batched };
    let rows = many
        .query()
        .bind(slots)
        .bind(runs)
        .bind(tokens)
        .bind(inputs)
        .bind(kinds)
        .bind(keys)
        .bind(payloads)
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| Ok((row.try_get::<i64, _>(0)? as usize - 1, Some(row.try_get(1)?)))).collect()
}

/// Why a record was not added; `None`: it was, by an attempt whose answer was lost.
///
/// Under the lease's token nobody but this store writes, and it has one operation for a key at a time: a record
/// under that token which is the same is the one of the lost attempt.
async fn why(
    connection: &mut PgConnection,
    statements: &Statements,
    append: &Append,
    held: Option<bool>,
    again: bool,
) -> Result<Option<StoreError>, Error> {
    let Append { lease, record, .. } = append;
    let already = || StoreError::AlreadyRecorded { run: (**lease.run()).into(), key: record.key.clone() };
    if let (Some(held), false) = (held, again) {
        return Ok(Some(if held { already() } else { lost(lease) }));
    }
    let row = statements.look.looking(lease, record).fetch_one(connection).await?;
    let (held, same): (bool, Option<bool>) = (row.try_get(0)?, row.try_get(1)?);
    Ok(match (held, same) {
        (_, Some(true)) if again => None,
        (false, _) => Some(lost(lease)),
        (true, _) => Some(already()),
    })
}

async fn begin(
    connection: &mut PgConnection,
    statements: &Statements,
    begins: &[Begin],
) -> Result<HashMap<(String, String), (i64, u64, Timestamp)>, Error> {
    let rows = match begins {
        [Begin { request, .. }] => begin_one(connection, &statements.begin, request).await?,
        _ => begin_many(connection, &statements.begin_many, begins).await?,
    };
    rows.iter()
        .map(|row| {
            let token = row.try_get::<i64, _>(4)?.cast_unsigned();
            Ok(((row.try_get(0)?, row.try_get(3)?), (row.try_get(1)?, token, moment(row.try_get(2)?))))
        })
        .collect()
}

async fn begin_one(
    connection: &mut PgConnection,
    statement: &Statement,
    request: &Open,
) -> Result<Vec<PgRow>, Error> {
    let input = request.input.as_ref();
    statement
        .query()
        .bind(text::stored(&request.run))
        .bind(text::stored(&request.workflow))
        .bind(i64::from(request.version))
        .bind(input.map(|input| text::stored(input.payload.as_str())))
        .bind(input.map(|input| input.fingerprint.to_bits().cast_signed()))
        .bind(text::stored(request.owner.as_str()))
        .bind(ttl_millis(request.ttl))
        .fetch_all(connection)
        .await
}

async fn begin_many(
    connection: &mut PgConnection,
    statement: &Statement,
    begins: &[Begin],
) -> Result<Vec<PgRow>, Error> {
    let requests = || begins.iter().map(|begin| &begin.request);
    let inputs = || requests().map(|request| request.input.as_ref());
    statement
        .query()
        .bind(requests().map(|request| text::stored(&request.run)).collect::<Vec<_>>())
        .bind(requests().map(|request| text::stored(&request.workflow)).collect::<Vec<_>>())
        .bind(requests().map(|request| i64::from(request.version)).collect::<Vec<_>>())
        .bind(
            inputs().map(|input| input.map(|input| text::stored(input.payload.as_str()))).collect::<Vec<_>>(),
        )
        .bind(
            inputs()
                .map(|input| input.map(|input| input.fingerprint.to_bits().cast_signed()))
                .collect::<Vec<_>>(),
        )
        .bind(requests().map(|request| text::stored(request.owner.as_str())).collect::<Vec<_>>())
        .bind(requests().map(|request| ttl_millis(request.ttl)).collect::<Vec<_>>())
        .fetch_all(connection)
        .await
}

/// Ends runs, and gives the leases that were theirs to end with. `again`: an earlier attempt may have been
/// committed, its answer was lost; then a run that rests as it was to be left is ended.
async fn finish(
    connection: &mut PgConnection,
    statements: &Statements,
    finishes: &[Finish],
    again: bool,
) -> Result<HashSet<Place>, Error> {
    let rows = match finishes {
        [Finish { lease, ending, .. }] if ending.waits_on.is_empty() => {
            finish_one(connection, statements, lease, ending).await?
        }
        _ => finish_many(connection, statements, finishes).await?,
    };
    let leases = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    let mut finished = leases.collect::<Result<HashSet<Place>, Error>>()?;
    for Finish { lease, ending, .. } in finishes.iter().filter(|_| again) {
        if finished.contains(&place(lease)) {
            continue;
        }
        let row = statements
            .rests
            .query()
            .bind(lease.slot())
            .bind(text::stored(lease.run()))
            .bind(lease.token().cast_signed())
            .bind(ending.status.as_str())
            .fetch_one(&mut *connection)
            .await?;
        if row.try_get(0)? {
            finished.insert(place(lease));
        }
    }
    Ok(finished)
}

async fn finish_one(
    connection: &mut PgConnection,
    statements: &Statements,
    lease: &Lease,
    ending: &Ending,
) -> Result<Vec<PgRow>, Error> {
    let outcome = ending.outcome.as_ref();
    statements
        .finish
        .query()
        .bind(lease.slot())
        .bind(text::stored(lease.run()))
        .bind(lease.token().cast_signed())
        .bind(ending.status.as_str())
        .bind(outcome.map(|outcome| i16::from(outcome.kind().to_number())))
        .bind(outcome.map(|outcome| text::stored(outcome.payload().as_str())))
        .bind(ending.error.as_deref().map(text::stored))
        .bind(json(&ending.failed_on))
        .bind(ending.wake.map(millis))
        .fetch_all(connection)
        .await
}

async fn finish_many(
    connection: &mut PgConnection,
    statements: &Statements,
    finishes: &[Finish],
) -> Result<Vec<PgRow>, Error> {
    let (slots, runs, tokens) = columns(finishes.iter().map(|finish| &finish.lease));
    let endings = || finishes.iter().map(|finish| &*finish.ending);
    let outcomes = || endings().map(|ending| ending.outcome.as_ref());
    statements
        .finish_many
        .query()
        .bind(slots)
        .bind(runs)
        .bind(tokens)
        .bind(endings().map(|ending| ending.status.as_str()).collect::<Vec<_>>())
        .bind(
            outcomes()
                .map(|outcome| outcome.map(|outcome| i16::from(outcome.kind().to_number())))
                .collect::<Vec<_>>(),
        )
        .bind(
            outcomes()
                .map(|outcome| outcome.map(|outcome| text::stored(outcome.payload().as_str())))
                .collect::<Vec<_>>(),
        )
        .bind(endings().map(|ending| ending.error.as_deref().map(text::stored)).collect::<Vec<_>>())
        .bind(endings().map(|ending| json(&ending.failed_on)).collect::<Vec<_>>())
        .bind(endings().map(|ending| ending.wake.map(millis)).collect::<Vec<_>>())
        .bind(endings().map(waits_on).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await
}

async fn renew(
    connection: &mut PgConnection,
    statement: &Statement,
    renewals: &[Renew],
) -> Result<HashMap<Place, Renewed>, Error> {
    let (slots, runs, tokens) = columns(renewals.iter().map(|renewal| &renewal.lease));
    let ttls: Vec<_> = renewals.iter().map(|renewal| ttl_millis(renewal.ttl)).collect();
    let rows = statement.query().bind(slots).bind(runs).bind(tokens).bind(ttls).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let renewed = Renewed { now: moment(row.try_get(2)?), cancel: row.try_get(3)? };
            Ok(((row.try_get(0)?, row.try_get(1)?), renewed))
        })
        .collect()
}

/// Which lease: the slot and the token.
pub(super) type Place = (i64, i64);

fn place(lease: &Lease) -> Place {
    (lease.slot(), lease.token().cast_signed())
}

/// The columns that say which leases.
fn columns<'a>(
    leases: impl Iterator<Item = &'a Lease> + Clone,
) -> (Vec<i64>, Vec<std::borrow::Cow<'a, str>>, Vec<i64>) {
    (
        leases.clone().map(Lease::slot).collect(),
        leases.clone().map(|lease| text::stored(lease.run())).collect(),
        leases.map(|lease| lease.token().cast_signed()).collect(),
    )
}

pub(super) fn ttl_millis(ttl: Duration) -> i64 {
    i64::try_from(ttl.min(LONGEST_TTL).as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn json<T: serde::Serialize>(texts: &[T]) -> String {
    // A list of texts always has a JSON form.
    Payload::encode(texts).map_or_else(|_| "[]".to_owned(), |json| json.as_str().to_owned())
}

/// The keys that the run waits on, in the form in which they are kept.
fn waits_on(ending: &Ending) -> Option<String> {
    let keys: Vec<_> = ending.waits_on.iter().map(|key| text::stored(key)).collect();
    (!keys.is_empty()).then(|| json(&keys))
}

pub(super) fn lost(lease: &Lease) -> StoreError {
    StoreError::LeaseLost { run: (**lease.run()).into() }
}
