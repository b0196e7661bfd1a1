//! A connection to the server that is restored after a loss.

use std::sync::Arc;
use std::time::Duration;

use awaitly_core::store::StoreError;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError, Value};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::error::{is_passing, lost, refused, unavailable};
use super::reply;
use super::scripts::Script;

/// A connection, or `None` while it is lost.
#[derive(Debug)]
pub(super) struct Link {
    client: Client,
    config: AsyncConnectionConfig,
    patience: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    live: Option<Live>,
    /// The connection that was lost last; commands over it may still be in flight.
    stale: Option<Peer>,
}

#[derive(Debug, Clone)]
struct Live {
    connection: MultiplexedConnection,
    peer: Peer,
}

/// A connection, identified as on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Peer {
    /// The identity of the server and of its last start.
    server: Arc<str>,
    id: i64,
}

/// Commands that got no answer.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) error: StoreError,
    /// Whether the commands may have been carried out.
    pub(super) sent: bool,
}

impl Unanswered {
    pub(super) const fn unsent(error: StoreError) -> Self {
        Self { error, sent: false }
    }
}

/// The first and the longest pause before another attempt.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

impl Link {
    pub(super) fn new(client: Client, patience: Duration) -> Self {
        // A missing answer may mean that the network drops everything, so enough time must be left for another
        // connection.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(patience.min(Duration::from_secs(5))))
            .set_response_timeout(Some((patience / 3).max(Duration::from_millis(100))));
        Self { client, config, patience, state: Mutex::default() }
    }

    /// Sends commands once, and returns the answer to each.
    pub(super) async fn send(&self, commands: &Pipeline) -> Result<Vec<Value>, Unanswered> {
        let live = self.live().await.map_err(Unanswered::unsent)?;
        self.send_over(live, commands).await
    }

    /// Sends commands that contain the identity of the server and of its start.
    pub(super) async fn send_to(
        &self,
        commands: impl FnOnce(&str) -> Pipeline,
    ) -> Result<Vec<Value>, Unanswered> {
        let live = self.live().await.map_err(Unanswered::unsent)?;
        let commands = commands(&live.peer.server);
        self.send_over(live, &commands).await
    }

    async fn send_over(&self, live: Live, commands: &Pipeline) -> Result<Vec<Value>, Unanswered> {
        let Live { mut connection, peer } = live;
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        match answers(&mut connection, commands).await {
            Ok(values) => {
                if values.iter().any(must_connect_anew) {
                    self.leave(&peer).await;
                }
                Ok(values)
            }
            Err(error) => {
                self.leave(&peer).await;
                Err(Unanswered { error: lost(&error), sent: true })
            }
        }
    }

    /// Sends commands that change nothing, repeatedly if necessary, and returns the answer to each.
    pub(super) async fn read(&self, commands: &Pipeline) -> Result<Vec<Value>, StoreError> {
        let mut retries = Retries::new(self.patience);
        loop {
            let read =
                self.send(commands).await.map_err(|unanswered| unanswered.error).and_then(all_accepted);
            match read {
                Err(error) if is_passing(&error) => retries.pause(error).await?,
                read => return read,
            }
        }
    }

    /// Closes the connection, if it is open. The server confirms this, unless it is away.
    pub(super) async fn close(&self) {
        let mut state = self.state.lock().await;
        if let Some(Live { mut connection, .. }) = state.live.take() {
            let mut quit = redis::pipe();
            quit.cmd("QUIT");
            drop(answers(&mut connection, &quit).await);
        }
    }

    async fn live(&self) -> Result<Live, StoreError> {
        let mut state = self.state.lock().await;
        if let Some(live) = &state.live {
            return Ok(live.clone());
        }
        let live = self.connect(state.stale.as_ref()).await?;
        state.stale = None;
        state.live = Some(live.clone());
        Ok(live)
    }

    /// Marks the connection for replacement before its next use.
    async fn leave(&self, peer: &Peer) {
        let mut state = self.state.lock().await;
        if let Some(live) = state.live.take_if(|live| live.peer == *peer) {
            state.stale = Some(live.peer);
        }
    }

    async fn connect(&self, stale: Option<&Peer>) -> Result<Live, StoreError> {
        let connecting = self.client.get_multiplexed_async_connection_with_config(&self.config);
        let mut connection = connecting.await.map_err(|error| lost(&error))?;
        let mut greeting = redis::pipe();
        greeting.cmd("CLIENT").arg("ID").cmd("INFO").arg("server");
        for load in Script::load_all() {
            greeting.add_command(load);
        }
        let answers = answers(&mut connection, &greeting).await.map_err(|error| lost(&error))?;
        let mut answers = all_accepted(answers)?.into_iter();
        let id = answers.next().and_then(|id| redis::from_redis_value(id).ok());
        let info = answers.next().and_then(reply::text).unwrap_or_default();
        let (Some(id), Some(server)) = (id, reply::entry(&info, "run_id")) else {
            return Err(unavailable(&"it does not say who it is"));
        };
        let peer = Peer { server: server.into(), id };
        if let Some(stale) = stale.filter(|stale| stale.server == peer.server) {
            cut(&mut connection, stale).await.map_err(|error| lost(&error))?;
        }
        Ok(Live { connection, peer })
    }
}

/// Makes the server close the lost connection, if the server still has it.
///
/// Unanswered commands are sent again. Without this call, the first copy could be carried out after the second one and
/// after later commands, because a network may delay it for any time. If the user lacks the right to close connections,
/// a late replacement may undo a newer one; appends, endings and openings recognise their earlier copy however late it
/// is.
async fn cut(connection: &mut MultiplexedConnection, stale: &Peer) -> Result<(), RedisError> {
    let mut cut = redis::pipe();
    cut.cmd("CLIENT").arg("KILL").arg("ID").arg(stale.id);
    for answer in answers(connection, &cut).await? {
        if let Value::ServerError(error) = answer {
            tracing::warn!(%error, "the server did not close a lost connection: a late write may undo a newer one");
        }
    }
    Ok(())
}

async fn answers(
    connection: &mut MultiplexedConnection,
    commands: &Pipeline,
) -> Result<Vec<Value>, RedisError> {
    connection.send_packed_commands(commands, 0, commands.len()).await
}

/// Returns the answers, or the first refusal among them.
fn all_accepted(values: Vec<Value>) -> Result<Vec<Value>, StoreError> {
    let refusal = values.iter().find_map(|value| match value {
        Value::ServerError(error) => Some(refused(error)),
        _ => None,
    });
    refusal.map_or(Ok(values), Err)
}

/// Returns `true` if another connection may do better: one that knows the scripts, or leads to a server that has become
/// writable.
fn must_connect_anew(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if matches!(error.code(), "NOSCRIPT" | "READONLY"))
}

/// The attempts of a call, with growing pauses, until its patience ends.
#[derive(Debug)]
pub(super) struct Retries {
    until: Instant,
    pause: Duration,
}

impl Retries {
    pub(super) fn new(patience: Duration) -> Self {
        Self { until: Instant::now() + patience, pause: PAUSES.0 }
    }

    /// Returns `true` if no time is left for another attempt.
    pub(super) fn are_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Waits before the next attempt. Returns the error if no further attempt is allowed.
    pub(super) async fn pause(&mut self, error: StoreError) -> Result<(), StoreError> {
        if Instant::now() + self.pause >= self.until {
            return Err(error);
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
        Ok(())
    }
}
