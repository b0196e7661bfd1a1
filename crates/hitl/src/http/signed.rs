use std::time::{Duration, SystemTime};

use awaitly_core::clock::mins;
use axum::http::HeaderMap;

use super::problem::Problem;
use super::receive::single;
use crate::signature::{SIGNATURE, Secret, TIMESTAMP};

/// Lets only those requests become runs that somebody signed who knows a secret.
///
/// The sender writes the time, as seconds since 1970, into one header, and into another `v1=` with the HMAC-SHA256 in
/// hexadecimal digits of `awaitly-request-v1`, that time, the [idempotency key](super::Inbound::idempotency_header) or
/// nothing, and the body, with a line feed between each two of them. [`Secret::sign_request`] computes it, and a
/// `WebhookNotifier` sends it. Take another secret for each sender, and for each direction.
///
/// # Replays
/// Who listens in can send a signed request again. As long as its time is within the tolerance, that one gets what the
/// first one got, and nothing is done twice: the run id is made of nothing but what is signed. After that it is refused.
#[derive(Debug, Clone)]
pub struct SignatureCheck {
    secret: Secret,
    pub(super) timestamp: Box<str>,
    signature: Box<str>,
    tolerance: Duration,
}

impl SignatureCheck {
    /// Signatures of `secret`.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        Self { secret, timestamp: TIMESTAMP.into(), signature: SIGNATURE.into(), tolerance: mins(5) }
    }

    /// The headers that hold the time and the signature.
    ///
    /// # Default
    /// `awaitly-timestamp` and `awaitly-signature`
    #[must_use]
    pub fn headers(mut self, timestamp: impl Into<Box<str>>, signature: impl Into<Box<str>>) -> Self {
        (self.timestamp, self.signature) = (timestamp.into(), signature.into());
        self
    }

    /// How far the time of a request may be from that of this machine, in both directions.
    ///
    /// # Default
    /// 5 minutes
    #[must_use]
    pub const fn tolerance(mut self, time: Duration) -> Self {
        self.tolerance = time;
        self
    }

    /// Whether a request was signed, as it is and not long ago.
    pub(super) fn verify(
        &self,
        headers: &HeaderMap,
        id: &str,
        body: &[u8],
        now: SystemTime,
    ) -> Result<(), Problem> {
        let unsigned = || {
            let (timestamp, signature) = (&self.timestamp, &self.signature);
            Problem::new(
                401,
                "unsigned",
                format!("sign the request: with the headers `{timestamp}` and `{signature}`"),
            )
        };
        let header = |name: &str| single(headers, name).ok().flatten().ok_or_else(unsigned);
        let (shown, signature) = (header(&self.timestamp)?, header(&self.signature)?);
        let (Ok(seconds), Some(signature)) = (shown.parse::<u64>(), signature.strip_prefix("v1=")) else {
            return Err(unsigned());
        };
        // One time is written in one way: with a zero in front, a replay would be known by something else.
        if seconds.to_string() != shown {
            return Err(unsigned());
        }
        if !self.secret.holds_for_request(seconds, id, body, signature) {
            return Err(Problem::new(
                401,
                "forged",
                "the signature is not that of this request: check the secret",
            ));
        }
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if now.abs_diff(Duration::from_secs(seconds)) > self.tolerance {
            return Err(Problem::new(
                401,
                "stale",
                "the signature is too old, or a clock is wrong: sign it anew",
            ));
        }
        Ok(())
    }
}
