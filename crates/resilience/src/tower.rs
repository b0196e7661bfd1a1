//! Guards as layers of `tower`, for programs with services instead of steps.
//!
//! ```
//! use awaitly_resilience::tower::GuardLayer;
//! use awaitly_resilience::{CallError, CircuitBreaker, RateLimiter};
//! use tower::{Service, ServiceBuilder, ServiceExt};
//!
//! # #[derive(Debug, PartialEq)]
//! # struct ApiError;
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let breaker = CircuitBreaker::new("search");
//! let mut service = ServiceBuilder::new()
//!     .layer(GuardLayer::new(breaker.clone()))
//!     .layer(GuardLayer::new(RateLimiter::per_second("search", 100)))
//!     .service_fn(async |word: &'static str| if word == "tea" { Ok(7) } else { Err(ApiError) });
//!
//! assert_eq!(service.ready().await.unwrap().call("tea").await, Ok(7));
//! let failed = service.ready().await.unwrap().call("mug").await;
//! assert_eq!(failed, Err(CallError::Failed(CallError::Failed(ApiError))));
//! assert_eq!(breaker.stats().all_failures, 1);
//! # });
//! ```
//!
//! For `tower`, a service that answers with an error status, for example over HTTP, has not failed.
//! [`failure_when`](GuardLayer::failure_when) decides which answers still count as failures of the service; the caller
//! gets them unchanged:
//!
//! ```
//! # use awaitly_resilience::tower::GuardLayer;
//! # use awaitly_resilience::CircuitBreaker;
//! # use tower::{Service, ServiceBuilder, ServiceExt};
//! # struct Response { status: u16 }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let breaker = CircuitBreaker::new("search");
//! let layer = GuardLayer::new(breaker.clone()).failure_when(|response: &Response| response.status >= 500);
//! let mut service = ServiceBuilder::new()
//!     .layer(layer)
//!     .service_fn(async |_: ()| Ok::<_, std::convert::Infallible>(Response { status: 503 }));
//!
//! assert_eq!(service.ready().await.unwrap().call(()).await.unwrap().status, 503);
//! assert_eq!(breaker.stats().all_failures, 1);
//! # });
//! ```
//!
//! A policy that wraps the operation itself, for example a cache, has no layer in this module. Use `layer_fn` and
//! `service_fn` of `tower` to make a layer from the policy's `call`; each call uses a clone of the service:
//!
//! ```
//! # use awaitly_resilience::Cache;
//! # #[derive(Debug, Clone, PartialEq)]
//! # struct ApiError;
//! use tower::util::BoxCloneService;
//! use tower::{Layer, ServiceExt, layer::layer_fn, service_fn};
//!
//! type Lengths = BoxCloneService<&'static str, usize, ApiError>;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let cache: Cache<&str, usize, ApiError> = Cache::options(1000).build();
//! let cached = layer_fn(move |service: Lengths| {
//!     let cache = cache.clone();
//!     service_fn(move |word: &'static str| {
//!         let (cache, service) = (cache.clone(), service.clone());
//!         async move { cache.call(word, || service.oneshot(word)).await }
//!     })
//! });
//! let service = Lengths::new(service_fn(async |word: &'static str| Ok(word.len())));
//! assert_eq!(cached.layer(service).oneshot("tea").await, Ok(3));
//! # });
//! ```
//!
//! A request passes its guard in its own future, after the service below has reported that it is ready. If becoming
//! ready fails or takes long, put a buffer or a load shedder between the guard and the service.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use awaitly_core::guard::Guard;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::call::{Begin, Call, CallError};
use crate::judge::Judge;

/// Makes every request pass through a guard: a breaker, a limiter, a throttle.
#[derive(Clone, Copy)]
pub struct GuardLayer<G, C = ()> {
    guard: G,
    classify: C,
}

impl<G> GuardLayer<G> {
    /// Creates the layer of `guard`.
    ///
    /// ```
    /// use awaitly_resilience::{ConcurrencyLimiter, tower::GuardLayer};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let layer = GuardLayer::new(ConcurrencyLimiter::new("search", 8));
    /// let service = layer.layer(service_fn(async |word: &'static str| Ok::<_, ()>(word.len())));
    /// assert_eq!(service.oneshot("tea").await, Ok(3));
    /// # });
    /// ```
    pub const fn new(guard: G) -> Self {
        Self { guard, classify: () }
    }
}

impl<G, C> GuardLayer<G, C> {
    /// Counts the answers for which `failure` returns `true` as failures of the service.
    ///
    /// The guard receives a [`Result`] for each failed call: `Ok` with an answer that counts as a failure, or `Err`
    /// with an error of the service. A predicate of the guard, for example of a breaker, therefore takes a `Result`:
    ///
    /// ```
    /// use awaitly_resilience::{CircuitBreaker, tower::GuardLayer};
    /// # struct Response { status: u16 }
    /// # enum ApiError { Unreachable, TooLarge }
    ///
    /// let breaker = CircuitBreaker::options("search")
    ///     .failure_when(|failed: &Result<Response, ApiError>| !matches!(failed, Err(ApiError::TooLarge)))
    ///     .build();
    /// let layer = GuardLayer::new(breaker).failure_when(|answer: &Response| answer.status >= 500);
    /// # let _ = layer;
    /// ```
    pub fn failure_when<F>(self, failure: F) -> GuardLayer<G, F> {
        GuardLayer { guard: self.guard, classify: failure }
    }
}

impl<S, G: Clone, C: Clone> Layer<S> for GuardLayer<G, C> {
    type Service = Guarded<S, G, C>;

    fn layer(&self, service: S) -> Self::Service {
        Guarded { guard: self.guard.clone(), classify: self.classify.clone(), service }
    }
}

/// A service behind a guard. It is ready if the inner service is; a request waits for the guard in its own future.
#[derive(Clone, Copy)]
pub struct Guarded<S, G, C = ()> {
    guard: G,
    classify: C,
    service: S,
}

impl<S, G, C, Request> Service<Request> for Guarded<S, G, C>
where
    S: Service<Request> + Clone,
    G: Guard<Result<S::Response, S::Error>> + Clone,
    C: Judge<S::Response, bool> + Clone,
{
    type Response = S::Response;
    type Error = CallError<S::Error, G::Refused>;
    type Future = GuardedFuture<S, G, C, Request>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(cx).map_err(CallError::Failed)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // The service that reported to be ready goes with the request.
        let next = self.service.clone();
        let service = std::mem::replace(&mut self.service, next);
        let requested = Requested { service, request, classify: self.classify.clone() };
        GuardedFuture { call: Call::new(self.guard.clone(), requested) }
    }
}

/// A request before it is sent.
struct Requested<S, C, Request> {
    service: S,
    request: Request,
    classify: C,
}

impl<S: Service<Request>, C, Request> Begin<Classified<S::Future, C>> for Requested<S, C, Request> {
    fn begin(mut self) -> Classified<S::Future, C> {
        Classified { answering: self.service.call(self.request), classify: self.classify }
    }
}

pin_project! {
    /// The future of an answer, which it classifies. An answer that counts as a failure is an error until the guard has
    /// seen it.
    struct Classified<Fut, C> {
        #[pin]
        answering: Fut,
        classify: C,
    }
}

impl<Fut, C, Response, E> Future for Classified<Fut, C>
where
    Fut: Future<Output = Result<Response, E>>,
    C: Judge<Response, bool>,
{
    type Output = Result<Response, Result<Response, E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        Poll::Ready(match ready!(this.answering.poll(cx)) {
            Ok(response) if this.classify.judge(&response, false) => Err(Ok(response)),
            Ok(response) => Ok(response),
            Err(error) => Err(Err(error)),
        })
    }
}

/// The call of a request.
type CallOf<S, G, C, Request> = Call<
    G,
    Requested<S, C, Request>,
    Classified<<S as Service<Request>>::Future, C>,
    Result<<S as Service<Request>>::Response, <S as Service<Request>>::Error>,
>;

pin_project! {
    /// The future of a request through a guard and a service.
    #[must_use = "futures do nothing unless polled"]
    pub struct GuardedFuture<S, G, C, Request>
    where
        S: Service<Request>,
        G: Guard<Result<S::Response, S::Error>>,
    {
        #[pin]
        call: CallOf<S, G, C, Request>,
    }
}

impl<S, G, C, Request> Future for GuardedFuture<S, G, C, Request>
where
    S: Service<Request>,
    G: Guard<Result<S::Response, S::Error>>,
    C: Judge<S::Response, bool>,
{
    type Output = Result<S::Response, CallError<S::Error, G::Refused>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(self.project().call.poll(cx)) {
            Ok(response) | Err(CallError::Failed(Ok(response))) => Ok(response),
            Err(CallError::Failed(Err(error))) => Err(CallError::Failed(error)),
            Err(CallError::Refused(refused)) => Err(CallError::Refused(refused)),
        })
    }
}

impl<G, C> fmt::Debug for GuardLayer<G, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardLayer").finish_non_exhaustive()
    }
}

impl<S, G, C> fmt::Debug for Guarded<S, G, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").finish_non_exhaustive()
    }
}

impl<S, G, C, Request> fmt::Debug for GuardedFuture<S, G, C, Request>
where
    S: Service<Request>,
    G: Guard<Result<S::Response, S::Error>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedFuture").finish_non_exhaustive()
    }
}
