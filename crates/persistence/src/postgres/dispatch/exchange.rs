//! Mail, published values and streams.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use awaitly_core::journal::{Header, Key, Outcome, Payload, Record, Status, Timestamp};
use awaitly_core::store::{Input, Lease, Message, Publish, RunId, StreamPart, Unsent};
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Error, Row};

use super::fair::Keys;
use super::submit::key_of;
use crate::limits;
use crate::postgres::error::undecodable;
use crate::postgres::pool::Connection;
use crate::postgres::rows::{self, RUN_ID, millis};
use crate::postgres::schema::{Failure, in_transaction};
use crate::postgres::statements::Statements;
use crate::postgres::{text, write};

pub(super) async fn headers(
    mut connection: Connection,
    statements: &Statements,
    runs: &[RunId],
) -> Result<Vec<Option<Header>>, Failure> {
    let ids: Vec<_> = runs.iter().map(|run| text::stored(run)).collect();
    let rows = statements.exchange.headers.query().bind(ids).fetch_all(&mut *connection).await?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in &rows {
        found.insert(rows::run_id(row, RUN_ID)?, rows::run(row)?.header);
    }
    Ok(runs.iter().map(|run| found.get(run).cloned()).collect())
}

/// Sends messages. Locks the rows of their runs, so that none of the runs ends in the meantime.
pub(super) async fn send(
    mut connection: Connection,
    statements: &Statements,
    channel: &str,
    messages: &[Message],
) -> Result<Vec<Result<(), Unsent>>, Failure> {
    in_transaction!(connection, transaction => {
        let mut office = PostOffice::open(&mut transaction, statements, messages).await?;
        let results = messages.iter().map(|message| office.accept(message)).collect();
        office.deliver(&mut transaction, statements).await?;
        statements.notify.query().bind(channel).execute(&mut *transaction).await?;
        Ok(results)
    })
}

/// The runs that get mail, and the accepted messages.
struct PostOffice<'m> {
    /// The slot, the status and the number of unread messages of each run.
    runs: HashMap<RunId, (i64, Status, usize)>,
    /// The ids of the earlier messages.
    known: HashSet<(i64, String)>,
    accepted: Vec<(i64, &'m Message)>,
}

impl<'m> PostOffice<'m> {
    async fn open(
        connection: &mut PgConnection,
        statements: &Statements,
        messages: &[Message],
    ) -> Result<Self, Error> {
        let exchange = &statements.exchange;
        let ids: Vec<_> = messages.iter().map(|message| text::stored(&message.run)).collect();
        let rows = exchange.addressees.query().bind(ids).fetch_all(&mut *connection).await?;
        let mut runs = HashMap::with_capacity(rows.len());
        for row in &rows {
            let status = Status::from_name(row.try_get(2)?).ok_or_else(|| undecodable("status"))?;
            runs.insert(rows::run_id(row, 1)?, (row.try_get::<i64, _>(0)?, status, 0));
        }
        let slots: Vec<_> = runs.values().map(|(slot, ..)| *slot).collect();
        let rows = exchange.unread.query().bind(slots).fetch_all(&mut *connection).await?;
        let unread = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get::<i64, _>(1)?)));
        let unread = unread.collect::<Result<HashMap<i64, i64>, Error>>()?;
        for (slot, _, count) in runs.values_mut() {
            *count = unread.get(slot).and_then(|count| usize::try_from(*count).ok()).unwrap_or(0);
        }
        let known = known(connection, statements, &runs, messages).await?;
        Ok(Self { runs, known, accepted: Vec::new() })
    }

    fn accept(&mut self, message: &'m Message) -> Result<(), Unsent> {
        let Some((slot, status, unread)) = self.runs.get_mut(&message.run) else {
            return message.check(None, 0);
        };
        message.check(Some(*status), *unread)?;
        if message.id.as_ref().is_some_and(|id| !self.known.insert((*slot, text::stored(id).into_owned()))) {
            return Ok(());
        }
        *unread += 1;
        self.accepted.push((*slot, message));
        Ok(())
    }

    async fn deliver(self, connection: &mut PgConnection, statements: &Statements) -> Result<(), Error> {
        let Self { accepted, .. } = self;
        if accepted.is_empty() {
            return Ok(());
        }
        let exchange = &statements.exchange;
        let slots: Vec<_> = accepted.iter().map(|(slot, _)| *slot).collect();
        let ids =
            accepted.iter().filter_map(|(slot, message)| Some((*slot, text::stored(message.id.as_ref()?))));
        let (owners, ids): (Vec<_>, Vec<_>) = ids.unzip();
        exchange
            .put_mail
            .query()
            .bind(slots.clone())
            .bind(accepted.iter().map(|(_, message)| text::stored(&message.mailbox)).collect::<Vec<_>>())
            .bind(
                accepted
                    .iter()
                    .map(|(_, message)| text::stored(message.payload.as_str()))
                    .collect::<Vec<_>>(),
            )
            .execute(&mut *connection)
            .await?;
        if !ids.is_empty() {
            exchange.put_ids.query().bind(owners).bind(ids).execute(&mut *connection).await?;
        }
        exchange.wake_many.query().bind(slots).execute(connection).await.map(drop)
    }
}

async fn known(
    connection: &mut PgConnection,
    statements: &Statements,
    runs: &HashMap<RunId, (i64, Status, usize)>,
    messages: &[Message],
) -> Result<HashSet<(i64, String)>, Error> {
    let of = |message: &Message| {
        let (slot, ..) = runs.get(&message.run)?;
        Some((*slot, text::stored(message.id.as_ref()?).into_owned()))
    };
    let (slots, ids): (Vec<_>, Vec<_>) = messages.iter().filter_map(of).unzip();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = statements.exchange.known_ids.query().bind(slots).bind(ids).fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Takes the oldest message of a mailbox, and records it.
pub(super) async fn receive(
    mut connection: Connection,
    statements: &Statements,
    lease: &Lease,
    mailbox: &str,
    key: &Key,
) -> Result<Option<Outcome>, Failure> {
    in_transaction!(connection, transaction => {
        write::hold(&mut transaction, statements, lease).await?;
        if let Some(recorded) = write::recorded(&mut transaction, statements, lease.slot(), key).await? {
            return Ok(Some(recorded.outcome));
        }
        let exchange = &statements.exchange;
        let oldest = exchange.take_mail.query().bind(lease.slot()).bind(text::stored(mailbox));
        let Some(row) = oldest.fetch_optional(&mut *transaction).await? else {
            exchange.no_mail.query().bind(lease.slot()).execute(&mut *transaction).await?;
            return Ok(None);
        };
        let outcome = Outcome::Value(Payload::from_stored(rows::text(&row, 0)?));
        let record = Record { key: key.clone(), outcome: outcome.clone(), input: None };
        let drop_wait = statements.drop_wait.query().bind(lease.slot()).bind(text::stored(key));
        drop_wait.execute(&mut *transaction).await?;
        let token = lease.token().cast_signed();
        write::put_steps(&mut transaction, statements, lease.slot(), token, std::slice::from_ref(&record)).await?;
        Ok(Some(outcome))
    })
}

pub(super) async fn publish(
    mut connection: Connection,
    statements: &Statements,
    lease: &Lease,
    published: &[Publish],
) -> Result<(), Failure> {
    in_transaction!(connection, transaction => {
        write::hold(&mut transaction, statements, lease).await?;
        let streams: Vec<_> = published.iter().filter(|one| one.index.is_some()).map(|one| text::stored(&one.name)).collect();
        let lengths = statements.exchange.lengths.query().bind(lease.slot()).bind(streams);
        let rows = lengths.fetch_all(&mut *transaction).await?;
        let lengths = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get::<i64, _>(1)?.cast_unsigned())));
        let mut lengths = lengths.collect::<Result<HashMap<String, u64>, Error>>()?;
        for one in published {
            let Some(index) = one.index else { continue };
            let length = lengths.entry(text::stored(&one.name).into_owned()).or_default();
            limits::stream_item(one, *length)?;
            *length = (*length).max(index + 1);
        }
        for Publish { name, index, payload, .. } in published {
            statements
                .exchange
                .publish
                .query()
                .bind(lease.slot())
                .bind(text::stored(name))
                .bind(index.map_or(-1, u64::cast_signed))
                .bind(text::stored(payload.as_str()))
                .execute(&mut *transaction)
                .await?;
        }
        Ok(())
    })
}

pub(super) async fn published(
    mut connection: Connection,
    statements: &Statements,
    run: &RunId,
    name: &str,
) -> Result<Option<Payload>, Failure> {
    let published = statements.exchange.published.query().bind(text::stored(run)).bind(text::stored(name));
    let row = published.fetch_optional(&mut *connection).await?;
    Ok(row.map(|row| rows::text(&row, 0).map(Payload::from_stored)).transpose()?)
}

pub(super) async fn stream(
    mut connection: Connection,
    statements: &Statements,
    run: &RunId,
    stream: &str,
    (from, limit): (u64, usize),
) -> Result<Option<StreamPart>, Failure> {
    let read = statements.exchange.stream.query().bind(text::stored(run)).bind(text::stored(stream));
    let read = read.bind(i64::try_from(from).unwrap_or(i64::MAX)).bind(limit.min(1000) as i64);
    let rows = read.fetch_all(&mut *connection).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let ended = first.try_get(0)?;
    let items = rows.iter().filter_map(|row| row.try_get::<Option<String>, _>(1).transpose());
    let items = items.map(|item| Ok(Payload::from_stored(text::loaded(item?))));
    Ok(Some(StreamPart { items: items.collect::<Result<_, Error>>()?, ended }))
}

/// Restarts a run, in the next place of its queue.
pub(in crate::postgres) async fn restart(
    mut connection: Connection,
    statements: &Statements,
    channel: &str,
    lease: &Lease,
    input: Option<&Input>,
) -> Result<(), Failure> {
    in_transaction!(connection, transaction => {
        write::hold(&mut transaction, statements, lease).await?;
        let row = statements.run.query().bind(text::stored(lease.run())).fetch_one(&mut *transaction).await?;
        let run = rows::run(&row)?;
        let place = run.header.place.again(run.now);
        let keys = [key_of(&place.queue, place.key.as_deref())];
        let mut keys = Keys::lock(&mut transaction, statements, keys.into_iter()).await?;
        let place = keys.rank(place);
        keys.keep(&mut transaction, statements).await?;
        let slots = vec![lease.slot()];
        statements.drop_all_steps.query().bind(lease.slot()).execute(&mut *transaction).await?;
        statements.delete_waits.query().bind(slots).execute(&mut *transaction).await?;
        statements.exchange.delete_streams.query().bind(lease.slot()).execute(&mut *transaction).await?;
        statements
            .exchange
            .restart
            .query()
            .bind(lease.slot())
            .bind(millis(run.now))
            .bind(place.rank)
            .bind(input.is_some())
            .bind(input.map(|input| text::stored(input.payload.as_str())))
            .bind(input.map(|input| input.fingerprint.to_bits().cast_signed()))
            .execute(&mut *transaction)
            .await?;
        statements.notify.query().bind(channel).execute(&mut *transaction).await?;
        Ok(())
    })
}

/// Answers the parents of ended children. Returns the number of children that need no further answer.
pub(in crate::postgres) async fn report(
    connection: &mut PgConnection,
    statements: &Statements,
) -> Result<i64, Error> {
    let mut cancelled = Header::new(Arc::default(), 0, Status::Cancelled, Timestamp::default());
    let parent = awaitly_core::dispatch::Parent {
        run: RunId::new("-").map_err(|_| undecodable("run"))?,
        key: "-".into(),
    };
    cancelled.parent = Some(Box::new(parent));
    // For a run that ended without an outcome, core decides the outcome.
    let (_, outcome) = cancelled.report().ok_or(Error::RowNotFound)?;
    let kind = i16::from(outcome.kind().to_number());
    let report = statements.exchange.report.query().bind(kind).bind(text::stored(outcome.payload().as_str()));
    report.fetch_one(connection).await?.try_get(0)
}
