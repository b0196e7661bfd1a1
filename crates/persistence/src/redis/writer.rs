//! The writer task.

use std::time::Duration;

use awaitly_core::store::{Bell, StoreError};
use redis::Value;

use super::error::{passes, refused};
use super::joined::{join, split};
use super::link::{Link, Retries, Unanswered};
use super::op::{Kind, Op};
use super::server::Memory;
use crate::group::Receiver;

/// The task that carries out writes. It takes all queued operations, sends them as one pipeline, and answers each of
/// them separately.
///
/// If the connection is lost, it is unknown how much of the pipeline was carried out. The whole pipeline is sent again,
/// in order. This is correct because every script recognises its earlier execution, by a nonce that only its own call
/// carries:
///
/// - A record keeps the nonce of the append or replacement that wrote it, so a second copy finds its own record.
/// - Import, finish and cancel leave their nonces in the run, each in a separate field: before the second copy arrives,
///   another owner may have taken, cancelled or retried the run.
/// - Revive and rewrite share a field: only the holder of the lease calls them, and it waits for one before it starts
///   the other.
/// - An answer is a record, which also keeps the nonce of the question that it answers. A repeated question therefore
///   finds its own answer, and not a foreign record in its place.
/// - A lease is identified by the nonce of the opening that took it.
/// - A received message is a record too. Published values are the same after a second copy, and a stream ignores items
///   that it has already. A restart leaves its nonce in the run.
/// - The server remembers the answers of calls that send messages or change schedules, by their nonces, until the store
///   says that they have arrived.
/// - Renewals and releases have one effect if they are carried out twice.
///
/// A refused script changes nothing, and a second copy is refused for the same reason. Before anything is sent again,
/// the server is made to close the lost connection, so that no command from it arrives after its second copy.
///
/// A server closes the connection on a call that it finds too large. So that this does not affect the other calls, each
/// call is sent alone after a pipeline was lost for the second time.
pub(super) struct Writer {
    pub(super) ops: Receiver<Op>,
    pub(super) link: Link,
    pub(super) bell: Bell,
    pub(super) patience: Duration,
    pub(super) memory: Memory,
}

/// The number of losses of a pipeline before its calls are sent one by one: one of them may make the server close the
/// connection.
const LOSSES: u32 = 2;

impl Writer {
    /// Works until the store is closed or its last handle is dropped.
    pub(super) async fn run(mut self) {
        let mut ops = Vec::new();
        while self.ops.take(&mut ops).await {
            let company = ops.len();
            self.carry_out(&mut ops).await;
            self.ops.gather(company).await;
        }
        // This precedes the drop of the queue, which tells the callers of `close` that everything is closed.
        self.link.close().await;
    }

    async fn carry_out(&self, ops: &mut Vec<Op>) {
        ops.retain(|op| !op.is_moot());
        let (mut retries, mut losses) = (Retries::new(self.patience), 0);
        while !ops.is_empty() {
            let failed =
                if losses < LOSSES { self.send_all(ops).await } else { self.send_each(ops, &retries).await };
            let Some(Unanswered { error, sent }) = failed.filter(|_| !ops.is_empty()) else { return };
            losses += u32::from(sent);
            if let Err(error) = self.pause(&mut retries, error).await {
                give_up(ops, &error, |_| true);
            }
        }
    }

    /// Sends all operations. Keeps those to try again, and returns the reason.
    async fn send_all(&self, ops: &mut Vec<Op>) -> Option<Unanswered> {
        match self.send(ops).await {
            Ok(values) => self.answer(ops, values).map(Unanswered::unsent),
            Err(unanswered) => {
                if unanswered.sent {
                    give_up(ops, &unanswered.error, |op| op.kind == Kind::Once);
                }
                Some(unanswered)
            }
        }
    }

    /// Sends each operation alone, so that a call on which the server closes the connection affects no other call.
    /// Later calls may overtake it, unless they must follow it.
    async fn send_each(&self, ops: &mut Vec<Op>, retries: &Retries) -> Option<Unanswered> {
        let mut failed = None;
        let mut left = std::mem::take(ops).into_iter();
        for op in left.by_ref() {
            if ops.iter().any(|earlier| op.follows(earlier)) {
                ops.push(op);
                continue;
            }
            let mut alone = vec![op];
            let Some(unanswered) = self.send_all(&mut alone).await else { continue };
            ops.append(&mut alone);
            // If the server is away, it is away for all operations.
            let is_over = !unanswered.sent || retries.are_over();
            failed = Some(unanswered);
            if is_over {
                break;
            }
        }
        ops.extend(left);
        failed
    }

    async fn send(&self, ops: &[Op]) -> Result<Vec<Value>, Unanswered> {
        let mut sizes = Vec::new();
        let calls = |server: &str| {
            let server = match self.memory {
                Memory::Unsure => server,
                Memory::Sure => "",
            };
            let (calls, joined) = join(ops, server);
            sizes = joined;
            calls
        };
        let values = self.link.send_to(calls).await?;
        Ok(split(&sizes, values))
    }

    async fn pause(&self, retries: &mut Retries, error: StoreError) -> Result<(), StoreError> {
        if !super::error::is_passing(&error) {
            return Err(error);
        }
        tracing::debug!(%error, "writing again");
        retries.pause(error).await
    }

    /// Sends each operation's result to its caller. Keeps the operations to try again, and returns the reason.
    fn answer(&self, ops: &mut Vec<Op>, values: Vec<Value>) -> Option<StoreError> {
        let (mut again, mut reason) = (Vec::new(), None);
        let mut wakes = false;
        for (op, value) in ops.drain(..).zip(values) {
            match value {
                Value::ServerError(error) if passes(&error) => {
                    reason = Some(refused(&error));
                    again.push(op);
                }
                Value::ServerError(error) => op.answer(Err(refused(&error))),
                value => {
                    wakes |= matches!(op.kind, Kind::Wakes | Kind::Part);
                    op.answer(Ok(value));
                }
            }
        }
        if wakes {
            self.bell.ring();
        }
        *ops = again;
        reason
    }
}

/// Answers the selected operations with an error, and removes them.
fn give_up(ops: &mut Vec<Op>, error: &StoreError, which: impl Fn(&Op) -> bool) {
    for op in ops.extract_if(.., |op| which(op)) {
        op.answer(Err(error.clone()));
    }
}
