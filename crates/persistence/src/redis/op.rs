//! What the writer is asked to do.

use awaitly_core::store::StoreError;
use redis::{Cmd, Value};
use tokio::sync::oneshot;

use crate::group::{Queued, Sender};

/// A call to be carried out, and the caller that waits for its answer.
#[derive(Debug)]
pub(super) struct Op {
    pub(super) call: Cmd,
    pub(super) to: To,
    pub(super) kind: Kind,
    pub(super) caller: Caller,
}

/// The caller of an operation, by the answer that it waits for.
#[derive(Debug)]
pub(super) enum Caller {
    /// No caller waits: for a lease that is given back.
    None,
    /// The caller waits for the reply of the server.
    Reply(Fate<Value>),
    /// The reply may hold a lease. `release` gives it back.
    Lease { fate: Fate<Leased>, release: Cmd, back: Sender<Op> },
}

/// Where the answer goes.
pub(super) type Fate<T> = oneshot::Sender<Result<T, StoreError>>;

/// Which server a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    /// Whichever there is.
    Any,
    /// The one that knows the lease: the last argument, which is added when it is sent, says which one it goes to.
    One,
}

/// What is to be known about a call beside what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing.
    Plain,
    /// It may let a run become due.
    Wakes,
    /// It would not recognise itself: if its answer is lost, it is not tried again.
    Once,
}

/// A reply with a lease on its way to the caller. If the caller drops its future before the reply arrives, the lease is
/// given back, wherever it is then.
#[derive(Debug)]
pub(super) struct Leased {
    reply: Value,
    /// `None`: the lease has arrived.
    back: Option<(Cmd, Sender<Op>)>,
}

impl Drop for Leased {
    fn drop(&mut self) {
        if let Some((release, back)) = self.back.take() {
            // If the writer has ended, the lease expires.
            back.send(Op::release(release));
        }
    }
}

impl Leased {
    /// The reply; the caller gives back a lease in it from now on.
    pub(super) fn claim(mut self) -> Value {
        self.back = None;
        std::mem::replace(&mut self.reply, Value::Nil)
    }
}

impl Op {
    pub(super) const fn release(call: Cmd) -> Self {
        Self { call, to: To::Any, kind: Kind::Wakes, caller: Caller::None }
    }

    /// Whether the caller has gone that would be given the lease.
    pub(super) fn is_moot(&self) -> bool {
        matches!(&self.caller, Caller::Lease { fate, .. } if fate.is_closed())
    }

    /// Whether it must not overtake one that was queued earlier: of the same run, or where it is for several.
    pub(super) fn follows(&self, earlier: &Self) -> bool {
        self.kind == Kind::Once || self.run().is_none_or(|run| earlier.run() == Some(run))
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

    /// Gives the caller the answer. If the caller has gone, the answer is dropped, and a lease in it is given back.
    pub(super) fn answer(self, answer: Result<Value, StoreError>) {
        match self.caller {
            Caller::None => {}
            Caller::Reply(fate) => drop(fate.send(answer)),
            Caller::Lease { fate, release, back } => {
                drop(fate.send(answer.map(|reply| Leased { reply, back: Some((release, back)) })));
            }
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

    fn opens(back: Sender<Op>, fate: Fate<Leased>) -> Op {
        let caller = Caller::Lease { fate, release: redis::cmd("RELEASE"), back };
        Op { call: Cmd::new(), to: To::One, kind: Kind::Plain, caller }
    }

    #[test]
    fn what_is_for_one_run_overtakes_what_is_for_another_and_nothing_else() {
        let op = |run, kind| {
            let mut call = redis::cmd("EVALSHA");
            call.arg("hash").arg(2).arg(run).arg("other key");
            Op { call, to: To::Any, kind, caller: Caller::None }
        };
        let earlier = op("order-42", Kind::Plain);
        assert!(op("order-42", Kind::Wakes).follows(&earlier));
        assert!(!op("order-43", Kind::Wakes).follows(&earlier));
        assert!(op("", Kind::Once).follows(&earlier));
        let ping = Op { call: redis::cmd("PING"), to: To::Any, kind: Kind::Plain, caller: Caller::None };
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
