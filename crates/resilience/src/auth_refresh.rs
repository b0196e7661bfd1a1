//! Credentials that run out: one refresh for all who met that, and then one more attempt.
//!
//! ```
//! use awaitly_resilience::AuthRefresh;
//!
//! # #[derive(Debug, Clone, PartialEq)]
//! enum ApiError { Unauthorized, Unreachable }
//! # async fn log_in() -> Result<String, ApiError> { Ok("new".to_owned()) }
//! # async fn get(token: String) -> Result<u32, ApiError> {
//! #     if token == "new" { Ok(7) } else { Err(ApiError::Unauthorized) }
//! # }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let auth = AuthRefresh::new("old".to_owned(), log_in, |e: &ApiError| matches!(e, ApiError::Unauthorized));
//! assert_eq!(auth.call(|token| get(token)).await, Ok(7));
//! assert_eq!(auth.credentials(), "new");
//! # });
//! ```

use std::fmt;
use std::future::Future;

use crate::call::CallError;
use crate::single_flight::{OwnKey, SingleFlight};
use crate::sync::{Arc, Mutex, lock};

/// Holds credentials and renews them when the service no longer takes them. Cheap to clone; clones hold the same.
#[doc = include_str!("single_flight/callers.md")]
pub struct AuthRefresh<C, R, F, P>(Arc<Shared<C, R, F, P>>);

struct Shared<C, R, F, P> {
    held: Mutex<Held<C>>,
    /// One refreshes, the others wait for what it comes to. The key is the number of what has run out.
    refreshes: SingleFlight<u64, C, R>,
    refresh: F,
    ran_out: P,
}

struct Held<C> {
    credentials: C,
    /// Grows with each refresh, so that who was refused with old ones does not renew the new ones.
    number: u64,
}

impl<C: Clone, R: Clone, F, P> AuthRefresh<C, R, F, P> {
    /// Holds `credentials` until an error is one for which `ran_out` holds; then gets others from `refresh`.
    pub fn new<E, Refreshed>(credentials: C, refresh: F, ran_out: P) -> Self
    where
        F: Fn() -> Refreshed,
        Refreshed: Future<Output = Result<C, R>>,
        P: Fn(&E) -> bool,
    {
        let held = Mutex::new(Held { credentials, number: 0 });
        Self(Arc::new(Shared { held, refreshes: SingleFlight::new(), refresh, ran_out }))
    }

    /// What it holds now.
    #[must_use]
    pub fn credentials(&self) -> C {
        self.0.held().0
    }

    /// Calls `operation` with the credentials. Where its error says that they have run out they are renewed, once
    /// for all who were told so, and it is called once more; what it ends in then is the answer.
    ///
    /// # Errors
    /// Returns [`CallError::Failed`] with the operation's own error, and [`CallError::Refused`] with the error of the
    /// refresh, which every caller that waited for it gets. A call that the refresh itself makes cannot wait for the
    /// refresh: if its credentials have run out, it ends in its operation's own error.
    ///
    /// # Cancel safety
    /// Dropping the future drops the operation or the refresh. Another one who waits refreshes then.
    pub async fn call<T, E, Refreshed, Op, Fut>(&self, operation: Op) -> Result<T, CallError<E, R>>
    where
        F: Fn() -> Refreshed,
        Refreshed: Future<Output = Result<C, R>>,
        P: Fn(&E) -> bool,
        Op: Fn(C) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let (credentials, number) = self.0.held();
        let error = match operation(credentials).await {
            Err(error) if (self.0.ran_out)(&error) => error,
            ended => return ended.map_err(CallError::Failed),
        };
        match self.0.renew(number).await {
            Ok(renewed) => operation(renewed).await.map_err(CallError::Failed),
            Err(CallError::Failed(refused)) => Err(CallError::Refused(refused)),
            Err(CallError::Refused(OwnKey)) => Err(CallError::Failed(error)),
        }
    }
}

impl<C: Clone, R: Clone, F, P> Shared<C, R, F, P> {
    fn held(&self) -> (C, u64) {
        let held = lock(&self.held);
        (held.credentials.clone(), held.number)
    }

    /// Other credentials than those with that number.
    async fn renew<Fut>(&self, number: u64) -> Result<C, CallError<R, OwnKey>>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<C, R>>,
    {
        let refresh = async || {
            // Somebody else may have done it between the attempt and now.
            let (credentials, newest) = self.held();
            if newest != number {
                return Ok(credentials);
            }
            let credentials = (self.refresh)().await?;
            *lock(&self.held) = Held { credentials: credentials.clone(), number: number + 1 };
            Ok(credentials)
        };
        self.refreshes.call(number, refresh).await
    }
}

impl<C, R, F, P> Clone for AuthRefresh<C, R, F, P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

// The credentials do not belong in logs.
impl<C, R, F, P> fmt::Debug for AuthRefresh<C, R, F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthRefresh").finish_non_exhaustive()
    }
}
