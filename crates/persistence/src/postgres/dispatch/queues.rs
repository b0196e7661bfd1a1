//! The settings of queues.

use std::sync::Arc;

use awaitly_core::dispatch::Queue;
use awaitly_core::journal::Payload;
use awaitly_core::store::{Configure, Pausing, QueueState, StoreError};
use sqlx::{Connection as _, Row};

use super::special::decoded;
use crate::postgres::pool::Connection;
use crate::postgres::rows;
use crate::postgres::schema::{Failure, in_transaction};
use crate::postgres::statements::Statements;
use crate::postgres::text;

pub(super) async fn all(
    mut connection: Connection,
    statements: &Statements,
) -> Result<Vec<QueueState>, Failure> {
    let rows = statements.queues.all.query().fetch_all(&mut *connection).await?;
    let mut states = Vec::with_capacity(rows.len());
    for row in &rows {
        let settings = match row.try_get::<Option<&str>, _>(1)? {
            Some(settings) => decoded(settings)?,
            None => Queue::new(rows::text(row, 0)?),
        };
        states.push(QueueState::new(settings, row.try_get(2)?));
    }
    Ok(states)
}

/// Sets the settings of queues. A repeated execution has no further effect.
pub(super) async fn configure(
    mut connection: Connection,
    statements: &Statements,
    channel: &str,
    queues: &[Queue],
    configure: Configure,
) -> Result<(), Failure> {
    // All processes lock the queues in one order, so that two of them do not deadlock.
    let mut queues: Vec<_> = queues.iter().collect();
    queues.sort_by(|one, next| one.name.cmp(&next.name));
    in_transaction!(connection, transaction => {
        for queue in queues {
            let name = text::stored(&queue.name);
            let settings = Payload::encode(queue).map_err(|error| StoreError::Unstorable { detail: error.to_string().into() })?;
            let row = statements.queues.lock.query().bind(&name).fetch_one(&mut *transaction).await?;
            let (was_special, declared): (bool, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
            let declares = configure == Configure::Declare;
            if declares && declared.as_deref() == Some(settings.as_str()) {
                continue;
            }
            let is_special = queue.is_limited() || queue.fair;
            statements
                .queues
                .configure
                .query()
                .bind(&name)
                .bind(settings.as_str())
                .bind(declares.then_some(settings.as_str()))
                .bind(queue.fair)
                .bind(is_special)
                .execute(&mut *transaction)
                .await?;
            if is_special && !was_special {
                statements.queues.forget_running.query().bind(&name).execute(&mut *transaction).await?;
                statements.queues.adopt_running.query().bind(&name).execute(&mut *transaction).await?;
            }
        }
        statements.notify.query().bind(channel).execute(&mut *transaction).await?;
        Ok(())
    })
}

pub(super) async fn pause(
    mut connection: Connection,
    statements: &Statements,
    channel: &str,
    queues: &[Arc<str>],
    pausing: Pausing,
) -> Result<(), Failure> {
    let mut names: Vec<_> = queues.iter().map(|queue| text::stored(queue)).collect();
    names.sort();
    names.dedup();
    in_transaction!(connection, transaction => {
        let pause = statements.queues.pause.query().bind(names).bind(pausing == Pausing::Pause);
        pause.execute(&mut *transaction).await?;
        statements.notify.query().bind(channel).execute(&mut *transaction).await?;
        Ok(())
    })
}
