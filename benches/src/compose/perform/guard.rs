//! The guard of a step, chosen when the program runs.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use awaitly::guard::{Guard, Pass, Refusal, Verdict};
use awaitly::resilience::{CircuitBreaker, ConcurrencyLimiter};

use super::Process;
use crate::fault::Fault;
use crate::part::{Part, Sentry};
use crate::world::World;

/// Lets attempts at a step pass, or not.
#[derive(Clone)]
pub(super) enum Sentinel<'p> {
    None,
    Breaker(&'p CircuitBreaker),
    Slots(&'p ConcurrencyLimiter),
    Refuses { id: u16, times: u8, world: Arc<World>, after: Duration },
}

pub(super) enum Admitted<'p> {
    Free,
    Breaker(<&'p CircuitBreaker as Guard<Fault>>::Pass),
    Slots(<&'p ConcurrencyLimiter as Guard<Fault>>::Pass),
}

impl<'p> Sentinel<'p> {
    pub(super) fn new(process: &'p Process, part: &Part, sentry: Option<Sentry>) -> Self {
        match sentry {
            None => Self::None,
            Some(Sentry::Breaker) => {
                process.services.breakers.get(&part.id).map_or(Self::None, Self::Breaker)
            }
            Some(Sentry::Slots) => process.services.slots.get(&part.id).map_or(Self::None, Self::Slots),
            Some(Sentry::Refuses(times)) => {
                Self::Refuses { id: part.id, times, world: Arc::clone(&process.world), after: process.unit }
            }
        }
    }
}

impl<'p> Guard<Fault> for Sentinel<'p> {
    type Pass = Admitted<'p>;
    type Entering = Pin<Box<dyn Future<Output = Result<Admitted<'p>, Refusal>> + Send + 'p>>;

    fn enter(&self) -> Self::Entering {
        match self.clone() {
            Self::None => Box::pin(async { Ok(Admitted::Free) }),
            Self::Breaker(breaker) => {
                Box::pin(async move { Guard::<Fault>::enter(&breaker).await.map(Admitted::Breaker) })
            }
            Self::Slots(slots) => {
                Box::pin(async move { Guard::<Fault>::enter(&slots).await.map(Admitted::Slots) })
            }
            Self::Refuses { id, times, world, after } => Box::pin(async move {
                if world.refuses(id, times) {
                    return Err(Refusal::new("sentinel", "not yet").with_retry_after(after));
                }
                Ok(Admitted::Free)
            }),
        }
    }

    fn try_enter(&self) -> Result<Self::Pass, Self::Entering> {
        match self {
            Self::None => Ok(Admitted::Free),
            other => Err(other.enter()),
        }
    }
}

impl Pass<Fault> for Admitted<'_> {
    fn leave(self, verdict: Verdict<'_, Fault>) {
        match self {
            Self::Free => {}
            Self::Breaker(pass) => pass.leave(verdict),
            Self::Slots(pass) => Pass::<Fault>::leave(pass, verdict),
        }
    }
}
