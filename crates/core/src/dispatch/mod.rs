//! The rules by which stores dispatch runs to workers, as pure functions.
//!
//! A client submits a run to a store. The run then waits in a queue until a worker claims it. These rules decide the
//! order and the number of the claimed runs:
//!
//! | rule | decides |
//! | --- | --- |
//! | [`Place::new`], [`Fairness`] | the rank of a run in its queue |
//! | [`Allowance`] | how many runs of a queue may start now, and with which keys |
//! | [`Header::due_at`](crate::journal::Header::due_at) | when a run is due |
//! | [`crashes`] | how many times in a row an owner of a run died without progress |
//!
//! The functions read no clock and do no I/O. Every store calls them, so all stores dispatch alike.
//!
//! # Examples
//! A queue starts at most two runs of a customer at a time:
//!
//! ```
//! use awaitly_core::dispatch::{Allowance, Pace, Queue};
//! use awaitly_core::journal::Timestamp;
//!
//! let orders = Queue::new("orders").per_key(2);
//! let now = Timestamp::from_millis(0);
//! let mut allowance = Allowance::new(&orders, Pace::default(), now, [("ann".into(), 1)]);
//! assert!(allowance.admit(Some("ann")));
//! assert!(!allowance.admit(Some("ann"))); // two of her runs are running now
//! assert!(allowance.admit(Some("bob")));
//! ```

mod allowance;
mod crashes;
mod fairness;
mod parent;
mod place;
mod queue;

pub use allowance::{Allowance, Pace};
pub use crashes::crashes;
pub use fairness::Fairness;
pub use parent::{ChildQuestion, Parent};
pub use place::Place;
pub use queue::{Queue, Rate};
