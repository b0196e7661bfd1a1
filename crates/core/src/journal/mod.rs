//! The journal of a run, and every rule about it.
//!
//! A journal is the list of a run's recorded outcomes, each under its [`Key`]. This module decides
//! everything that can be decided about one without doing anything: which key a step gets and when
//! that is a duplicate ([`History`]), what a recorded outcome looks like ([`Outcome`], [`Payload`]),
//! when a run may be opened ([`admit`]), which [`Status`] follows which ([`Status::next`]), when an answer
//! from outside is taken ([`settle`]), and how an older journal becomes a newer one ([`Migrations`]).
//!
//! Nothing here reads a clock, draws a random number, waits, or touches a disk. Stores and runs call
//! these functions and carry out what they say, so that every store behaves alike and each rule is
//! tested without a store.

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

pub use admit::{Admission, Header, LeaseInfo, Refused, admit};
use ending::Ending;
pub use fingerprint::Fingerprint;
pub use history::{Decision, Found, History, OnChange, Taken};
pub use key::Key;
pub use migrate::{Applied, Contents, Migration, MigrationError, Migrations};
use open::{Absent, Open, Purpose};
pub use outcome::{DecodeError, EncodeError, Kind, Outcome, Payload, Record};
pub use retrying::Retrying;
use run_id::RunId;
pub use state::ResumeState;
pub use status::{Act, IllegalAct, Status};
pub use timestamp::Timestamp;
pub use wait::{Asked, Settling, Unanswered, WaitEntry, settle};
