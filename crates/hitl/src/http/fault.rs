use std::error::Error as StdError;

use awaitly_core::{Error, RunError};

/// An error of a run, in which what the library itself added can be found.
///
/// It holds for [`RunError`], for [`Error`], and for `Box<dyn std::error::Error + Send + Sync>`. Of your own enum, it is
/// a match:
///
/// ```
/// use awaitly_core::RunError;
/// use awaitly_hitl::http::AsRunError;
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
/// What is kept from it here, such as a rejection that has its own answer, counts as an error of your own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say where it holds a `RunError`",
    note = "implement `awaitly::hitl::http::AsRunError` for it: `match self {{ Self::Run(error) => Some(error), _ => None }}`",
    note = "for `anyhow::Error`, let the body return `Box<dyn std::error::Error + Send + Sync>` instead"
)]
pub trait AsRunError {
    /// What the library added, if that is what this is.
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
