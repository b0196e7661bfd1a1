//! What the macros write. Not for use by hand, and free to change.

pub use tokio::try_join;

pub use crate::error::Takes;
pub use crate::journal::Key;
pub use crate::several::{Against, FailFast, Lift, Lone, Race, Scoped, Siblings, Winner};
pub use crate::step::{execute, key, name_of, once, once_in, repeat, repeat_in};

use crate::run::{Mode, Run};

/// A handle from which steps are built, whether it was given by value or by reference.
pub trait Handle {
    /// Whether its steps are recorded.
    type Mode: Mode;
    /// The handle itself, behind all references.
    type Target: Handle<Mode = Self::Mode>;
    /// What several steps at once have to know of each other.
    type Siblings: Siblings;
    /// The handle itself.
    fn target(&self) -> &Self::Target;
    /// The run that it is of.
    fn run(&self) -> &Run<Self::Mode>;
}

impl<M: Mode> Handle for Run<M> {
    type Mode = M;
    type Target = Self;
    type Siblings = FailFast;

    fn target(&self) -> &Self {
        self
    }

    fn run(&self) -> &Self {
        self
    }
}

impl<H: Handle> Handle for &H {
    type Mode = H::Mode;
    type Target = H::Target;
    type Siblings = H::Siblings;

    fn target(&self) -> &H::Target {
        (**self).target()
    }

    fn run(&self) -> &Run<H::Mode> {
        (**self).run()
    }
}

/// The handle that stands in a macro.
pub fn handle<H: Handle>(handle: &H) -> &H::Target {
    handle.target()
}

/// The run of a handle.
pub fn run_of<H: Handle>(handle: &H) -> &Run<H::Mode> {
    handle.run()
}

/// What the steps of one `parallel!` have to know of each other.
#[must_use]
pub fn siblings<H: Handle>(_: &H) -> H::Siblings {
    H::Siblings::default()
}
