//! The task that writes.

use std::time::Duration;

use awaitly_core::store::{Bell, StoreError};
use redis::{Pipeline, Value};

use super::error::{passes, refused};
use super::link::{Link, Retries, Unanswered};
use super::op::{Kind, Op};
use super::server::Memory;
use crate::group::Receiver;

/// Takes everything that is queued, sends it as one pipeline, and answers each for itself.
///
/// Where the connection is lost, nobody knows how much of the pipeline was carried out. All of it is sent again,
/// in its order, and that is right because every script recognises that it was carried out before, by a nonce
/// that only its own call carries:
///
/// - a record keeps the nonce of the append or replacement that wrote it, so the second one finds itself;
/// - importing, finishing and cancelling leave theirs in the run, each in a field of its own that the others leave
///   alone: before the second sending somebody else may have taken the run up, cancelled or retried it;
/// - reviving and rewriting share a field: they are for the holder of the lease, who waits for one of them before
///   it starts another;
/// - an answer is a record, and it keeps also the nonce of the question that it answers, so that who asked again
///   finds the question answered, and not somebody else's record in its place;
/// - a lease is named by the nonce of who opened the run;
/// - renewing and giving back do the same when done twice.
///
/// A script that is refused changes nothing, and is refused again for the same reason. Before anything is sent
/// again, the server is made to close the lost connection, so that nothing comes after its second sending.
///
/// A server hangs up on a call that it finds too large. So that the others do not share its lot, each is sent alone
/// once they were lost together for a second time.
pub(super) struct Writer {
    pub(super) ops: Receiver<Op>,
    pub(super) link: Link,
    pub(super) bell: Bell,
    pub(super) patience: Duration,
    pub(super) memory: Memory,
}

/// How often a pipeline is lost before its calls are sent one by one: one of them may be what the server hangs up on.
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
        // Before the queue is dropped, which tells the callers of `close` that all is closed.
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

    /// Keeps those that are to be tried again, with the reason.
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

    /// The same for each alone, so that one which the server hangs up on takes no other with it. It is overtaken
    /// then, but not by what has to come after it.
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
            // Where the server is away, it is so for all.
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
        let calls = |server: &str| {
            let server = match self.memory {
                Memory::Unsure => server,
                Memory::Sure => "",
            };
            let mut pipeline = Pipeline::with_capacity(ops.len());
            for op in ops {
                pipeline.add_command(op.call_to(server));
            }
            pipeline
        };
        self.link.send_to(calls).await
    }

    async fn pause(&self, retries: &mut Retries, error: StoreError) -> Result<(), StoreError> {
        if !super::error::is_passing(&error) {
            return Err(error);
        }
        tracing::debug!(%error, "writing again");
        retries.pause(error).await
    }

    /// Tells everybody what became of their operation, and keeps those that are to be tried again, with the
    /// reason.
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
                    wakes |= op.kind == Kind::Wakes;
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

/// Answers some of the operations with an error, and takes them out.
fn give_up(ops: &mut Vec<Op>, error: &StoreError, which: impl Fn(&Op) -> bool) {
    for op in ops.extract_if(.., |op| which(op)) {
        op.answer(Err(error.clone()));
    }
}
