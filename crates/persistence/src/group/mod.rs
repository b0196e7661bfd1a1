//! Group commit, once for all stores that have a commit to share.
//!
//! Whoever writes puts an operation into the [`queue`](queue()) and waits for its answer. Whoever commits takes
//! all that has queued up since the last commit returned, carries it out in one, and answers each operation for
//! itself. So there is no timer: a single run never waits for company, and the more runs wait, the more share a
//! commit.
//!
//! ```text
//! run ── append ──┐                 ┌── answer ──▶ run
//! run ── append ──┤  queue (bounded │
//! run ── finish ──┼─ by operations ─┼─▶ take all ─▶ commit ─┐
//! run ── open ────┘  and bytes)     └───────────────────────┘
//! ```
//!
//! Each store declares its own operations.

mod queue;

pub(crate) use queue::{Queued, Receiver, Sender, queue};
