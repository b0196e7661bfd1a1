//! Notifications of changes by other processes.

use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use awaitly_core::store::Bell;
use futures_util::StreamExt;
use futures_util::future::select;
use redis::Client;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::calls::Call;

/// The time for which a silent connection is trusted.
const SILENCE: Duration = Duration::from_secs(15);

/// The pause before the connection is restored.
const PAUSE: Duration = Duration::from_millis(500);

/// A subscription to the scripts' notifications, which starts with the first listener and ends on drop.
#[derive(Debug)]
pub(super) struct Listener {
    /// The runtime in which the store was connected, because a listener may be outside of any runtime.
    runtime: Handle,
    client: Client,
    task: OnceLock<AbortHandle>,
}

impl Listener {
    pub(super) fn new(client: Client) -> Self {
        Self { runtime: Handle::current(), client, task: OnceLock::new() }
    }

    /// Starts to listen, unless the task is already running. The task, and `call` with it, ends when the store is
    /// closed.
    pub(super) fn start(&self, channel: String, bell: &Bell, call: Call) {
        self.task.get_or_init(|| {
            let (client, bell) = (self.client.clone(), bell.clone());
            let mut wakes = bell.listen();
            let task = self.runtime.spawn(async move {
                let ended = pin!(async { while wakes.changed().await {} });
                select(ended, pin!(hear(client, channel, bell))).await;
                drop(call);
            });
            task.abort_handle()
        });
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

async fn hear(client: Client, channel: String, bell: Bell) {
    loop {
        let Err(error) = hear_until_lost(&client, &channel, &bell).await;
        tracing::debug!(%error, "subscribing again");
        sleep(PAUSE).await;
    }
}

async fn hear_until_lost(
    client: &Client,
    channel: &str,
    bell: &Bell,
) -> Result<std::convert::Infallible, Box<dyn std::error::Error + Send + Sync>> {
    let connecting = timeout(SILENCE, client.get_async_pubsub()).await??;
    let (mut sink, mut heard) = connecting.split();
    timeout(SILENCE, sink.subscribe(channel)).await??;
    // Earlier notifications were missed.
    bell.ring();
    loop {
        match timeout(SILENCE, heard.next()).await {
            Ok(Some(_)) => bell.ring(),
            Ok(None) => return Err("the connection was closed".into()),
            // A connection that was cut silently looks like a quiet one.
            Err(_) => timeout(SILENCE, sink.ping::<redis::Value>()).await?.map(drop::<redis::Value>)?,
        }
    }
}
