//! Human-in-the-loop steps: durable runs that wait for people or other programs.
//!
//! An approval is a step that a person completes. The run records the question and ends in [`RunError::Waiting`]; while it
//! waits, it holds no task and no memory. After the answer is recorded in the store, a worker of `awaitly-engine` executes
//! the run again, or your program does, and the run continues with the answer:
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
//! A question takes one answer. The store refuses a late answer. The inbox refuses an answer from a person who was not asked,
//! and an answer that does not have the [`Shape`] of the type that the run asks for. A refused answer returns a
//! typed error and changes no state. The journal records each answer with the person, the time and the channel.
//!
//! | item | purpose |
//! | --- | --- |
//! | [`Approvals`] | adds [`approval`](Approvals::approval), [`quorum`](Approvals::quorum) and [`callback`](Approvals::callback) to a run |
//! | [`Approval`], [`Quorum`], [`Callback`] | steps that people or other programs complete |
//! | [`AnswerRecord`], [`Resolution`] | a recorded answer, with the person and the time |
//! | [`Inbox`], [`Question`], [`Reply`] | list, show and answer the questions of any store |
//! | [`Notifier`] | notifies people of a question; each notice and each reminder is a step |
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    feature = "http",
    doc = "| [`http`] | serves the inbox over HTTP, with signed links and a page, and turns requests into runs |"
)]
#![cfg_attr(feature = "webhook", doc = "| [`WebhookNotifier`] | sends notices as signed HTTP requests |")]
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
mod shape;
#[cfg(any(feature = "http", feature = "webhook"))]
mod signature;
#[cfg(feature = "webhook")]
mod webhook;

#[cfg(any(feature = "http", feature = "webhook"))]
pub use address::UrlError;
pub use answer::{AnswerRecord, Resolution};
pub use approval::{Approval, Approvals};
pub use callback::Callback;
pub use inbox::{Inbox, InboxError, Reply};
pub use notify::{LogNotifier, Notice, Notifier};
pub use quorum::Quorum;
pub use request::{Question, QuestionKind};
pub use shape::{Choice, Field, Shape, WrongShape};
#[cfg(any(feature = "http", feature = "webhook"))]
pub use signature::{Secret, SecretError};
#[cfg(feature = "webhook")]
pub use webhook::WebhookNotifier;
