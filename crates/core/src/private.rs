//! What the macros write. Not for use by hand, and free to change.

pub use tokio::try_join;

pub use crate::journal::Key;
pub use crate::several::{Against, Lift, Lone, Race, Scoped, Winner};
pub use crate::step::{execute, name_of, once, once_in, repeat, repeat_in};

use crate::run::{Mode, Run};

/// A reference to the run, whether it was given by value or by reference.
pub trait AsRun {
    /// Whether its steps are recorded.
    type Mode: Mode;
    /// The run.
    fn as_run(&self) -> &Run<Self::Mode>;
}

impl<M: Mode> AsRun for Run<M> {
    type Mode = M;

    fn as_run(&self) -> &Self {
        self
    }
}

impl<R: AsRun> AsRun for &R {
    type Mode = R::Mode;

    fn as_run(&self) -> &Run<R::Mode> {
        (**self).as_run()
    }
}

/// The run that stands in a macro.
pub fn handle<R: AsRun>(run: &R) -> &Run<R::Mode> {
    run.as_run()
}
