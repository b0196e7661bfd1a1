use std::borrow::Borrow;
use std::future::Future;
use std::pin::Pin;

use awaitly_core::guard::{Admission, Pass};

use super::slots::Slots;
use super::{ConcurrencyLimiter, Full};

/// A slot of a limiter, for a call that runs. Dropping the slot frees it for another call. `H` is the limiter, by value
/// or by reference.
#[derive(Debug)]
pub struct Slot<H: Borrow<ConcurrencyLimiter>>(H);

pub(super) type Wait<'a, H> = Pin<Box<dyn Future<Output = Result<Slot<H>, Full>> + Send + 'a>>;

impl<H: Borrow<ConcurrencyLimiter>> Slot<H> {
    /// Takes a slot if one is free, and otherwise returns the limiter.
    #[inline]
    pub(crate) fn try_take(limiter: H) -> Result<Self, H> {
        if slots(&limiter).try_take() { Ok(Self(limiter)) } else { Err(limiter) }
    }

    #[inline]
    pub(crate) fn enter<'a>(limiter: H) -> Admission<Self, Full, Wait<'a, H>>
    where
        H: Send + Sync + 'a,
    {
        match Self::try_take(limiter) {
            Ok(slot) => Admission::Admitted(slot),
            Err(limiter) if slots(&limiter).never_queues() => Admission::Refused(slots(&limiter).full()),
            Err(limiter) => Admission::Wait(Box::pin(async move {
                slots(&limiter).take().await?;
                Ok(Self(limiter))
            })),
        }
    }
}

#[inline]
fn slots<H: Borrow<ConcurrencyLimiter>>(limiter: &H) -> &Slots {
    &limiter.borrow().0
}

impl<H: Borrow<ConcurrencyLimiter>> Drop for Slot<H> {
    #[inline]
    fn drop(&mut self) {
        slots(&self.0).give(1);
    }
}

impl<H: Borrow<ConcurrencyLimiter>, E> Pass<E> for Slot<H> {}
