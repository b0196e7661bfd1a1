use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::super::table::calls;
use super::super::{
    Answer, Cancelled, Claim, Claimed, Configure, DeleteIf, Due, DueQuery, Durability, Ending, Input, Lease,
    Message, OnRecorded, Open, Opened, Page, Pausing, Publish, PutSchedule, QueueState, Renewed, Reschedule,
    Rewrite, RunId, RunQuery, RunSummary, ScheduleQuery, Standing, StoreError, StoredRun, StoredSchedule,
    StreamPart, Submit, Submitted, Unsent, Wait, WaitQuery, Waiting,
};
use super::Call;
use crate::dispatch::Queue;
use crate::journal::{
    Contents, Header, Key, Outcome, Payload, Record, Refused, Settling, Timestamp, Unanswered, WaitEntry,
};

/// A call on its way to a store of type `S`. Only [`Around`](super::Around) makes requests.
///
/// A wrapper that repeats a call if the store did not answer:
///
/// ```
/// use awaitly_core::store::{Around, Store, StoreError};
/// use awaitly_core::store::around::Request;
///
/// struct Insistent<S>(S);
///
/// impl<S: Store> Around for Insistent<S> {
///     type Inner = S;
///
///     fn inner(&self) -> &S {
///         &self.0
///     }
///
///     async fn around<R: Request<S>>(&self, request: R) -> Result<R::Answer, StoreError> {
///         let again = request.again();
///         match (request.send(&self.0).await, again) {
///             (Err(StoreError::Unavailable { .. }), Some(again)) => again.send(&self.0).await,
///             (answer, _) => answer,
///         }
///     }
/// }
/// ```
pub trait Request<S>: Send + Sized {
    /// The answer of the store.
    type Answer: Send + 'static;

    /// The kind of the call.
    const CALL: Call;

    /// Returns the arguments, to read or change them.
    fn parts(&mut self) -> Parts<'_>;

    /// Returns a view of an answer, to read or change it.
    fn reply(answer: &mut Self::Answer) -> Reply<'_>;

    /// Returns a copy, for a wrapper that may call the store twice. Returns `None` for [`Call::Commit`], whose
    /// transaction exists only once.
    fn again(&self) -> Option<Self>;

    /// Calls the store.
    ///
    /// # Errors
    /// Returns the error of the store.
    fn send(self, store: &S) -> impl Future<Output = Result<Self::Answer, StoreError>> + Send;

    /// Returns the answer that a store gives when it carries out the write, without calling the store. Only a wrapper
    /// that breaks the promises of a store on purpose needs it. Returns `None` if the answer is not known in advance.
    fn acknowledge(&mut self) -> Option<Self::Answer> {
        let answer: Box<dyn Any> = match self.parts() {
            Parts::Append { .. }
            | Parts::Replace { .. }
            | Parts::Wait { .. }
            | Parts::Revive { .. }
            | Parts::Rewrite { .. }
            | Parts::Finish { .. }
            | Parts::Restart { .. }
            | Parts::Commit { .. } => Box::new(()),
            Parts::Settle { record, .. } => Box::new(Some(record.outcome.clone())),
            _ => return None,
        };
        answer.downcast().ok().map(|answer| *answer)
    }
}

macro_rules! views {
    ($($trait:ident { $($Call:ident $name:ident (
        $(& $by:ident: $by_type:ty;)? $($arg:ident: $type:ty),*
    ) -> $answer:ty;)* })*) => {
        /// The arguments of a call.
        #[derive(Debug)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "each is named for the call and the argument that it is")]
        pub enum Parts<'a> {
            $($($Call { $($by: &'a mut $by_type,)? $($arg: &'a mut $type),* },)*)*
            Begin,
            Commit { lease: &'a mut Lease, record: &'a mut Record, on_recorded: &'a mut OnRecorded },
        }

        /// The answer to a call.
        #[derive(Debug)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "each is named for the call that it answers")]
        pub enum Reply<'a> {
            $($($Call(&'a mut $answer),)*)*
            Begin,
            Commit(&'a mut ()),
        }
    };
}

calls!(views);

impl<'a> Parts<'a> {
    /// Returns the run, if the call is about exactly one run.
    ///
    /// ```
    /// use awaitly_core::store::around::Parts;
    /// use awaitly_core::store::{RunId, RunQuery};
    ///
    /// let mut order = RunId::new("order-42").unwrap();
    /// let load = Parts::Load { run: &mut order };
    /// assert_eq!(load.run().map(|run| &**run), Some("order-42"));
    /// assert_eq!(Parts::List { query: &mut RunQuery::new() }.run(), None); // about many runs
    /// ```
    #[must_use]
    pub fn run(&self) -> Option<&RunId> {
        match self {
            Self::Open { request } => Some(&request.run),
            Self::Load { run }
            | Self::Cancel { run }
            | Self::CancelWithoutUndo { run }
            | Self::Import { run, .. }
            | Self::Standing { run }
            | Self::Published { run, .. }
            | Self::Stream { run, .. } => Some(run),
            Self::SendMail { messages } => only(messages).map(|message| &message.run),
            Self::Waiting { query } => query.run.as_ref(),
            Self::Answer { answer } => Some(&answer.run),
            Self::Delete { runs, .. } | Self::Pause { runs, .. } | Self::Reschedule { runs, .. } => {
                only(runs)
            }
            Self::Submit { batch } => only(batch).map(|submit| &submit.run),
            _ => self.lease().map(Lease::run),
        }
    }

    /// Returns the key, if the call is about exactly one key.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Append { record, .. }
            | Self::Replace { record, .. }
            | Self::Settle { record, .. }
            | Self::Commit { record, .. } => Some(&record.key),
            Self::Wait { wait, .. } => Some(&wait.key),
            Self::Receive { key, .. } => Some(key),
            Self::List { query } => query.key.as_ref(),
            Self::Waiting { query } => query.key.as_ref(),
            Self::Answer { answer } => Some(&answer.key),
            _ => None,
        }
    }

    /// Returns the lease, if the call carries one.
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Append { lease, .. }
            | Self::Replace { lease, .. }
            | Self::Wait { lease, .. }
            | Self::Settle { lease, .. }
            | Self::Revive { lease, .. }
            | Self::Rewrite { lease, .. }
            | Self::Finish { lease, .. }
            | Self::Renew { lease, .. }
            | Self::Restart { lease, .. }
            | Self::Receive { lease, .. }
            | Self::Publish { lease, .. }
            | Self::Commit { lease, .. } => Some(lease),
            _ => None,
        }
    }

    /// Returns the lease for changes, if the call carries one.
    #[must_use]
    pub fn lease_mut(self) -> Option<&'a mut Lease> {
        match self {
            Self::Append { lease, .. }
            | Self::Replace { lease, .. }
            | Self::Wait { lease, .. }
            | Self::Settle { lease, .. }
            | Self::Revive { lease, .. }
            | Self::Rewrite { lease, .. }
            | Self::Finish { lease, .. }
            | Self::Renew { lease, .. }
            | Self::Restart { lease, .. }
            | Self::Receive { lease, .. }
            | Self::Publish { lease, .. }
            | Self::Commit { lease, .. } => Some(lease),
            _ => None,
        }
    }

    /// Returns the payloads that the call passes to the store: values, errors, inputs and questions.
    ///
    /// Fingerprints, workflow names, keys, tokens and the text of a run's error are not payloads, because the store
    /// looks up runs by them or shows them.
    ///
    /// ```
    /// use awaitly_core::store::{Around, Store, StoreError};
    /// use awaitly_core::store::around::Request;
    ///
    /// /// Counts the bytes of the values on their way to the store.
    /// async fn measured<S: Store, R: Request<S>>(store: &S, mut request: R) -> Result<R::Answer, StoreError> {
    ///     let bytes: usize = request.parts().payloads().iter().map(|payload| payload.len()).sum();
    ///     println!("{}: {bytes} bytes", R::CALL);
    ///     request.send(store).await
    /// }
    /// ```
    #[must_use]
    pub fn payloads(self) -> Vec<&'a mut Payload> {
        match self {
            Self::Open { request } => request.input.iter_mut().map(|input| &mut input.payload).collect(),
            Self::Restart { input, .. } => input.iter_mut().map(|input| &mut input.payload).collect(),
            Self::Append { record, .. }
            | Self::Replace { record, .. }
            | Self::Settle { record, .. }
            | Self::Commit { record, .. } => vec![record.outcome.payload_mut()],
            Self::Wait { wait, .. } => vec![&mut wait.request],
            Self::Rewrite { rewrite, .. } => {
                let Contents { records, waits, .. } = &mut rewrite.contents;
                of_journal(records, waits).collect()
            }
            Self::Finish { ending, .. } => ending.outcome.iter_mut().map(Outcome::payload_mut).collect(),
            Self::Answer { answer } => vec![answer.outcome.payload_mut()],
            Self::Import { stored, .. } => of_run(stored),
            Self::SendMail { messages } => messages.iter_mut().map(|message| &mut message.payload).collect(),
            Self::Publish { published, .. } => published.iter_mut().map(|one| &mut one.payload).collect(),
            Self::PutSchedules { changes } => {
                let rules = changes.iter_mut().filter_map(|change| change.put.as_mut());
                rules.map(|(_, rule)| rule).collect()
            }
            Self::Submit { batch } => {
                let inputs = batch.iter_mut().filter_map(|submit| submit.input.as_mut());
                inputs.map(|input| &mut input.payload).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl<'a> Reply<'a> {
    /// Returns the payloads that the store returns: values, errors, inputs and questions.
    ///
    /// ```
    /// use awaitly_core::journal::Payload;
    /// use awaitly_core::store::{Store, StoreError};
    /// use awaitly_core::store::around::Request;
    ///
    /// # fn decrypt(text: &str) -> String { text.to_owned() }
    /// async fn decrypted<S: Store, R: Request<S>>(store: &S, request: R) -> Result<R::Answer, StoreError> {
    ///     let mut answer = request.send(store).await?;
    ///     for payload in R::reply(&mut answer).payloads() {
    ///         *payload = Payload::from_stored(decrypt(payload.as_str()));
    ///     }
    ///     Ok(answer)
    /// }
    /// ```
    #[must_use]
    pub fn payloads(self) -> Vec<&'a mut Payload> {
        match self {
            Self::Open(Opened::Held { run, .. }) | Self::Load(Some(run)) => of_run(run),
            Self::Open(Opened::Ended(Header { outcome: Some(outcome), .. }))
            | Self::Settle(Some(outcome))
            | Self::Receive(Some(outcome)) => {
                vec![outcome.payload_mut()]
            }
            Self::Published(Some(payload)) => vec![payload],
            Self::Stream(Some(part)) => part.items.iter_mut().collect(),
            Self::Schedules(schedules) => schedules.iter_mut().map(|schedule| &mut schedule.rule).collect(),
            Self::Waiting(page) => page.items.iter_mut().map(|waiting| &mut waiting.entry.request).collect(),
            Self::Headers(headers) => {
                let outcomes = headers.iter_mut().flatten().filter_map(|header| header.outcome.as_mut());
                outcomes.map(Outcome::payload_mut).collect()
            }
            Self::Claim(claimed) => claimed.runs.iter_mut().flat_map(|held| of_run(&mut held.run)).collect(),
            _ => Vec::new(),
        }
    }
}

/// Returns the only item, if there is exactly one.
fn only<T>(items: &[T]) -> Option<&T> {
    items.first().filter(|_| items.len() == 1)
}

fn of_run(run: &mut StoredRun) -> Vec<&mut Payload> {
    let StoredRun { header, input, records, waits } = run;
    let outcome = header.outcome.as_mut().map(Outcome::payload_mut);
    input.iter_mut().chain(outcome).chain(of_journal(records, waits)).collect()
}

fn of_journal<'a>(
    records: &'a mut [Record],
    waits: &'a mut [WaitEntry],
) -> impl Iterator<Item = &'a mut Payload> {
    let outcomes = records.iter_mut().map(|record| record.outcome.payload_mut());
    outcomes.chain(waits.iter_mut().map(|entry| &mut entry.request))
}
