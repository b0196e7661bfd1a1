//! Concurrent steps: [`parallel!`](crate::parallel!), [`race!`](crate::race!), [`Each`].
//!
//! All of them run on the task of the run. The library spawns no tasks, so dropping a future cancels its steps.

mod each;
mod held;
mod race;
pub(crate) mod scope;
pub(crate) mod siblings;

pub use each::{Each, EachFuture, ItemOperation, Progress, Settled, SettledFuture};
pub use race::{Against, Lone, Race, Racers};
pub use scope::{Lift, Scoped, Winner};
