//! The guard of a step, chosen when the program runs.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use awaitly::guard::{Admission, Guard, Pass, Refusal, Verdict};
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
    type Refused = Refusal;
    type Wait = Pin<Box<dyn Future<Output = Result<Admitted<'p>, Refusal>> + Send + 'p>>;

    fn enter(&self) -> Admission<Self::Pass, Refusal, Self::Wait> {
        match self {
            Self::None => Admission::Admitted(Admitted::Free),
            Self::Breaker(breaker) => answered(Guard::<Fault>::enter(breaker), Admitted::Breaker),
            Self::Slots(slots) => answered(Guard::<Fault>::enter(slots), Admitted::Slots),
            Self::Refuses { id, times, world, after } => match world.refuses(*id, *times) {
                true => Admission::Refused(Refusal::new("sentinel", "not yet").with_retry_after(*after)),
                false => Admission::Admitted(Admitted::Free),
            },
        }
    }
}

type Answered<'p> = Admission<Admitted<'p>, Refusal, <Sentinel<'p> as Guard<Fault>>::Wait>;

/// The answer of one of the guards.
fn answered<'p, P, R, W>(answer: Admission<P, R, W>, admitted: fn(P) -> Admitted<'p>) -> Answered<'p>
where
    R: Into<Refusal> + 'p,
    W: Future<Output = Result<P, R>> + Send + 'p,
    P: 'p,
{
    match answer {
        Admission::Admitted(pass) => Admission::Admitted(admitted(pass)),
        Admission::Refused(refused) => Admission::Refused(refused.into()),
        Admission::Wait(wait) => {
            Admission::Wait(Box::pin(async move { wait.await.map(admitted).map_err(Into::into) }))
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
