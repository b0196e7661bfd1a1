//! What the writer is asked to do.

use awaitly_core::store::StoreError;
use redis::{Cmd, Value};
use tokio::sync::oneshot;

use crate::group::{Queued, Sender};

/// A script to be carried out, and who waits for what becomes of it.
#[derive(Debug)]
pub(super) struct Op {
    pub(super) call: Cmd,
    pub(super) to: To,
    pub(super) kind: Kind,
    /// Nobody waits for a lease that is given back.
    pub(super) fate: Option<Fate>,
}

/// Where the answer goes.
pub(super) type Fate = oneshot::Sender<Result<Answer, StoreError>>;

/// Which server a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    /// Whichever there is.
    Any,
    /// The one that knows the lease: the last argument, which is added when it is sent, says which one it goes to.
    One,
}

/// What is to be known about a script beside what it does.
#[derive(Debug)]
pub(super) enum Kind {
    /// Nothing.
    Plain,
    /// It may let a run become due.
    Wakes,
    /// It would not recognise itself: where its answer was lost, it is not tried again.
    Once,
    /// It may take a lease, which this gives back.
    Opens { release: Cmd, back: Sender<Op> },
}

/// What the server said.
#[derive(Debug)]
pub(super) struct Answer {
    value: Value,
    lease: Unclaimed,
}

/// A lease on its way to who asked for it. Where that future is dropped before the lease has arrived, the lease
/// is given back, wherever it is then.
#[derive(Debug)]
struct Unclaimed(Option<(Cmd, Sender<Op>)>);

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some((release, back)) = self.0.take() {
            // Where the writer has ended, the lease expires.
            back.send(Op::release(release));
        }
    }
}

impl Answer {
    /// The answer, to somebody who gives back a lease in it.
    pub(super) fn claim(mut self) -> Value {
        self.lease.0 = None;
        std::mem::replace(&mut self.value, Value::Nil)
    }
}

impl Op {
    pub(super) const fn release(call: Cmd) -> Self {
        Self { call, to: To::Any, kind: Kind::Wakes, fate: None }
    }

    /// Whether nobody is there any more to be given the lease.
    pub(super) fn is_moot(&self) -> bool {
        matches!(self.kind, Kind::Opens { .. }) && self.fate.as_ref().is_some_and(oneshot::Sender::is_closed)
    }

    /// Whether it must not overtake one that was queued earlier: of the same run, or where it is for several.
    pub(super) fn follows(&self, earlier: &Self) -> bool {
        matches!(self.kind, Kind::Once) || self.run().is_none_or(|run| earlier.run() == Some(run))
    }

    /// The first key of a script, which is that of its run.
    fn run(&self) -> Option<&[u8]> {
        match self.call.args_iter().nth(3) {
            Some(redis::Arg::Simple(key)) => Some(key),
            _ => None,
        }
    }

    /// The call as it is sent to the server of that name.
    pub(super) fn call_to(&self, server: &str) -> Cmd {
        let mut call = self.call.clone();
        match self.to {
            To::Any => {}
            To::One => {
                call.arg(server);
            }
        }
        call
    }

    /// Tells who asked. Where nobody waits any more the answer is dropped, and a lease in it is given back.
    pub(super) fn answer(self, answer: Result<Value, StoreError>) {
        let lease = match self.kind {
            Kind::Opens { release, back } => Some((release, back)),
            Kind::Plain | Kind::Wakes | Kind::Once => None,
        };
        if let Some(fate) = self.fate {
            drop(fate.send(answer.map(|value| Answer { value, lease: Unclaimed(lease) })));
        }
    }
}

impl Queued for Op {
    fn bytes(&self) -> usize {
        self.call
            .args_iter()
            .map(|arg| if let redis::Arg::Simple(bytes) = arg { bytes.len() } else { 0 })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::queue;

    fn opens(back: Sender<Op>, fate: Fate) -> Op {
        let kind = Kind::Opens { release: redis::cmd("RELEASE"), back };
        Op { call: Cmd::new(), to: To::One, kind, fate: Some(fate) }
    }

    #[test]
    fn what_is_for_one_run_overtakes_what_is_for_another_and_nothing_else() {
        let op = |run, kind| {
            let mut call = redis::cmd("EVALSHA");
            call.arg("hash").arg(2).arg(run).arg("other key");
            Op { call, to: To::Any, kind, fate: None }
        };
        let earlier = op("order-42", Kind::Plain);
        assert!(op("order-42", Kind::Wakes).follows(&earlier));
        assert!(!op("order-43", Kind::Wakes).follows(&earlier));
        assert!(op("", Kind::Once).follows(&earlier));
        let ping = Op { call: redis::cmd("PING"), to: To::Any, kind: Kind::Plain, fate: None };
        assert!(ping.follows(&earlier), "it waits for all that was given back");
        assert!(!op("order-43", Kind::Plain).follows(&ping));
    }

    #[tokio::test]
    async fn a_lease_that_did_not_arrive_is_given_back_and_one_that_did_is_not() {
        let (back, mut given_back) = queue::<Op>(1);
        let (fate, arrives) = oneshot::channel();
        opens(back.clone(), fate).answer(Ok(Value::Okay));
        assert_eq!(arrives.await.unwrap().unwrap().claim(), Value::Okay);

        let (fate, dropped) = oneshot::channel();
        drop(dropped);
        let op = opens(back.clone(), fate);
        assert!(op.is_moot());
        op.answer(Ok(Value::Okay));
        let (fate, arrives) = oneshot::channel();
        opens(back, fate).answer(Ok(Value::Okay));
        drop(arrives);
        let mut ops = Vec::new();
        while given_back.take(&mut ops).await {}
        assert_eq!(ops.len(), 2);
        assert!(ops.iter().all(|op| op.call.args_iter().next() == Some(redis::Arg::Simple(b"RELEASE"))));
    }
}
