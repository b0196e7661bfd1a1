use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Key, Payload, Status, Timestamp};

/// A journal entry that waits for an answer from outside. The outcome of the answer later replaces the entry, under the
/// key of the entry.
///
/// ```
/// use awaitly_core::clock::days;
/// use awaitly_core::journal::{Payload, Timestamp, WaitEntry};
///
/// let since = Timestamp::from_millis(0);
/// let entry = WaitEntry {
///     key: "manager".into(),
///     token: "k3Vd9s".into(),
///     request: Payload::encode("Refund 42.00?").unwrap(),
///     since,
///     expires: Some(since.after(days(3))),
/// };
/// assert!(!entry.has_expired(since.after(days(2))));
/// assert!(!format!("{entry:?}").contains("k3Vd9s")); // the token is a secret
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitEntry {
    /// The key of the step that waits.
    pub key: Key,
    /// An unguessable token; its bearer may answer.
    pub token: Box<str>,
    /// The question.
    pub request: Payload,
    /// The time at which the wait began.
    pub since: Timestamp,
    /// The time from which an answer is too late. `None`: the entry never expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

impl WaitEntry {
    /// Returns whether an answer is too late at `now`.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

// The token is a secret, so `Debug` leaves it out.
impl fmt::Debug for WaitEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitEntry")
            .field("key", &self.key)
            .field("since", &self.since)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// A change to a waiting entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settling {
    /// Records an answer, before the entry expires.
    Answer,
    /// Ends the wait without an answer, once the entry has expired.
    Expire,
    /// Withdraws the question, at any time.
    Withdraw,
}

/// The reason why a store refused to answer, expire or withdraw a waiting entry. The store has changed no data.
///
/// ```
/// use awaitly_core::journal::Unanswered;
///
/// /// Returns the status of an HTTP response to an answer that the store refused.
/// fn status(refused: Unanswered) -> u16 {
///     match refused {
///         Unanswered::NoSuchRun | Unanswered::NotAsked => 404,
///         Unanswered::WrongToken => 403,
///         Unanswered::AlreadyAnswered => 409,
///         _ => 410,
///     }
/// }
///
/// assert_eq!(status(Unanswered::Expired), 410);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unanswered {
    /// There is no such run.
    #[error("there is no such run: check the run id")]
    NoSuchRun,
    /// The run has ended, so it needs no answer any more.
    #[error("the run is {status}: nothing waits for this answer any more")]
    Ended {
        /// The status of the ended run.
        status: Status,
    },
    /// No entry of the run waits under this key: the key is wrong, or the run has not asked yet.
    #[error("nothing waits under this key: check it, or ask again once the run has come there")]
    NotAsked,
    /// An earlier answer was accepted.
    #[error("this was answered before: look at the run for the answer that stands")]
    AlreadyAnswered,
    /// The token differs from the token of the entry.
    #[error("the token does not fit: use the link that came with the question")]
    WrongToken,
    /// The answer came after the entry had expired.
    #[error("the time for an answer is over: start again if it is still wanted")]
    Expired,
    /// The call tried to [expire](Settling::Expire) the entry, but the time for an answer is not over.
    #[error("the time for an answer is not over yet")]
    NotExpired,
}

/// The state of a question when an answer comes.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The status of the run.
    pub status: Status,
    /// The waiting entry under the key, if there is one.
    pub entry: Option<&'a WaitEntry>,
    /// Whether an outcome is recorded under the key.
    pub recorded: bool,
}

/// Decides whether a waiting entry may be settled. The run must not have ended, and the entry must wait and have no
/// outcome yet. [`Settling::Answer`] must come before the entry expires, and [`Settling::Expire`] must come later. If
/// `token` is given, it must be the token of the entry. `asked` is `None` if there is no such run.
///
/// A store calls this function inside the transaction that records the answer. Alternatively, it calls the function on
/// data that it has read, and records the answer only if that data is still current. Either way, if two answers come at
/// one time, the store accepts one and refuses the other with [`Unanswered::AlreadyAnswered`].
///
/// # Errors
/// Returns [`Unanswered`], the reason for the refusal.
///
/// # Examples
/// ```
/// use awaitly_core::journal::{Asked, Payload, Settling, Status, Timestamp, Unanswered, WaitEntry, settle};
///
/// let now = Timestamp::from_millis(0);
/// let request = Payload::encode("Refund 42.00?").unwrap();
/// let entry = WaitEntry { key: "manager".into(), token: "k3Vd9s".into(), request, since: now, expires: None };
/// let asked = Asked { status: Status::Waiting, entry: Some(&entry), recorded: false };
/// assert_eq!(settle(Some(asked), Settling::Answer, Some("k3Vd9s"), now), Ok(()));
/// assert_eq!(settle(Some(asked), Settling::Answer, Some("guessed"), now), Err(Unanswered::WrongToken));
/// let answered = Asked { recorded: true, ..asked };
/// assert_eq!(settle(Some(answered), Settling::Answer, None, now), Err(Unanswered::AlreadyAnswered));
/// ```
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

/// Compares in constant time, so the duration does not reveal the length of a matching prefix.
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
    fn open_entry_takes_answer_until_it_expires() {
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
    fn answer_without_open_entry_is_refused() {
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
    fn wrong_token_rejects_answer() {
        let entry = entry(None);
        let answer =
            |token| settle(asked(Status::Waiting, Some(&entry), false), Settling::Answer, token, NOW);
        assert_eq!(answer(Some("s3cret")), Ok(()));
        for wrong in ["", "s3cre", "s3crets", "S3cret"] {
            assert_eq!(answer(Some(wrong)), Err(Unanswered::WrongToken));
        }
    }
}
