//! Resources whose release is an async call that can fail: closing a connection, deleting a temporary object, leaving a cluster.
//!
//! A drop releases most resources in Rust, but a drop cannot await. [`scope`] releases its resources in reverse order when the
//! body ends, even if the body fails.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;

/// Calls `body` with a [`Scope`] for its resources, and releases all of them when the body ends: the last one first, one at a
/// time. If one release fails, the others still run.
///
/// # Errors
/// Returns [`Error::Failed`] with the body's own error if all releases succeeded, or [`Error::Release`] with the body's result if
/// a release failed.
///
/// # Panics
/// Panics if the body panics, after it has released the resources.
///
/// # Cancel safety
/// Dropping the future drops the resources and calls no release, because a drop cannot await. A resource that must be released
/// even then needs its own `Drop`.
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

/// The resources that a body has taken so far. [`scope`] creates it.
///
/// ```
/// use std::io;
///
/// use awaitly_core::resource::Scope;
///
/// # #[derive(Clone)] struct Connection;
/// # impl Connection {
/// #     async fn open(_host: &str) -> io::Result<Self> { Ok(Self) }
/// #     async fn close(self) -> io::Result<()> { Ok(()) }
/// # }
/// /// Opens a connection that `scope` closes.
/// async fn connect(scope: &Scope, host: &str) -> io::Result<Connection> {
///     let connection = Connection::open(host).await?;
///     Ok(scope.add(connection, Connection::close))
/// }
/// ```
pub struct Scope {
    releases: Mutex<Vec<Release>>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Releasing = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;
type Release = Box<dyn FnOnce() -> Releasing + Send>;

impl Scope {
    /// Adds `resource` to the scope, and returns it. The scope keeps a clone, and passes it to `release` when the body ends. A
    /// pool, a client or a handle is cheap to clone; put other resources into an [`Arc`](std::sync::Arc).
    ///
    /// ```
    /// use std::fmt::Error;
    /// use std::sync::{Arc, Mutex};
    ///
    /// use awaitly_core::resource;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let closed = Arc::new(Mutex::new(Vec::new()));
    /// let used = resource::scope(async |scope| {
    ///     for name in ["database", "cursor"] {
    ///         let closed = Arc::clone(&closed);
    ///         scope.add(name, |name| async move {
    ///             closed.lock().unwrap().push(name);
    ///             Ok::<_, Error>(())
    ///         });
    ///     }
    ///     Ok::<_, Error>(scope.len())
    /// });
    /// assert_eq!(used.await.unwrap(), 2);
    /// assert_eq!(*closed.lock().unwrap(), ["cursor", "database"]);
    /// # }
    /// ```
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

    /// Returns the number of resources to release.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Returns `true` if there are no resources to release.
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

/// The failure of a body with resources.
///
/// ```
/// use awaitly_core::resource;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let read = resource::scope(async |scope| {
///     scope.add("connection", |_| async { Err("the peer has gone") });
///     Ok::<_, std::fmt::Error>(7)
/// });
/// match read.await {
///     // The value is good; only the release failed.
///     Err(resource::Error::Release { failures, result: Ok(value) }) => {
///         assert_eq!((failures[0].to_string().as_str(), value), ("the peer has gone", 7));
///     }
///     other => panic!("{other:?}"),
/// }
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
pub enum Error<T, E> {
    /// The body failed, and all resources were released.
    #[error(transparent)]
    Failed(E),
    /// At least one release failed.
    #[error("{} of the body's resources could not be released: {}", failures.len(), list(failures))]
    Release {
        /// The errors of the releases, in the order in which they ran.
        failures: Vec<Box<dyn std::error::Error + Send + Sync>>,
        /// The result of the body.
        result: Result<T, E>,
    },
}

fn list(failures: &[Failure]) -> String {
    failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
