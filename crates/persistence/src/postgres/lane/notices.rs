use std::time::Duration;

use awaitly_core::clock::ms;
use tokio::time::Instant;

/// The shortest time between two notices of submissions.
const APART: Duration = ms(5);

/// The notices that tell other processes of submitted runs. The first one is sent at once, with the submission itself. A
/// process that submits many runs one after the other then sends one notice for all submissions of a short time, because a
/// notice wakes every process of the store. If a process dies before it sends a notice, the others find its runs when they
/// poll.
#[derive(Debug, Default)]
pub(in crate::postgres) struct Notices {
    sent: Option<Instant>,
    /// Whether the submission in progress sends a notice.
    is_sending: bool,
    /// Whether runs were submitted after the last notice.
    is_owed: bool,
}

impl Notices {
    /// Returns whether the next submission sends a notice.
    pub(super) fn is_next_free(&mut self) -> bool {
        self.is_sending = self.sent.is_none_or(|sent| sent.elapsed() >= APART);
        self.is_sending
    }

    /// Notes that the submission is committed.
    pub(super) fn changed(&mut self) {
        if self.is_sending {
            self.are_sent();
        } else {
            self.is_owed = true;
        }
    }

    pub(super) fn are_sent(&mut self) {
        (self.sent, self.is_sending, self.is_owed) = (Some(Instant::now()), false, false);
    }

    /// Returns the time at which the lane sends a notice on its own.
    pub(super) fn next(&self) -> Option<Instant> {
        self.sent.filter(|_| self.is_owed).map(|sent| sent + APART)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn submissions_of_a_short_time_share_a_notice() {
        let mut notices = Notices::default();
        assert!(notices.is_next_free(), "the first one is sent at once");
        notices.changed();
        assert_eq!(notices.next(), None);
        for _ in 0..3 {
            assert!(!notices.is_next_free());
            notices.changed();
        }
        assert_eq!(notices.next(), Some(Instant::now() + APART));
        notices.are_sent();
        assert_eq!(notices.next(), None);
        tokio::time::sleep(APART).await;
        assert!(notices.is_next_free());
    }
}
