//! Credentials that expire: one refresh for all affected callers, and then one more attempt.
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

use std::future::Future;

use crate::call::CallError;
use crate::handle::handle;
use crate::single_flight::{OwnKey, SingleFlight};
use crate::sync::{Arc, Mutex, lock};

/// Holds credentials and renews them if the service no longer accepts them. Cheap to clone; clones share the
/// credentials.
#[doc = include_str!("single_flight/callers.md")]
pub struct AuthRefresh<C, R, F, P>(Arc<Shared<C, R, F, P>>);

handle!(AuthRefresh<C, R, F, P>);

struct Shared<C, R, F, P> {
    held: Mutex<Held<C>>,
    /// Lets one caller refresh while the others wait for its result. The key is the number of the expired credentials.
    refreshes: SingleFlight<u64, C, R>,
    refresh: F,
    ran_out: P,
}

struct Held<C> {
    credentials: C,
    /// The number of refreshes so far. A caller that was refused with old credentials does not renew the new ones.
    number: u64,
}

impl<C: Clone, R: Clone, F, P> AuthRefresh<C, R, F, P> {
    /// Creates a holder of `credentials`. If `ran_out` returns `true` for an error, `refresh` provides new credentials.
    ///
    /// ```
    /// use awaitly_resilience::AuthRefresh;
    ///
    /// # #[derive(Debug, Clone)]
    /// # struct ApiError { status: u16 }
    /// # async fn log_in() -> Result<String, ApiError> { Ok("new".to_owned()) }
    /// let auth = AuthRefresh::new("old".to_owned(), log_in, |error: &ApiError| error.status == 401);
    /// assert_eq!(auth.credentials(), "old");
    /// ```
    pub fn new<E, Refreshed>(credentials: C, refresh: F, ran_out: P) -> Self
    where
        F: Fn() -> Refreshed,
        Refreshed: Future<Output = Result<C, R>>,
        P: Fn(&E) -> bool,
    {
        let held = Mutex::new(Held { credentials, number: 0 });
        Self(Arc::new(Shared { held, refreshes: SingleFlight::new(), refresh, ran_out }))
    }

    /// Returns the current credentials.
    #[must_use]
    pub fn credentials(&self) -> C {
        self.0.held().0
    }

    /// Calls `operation` with the credentials. If the error of `operation` shows that the credentials have expired, one
    /// refresh renews them for all affected callers. Each of these calls then runs its `operation` once more and
    /// returns the second result.
    ///
    /// # Errors
    /// Returns [`CallError::Failed`] with the operation's own error. Returns [`CallError::Refused`] with the error of
    /// the refresh if the refresh fails; all callers that waited for the refresh get this error.
    ///
    /// The refresh itself may call `call`. Such a call cannot wait for the refresh, so it returns the error of its own
    /// operation if the credentials have expired.
    ///
    /// # Cancel safety
    /// Dropping the future drops its operation, or the refresh if this future runs it. Another caller that waits for
    /// the dropped refresh then starts a new one.
    ///
    /// ```
    /// use awaitly_resilience::{AuthRefresh, CallError};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// // The password is wrong, so the refresh fails, and its error is the refusal.
    /// let auth = AuthRefresh::new(1, async || Err::<u32, _>("wrong password"), |status: &u16| *status == 401);
    /// let got = auth.call(async |_token| Err::<u32, _>(401)).await;
    /// assert_eq!(got, Err(CallError::Refused("wrong password")));
    /// # });
    /// ```
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

    /// Returns credentials that are newer than the ones with this number.
    async fn renew<Fut>(&self, number: u64) -> Result<C, CallError<R, OwnKey>>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<C, R>>,
    {
        let refresh = async || {
            // Another caller may have refreshed between the attempt and now.
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
