use std::error::Error as StdError;

use crate::error::{Error, RunError};

/// An error of a run in which a [`RunError`] can be found.
///
/// Parts of the library that react to the end of a run, for example a message handler, ask this trait whether the library
/// or the caller's own code caused the error. [`RunError`], [`Error`], `Box<dyn std::error::Error + Send + Sync>` and
/// `SagaError` implement it. For your own enum, write a match:
///
/// ```
/// use awaitly_core::{AsRunError, RunError};
///
/// #[derive(Debug, thiserror::Error)]
/// enum OrderError {
///     #[error("nothing is left")]
///     SoldOut,
///     #[error(transparent)]
///     Run(#[from] RunError),
/// }
///
/// impl AsRunError for OrderError {
///     fn as_run_error(&self) -> Option<&RunError> {
///         match self {
///             Self::Run(error) => Some(error),
///             Self::SoldOut => None,
///         }
///     }
/// }
/// ```
///
/// An implementation may return `None` for some kinds of [`RunError`], for example for a rejection that the caller handles
/// itself. Such an error counts as the caller's own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say where it holds a `RunError`",
    note = "implement `awaitly::AsRunError` for it: `match self {{ Self::Run(error) => Some(error), _ => None }}`",
    note = "for `anyhow::Error`, let the body return `Box<dyn std::error::Error + Send + Sync>` instead"
)]
pub trait AsRunError {
    /// Returns the library's error, if this error holds one.
    fn as_run_error(&self) -> Option<&RunError>;
}

impl AsRunError for RunError {
    fn as_run_error(&self) -> Option<&RunError> {
        Some(self)
    }
}

impl<E> AsRunError for Error<E> {
    fn as_run_error(&self) -> Option<&RunError> {
        match self {
            Self::Failed(_) => None,
            Self::Run(error) => Some(error),
        }
    }
}

impl AsRunError for Box<dyn StdError + Send + Sync> {
    fn as_run_error(&self) -> Option<&RunError> {
        self.downcast_ref()
    }
}
