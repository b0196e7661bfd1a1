//! The inbox over HTTP, on axum: people and programs answer from elsewhere, and requests become runs.
//!
//! | item | purpose |
//! | --- | --- |
//! | [`Api`] | serves an [`Inbox`](crate::Inbox) as JSON, protected by bearer tokens, and the pages of links |
//! | [`Links`], [`Secret`] | signed links, with which people answer on a page and need no account |
//! | [`Inbound`], [`SignatureCheck`] | turns a request into a run; a repeated request returns the outcome of that run |
//! | [`MessageHandler`] | turns a message of a queue into a run |
//! | [`Problem`] | the error that a client receives |
//!
//! In this example, a person receives a link and answers on its page:
//!
//! ```
//! use awaitly_core::{DurableRun, RunError};
//! use awaitly_hitl::http::{Api, Links, Secret};
//! use awaitly_hitl::{Approvals, Inbox, Notice, Notifier};
//! use awaitly_persistence::MemoryStore;
//!
//! struct Mail(Links);
//!
//! impl Notifier for Mail {
//!     type Error = std::io::Error;
//!
//!     async fn notify(&self, notice: Notice) -> Result<(), std::io::Error> {
//!         for person in &notice.answerers {
//!             let link = self.0.to_notice(&notice, person.as_str());
//!             // Send `link` to `person`.
//!         }
//!         Ok(())
//!     }
//! }
//!
//! async fn expense(run: &DurableRun, mail: &Mail) -> Result<u64, RunError> {
//!     run.approval("manager").prompt("How much of it do we pay?").answerer("ada").notify(mail).await
//! }
//!
//! # fn app(store: MemoryStore, bytes: Vec<u8>, token: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let links = Links::new(Secret::new(bytes)?, "https://example.com/approvals")?;
//! let mail = Mail(links.clone());
//! let api = Api::new(Inbox::new(store)).bearer(token, "operator")?.links(links);
//! let app = axum::Router::<()>::new().nest("/approvals", api.router());
//! # Ok(())
//! # }
//! ```
//!
//! All responses have headers that forbid caching, framing and content sniffing. Errors are JSON with a stable code, or a
//! page for people. Error texts of the store and of your program are logged, and are never sent to clients.

mod bearer;
mod board;
mod inbound;
mod links;
mod message;
mod page;
mod problem;
mod questions;
mod receive;
mod reply;
mod router;
mod serve;
mod signed;
mod start;

pub use awaitly_core::AsRunError;
pub use inbound::Inbound;
pub use links::Links;
pub use message::{Handled, MessageHandler};
pub use problem::Problem;
pub use receive::json;
pub use router::Api;
pub use signed::SignatureCheck;

pub use crate::signature::{Secret, SecretError};
