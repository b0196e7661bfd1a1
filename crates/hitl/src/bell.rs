use std::time::Duration;

use awaitly_core::clock::secs;
use awaitly_core::extend::outside;
use awaitly_core::journal::{Timestamp, WaitEntry};
use awaitly_core::{DurableRun, Retry};
use serde::{Deserialize, Serialize};

use crate::caught::Caught;
use crate::notify::{Notice, NoticeKind, Notifier};
use crate::request::Request;

/// Sends the notice of a question that waits, and its reminders.
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
        let waited = self.entry.since.until(outside::time(self.run));
        let reminders = u64::try_from(waited.as_nanos() / every.as_nanos()).unwrap_or(u64::MAX);
        if reminders > 0 {
            // Only the newest reminder is sent; earlier ones that were missed are skipped.
            self.send(format!("remind {key} {reminders}"), NoticeKind::Reminder(reminders)).await;
        }
        outside::wake_at(self.run, key, self.next(every, reminders));
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
        // A failed notice is sent again when the run is resumed. A question that is asked again has another token, so the
        // key of its notice differs and the notice is sent.
        let fresh = self.run.step(step.clone(), || async {
            let reason = match Caught::new(|| self.notifier.notify(notice.clone())).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error.to_string(),
                Err(panic) => format!("the notifier panicked: {panic}"),
            };
            Err(Unsent { reason })
        });
        let sent = fresh
            .key(format!("{step} #{:08x}", short(&self.entry.token)))
            .rerun_errors()
            .retry(DELIVERY)
            .timeout(SLOWEST);
        if let Err(error) = sent.await {
            tracing::warn!(run = self.run.id(), key = %self.entry.key, %error, "the notice of a question could not be sent: the run waits without it");
        }
    }
}

/// A notice that could not be sent, as the journal records it.
#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("the notice could not be sent: {reason}")]
struct Unsent {
    reason: String,
}

/// Returns a short hash that distinguishes tokens and does not reveal them (FNV-1a, 32 bits).
fn short(token: &str) -> u32 {
    token.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The attempts of a notice; after the last one, the run waits without the notice.
const DELIVERY: Retry = Retry::exponential(Duration::from_millis(200)).attempts(4);
/// The timeout of one attempt.
const SLOWEST: Duration = secs(10);
