//! Sagas: steps that are undone when a later one fails.
//!
//! What undoes a step stands beside it. When the body of a saga fails, the compensations of its steps run in
//! reverse order, the last step's first, and then the saga fails with the body's own error:
//!
//! ```
//! use awaitly_core::{RunError, run, step};
//! use awaitly_saga::{SagaError, saga};
//!
//! #[derive(Debug, PartialEq, thiserror::Error)]
//! enum TripError {
//!     #[error("no seat left")]
//!     Full(#[from] Full),
//!     #[error(transparent)]
//!     Run(#[from] RunError),
//! }
//! # #[derive(Debug, PartialEq, thiserror::Error)]
//! # #[error("full")]
//! # struct Full;
//! # #[derive(Default)]
//! # struct Travel(std::sync::Mutex<Vec<String>>);
//! # impl Travel {
//! #     async fn book(&self, what: &str) -> Result<u32, Full> {
//! #         if what == "flight" { return Err(Full); }
//! #         self.0.lock().unwrap().push(format!("booked {what}"));
//! #         Ok(7)
//! #     }
//! #     async fn cancel(&self, booking: u32) -> Result<(), Full> {
//! #         self.0.lock().unwrap().push(format!("cancelled {booking}"));
//! #         Ok(())
//! #     }
//! # }
//!
//! async fn book_trip(travel: &Travel) -> Result<(u32, u32), SagaError<TripError>> {
//!     run(async |run| {
//!         saga(run, async |saga| {
//!             let hotel = step!(saga, "hotel", compensate = |id| travel.cancel(id), travel.book("hotel"));
//!             let flight = step!(saga, "flight", compensate = |id| travel.cancel(id), travel.book("flight"));
//!             Ok((hotel, flight))
//!         })
//!         .await
//!     })
//!     .await
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # let travel = Travel::default();
//! let trip = book_trip(&travel).await;
//! assert_eq!(trip, Err(SagaError::new(TripError::Full(Full))));
//! # assert_eq!(*travel.0.lock().unwrap(), ["booked hotel", "cancelled 7"]);
//! # });
//! ```
//!
//! On a durable run the same code survives `kill -9`, also in the middle of undoing: that it undoes is recorded before
//! the first compensation runs, and each compensation is a recorded step, called `undo hotel`. So after a crash
//! anywhere every effect is either kept or undone, and none is undone twice, as far as the services that are called
//! recognise a repeated call by its [idempotency key](Saga::idempotency_key). What cannot be known, whether a step had its
//! effect that timed out or was cancelled, is [said](SagaError::in_doubt).
//!
//! | | |
//! | --- | --- |
//! | [`saga`](fn@saga), [`saga_with`] | executes a saga on a run, volatile or durable |
//! | [`Saga`], [`DurableSaga`] | the handle in its body: steps, lists of steps, sagas inside of it |
//! | [`SagaStep`], [`SagaEach`] | one step and a list of them, with what undoes them |
//! | [`SagaOptions`], [`OnCancel`], [`OnGiveUp`] | cancellation, and compensations that give up |
//! | [`SagaError`], [`FailedCompensation`] | the body's error, and what could not be undone |
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod compensation;
mod each;
mod error;
mod ledger;
mod options;
mod saga;
mod step;
mod story;
mod undo;

pub use compensation::{By, Compensates, Compensation, InTransactionOf};
pub use each::{SagaEach, SagaEachFuture};
pub use error::{FailedCompensation, SagaError};
pub use options::{OnCancel, OnGiveUp, SagaOptions};
pub use saga::{DurableSaga, Saga, saga, saga_with};
pub use step::{SagaStep, SagaStepFuture};
pub use undo::{Cause, Undoing};
