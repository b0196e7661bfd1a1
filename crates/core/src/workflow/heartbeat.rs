use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::clock::{Sleep, later};
use crate::shared::{Shared, Writer};
use crate::store::{Renewed, StoreError};

/// The minimum time between two renewals, so that a very short lease does not keep the task busy.
const LEAST_PAUSE: Duration = Duration::from_millis(10);

pin_project! {
    /// A body that runs under a lease, and the renewals of the lease.
    ///
    /// The lease is renewed after a third of its time, with at least [`LEAST_PAUSE`] between two renewals. If the lease
    /// is lost, the body is dropped at once, because another owner executes the run. If the store reports a request to
    /// cancel the run, the run is cancelled.
    pub(super) struct Heartbeat<'a, B> {
        #[pin]
        body: B,
        writer: Option<&'a Writer>,
        shared: &'a Shared,
        beat: Beat,
    }
}

enum Beat {
    /// The body has not had to wait yet.
    Resting,
    /// The time until the next renewal.
    Waiting(Sleep),
    /// A renewal in flight.
    Renewing(Pin<Box<dyn Future<Output = Result<Renewed, StoreError>> + Send>>),
}

impl<'a, B> Heartbeat<'a, B> {
    pub(super) const fn new(body: B, writer: Option<&'a Writer>, shared: &'a Shared) -> Self {
        Self { body, writer, shared, beat: Beat::Resting }
    }
}

impl<B: Future> Future for Heartbeat<'_, B> {
    type Output = Result<B::Output, StoreError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let body = this.shared.execution.enter_body();
        let polled = this.body.poll(cx);
        if let Some(other) = body.leave().other {
            this.shared.stopping.note_other_run(other);
        }
        if let Poll::Ready(output) = polled {
            return Poll::Ready(Ok(output));
        }
        let Some(writer) = this.writer else {
            return Poll::Pending;
        };
        let clock = this.shared.time.clock();
        loop {
            let next = match this.beat {
                Beat::Resting => {
                    let pause = (writer.ttl / 3).max(LEAST_PAUSE);
                    Beat::Waiting(clock.sleep_until(later(clock.now(), pause)))
                }
                Beat::Waiting(sleep) => {
                    std::task::ready!(sleep.as_mut().poll(cx));
                    Beat::Renewing(writer.renew())
                }
                Beat::Renewing(renewing) => match std::task::ready!(renewing.as_mut().poll(cx)) {
                    Err(error @ StoreError::LeaseLost { .. }) => return Poll::Ready(Err(error)),
                    Err(error) => {
                        // The lease may still be valid; the next write will show it.
                        tracing::warn!(run = %writer.lease.run(), %error, "the lease could not be renewed");
                        Beat::Resting
                    }
                    Ok(renewed) => {
                        this.shared.renewed(renewed);
                        Beat::Resting
                    }
                },
            };
            *this.beat = next;
        }
    }
}
