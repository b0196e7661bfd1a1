//! What stands between a call and a service that misbehaves, with the caller's own error type.
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
//! Every policy is a handle that is cheap to clone, and clones are the same policy. Each is a
//! [`Guard`](awaitly_core::guard::Guard), used in two ways. As a `guard` of a step, its refusal is
//! [`RunError::Refused`](awaitly_core::RunError::Refused) and no attempt: a step with a retry asks again, not before its
//! time. Alone, through [`GuardExt::call`], it returns the operation's own error or the refusal with its own type
//! ([`CallError`]).
//!
//! | module | what it holds back |
//! | --- | --- |
//! | [`circuit_breaker`] | calls to a service that fails anyway |
//! | [`rate_limiter`] | calls that come too fast |
//! | [`concurrency_limiter`] | calls that are too many at once |
//! | [`combined_limiter`] | both of these at once |
//! | [`adaptive_throttle`] | calls that are more than the service takes, which it finds out |
//!
//! [`Keyed`] keeps one of them for each key: for each host, tenant or token.
//!
//! With the feature `tower`, each of these is a layer as well: `tower::GuardLayer`.
//!
//! Of several guards the first one is outside: it is entered first and left last. Put limiters before a breaker, so that
//! the time in their queues is not taken for that of the service, and no probe waits in them.
//!
//! Others go around the operation itself, inside of a step or without one:
//!
//! | module | what it does |
//! | --- | --- |
//! | [`single_flight`] | makes one call of those for the same thing at the same time |
//! | [`cache`] | keeps answers for a while |
//! | [`hedge`] | makes another call where the first takes long |
//! | [`fallback`] | puts something else in the place of a failure |
//! | [`auth_refresh`] | renews credentials once for all who need it |
//!
//! A call that waits at one of them is polled or dropped, not kept aside: see
//! [`ConcurrencyLimiter`](ConcurrencyLimiter#poll-a-waiter-or-drop-it). An operation of a single flight or a cache that
//! asks for its own key is refused: [`OwnKey`](single_flight::OwnKey).
//!
//! Every policy reads the time off the processor's counter and waits by tokio's timer, unless it is given a clock. Where
//! a test has paused tokio's time, give it one that follows: `clock(SystemClock)` of `awaitly_core::clock`, or a
//! `VirtualClock`.
//!
//! A [`policy`] is retry, timeout, deadline and guards under one name.

pub mod adaptive_throttle;
pub mod auth_refresh;
pub mod cache;
pub mod call;
pub mod circuit_breaker;
pub mod combined_limiter;
pub mod concurrency_limiter;
pub mod failure;
pub mod fallback;
pub mod hedge;
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
pub use keyed::Keyed;
pub use name::Name;
pub use policy::Policy;
pub use rate_limiter::RateLimiter;
pub use single_flight::SingleFlight;
