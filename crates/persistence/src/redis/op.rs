//! The requests to the writer.

use std::borrow::Cow;

use awaitly_core::store::StoreError;
use redis::{Cmd, Value};
use tokio::sync::oneshot;

use super::joined;
use crate::group::{Queued, Sender};

/// A call to carry out, and the caller that waits for its answer.
#[derive(Debug)]
pub(super) struct Op {
    pub(super) call: Cmd,
    pub(super) to: To,
    pub(super) kind: Kind,
    pub(super) caller: Caller,
}

/// The caller of an operation, by the kind of answer that it waits for.
#[derive(Debug)]
pub(super) enum Caller {
    /// No caller waits: a lease is released.
    None,
    /// The caller waits for the reply of the server.
    Reply(Fate<Value>),
    /// The reply may contain a lease, which `release` releases.
    Lease { fate: Fate<Leased>, release: Cmd, back: Sender<Op> },
}

/// The channel for the answer.
pub(super) type Fate<T> = oneshot::Sender<Result<T, StoreError>>;

/// The server that a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    /// Any server.
    Any,
    /// The server that knows the lease. Its identity is added as the last argument when the call is sent.
    One,
}

impl To {
    /// Returns the call in the form for the server of that name.
    pub(super) fn addressed(self, mut call: Cmd, server: &str) -> Cmd {
        match self {
            Self::Any => {}
            Self::One => {
                call.arg(server);
            }
        }
        call
    }
}

/// The properties of a call that the writer needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// No special property.
    Plain,
    /// The call may make a run due.
    Wakes,
    /// The call may make a run due. It is a part of a call for many runs, and the writer joins it with others.
    Part,
    /// The call would not recognise its earlier copy: if its answer is lost, it is not tried again.
    Once,
}

/// A reply with a lease, on its way to the caller. If the caller drops its future before the reply arrives, the lease
/// is released, wherever it is then.
#[derive(Debug)]
pub(super) struct Leased {
    reply: Value,
    /// `None` if the lease has arrived.
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
    /// Takes the reply, and keeps the responsibility for the release of the leases in it.
    pub(super) const fn take(&mut self) -> Value {
        std::mem::replace(&mut self.reply, Value::Nil)
    }

    /// Returns the reply. From now on, the caller is responsible for the release of a lease in it.
    pub(super) fn claim(mut self) -> Value {
        self.back = None;
        std::mem::replace(&mut self.reply, Value::Nil)
    }
}

impl Op {
    pub(super) const fn release(call: Cmd) -> Self {
        Self { call, to: To::Any, kind: Kind::Wakes, caller: Caller::None }
    }

    /// Returns `true` if the operation would give a lease to a caller that is gone.
    pub(super) fn is_moot(&self) -> bool {
        matches!(&self.caller, Caller::Lease { fate, .. } if fate.is_closed())
    }

    /// Returns `true` if the operation must not overtake the earlier one, because both concern one run or one of them
    /// concerns several runs.
    pub(super) fn follows(&self, earlier: &Self) -> bool {
        // The key of many runs ends in the slash before the run id.
        let is_many = |run: &[u8]| run.ends_with(b"/");
        let concerns = |run: Cow<'_, [u8]>| {
            is_many(&run) || earlier.run().is_some_and(|other| other == run || is_many(&other))
        };
        self.kind == Kind::Once || self.run().is_none_or(concerns)
    }

    /// Returns the first key of a script, which is the key of its run, or the beginning of the keys of many runs.
    fn run(&self) -> Option<Cow<'_, [u8]>> {
        let Some(redis::Arg::Simple(key)) = self.call.args_iter().nth(3) else { return None };
        match joined::run_of(&self.call) {
            Some(run) if self.kind == Kind::Part => Some([key, run].concat().into()),
            _ => Some(key.into()),
        }
    }

    /// Sends the answer to the caller. If the caller is gone, the answer is dropped, which releases a lease in it.
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
    fn operation_follows_earlier_one_only_for_its_run() {
        let op = |run, kind| {
            let mut call = redis::cmd("EVALSHA");
            call.arg("hash").arg(2).arg(run).arg("other key");
            Op { call, to: To::Any, kind, caller: Caller::None }
        };
        let earlier = op("order-42", Kind::Plain);
        assert!(op("order-42", Kind::Wakes).follows(&earlier));
        assert!(!op("order-43", Kind::Wakes).follows(&earlier));
        assert!(op("", Kind::Once).follows(&earlier));
        assert!(op("awaitly:run/", Kind::Plain).follows(&earlier));
        assert!(op("order-43", Kind::Plain).follows(&op("awaitly:run/", Kind::Plain)));
        let ping = Op { call: redis::cmd("PING"), to: To::Any, kind: Kind::Plain, caller: Caller::None };
        assert!(ping.follows(&earlier), "it waits for all that was given back");
        assert!(!op("order-43", Kind::Plain).follows(&ping));
    }

    #[tokio::test]
    async fn only_undelivered_lease_is_given_back() {
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
