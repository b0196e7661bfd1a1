//! Group commit, implemented once for all stores whose writes can share a commit.
//!
//! A caller puts an operation into the [`queue`](queue()) and waits for its answer. The committer takes all operations
//! that have queued up since the last commit returned, carries them out in one commit, and answers each of them
//! separately. No timer is needed: a single run never waits for others, and more waiting runs share a commit.
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
