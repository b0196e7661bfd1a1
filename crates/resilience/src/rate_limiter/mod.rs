//! A limit on the number of calls in a period: further calls wait for their turn, or are refused.
//!
//! ```
//! use std::time::Duration;
//! use awaitly_resilience::{GuardExt, Keyed, RateLimiter};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! # async fn search(_: &str) -> Result<u32, std::fmt::Error> { Ok(7) }
//! let limiter = RateLimiter::per_second("search", 10);
//! let found = limiter.call(|| search("tea")).await;
//! let many = limiter.cost(5).call(|| search("tea mug bowl pot cup")).await;
//! # assert!(found.is_ok() && many.is_ok());
//!
//! // Each tenant has tokens of its own:
//! let options = RateLimiter::options("tenant", 100, Duration::from_secs(60)).refuse();
//! let tenants: Keyed<String, RateLimiter> = Keyed::new(move |_| options.clone().build());
//! let found = tenants.key("ada").call(|| search("tea")).await;
//! # assert!(found.is_ok());
//! # });
//! ```
//!
//! A limiter begins with as many tokens as its [`burst`](Options::burst). A call takes one token, or as many as it
//! [costs](RateLimiter::cost). Taken tokens come back one by one, one in each [`interval`](RateLimiter::interval).
//! Calls wait in a queue, and only the first of them asks for tokens, so a later call does not overtake an earlier one.
//! If a waiting call is dropped, it leaves the queue.

mod bucket;
mod error;
mod limiter;
mod options;

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::time::Duration;

use crate::name::Name;

pub use error::RateLimited;
pub use limiter::{Costing, RateLimiter};
pub use options::Options;

type Wait<'a> = Pin<Box<dyn Future<Output = Result<(), RateLimited>> + Send + 'a>>;

/// Checks the cost of a call.
///
/// # Panics
/// Panics if `tokens` is 0.
const fn cost_of(tokens: u32) -> NonZeroU32 {
    let Some(tokens) = NonZeroU32::new(tokens) else {
        panic!("a call costs at least one token: `cost(0)` is refused")
    };
    tokens
}

/// The reason for which a call gets no tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum No {
    /// The tokens may be available after this time.
    For(Duration),
    /// The call costs more than the limiter can hold.
    Ever,
}

impl No {
    /// Converts this to the refusal of the limiter with this name.
    #[cold]
    fn of(self, name: &Name) -> RateLimited {
        let retry_after = match self {
            Self::For(delay) => Some(delay),
            Self::Ever => None,
        };
        RateLimited { name: name.clone(), retry_after }
    }
}
