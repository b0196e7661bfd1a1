//! Concurrent steps: [`parallel!`](crate::parallel!), [`race!`](crate::race!), [`Each`].
//!
//! All of them run on the task of the run. The library spawns no tasks, so dropping a future cancels its steps.

mod each;
mod race;
mod scope;
mod siblings;

pub use each::{Each, EachFuture, ItemOperation, Progress, Settled, SettledFuture};
pub use race::{Against, Lone, Race, Racers};
#[doc(hidden)]
pub use scope::Scope;
pub use scope::{Lift, Scoped, Winner};
#[doc(hidden)]
pub use siblings::{AllEnd, FailFast, Siblings};
