//! Items for the code that the macros generate. Any version may change them.

pub use tokio::try_join;

use crate::extend::handle::Handle;
pub use crate::journal::Key;
use crate::several::{Race, Siblings};
pub use crate::step::{execute, key, name_of, once, once_in, repeat, repeat_in};

/// Returns the handle that the macro was called with.
pub fn handle<H: Handle>(handle: &H) -> &H::Target {
    handle.target()
}

/// Begins a `parallel!` named `name`.
pub fn siblings<'r, H: Handle>(handle: &'r H, name: &Key) -> Siblings<'r> {
    Siblings::new(handle.run(), name, H::WAITS_FOR_SIBLINGS)
}

/// Begins a `race!` named `name`.
pub fn race<'r, H: Handle, E>(handle: &'r H, name: &Key) -> Race<'r, E> {
    Race::new(handle.run(), name)
}
