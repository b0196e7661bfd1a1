//! Policies that protect a caller from a service that misbehaves, with the caller's own error type.
//!
//! ```
//! use awaitly_core::{RunError, run, step};
//! use awaitly_resilience::{CircuitBreaker, GuardExt};
//!
//! # #[derive(Debug, thiserror::Error)]
//! # #[error("declined")]
//! # struct PaymentError;
//! # async fn charge() -> Result<u32, PaymentError> { Ok(7) }
//! # #[derive(Debug, thiserror::Error)]
//! # enum CheckoutError {
//! #     #[error(transparent)] Payment(#[from] PaymentError),
//! #     #[error(transparent)] Run(#[from] RunError),
//! # }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let breaker = CircuitBreaker::new("payments");
//!
//! // Around a step:
//! let paid: Result<_, CheckoutError> = run(async |run| Ok(step!(run, guard = &breaker, charge()))).await;
//!
//! // Or around any call:
//! let paid = breaker.call(charge).await;
//! # assert_eq!(paid, Ok(7));
//! # });
//! # impl PartialEq for PaymentError { fn eq(&self, _: &Self) -> bool { true } }
//! ```
//!
//! Every policy is a handle that is cheap to clone; clones share one state. Each policy is a
//! [`Guard`](awaitly_core::guard::Guard) and is used in two ways. If a step has it as its `guard`, a refusal is
//! [`RunError::Refused`](awaitly_core::RunError::Refused) and not an attempt: a step with a retry asks the guard again,
//! but not before the time that the refusal states. Without a step, [`GuardExt::call`] returns a [`CallError`]: either
//! the operation's own error or the policy's refusal, each with its own type. A function of the caller decides which
//! errors count ([`Judge`]).
//!
//! | module | holds back |
//! | --- | --- |
//! | [`circuit_breaker`] | calls to a service that fails anyway |
//! | [`rate_limiter`] | calls that come too fast |
//! | [`concurrency_limiter`] | calls beyond a number at once |
//! | [`combined_limiter`] | calls that are too fast or too many at once |
//! | [`adaptive_throttle`] | calls beyond the capacity of the service, which it measures |
//!
//! [`Keyed`] keeps one of these policies for each key: for each host, tenant or token.
//!
//! With the feature `tower`, each of these policies is a layer as well: `tower::GuardLayer`.
//!
//! If a step has several guards, the first one is the outermost: a call enters it first and leaves it last. Put
//! limiters before a breaker, so that the breaker does not count the time in their queues, and no probe waits in them.
//!
//! Other policies wrap the operation itself, inside a step or without one:
//!
//! | module | purpose |
//! | --- | --- |
//! | [`single_flight`] | merges concurrent calls for one key into one |
//! | [`cache`] | keeps answers for a while |
//! | [`hedge`] | makes another call if the first one is slow |
//! | [`fallback`] | replaces a failure with another answer |
//! | [`auth_refresh`] | renews credentials once for all callers that need them |
//!
//! If a call waits at one of these policies, poll it until it ends, or drop it; do not keep it unpolled: see
//! [`ConcurrencyLimiter`](ConcurrencyLimiter#poll-a-waiter-or-drop-it). If the operation of a single flight or a cache
//! asks for its own key, the call is refused: [`OwnKey`](single_flight::OwnKey).
//!
//! Every policy reads the time from the processor's counter and waits with tokio's timer, unless the caller sets a
//! clock. If a test pauses tokio's time, set a clock that follows it: `clock(SystemClock)` of `awaitly_core::clock`, or
//! a `VirtualClock`.
//!
//! A [`policy`] combines retry, timeout, deadline and guards under one name.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod adaptive_throttle;
pub mod auth_refresh;
pub mod cache;
mod call;
pub mod circuit_breaker;
pub mod combined_limiter;
pub mod concurrency_limiter;
pub mod fallback;
mod handle;
pub mod hedge;
mod judge;
pub mod keyed;
mod name;
mod per_key;
pub mod policy;
pub mod rate_limiter;
mod shards;
pub mod single_flight;
mod sync;
mod time;
#[cfg(feature = "tower")]
pub mod tower;
mod turn;

pub use adaptive_throttle::AdaptiveThrottle;
pub use auth_refresh::AuthRefresh;
pub use cache::Cache;
pub use call::{CallError, GuardExt};
pub use circuit_breaker::CircuitBreaker;
pub use combined_limiter::CombinedLimiter;
pub use concurrency_limiter::ConcurrencyLimiter;
pub use fallback::Fallback;
pub use hedge::Hedge;
pub use judge::Judge;
pub use keyed::Keyed;
pub use name::Name;
pub use policy::Policy;
pub use rate_limiter::RateLimiter;
pub use single_flight::SingleFlight;
