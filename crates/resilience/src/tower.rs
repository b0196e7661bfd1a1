//! Every guard as a layer of `tower`, for those who have services and no steps.
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
//! A service that answers with a status, as one of HTTP does, has not failed as far as `tower` is concerned. Let a
//! layer below make an error of the answers that should count.

use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use crate::call::{Admit, Begin, Call, CallError};

/// Lets every request pass through a guard: a breaker, a limiter, a throttle.
#[derive(Debug, Clone, Copy)]
pub struct GuardLayer<G> {
    guard: G,
}

impl<G> GuardLayer<G> {
    /// The layer of `guard`.
    pub const fn new(guard: G) -> Self {
        Self { guard }
    }
}

impl<S, G: Clone> Layer<S> for GuardLayer<G> {
    type Service = Guarded<S, G>;

    fn layer(&self, service: S) -> Self::Service {
        Guarded { guard: self.guard.clone(), service }
    }
}

/// A service behind a guard. It is ready when the service is; a request waits for the guard in its own future.
#[derive(Debug, Clone)]
pub struct Guarded<S, G> {
    guard: G,
    service: S,
}

impl<S, G, Request> Service<Request> for Guarded<S, G>
where
    S: Service<Request> + Clone,
    G: Admit<S::Error> + Clone,
{
    type Response = S::Response;
    type Error = CallError<S::Error, G::Refused>;
    type Future = Call<G, Requested<S, Request>, S::Future, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(cx).map_err(CallError::Failed)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // The one that is ready goes with the request.
        let next = self.service.clone();
        let service = std::mem::replace(&mut self.service, next);
        Call::new(self.guard.clone(), Requested { service, request })
    }
}

/// A request that waits to be sent.
#[derive(Debug)]
pub struct Requested<S, Request> {
    service: S,
    request: Request,
}

impl<S: Service<Request>, Request> Begin<S::Future> for Requested<S, Request> {
    fn begin(mut self) -> S::Future {
        self.service.call(self.request)
    }
}
