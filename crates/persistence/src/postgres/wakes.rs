//! What processes tell each other: that a run may have become due.

use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use awaitly_core::store::Bell;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};

/// A task that listens, begun when somebody first asks.
#[derive(Debug, Default)]
pub(super) struct Listening(AtomicBool);

impl Listening {
    /// Begins to listen, unless that was done before. The task ends with the store.
    pub(super) fn begin(&self, options: &PgConnectOptions, channel: String, bell: Bell, alive: Weak<()>) {
        if !self.0.swap(true, Ordering::Relaxed) {
            // A connection of its own: one of the pool's would be missing there for ever.
            let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
            tokio::spawn(listen(pool, channel, bell, alive));
        }
    }
}

async fn listen(pool: PgPool, channel: String, bell: Bell, alive: Weak<()>) {
    while alive.strong_count() > 0 {
        match told(&pool, &channel, &bell, &alive).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, "what other processes do is not heard for a moment"),
        }
        // What was told meanwhile is lost, so everybody looks once more.
        tokio::time::sleep(Duration::from_millis(200)).await;
        bell.ring();
    }
}

async fn told(pool: &PgPool, channel: &str, bell: &Bell, alive: &Weak<()>) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(channel).await?;
    bell.ring();
    while alive.strong_count() > 0 {
        // Looked at from time to time, so that the task ends with the store.
        if let Ok(told) = tokio::time::timeout(Duration::from_secs(1), listener.recv()).await {
            told?;
            bell.ring();
        }
    }
    Ok(())
}
