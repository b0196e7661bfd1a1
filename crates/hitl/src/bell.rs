use std::time::Duration;

use awaitly_core::clock::secs;
use awaitly_core::journal::{Timestamp, WaitEntry};
use awaitly_core::{__outside, DurableRun, Retry};

use crate::caught::Caught;
use crate::notify::{Notice, NoticeKind, Notifier, NotifyError};
use crate::request::Request;

/// Tells people that they are asked, and that they still are.
pub(crate) struct Bell<'a, N> {
    pub(crate) run: &'a DurableRun,
    pub(crate) request: Request,
    pub(crate) entry: WaitEntry,
    pub(crate) notifier: &'a N,
    pub(crate) remind_every: Option<Duration>,
}

impl<N: Notifier> Bell<'_, N> {
    pub(crate) async fn ring(self) {
        if !N::TELLS {
            return;
        }
        let key = &self.entry.key;
        self.send(format!("notify {key}"), NoticeKind::Asked).await;
        let Some(every) = self.remind_every.filter(|every| *every > Duration::ZERO) else { return };
        let waited = self.entry.since.until(__outside::time(self.run));
        let reminders = u64::try_from(waited.as_nanos() / every.as_nanos()).unwrap_or(u64::MAX);
        if reminders > 0 {
            // Those that nobody was there to send are not made up for.
            self.send(format!("remind {key} {reminders}"), NoticeKind::Reminder(reminders)).await;
        }
        __outside::wake_at(self.run, key, self.next(every, reminders));
    }

    fn next(&self, every: Duration, reminders: u64) -> Timestamp {
        let passed = u32::try_from(reminders.saturating_add(1)).unwrap_or(u32::MAX);
        self.entry.since.after(every.saturating_mul(passed))
    }

    async fn send(&self, step: String, kind: NoticeKind) {
        let Request { prompt, metadata, answerers, .. } = &self.request;
        let notice = Notice {
            kind,
            run: self.run.id().to_owned(),
            key: self.entry.key.clone(),
            prompt: prompt.clone(),
            metadata: metadata.as_ref().and_then(|metadata| metadata.decode().ok()),
            answerers: answerers.clone(),
            expires: self.entry.expires,
            token: self.entry.token.to_string(),
        };
        // A notice that was not sent is tried anew when the run is run again. A question that is asked anew has another
        // token, and is told anew.
        let fresh = self.run.step(step.clone(), || async {
            let sent = Caught::new(|| self.notifier.notify(notice.clone())).await;
            sent.unwrap_or_else(|panic| Err(NotifyError::new(format!("the notifier panicked: {panic}"))))
        });
        let sent = fresh
            .key(format!("{step} #{:08x}", short(&self.entry.token)))
            .rerun_errors()
            .retry(DELIVERY)
            .timeout(SLOWEST);
        if let Err(error) = sent.await {
            tracing::warn!(run = self.run.id(), key = %self.entry.key, %error, "nobody was told of the question");
        }
    }
}

/// A number that tells one token from another, and does not tell the token (FNV-1a, 32 bits).
fn short(token: &str) -> u32 {
    token.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// How often a notice is tried before the run is left to wait without it.
const DELIVERY: Retry = Retry::exponential(Duration::from_millis(200)).attempts(4);
/// How long one try may take.
const SLOWEST: Duration = secs(10);
