//! The path of one step, from its name to its outcome.
//!
//! [`Step`] is the builder. It holds the operation, the number of attempts, the limits, and the recorded part of the
//! outcome. Awaiting it creates a [`StepFuture`], the single place in which lookup, attempts and recording meet:
//!
//! ```text
//! look up the key ──found──▶ decode, done
//!       │ nothing
//!       ▼
//! enter the guards ─▶ attempt ─▶ record ─▶ after_step ─▶ done
//!       ▲               │ failed, or took too long
//!       └──── delay ◀───┘
//! ```

mod builder;
mod conditional;
mod ended;
mod execute;
mod frame;
mod invoke;
pub(crate) mod keep;
mod limits;
mod name;
pub(crate) mod outside;
mod policy;
mod transaction;
pub(crate) mod undo;

pub use builder::{Execute, Step, execute};
pub use conditional::{Conditional, ConditionalFuture};
pub use execute::StepFuture;
pub(crate) use frame::{Destination, Frame};
pub use invoke::{Invoke, Repeat, once, once_in, repeat, repeat_in};
pub(crate) use keep::{Borrowing, Durable, Volatile};
pub use keep::{Ended, Keep, OwnsItsData, ValuesOnly};
pub use name::{Name, key, name_of};
pub(crate) use outside::{Errand, Question, Wrap, ask_for_outcome, ask_outside};
pub use policy::Preset;
pub use transaction::{InTransaction, InTransactionFuture};
pub(crate) use undo::{Compensate, Undo};
