//! Sagas: steps that are undone if a later step fails.
//!
//! Each step declares its own compensation. If the body of a saga fails, the compensations of its successful steps run
//! in reverse order, and then the saga fails with the body's own error:
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
//! On a durable run, this code survives `kill -9`, even in the middle of the undo. The saga records its decision to
//! undo before the first compensation runs, and each compensation is a recorded step, named `undo hotel` for example.
//! After a crash, the resumed run therefore keeps or undoes every effect. No effect is undone twice if the called
//! services recognise a repeated call by its [idempotency key](Saga::idempotency_key). If a step timed out or was
//! cancelled, its effect may or may not have happened; the error lists the step as [in doubt](SagaError::in_doubt).
//!
//! | | |
//! | --- | --- |
//! | [`saga`](fn@saga), [`saga_with`] | executes a saga on a run, volatile or durable |
//! | [`Saga`], [`DurableSaga`] | the handle for the body: steps, lists of steps, nested sagas |
//! | [`Compensation`] | the part of a step that undoes it |
//! | [`SagaOptions`] | the reaction to a cancellation and to a compensation that fails |
//! | [`SagaError`], [`FailedCompensation`] | the body's error, and the steps that could not be undone |
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod compensation;
mod error;
mod ledger;
mod options;
mod saga;
mod story;
mod undo;

pub use compensation::Compensation;
pub use error::{FailedCompensation, SagaError};
pub use options::SagaOptions;
pub use saga::{DurableSaga, Saga, saga, saga_with};
pub use undo::UndoDecision;
