//! What processes tell each other: that a run may have become due.

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

/// A task that listens, begun when somebody first asks.
#[derive(Debug, Default)]
pub(super) struct Listening(AtomicBool);

impl Listening {
    /// Begins to listen, unless that was done before. The task, and `call` with it, ends with the store.
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
        // A connection of its own: one of the pool's would be missing there for ever. And a pool of its own each time, so
        // that nobody waits for a connection that was lost.
        let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
        let told = until_ended(&bell, told(&pool, &channel, &bell, &alive)).await;
        // A connection that was lost may never be returned.
        drop(tokio::time::timeout(Duration::from_secs(1), pool.close()).await);
        match told {
            None | Some(Ok(())) => return,
            Some(Err(error)) => tracing::warn!(%error, "what other processes do is not heard for a moment"),
        }
        // What was told meanwhile is lost, so everybody looks once more.
        until_ended(&bell, tokio::time::sleep(Duration::from_millis(200))).await;
        bell.ring();
    }
}

/// Returns what `doing` comes to; `None` if the store is closed before.
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
        // Looked at from time to time, so that the task ends with the store.
        if let Ok(told) = tokio::time::timeout(Duration::from_secs(1), listener.try_recv()).await {
            // `None`: the connection was lost.
            let _: PgNotification = told?.ok_or_else(|| std::io::Error::from(ErrorKind::ConnectionReset))?;
            bell.ring();
            heard = Instant::now();
        } else if heard.elapsed() >= SILENCE {
            // A connection that was cut without a word is only noticed by saying something.
            let ping = tokio::time::timeout(SILENCE, sqlx::query("SELECT 1").execute(&mut listener)).await;
            ping.unwrap_or_else(|_| Err(std::io::Error::from(ErrorKind::TimedOut).into()))?;
            heard = Instant::now();
        }
    }
    Ok(())
}

/// How long nothing may be heard before it is asked whether anybody is there, and how long the answer may take.
const SILENCE: Duration = Duration::from_secs(15);
