use std::sync::Arc;

/// The part of a run's state that its journal does not show: its place in the line, or its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The run is due, and waits until a worker claims it.
    InLine {
        /// The number of due runs of its queue that have a smaller rank, or an equal rank and an earlier submission. A
        /// run that waits because its key has as many running runs as the queue permits only counts for runs with this
        /// key. [`MOST_AHEAD`](Standing::MOST_AHEAD) stands for this number and all larger ones.
        ahead: u64,
        /// Whether the queue is paused, so that workers claim none of its runs.
        queue_paused: bool,
    },
    /// An owner holds the run.
    Held {
        /// The name of the [owner](crate::store::Owner).
        owner: Arc<str>,
    },
}

impl Standing {
    /// The largest number of runs that a store counts.
    pub const MOST_AHEAD: u64 = 1_000;
}
