use std::time::Instant;

use anyhow::Result;
use sqlx::Connection;

use super::schema::Schema;

/// The rows that `runs` connections get committed, one after the other each.
pub(super) async fn steps_per_second(schema: &Schema, runs: u64, steps: u64) -> Result<f64> {
    let mut connections = Vec::new();
    for _ in 0..runs {
        let mut connection = schema.connection().await?;
        // Prepared before the time is taken.
        insert(&mut connection, schema, -1, u64::MAX).await?;
        sqlx::query(schema.sql("DELETE FROM {s}.steps WHERE run < 0")).execute(&mut connection).await?;
        connections.push(connection);
    }
    let began = Instant::now();
    let tasks: Vec<_> = (0..)
        .zip(connections)
        .map(|(run, mut connection)| {
            let sql = schema.sql(INSERT).0;
            tokio::spawn(async move {
                for step in 0..steps {
                    sqlx::query(sqlx::AssertSqlSafe(sql.as_str()))
                        // Above all that the store gives.
                        .bind(1_000_000_000_i64 + run)
                        .bind(format!("call#{step}"))
                        .bind(step.to_string())
                        .execute(&mut connection)
                        .await?;
                }
                anyhow::Ok(connection)
            })
        })
        .collect();
    let mut connections = Vec::new();
    for task in tasks {
        connections.push(task.await??);
    }
    let elapsed = began.elapsed();
    for connection in connections {
        connection.close().await?;
    }
    Ok((runs * steps) as f64 / elapsed.as_secs_f64())
}

const INSERT: &str = "INSERT INTO {s}.steps (run, token, recorded_at, input_fingerprint, kind, key, payload) \
     VALUES ($1, 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, NULL, 0, $2, $3)";

async fn insert(connection: &mut sqlx::PgConnection, schema: &Schema, run: i64, step: u64) -> Result<()> {
    let insert =
        sqlx::query(schema.sql(INSERT)).bind(run).bind(format!("call#{step}")).bind(step.to_string());
    insert.execute(connection).await?;
    Ok(())
}
