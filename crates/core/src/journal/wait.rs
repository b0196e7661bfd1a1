use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Key, Payload, Status, Timestamp};

/// An entry of a journal that waits for an answer from outside. Once it is answered, the outcome stands under
/// its key as any other, and the entry is gone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitEntry {
    /// The key of the step that waits.
    pub key: Key,
    /// An unguessable token; whoever shows it may answer.
    pub token: Box<str>,
    /// What is asked of who answers.
    pub request: Payload,
    /// Since when it waits.
    pub since: Timestamp,
    /// From when on an answer comes too late. `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

impl WaitEntry {
    /// Whether an answer comes too late at `now`.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

// The token does not belong in logs.
impl fmt::Debug for WaitEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitEntry")
            .field("key", &self.key)
            .field("since", &self.since)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// What is done to a waiting entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settling {
    /// Somebody answers: before the entry expires.
    Answer,
    /// Nobody has answered: once it has expired.
    Expire,
    /// Who asked does not want to know any more: at any time.
    Withdraw,
}

/// Why an answer was not taken. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unanswered {
    /// There is no such run.
    #[error("there is no such run: check the run id")]
    NoSuchRun,
    /// The run has ended, so nothing waits for the answer any more.
    #[error("the run is {status}: nothing waits for this answer any more")]
    Ended {
        /// How it ended.
        status: Status,
    },
    /// Nothing waits under this key.
    #[error("nothing waits under this key: check it, or ask again once the run has come there")]
    NotAsked,
    /// Somebody else has answered.
    #[error("this was answered before: look at the run for the answer that stands")]
    AlreadyAnswered,
    /// The token is not the entry's.
    #[error("the token does not fit: use the link that came with the question")]
    WrongToken,
    /// The answer comes too late.
    #[error("the time for an answer is over: start again if it is still wanted")]
    Expired,
    /// The entry still waits: it cannot expire yet.
    #[error("the time for an answer is not over yet")]
    NotExpired,
}

/// What a store knows when somebody answers.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The status of the run.
    pub status: Status,
    /// The entry under the key.
    pub entry: Option<&'a WaitEntry>,
    /// Whether an outcome is recorded under the key.
    pub recorded: bool,
}

/// Decides whether an answer is taken: only for an entry that waits, once, and in time. `token` is checked
/// where one is shown.
///
/// A store calls this inside the transaction that records the answer; or it calls this on what it has read, and
/// records the answer only where that still stands. Either way, of two who answer at the same time one is told that the
/// other was first.
///
/// # Errors
/// [`Unanswered`] says why not.
pub fn settle(
    asked: Option<Asked<'_>>,
    settling: Settling,
    token: Option<&str>,
    now: Timestamp,
) -> Result<(), Unanswered> {
    let Asked { status, entry, recorded } = asked.ok_or(Unanswered::NoSuchRun)?;
    if recorded {
        return Err(Unanswered::AlreadyAnswered);
    }
    if status.has_ended() {
        return Err(Unanswered::Ended { status });
    }
    let entry = entry.ok_or(Unanswered::NotAsked)?;
    if token.is_some_and(|token| !same(token, &entry.token)) {
        return Err(Unanswered::WrongToken);
    }
    match (settling, entry.has_expired(now)) {
        (Settling::Answer, true) => Err(Unanswered::Expired),
        (Settling::Expire, false) => Err(Unanswered::NotExpired),
        (Settling::Answer, false) | (Settling::Expire, true) | (Settling::Withdraw, _) => Ok(()),
    }
}

/// Compares in a time that does not tell how much of the text is right.
fn same(shown: &str, kept: &str) -> bool {
    let differ = shown.bytes().zip(kept.bytes()).fold(0, |differ, (shown, kept)| differ | (shown ^ kept));
    shown.len() == kept.len() && differ == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn entry(expires: Option<u64>) -> WaitEntry {
        WaitEntry {
            key: "manager".into(),
            token: "s3cret".into(),
            request: Payload::encode("may I?").unwrap(),
            since: Timestamp::from_millis(0),
            expires: expires.map(Timestamp::from_millis),
        }
    }

    fn asked(status: Status, entry: Option<&WaitEntry>, recorded: bool) -> Option<Asked<'_>> {
        Some(Asked { status, entry, recorded })
    }

    #[test]
    fn an_open_entry_is_answered_before_it_expires_and_expires_after() {
        for (expires, answer, expire) in [
            (None, Ok(()), Err(Unanswered::NotExpired)),
            (Some(1_001), Ok(()), Err(Unanswered::NotExpired)),
            (Some(1_000), Err(Unanswered::Expired), Ok(())),
        ] {
            for status in [Status::Running, Status::Waiting] {
                let entry = entry(expires);
                let asked = asked(status, Some(&entry), false);
                assert_eq!(settle(asked, Settling::Answer, None, NOW), answer);
                assert_eq!(settle(asked, Settling::Expire, None, NOW), expire);
                assert_eq!(settle(asked, Settling::Withdraw, None, NOW), Ok(()));
            }
        }
    }

    #[test]
    fn an_answer_that_nothing_waits_for_is_refused() {
        let entry = entry(None);
        let answer = |asked, token| settle(asked, Settling::Answer, token, NOW);
        assert_eq!(answer(None, None), Err(Unanswered::NoSuchRun));
        assert_eq!(answer(asked(Status::Waiting, None, false), None), Err(Unanswered::NotAsked));
        assert_eq!(answer(asked(Status::Waiting, None, true), None), Err(Unanswered::AlreadyAnswered));
        for status in [Status::Completed, Status::Failed, Status::Cancelled] {
            let refused = answer(asked(status, Some(&entry), false), None);
            assert_eq!(refused, Err(Unanswered::Ended { status }));
        }
    }

    #[test]
    fn a_token_is_checked_where_one_is_shown() {
        let entry = entry(None);
        let answer =
            |token| settle(asked(Status::Waiting, Some(&entry), false), Settling::Answer, token, NOW);
        assert_eq!(answer(Some("s3cret")), Ok(()));
        for wrong in ["", "s3cre", "s3crets", "S3cret"] {
            assert_eq!(answer(Some(wrong)), Err(Unanswered::WrongToken));
        }
    }
}
