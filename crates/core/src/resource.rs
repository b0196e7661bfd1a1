//! Resources that are given back in reverse order, also when the body fails.
//!
//! Rust gives most things back by dropping them. This is for those whose giving back is itself an async
//! call that can fail: closing a connection, deleting a temporary object, leaving a cluster.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;

/// Calls `body` with a [`Scope`] for its resources, and gives back all of them when it ends: the last
/// one first, one at a time, and going on where one fails.
///
/// # Errors
/// [`Error::Failed`] with the body's own error where everything was given back; [`Error::Release`]
/// where something was not, with what the body ended in beside it.
///
/// # Panics
/// Where the body does, after everything was given back.
///
/// # Cancel safety
/// Dropping the future gives nothing back but by dropping: no async call can be made then. What must be
/// given back even so needs a `Drop` of its own.
///
/// # Examples
/// ```
/// use awaitly_core::resource;
///
/// # #[derive(Clone)] struct Connection;
/// # impl Connection {
/// #     async fn open() -> Result<Self, std::io::Error> { Ok(Self) }
/// #     async fn read(&self) -> Result<u32, std::io::Error> { Ok(7) }
/// #     async fn close(self) -> Result<(), std::io::Error> { Ok(()) }
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let read = resource::scope(async |scope| {
///     let connection = scope.add(Connection::open().await?, Connection::close);
///     connection.read().await
/// })
/// .await;
/// assert_eq!(read.unwrap(), 7);
/// # });
/// ```
pub async fn scope<T, E>(body: impl AsyncFnOnce(&Scope) -> Result<T, E>) -> Result<T, Error<T, E>> {
    let scope = Scope { releases: Mutex::default() };
    let ended = AssertUnwindSafe(body(&scope)).catch_unwind().await;
    let failures = scope.release().await;
    match ended {
        Err(panic) => resume_unwind(panic),
        Ok(result) if !failures.is_empty() => Err(Error::Release { failures, result }),
        Ok(result) => result.map_err(Error::Failed),
    }
}

/// The resources that a body has taken so far.
pub struct Scope {
    releases: Mutex<Vec<Release>>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Releasing = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;
type Release = Box<dyn FnOnce() -> Releasing + Send>;

impl Scope {
    /// Keeps a clone of `resource`, for `release` to give back when the body ends, and hands `resource`
    /// out. A pool, a client or a handle is cheap to clone; put anything else into an
    /// [`Arc`](std::sync::Arc).
    pub fn add<R, Fut, X>(&self, resource: R, release: impl FnOnce(R) -> Fut + Send + 'static) -> R
    where
        R: Clone + Send + 'static,
        Fut: Future<Output = Result<(), X>> + Send + 'static,
        X: Into<Failure>,
    {
        let kept = resource.clone();
        let release: Release = Box::new(move || {
            let releasing = release(kept);
            Box::pin(async move { releasing.await.map_err(Into::into) })
        });
        self.lock().push(release);
        resource
    }

    /// How many resources there are to give back.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there is nothing to give back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    async fn release(&self) -> Vec<Failure> {
        let mut failures = Vec::new();
        loop {
            let Some(release) = self.lock().pop() else {
                return failures;
            };
            match AssertUnwindSafe(async { release().await }).catch_unwind().await {
                Ok(released) => failures.extend(released.err()),
                Err(_) => failures.push("the release of a resource panicked".into()),
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Release>> {
        self.releases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("resources", &self.len()).finish()
    }
}

/// What a body with resources fails with.
#[derive(Debug, thiserror::Error)]
pub enum Error<T, E> {
    /// The body failed, and everything was given back.
    #[error(transparent)]
    Failed(E),
    /// Something could not be given back.
    #[error("{} of the body's resources could not be released: {}", failures.len(), list(failures))]
    Release {
        /// Why not, in the order in which it was tried.
        failures: Vec<Box<dyn std::error::Error + Send + Sync>>,
        /// What the body ended in.
        result: Result<T, E>,
    },
}

fn list(failures: &[Failure]) -> String {
    failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
