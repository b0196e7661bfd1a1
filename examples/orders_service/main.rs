//! A web service with durable orders: the API and the worker in one process.
//!
//! ```sh
//! cargo run --example orders_service                       # keeps its orders in `orders.db`
//! curl -X PUT localhost:3000/orders/42 -d tea              # places an order, and waits up to two seconds for it
//! curl localhost:3000/orders/42                            # shows its state
//! curl -X DELETE localhost:3000/orders/42                  # cancels it: the worker gives the stock back
//! curl localhost:3000/schedules                            # shows the report that runs each minute
//! ```
//!
//! Kill the process with `kill -9` in the middle of an order, and start it again: the order continues. SIGTERM and
//! Ctrl-C stop the process in an orderly manner. With `DATABASE_URL=postgres://..`, the orders are in PostgreSQL, and
//! the store uses the connection pool of the application. Any number of processes share the orders.

mod api;
mod order;

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use awaitly::DurableRun;
use awaitly::clock::{mins, secs};
use awaitly::engine::{Client, Queue, Schedule, Worker};
use awaitly::persistence::{PostgresStore, SqliteStore};
use awaitly::store::Dispatch;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use order::{ORDER, REPORT, Warehouse, place_order, report};

#[tokio::main]
async fn main() -> Result<()> {
    let address = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener =
        TcpListener::bind(&address).await.with_context(|| format!("cannot listen on {address}"))?;
    println!("listening on {}", listener.local_addr()?);
    match std::env::var("DATABASE_URL") {
        Ok(url) => {
            let pool = sqlx::PgPool::connect(&url).await?;
            let store = PostgresStore::open(pool.clone()).await?;
            serve(store.clone(), listener).await?;
            store.close().await?;
            pool.close().await;
        }
        Err(_) => {
            let file = std::env::var("ORDERS").unwrap_or_else(|_| "orders.db".to_owned());
            let store = SqliteStore::open(file).await?;
            serve(store.clone(), listener).await?;
            store.close().await?;
        }
    }
    println!("stopped");
    Ok(())
}

/// Serves the API and executes orders until a signal comes.
async fn serve<S: Dispatch + Clone>(store: S, listener: TcpListener) -> Result<()> {
    let client = Client::new(store.clone());
    client.schedule("report", Schedule::every(mins(1)), REPORT, &()).await?;

    let warehouse = Arc::new(Warehouse { latency: latency()? });
    let worker = Worker::new(store)
        .serve(ORDER, move |run: DurableRun, sku: String| {
            let warehouse = Arc::clone(&warehouse);
            async move { place_order(&run, &warehouse, &sku).await }
        })
        .serve(REPORT, report)
        .queue(Queue::new("orders").concurrency(50))
        .grace(secs(10));

    let mut terminate = signal(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let server =
        axum::serve(listener, api::router(client)).with_graceful_shutdown(stop.clone().cancelled_owned());
    let stopping = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        println!("stopping");
        stop.cancel();
    };
    let (served, worked, ()) =
        tokio::join!(server.into_future(), worker.run_until(stop.clone().cancelled_owned()), stopping);
    served?;
    Ok(worked?)
}

/// Returns the time that each call to the warehouse takes. With a large `LATENCY_MS`, you can kill the process during
/// an order.
fn latency() -> Result<Duration> {
    let millis = std::env::var("LATENCY_MS").unwrap_or_else(|_| "50".to_owned());
    Ok(Duration::from_millis(millis.parse().context("LATENCY_MS must be a number")?))
}
