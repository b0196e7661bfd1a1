//! durare on its two databases.
//!
//! A step is a `#[durare::step]` function awaited inside a
//! `#[durare::workflow]`. The engine is not launched, so no background
//! dispatcher of queues or schedules competes with the runs.

mod postgres;
mod sqlite;

use durare::DurableContext;

pub use postgres::DurarePostgres;
pub use sqlite::DurareSqlite;

const NAME: &str = "durare 0.5.0";

#[durare::step]
async fn noop(ctx: &DurableContext, index: u64) -> durare::Result<u64> {
    Ok(index)
}

#[durare::workflow]
async fn chain(ctx: DurableContext, steps: u64) -> durare::Result<u64> {
    let mut sum = 0;
    for index in 0..steps {
        sum += noop(&ctx, index).await?;
    }
    Ok(sum)
}
