//! The journal of a run, and all rules about it.
//!
//! A journal is the list of a run's recorded outcomes, each under its [`Key`]. The rules in this module have no side
//! effects. They decide which key a step takes and when it is a duplicate, how an outcome is recorded ([`Outcome`],
//! [`Payload`]), when a run may be opened ([`admit`]), when an answer from outside is accepted ([`settle`]), and how an
//! older journal is migrated ([`Migration`]).
//!
//! The functions read no clock, draw no random numbers, do not wait and do no I/O. Stores and runs call them and carry
//! out their decisions. All stores therefore behave alike, and each rule is tested without a store.

mod admit;
mod canonical;
mod decision;
pub(crate) mod ending;
mod fingerprint;
mod history;
mod key;
mod migrate;
pub(crate) mod open;
mod outcome;
mod retrying;
pub(crate) mod run_id;
mod scope;
mod state;
mod status;
mod timestamp;
mod wait;

pub use admit::{Header, Opening, Refused, admit};
use ending::Ending;
pub use fingerprint::Fingerprint;
pub use history::OnChange;
pub(crate) use history::{Decision, Found, History, Taken};
pub use key::Key;
pub use migrate::{Contents, Migration};
pub(crate) use migrate::{MigrationError, Migrations};
use open::{Open, Purpose};
pub use outcome::{DecodeError, EncodeError, Kind, Outcome, Payload, Record};
pub use retrying::Retrying;
use run_id::RunId;
pub use state::ResumeState;
pub use status::Status;
pub use timestamp::Timestamp;
pub use wait::{Asked, Settling, Unanswered, WaitEntry, settle};
