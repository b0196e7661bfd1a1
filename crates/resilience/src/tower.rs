//! Every policy as a layer of `tower`, for programs with services instead of steps.
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
//! A policy around the operation itself becomes a layer through [`AroundLayer`], whose function receives the service
//! and the request:
//!
//! ```
//! # use awaitly_resilience::tower::AroundLayer;
//! # use awaitly_resilience::Cache;
//! # #[derive(Debug, Clone, PartialEq)]
//! # struct ApiError;
//! use tower::util::BoxCloneService;
//! use tower::{Layer, Service, ServiceExt};
//!
//! type Lengths = BoxCloneService<&'static str, usize, ApiError>;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let cache: Cache<&str, usize, ApiError> = Cache::options(1000).build();
//! let cached = AroundLayer::new(move |service: Lengths, word: &'static str| {
//!     let cache = cache.clone();
//!     async move { cache.call(word, || service.oneshot(word)).await }
//! });
//! let service = Lengths::new(tower::service_fn(async |word: &'static str| Ok(word.len())));
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

/// Makes every request pass through a guard: a breaker, a limiter, a throttle.
#[derive(Clone, Copy)]
pub struct GuardLayer<G, C = Never> {
    guard: G,
    classify: C,
}

/// Counts no answer as a failure of the service.
#[derive(Debug, Clone, Copy)]
pub struct Never;

/// Decides which answers are failures of the service. [`Never`] and functions implement it.
pub trait Classify<Response> {
    /// Returns whether `response` is a failure.
    fn is_failure(&self, response: &Response) -> bool;
}

impl<Response> Classify<Response> for Never {
    fn is_failure(&self, _: &Response) -> bool {
        false
    }
}

impl<Response, F: Fn(&Response) -> bool> Classify<Response> for F {
    fn is_failure(&self, response: &Response) -> bool {
        self(response)
    }
}

impl<G> GuardLayer<G> {
    /// Creates the layer of `guard`.
    pub const fn new(guard: G) -> Self {
        Self { guard, classify: Never }
    }
}

impl<G, C> GuardLayer<G, C> {
    /// Counts the answers for which `failure` returns `true` as failures of the service. The guard sees a
    /// [`Failure::Answered`], so its predicate over errors takes that type.
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

/// The failure of a service, as the guard sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure<Response, E> {
    /// The service returned an error.
    Failed(E),
    /// The service returned an answer that counts as a failure.
    Answered(Response),
}

/// A service behind a guard. It is ready if the inner service is; a request waits for the guard in its own future.
#[derive(Clone, Copy)]
pub struct Guarded<S, G, C = Never> {
    guard: G,
    classify: C,
    service: S,
}

impl<S, G, C, Request> Service<Request> for Guarded<S, G, C>
where
    S: Service<Request> + Clone,
    G: Guard<Failure<S::Response, S::Error>> + Clone,
    C: Classify<S::Response> + Clone,
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
    /// The future of an answer, which it classifies.
    struct Classified<Fut, C> {
        #[pin]
        answering: Fut,
        classify: C,
    }
}

impl<Fut, C, Response, E> Future for Classified<Fut, C>
where
    Fut: Future<Output = Result<Response, E>>,
    C: Classify<Response>,
{
    type Output = Result<Response, Failure<Response, E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        Poll::Ready(match ready!(this.answering.poll(cx)) {
            Ok(response) if this.classify.is_failure(&response) => Err(Failure::Answered(response)),
            Ok(response) => Ok(response),
            Err(error) => Err(Failure::Failed(error)),
        })
    }
}

/// The call of a request.
type CallOf<S, G, C, Request> = Call<
    G,
    Requested<S, C, Request>,
    Classified<<S as Service<Request>>::Future, C>,
    Failure<<S as Service<Request>>::Response, <S as Service<Request>>::Error>,
>;

pin_project! {
    /// The future of a request through a guard and a service.
    #[must_use = "futures do nothing unless polled"]
    pub struct GuardedFuture<S, G, C, Request>
    where
        S: Service<Request>,
        G: Guard<Failure<S::Response, S::Error>>,
    {
        #[pin]
        call: CallOf<S, G, C, Request>,
    }
}

impl<S, G, C, Request> Future for GuardedFuture<S, G, C, Request>
where
    S: Service<Request>,
    G: Guard<Failure<S::Response, S::Error>>,
    C: Classify<S::Response>,
{
    type Output = Result<S::Response, CallError<S::Error, G::Refused>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(self.project().call.poll(cx)) {
            Ok(response) | Err(CallError::Failed(Failure::Answered(response))) => Ok(response),
            Err(CallError::Failed(Failure::Failed(error))) => Err(CallError::Failed(error)),
            Err(CallError::Refused(refused)) => Err(CallError::Refused(refused)),
        })
    }
}

/// Wraps every request in a function: a retry, a hedge, a cache, a single flight, a refresh of credentials.
#[derive(Clone, Copy)]
pub struct AroundLayer<F> {
    around: F,
}

impl<F> AroundLayer<F> {
    /// Creates the layer of `around`. The function receives the service, which may not be ready, and the request: call
    /// the service with `oneshot` of `tower`, and use a clone of the service for each further call.
    pub const fn new(around: F) -> Self {
        Self { around }
    }
}

impl<S, F: Clone> Layer<S> for AroundLayer<F> {
    type Service = Around<S, F>;

    fn layer(&self, service: S) -> Self::Service {
        Around { around: self.around.clone(), service }
    }
}

/// A service with a function around it. It is always ready; a request waits in its own future.
#[derive(Clone, Copy)]
pub struct Around<S, F> {
    around: F,
    service: S,
}

impl<S, F, Request, Fut, T, E> Service<Request> for Around<S, F>
where
    S: Clone,
    F: Fn(S, Request) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    type Response = T;
    type Error = E;
    type Future = Fut;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Fut {
        (self.around)(self.service.clone(), request)
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

impl<F> fmt::Debug for AroundLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AroundLayer").finish_non_exhaustive()
    }
}

impl<S, F> fmt::Debug for Around<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Around").finish_non_exhaustive()
    }
}

impl<S, G, C, Request> fmt::Debug for GuardedFuture<S, G, C, Request>
where
    S: Service<Request>,
    G: Guard<Failure<S::Response, S::Error>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedFuture").finish_non_exhaustive()
    }
}
