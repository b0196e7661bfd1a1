//! Notifications between processes: a run may have become due.

use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use awaitly_core::store::Bell;
use futures_util::future::{Either, select};
use sqlx::postgres::{PgConnectOptions, PgListener, PgNotification, PgPool, PgPoolOptions};
use tokio::time::Instant;

use crate::calls::Call;

/// The state of a listening task, which starts with the first listener.
#[derive(Debug, Default)]
pub(super) struct Listening(AtomicBool);

impl Listening {
    /// Starts to listen, unless the task is already running. The task, and `call` with it, ends with the store.
    pub(super) fn begin(
        &self,
        options: &PgConnectOptions,
        channel: String,
        bell: Bell,
        alive: Weak<()>,
        call: Call,
    ) {
        if !self.0.swap(true, Ordering::Relaxed) {
            let options = options.clone();
            tokio::spawn(async move {
                listen(options, channel, bell, alive).await;
                drop(call);
            });
        }
    }
}

async fn listen(options: PgConnectOptions, channel: String, bell: Bell, alive: Weak<()>) {
    while alive.strong_count() > 0 && !bell.has_ended() {
        // The listener needs a separate connection, because it would keep a connection of the pool forever. It gets a
        // new pool each time, so that it never waits for a lost connection.
        let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
        let told = until_ended(&bell, told(&pool, &channel, &bell, &alive)).await;
        // A lost connection may never be returned.
        drop(tokio::time::timeout(Duration::from_secs(1), pool.close()).await);
        match told {
            None | Some(Ok(())) => return,
            Some(Err(error)) => tracing::warn!(%error, "what other processes do is not heard for a moment"),
        }
        // Notifications in the meantime are lost, so all listeners check again.
        until_ended(&bell, tokio::time::sleep(Duration::from_millis(200))).await;
        bell.ring();
    }
}

/// Returns the result of `doing`, or `None` if the store is closed first.
async fn until_ended<T>(bell: &Bell, doing: impl Future<Output = T>) -> Option<T> {
    let mut wakes = bell.listen();
    let ended = pin!(async { while wakes.changed().await {} });
    match select(ended, pin!(doing)).await {
        Either::Left(_) => None,
        Either::Right((done, _)) => Some(done),
    }
}

async fn told(pool: &PgPool, channel: &str, bell: &Bell, alive: &Weak<()>) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    let listening = tokio::time::timeout(SILENCE, listener.listen(channel)).await;
    listening.unwrap_or_else(|_| Err(std::io::Error::from(ErrorKind::TimedOut).into()))?;
    bell.ring();
    let mut heard = Instant::now();
    while alive.strong_count() > 0 && !bell.has_ended() {
        // The timeout lets the task check periodically whether the store has ended.
        if let Ok(told) = tokio::time::timeout(Duration::from_secs(1), listener.try_recv()).await {
            // `None` means that the connection was lost.
            let _: PgNotification = told?.ok_or_else(|| std::io::Error::from(ErrorKind::ConnectionReset))?;
            bell.ring();
            heard = Instant::now();
        } else if heard.elapsed() >= SILENCE {
            // Only a message over the connection reveals that it was cut silently.
            let ping = tokio::time::timeout(SILENCE, sqlx::query("SELECT 1").execute(&mut listener)).await;
            ping.unwrap_or_else(|_| Err(std::io::Error::from(ErrorKind::TimedOut).into()))?;
            heard = Instant::now();
        }
    }
    Ok(())
}

/// The time without a message after which the connection is tested, and the time for the answer to the test.
const SILENCE: Duration = Duration::from_secs(15);
