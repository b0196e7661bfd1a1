//! All of it over HTTP, on axum: who answers from elsewhere, and requests that become runs.
//!
//! | | |
//! | --- | --- |
//! | [`Api`] | an [`Inbox`](crate::Inbox) in JSON, behind bearer tokens, and the pages of links |
//! | [`Links`], [`Secret`] | signed links with which people answer on a page, without an account |
//! | [`Inbound`], [`SignatureCheck`] | a request that becomes a run: repeated, it gets the same outcome |
//! | [`MessageHandler`] | the same for messages of a queue |
//! | [`Problem`], [`Invalid`] | what is told to who sent something that cannot be done |
//!
//! A notice with a link comes to a person, who answers on the page that it leads to:
//!
//! ```
//! use awaitly_core::{DurableRun, RunError};
//! use awaitly_hitl::http::{Api, Links, Secret};
//! use awaitly_hitl::{Approvals, Inbox, Notice, Notifier, NotifyError};
//! use awaitly_persistence::MemoryStore;
//!
//! struct Mail(Links);
//!
//! impl Notifier for Mail {
//!     async fn notify(&self, notice: Notice) -> Result<(), NotifyError> {
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
//! All answers forbid that they are kept, framed, or guessed to be something else; problems are JSON with a code that
//! stays the same, and pages for people. Nothing that a store or a program said is told to clients: it is logged.

mod bearer;
mod board;
mod inbound;
mod invalid;
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
pub use bearer::BearerError;
pub use inbound::Inbound;
pub use invalid::{Invalid, json};
pub use links::{InvalidBase, LinkError, Links, Pass};
pub use message::{Handled, Message, MessageHandler};
pub use problem::Problem;
pub use router::Api;
pub use serve::{Bound, ServeError};
pub use signed::SignatureCheck;

pub use crate::signature::{Secret, SecretError};
