use std::time::Instant;

use anyhow::Result;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::schema::Schema;

const INSERT: &str = "INSERT INTO {s}.steps (run, token, recorded_at, input_fingerprint, kind, key, payload) \
     VALUES ($1, 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, NULL, 0, $2, $3)";

/// A connection with a prepared insert.
pub(crate) struct Floor {
    connection: PgConnection,
    insert: String,
}

impl Floor {
    pub(crate) async fn connect(schema: &Schema) -> Result<Self> {
        let mut floor = Self { connection: schema.connection().await?, insert: schema.sql(INSERT).0 };
        // Prepared before the time is taken.
        floor.insert(i64::MIN, 0).await?;
        let delete = schema.sql("DELETE FROM {s}.steps WHERE run = $1");
        sqlx::query(delete).bind(i64::MIN).execute(&mut floor.connection).await?;
        Ok(floor)
    }

    /// One row of what a store keeps of a step, in a commit of its own. The store gives no negative run.
    pub(crate) async fn insert(&mut self, run: i64, step: u64) -> Result<(), sqlx::Error> {
        sqlx::query(AssertSqlSafe(self.insert.as_str()))
            .bind(run)
            .bind(format!("call#{step}"))
            .bind(step.to_string())
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    pub(crate) async fn close(self) -> Result<()> {
        Ok(self.connection.close().await?)
    }
}

/// The rows that `runs` connections get committed, one after the other each.
pub(crate) async fn steps_per_second(schema: &Schema, runs: u64, steps: u64) -> Result<f64> {
    let mut floors = Vec::new();
    for _ in 0..runs {
        floors.push(Floor::connect(schema).await?);
    }
    let began = Instant::now();
    let tasks: Vec<_> = (1..)
        .zip(floors)
        .map(|(run, mut floor)| {
            tokio::spawn(async move {
                for step in 0..steps {
                    floor.insert(-run, step).await?;
                }
                anyhow::Ok(floor)
            })
        })
        .collect();
    let mut floors = Vec::new();
    for task in tasks {
        floors.push(task.await??);
    }
    let elapsed = began.elapsed();
    for floor in floors {
        floor.close().await?;
    }
    Ok((runs * steps) as f64 / elapsed.as_secs_f64())
}
