//! What processes tell each other: that a run may have become due.

use std::io::ErrorKind;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use awaitly_core::store::Bell;
use sqlx::postgres::{PgConnectOptions, PgListener, PgNotification, PgPoolOptions};
use tokio::time::Instant;

/// A task that listens, begun when somebody first asks.
#[derive(Debug, Default)]
pub(super) struct Listening(AtomicBool);

impl Listening {
    /// Begins to listen, unless that was done before. The task ends with the store.
    pub(super) fn begin(&self, options: &PgConnectOptions, channel: String, bell: Bell, alive: Weak<()>) {
        if !self.0.swap(true, Ordering::Relaxed) {
            tokio::spawn(listen(options.clone(), channel, bell, alive));
        }
    }
}

async fn listen(options: PgConnectOptions, channel: String, bell: Bell, alive: Weak<()>) {
    while alive.strong_count() > 0 && !bell.has_ended() {
        match told(options.clone(), &channel, &bell, &alive).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, "what other processes do is not heard for a moment"),
        }
        // What was told meanwhile is lost, so everybody looks once more.
        tokio::time::sleep(Duration::from_millis(200)).await;
        bell.ring();
    }
}

async fn told(
    options: PgConnectOptions,
    channel: &str,
    bell: &Bell,
    alive: &Weak<()>,
) -> Result<(), sqlx::Error> {
    // A connection of its own: one of the pool's would be missing there for ever. And a pool of its own each time, so
    // that nobody waits for a connection that was lost.
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
    let mut listener = PgListener::connect_with(&pool).await?;
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
