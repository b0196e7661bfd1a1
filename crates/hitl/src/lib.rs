//! Runs that ask people, and wait for them.
//!
//! An approval is a step that a person completes. The run asks, ends in [`RunError::Waiting`], and costs no task and
//! no memory until somebody answers in its store; then it is run again, and goes on with the answer:
//!
//! ```
//! use awaitly_core::{DurableRun, RunError, Workflow, clock::days, step};
//! use awaitly_hitl::{Approvals, Inbox};
//! use awaitly_persistence::MemoryStore;
//!
//! async fn expense(run: &DurableRun, cents: u64) -> Result<u64, RunError> {
//!     let approved: u64 = step!(
//!         run.approval("manager").prompt("How much of it do we pay?").proposal(&cents).expires_in(days(3))
//!     );
//!     Ok(approved)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryStore::new();
//! let expenses = Workflow::new("expense").store(store.clone());
//! let body = async |run: &DurableRun| expense(run, 4200).await;
//! assert!(matches!(expenses.run("trip-7", body).await, Err(RunError::Waiting { .. })));
//!
//! // Elsewhere, maybe days later and in another process:
//! let inbox = Inbox::new(store);
//! inbox.at("trip-7", "manager").by("ada").edit(&4000_u64).await?;
//! assert_eq!(expenses.run("trip-7", body).await, Ok(4000));
//! # Ok(())
//! # }
//! ```
//!
//! An answer is taken once, before it expires, from somebody who may give it, and only if it has the form of the type
//! that the run asks for ([`Shape`]); all else is refused with a type, and changes nothing. Who answered, when and by which way is
//! recorded with the answer.
//!
//! | | |
//! | --- | --- |
//! | [`Approvals`] | what it adds to a run: [`approval`](Approvals::approval), [`quorum`](Approvals::quorum), [`callback`](Approvals::callback) |
//! | [`Approval`], [`Quorum`], [`Callback`] | the steps that somebody outside completes |
//! | [`Answer`], [`Ruling`] | what was answered, by whom and when |
//! | [`Inbox`], [`Question`], [`Reply`] | who answers: listing, showing, and answering questions of any store |
//! | [`Notifier`] | tells people that they are asked; each notice is a step, and so is each reminder |
//! | [`AutoResume`] | runs again what was answered |
#![cfg_attr(
    feature = "http",
    doc = "| [`http`] | all of it over HTTP: the inbox, signed links with a page, requests that become runs |"
)]
#![cfg_attr(feature = "webhook", doc = "| [`WebhookNotifier`] | notices as signed HTTP requests |")]
//!
//! [`RunError::Waiting`]: awaitly_core::RunError::Waiting
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

#[cfg(any(feature = "http", feature = "webhook"))]
mod address;
mod answer;
mod approval;
mod ask;
mod bell;
mod callback;
mod caught;
mod hidden;
#[cfg(feature = "http")]
pub mod http;
mod inbox;
mod notify;
mod quorum;
mod request;
mod resume;
mod shape;
#[cfg(any(feature = "http", feature = "webhook"))]
mod signature;
#[cfg(feature = "webhook")]
mod webhook;

pub use answer::{Answer, Ruling};
pub use approval::{Approval, Approvals};
pub use callback::Callback;
pub use inbox::{Everywhere, Inbox, InboxError, Reply};
pub use notify::{LogNotifier, Notice, NoticeKind, Notifier, NotifyError, Silent};
pub use quorum::Quorum;
pub use request::{Asks, Question};
pub use resume::{AutoResume, ResumeError, Resumed};
pub use shape::{Choice, Content, Field, Misfit, Shape};
#[cfg(any(feature = "http", feature = "webhook"))]
pub use signature::{Secret, SecretError};
#[cfg(feature = "webhook")]
pub use webhook::{WebhookError, WebhookNotifier};
