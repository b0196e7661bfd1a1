//! Schedules.

use awaitly_core::journal::Payload;
use awaitly_core::store::{PutSchedule, ScheduleQuery, StoredSchedule};
use sqlx::{Connection as _, Row};

use crate::postgres::pool::Connection;
use crate::postgres::rows::{self, millis, moment};
use crate::postgres::schema::{Failure, in_transaction};
use crate::postgres::statements::Statements;
use crate::postgres::text;

pub(super) async fn find(
    mut connection: Connection,
    statements: &Statements,
    query: &ScheduleQuery,
) -> Result<Vec<StoredSchedule>, Failure> {
    let rows = statements
        .exchange
        .schedules
        .query()
        .bind(query.name.as_deref().map(text::stored))
        .bind(query.due_at.map(millis))
        .bind(query.after.as_deref().map(text::stored))
        .bind(query.page_limit() as i64)
        .fetch_all(&mut *connection)
        .await?;
    let schedules = rows.iter().map(|row| {
        Ok(StoredSchedule {
            name: rows::text(row, 0)?.into(),
            version: row.try_get::<i64, _>(1)?.cast_unsigned(),
            due: row.try_get::<Option<i64>, _>(2)?.map(moment),
            rule: Payload::from_stored(rows::text(row, 3)?),
        })
    });
    Ok(schedules.collect::<Result<_, sqlx::Error>>()?)
}

pub(super) async fn put(
    mut connection: Connection,
    statements: &Statements,
    channel: &str,
    changes: &[PutSchedule],
) -> Result<Vec<bool>, Failure> {
    let exchange = &statements.exchange;
    in_transaction!(connection, transaction => {
        let mut made = Vec::with_capacity(changes.len());
        for PutSchedule { name, version, put } in changes {
            let version = version.map(u64::cast_signed);
            let due = put.as_ref().and_then(|(due, _)| due.map(millis));
            let rule = put.as_ref().map(|(_, rule)| text::stored(rule.as_str()));
            let name = text::stored(name);
            let change = match (version, rule) {
                (None, Some(rule)) => exchange.add_schedule.query().bind(name).bind(due).bind(rule),
                (Some(version), Some(rule)) => {
                    exchange.change_schedule.query().bind(name).bind(version).bind(due).bind(rule)
                }
                (Some(version), None) => exchange.delete_schedule.query().bind(name).bind(version),
                (None, None) => {
                    made.push(false);
                    continue;
                }
            };
            made.push(change.execute(&mut *transaction).await?.rows_affected() == 1);
        }
        statements.notify.query().bind(channel).execute(&mut *transaction).await?;
        Ok(made)
    })
}
