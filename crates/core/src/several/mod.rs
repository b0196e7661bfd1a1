//! Several steps at the same time: [`parallel!`](crate::parallel!), [`race!`](crate::race!), [`Each`].
//!
//! All of them run on the task of the run: nothing is spawned, and what is dropped is cancelled.

mod each;
mod race;
pub(crate) mod scope;
pub(crate) mod siblings;

pub use each::{Each, EachFuture, ItemOperation, Progress, Settled, SettledFuture};
pub use race::{Against, Lone, Race, Racers};
pub use scope::{Lift, Scoped, Winner};
