//! Concurrent steps: [`parallel!`](crate::parallel!), [`race!`](crate::race!), [`Each`].
//!
//! All of them run on the task of the run. The library spawns no tasks, so dropping a future cancels its steps.

mod each;
mod held;
mod race;
mod scope;
mod siblings;

pub use each::{Each, EachFuture, ItemOperation, Progress};
pub use race::Race;
pub use siblings::Siblings;
