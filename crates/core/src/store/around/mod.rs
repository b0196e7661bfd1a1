//! A store that wraps another store: one method of the wrapper handles all calls.
//!
//! A type that implements [`Around`] is a [`Store`]. It is also an [`Operate`], a [`Dispatch`] and a
//! [`Transactional`] if the inner store is one. Use it for metrics, for the encryption of values, or to inject faults.

mod calls;
mod request;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub use calls::{Call, Calls};
pub use request::{Parts, Reply, Request};

use super::table::calls;
use super::{
    Answer, Cancelled, Claim, Claimed, Configure, DeleteIf, Dispatch, Due, DueQuery, Durability, Ending,
    Input, Lease, Message, OnRecorded, Open, Opened, Operate, Page, Pausing, Publish, PutSchedule,
    QueueState, Renewed, Reschedule, Rewrite, RunId, RunQuery, RunSummary, ScheduleQuery, Standing, Store,
    StoreError, StoredRun, StoredSchedule, StreamPart, Submit, Submitted, Transactional, Unsent, Wait,
    WaitQuery, Waiting, Wakes,
};
use crate::dispatch::Queue;
use crate::journal::{Header, Key, Outcome, Payload, Record, Refused, Settling, Timestamp, Unanswered};

/// Wraps a store, with code before and after each of its calls.
///
/// `docs/stores.md` has an example that encrypts all values. This one counts calls:
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::{Arc, Mutex};
///
/// use awaitly_core::store::{Around, Store, StoreError};
/// use awaitly_core::store::around::{Call, Request};
///
/// /// Counts the calls of each kind, and those that failed.
/// #[derive(Clone)]
/// struct Counted<S> {
///     store: S,
///     counts: Arc<Mutex<HashMap<(Call, bool), u64>>>,
/// }
///
/// impl<S: Store> Around for Counted<S> {
///     type Inner = S;
///
///     fn inner(&self) -> &S {
///         &self.store
///     }
///
///     async fn around<R: Request<S>>(&self, request: R) -> Result<R::Answer, StoreError> {
///         let answer = request.send(&self.store).await;
///         *self.counts.lock().unwrap().entry((R::CALL, answer.is_ok())).or_default() += 1;
///         answer
///     }
/// }
/// ```
///
/// The wrapper must keep the promises of [`Store`]. For example, it must not answer `Ok` to a write that the inner
/// store did not acknowledge.
///
/// # Cancel safety
/// Dropping the future of a call drops the future of [`around`](Self::around).
pub trait Around: Send + Sync + 'static {
    /// The inner store.
    type Inner: Store;

    /// Returns the inner store.
    fn inner(&self) -> &Self::Inner;

    /// Answers a call. [`Request::send`] passes the call to the inner store. [`Request::parts`] gives access to the
    /// arguments before that, and [`Request::reply`] to the answer after it; both may be changed.
    ///
    /// # Errors
    /// Returns the error for the caller.
    fn around<R: Request<Self::Inner>>(
        &self,
        request: R,
    ) -> impl Future<Output = Result<R::Answer, StoreError>> + Send;

    /// Releases a lease, as [`Store::release`] does. This call has no answer, so [`around`](Self::around) does not see
    /// it.
    fn release_around(&self, lease: &Lease) {
        self.inner().release(lease);
    }
}

/// Writes the methods of a trait from the list of its calls: each method goes through [`Around::around`].
macro_rules! sent {
    ($trait:ident $($Call:ident $name:ident (
        $(& $by:ident: $by_type:ty;)? $($arg:ident: $type:ty),*
    ) -> $answer:ty;)*) => {$(
        fn $name(
            &self,
            $($by: &$by_type,)?
            $($arg: $type),*
        ) -> impl Future<Output = Result<$answer, StoreError>> + Send {
            #[derive(Clone)]
            struct Asked {
                $($by: $by_type,)?
                $($arg: $type),*
            }

            impl<S: $trait> Request<S> for Asked {
                type Answer = $answer;

                const CALL: Call = Call::$Call;

                fn parts(&mut self) -> Parts<'_> {
                    let Self { $($by,)? $($arg),* } = self;
                    Parts::$Call { $($by,)? $($arg),* }
                }

                fn reply(answer: &mut $answer) -> Reply<'_> {
                    Reply::$Call(answer)
                }

                fn again(&self) -> Option<Self> {
                    Some(self.clone())
                }

                async fn send(self, store: &S) -> Result<$answer, StoreError> {
                    let Self { $($by,)? $($arg),* } = self;
                    store.$name($(&$by,)? $($arg),*).await
                }
            }

            self.around(Asked { $($by: $by.clone(),)? $($arg),* })
        }
    )*};
}

macro_rules! stores {
    (Store { $($store:tt)* } Operate { $($operate:tt)* } Dispatch { $($dispatch:tt)* }) => {
        impl<W: Around> Store for W {
            sent! { Store $($store)* }

            fn release(&self, lease: &Lease) {
                self.release_around(lease);
            }

            fn durability(&self) -> &'static str {
                self.inner().durability()
            }
        }

        impl<W: Around<Inner: Operate>> Operate for W {
            sent! { Operate $($operate)* }

            fn wakes(&self) -> Wakes {
                self.inner().wakes()
            }
        }

        impl<W: Around<Inner: Dispatch>> Dispatch for W {
            sent! { Dispatch $($dispatch)* }
        }
    };
}

calls!(stores);

impl<W: Around<Inner: Transactional>> Transactional for W {
    type Transaction = <W::Inner as Transactional>::Transaction;

    fn begin(&self) -> impl Future<Output = Result<Self::Transaction, StoreError>> + Send {
        self.around(Begin)
    }

    fn commit(
        &self,
        transaction: Self::Transaction,
        lease: &Lease,
        record: Record,
        on_recorded: OnRecorded,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.around(Commit { transaction, lease: lease.clone(), record, on_recorded })
    }
}

struct Begin;

impl<S: Transactional> Request<S> for Begin {
    type Answer = S::Transaction;

    const CALL: Call = Call::Begin;

    fn parts(&mut self) -> Parts<'_> {
        Parts::Begin
    }

    fn reply(_: &mut S::Transaction) -> Reply<'_> {
        Reply::Begin
    }

    fn again(&self) -> Option<Self> {
        Some(Self)
    }

    async fn send(self, store: &S) -> Result<S::Transaction, StoreError> {
        store.begin().await
    }
}

struct Commit<T> {
    transaction: T,
    lease: Lease,
    record: Record,
    on_recorded: OnRecorded,
}

impl<S: Transactional> Request<S> for Commit<S::Transaction> {
    type Answer = ();

    const CALL: Call = Call::Commit;

    fn parts(&mut self) -> Parts<'_> {
        let Self { lease, record, on_recorded, .. } = self;
        Parts::Commit { lease, record, on_recorded }
    }

    fn reply(answer: &mut ()) -> Reply<'_> {
        Reply::Commit(answer)
    }

    fn again(&self) -> Option<Self> {
        None
    }

    async fn send(self, store: &S) -> Result<(), StoreError> {
        let Self { transaction, lease, record, on_recorded } = self;
        store.commit(transaction, &lease, record, on_recorded).await
    }
}
