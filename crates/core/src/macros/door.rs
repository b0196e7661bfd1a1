//! Items for the code that the macros generate. Any version may change them.

pub use tokio::try_join;

use crate::extend::handle::Handle;
pub use crate::journal::Key;
use crate::run::Run;
pub use crate::several::{Against, Lift, Lone, Race, Scoped, Winner};
pub use crate::step::{execute, key, name_of, once, once_in, repeat, repeat_in};

/// Returns the handle that the macro was called with.
pub fn handle<H: Handle>(handle: &H) -> &H::Target {
    handle.target()
}

/// Returns the run of a handle.
pub fn run_of<H: Handle>(handle: &H) -> &Run<H::Mode> {
    handle.run()
}

/// Creates the shared state of the steps of one `parallel!`.
#[must_use]
pub fn siblings<H: Handle>(_: &H) -> H::Siblings {
    H::Siblings::default()
}
