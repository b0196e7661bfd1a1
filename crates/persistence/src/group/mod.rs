//! Group commit, implemented once for all stores whose writes can share a commit.
//!
//! A caller puts an operation into the [`queue`](queue()) and waits for its answer. The committer takes all operations
//! that have queued up since the last commit returned, carries them out in one commit, and answers each of them
//! separately. No timer is needed: a single run never waits for others, and more waiting runs share a commit.
//!
//! The cost of a commit is the wait for the disk or the server, and hardly depends on the number of its operations. A timer
//! would collect operations too, but a single run would wait for it in vain at each step, and its best length depends on the
//! disk. Here the commit itself is the timer: the slower it is, the more operations the next one takes.
//!
//! One case needs help. After a commit, its callers continue concurrently; if the committer took the first operation that
//! returns, that operation would have a commit of its own, and all others would wait for it: commits of one and of many would
//! alternate, at half the speed. So the committer yields as long as further callers return (`gather`), and then commits.
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
