use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use awaitly_core::clock::mins;
use axum::body::Bytes;
use axum::extract::OriginalUri;
use axum::http::{Request, Uri};

use super::problem::Problem;
use super::receive::single;
use crate::signature::{OF_ROUTE, STANDARD, Secret, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};

/// Lets only those requests become runs whose sender knows a secret.
///
/// A request is signed in the form of [Standard Webhooks](https://www.standardwebhooks.com): `webhook-id` holds what it is
/// known by, `webhook-timestamp` the seconds since 1970, and `webhook-signature` one or more signatures with spaces between
/// them. The standard signature, `v1,..`, covers these two and the body. It does not cover method and path, so one that was
/// made for one route holds for every route that knows the secret. This check takes `v1m,..`, which covers them too:
/// [`Secret::sign_route`] computes it, and a `WebhookNotifier` sends both. Take another secret for each sender and each
/// direction all the same.
///
/// | the sender | the check |
/// | --- | --- |
/// | a `WebhookNotifier`, or calls `Secret::sign_route` | `SignatureCheck::new(secret).without_old_form()` |
/// | a service that knows only Standard Webhooks | the same with [`any_route`](Self::any_route), and a secret that no other route has |
/// | signs in the form of before | `SignatureCheck::new(secret)`, for a while |
///
/// # Replays
/// Who listens in can send a signed request again. As long as its time is within the tolerance, that one gets what the
/// first one got, and nothing is done twice: the run id is made of nothing but what is signed. After that it is refused.
///
/// # The form of before
/// It has the time in `awaitly-timestamp`, and in `awaitly-signature` `v1=` with the HMAC-SHA256 in hexadecimal digits of
/// `awaitly-request-v1`, that time, the [idempotency key](super::Inbound::idempotency_header) or nothing, and the body, with a
/// line feed between each two of them. It covers neither method nor path. A check takes it unless
/// [`without_old_form`](Self::without_old_form) is said, and warns in the log once. A later version will not take it.
#[derive(Debug, Clone)]
pub struct SignatureCheck {
    secret: Secret,
    any_route: bool,
    below: Box<str>,
    tolerance: Duration,
    old: Option<OldForm>,
}

/// The form of before, while it is taken.
#[derive(Debug, Clone)]
struct OldForm {
    timestamp: Box<str>,
    signature: Box<str>,
    warned: Arc<AtomicBool>,
}

/// What of a request is signed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Covers {
    /// The id in `webhook-id`, the time, the body, method and path.
    Route,
    /// The same without method and path.
    Webhook,
    /// The idempotency key, the time and the body.
    Old,
}

/// A request whose signature holds.
pub(super) struct Signed<'r> {
    pub(super) covers: Covers,
    /// What it is known by; nothing if it says nothing, in the form of before.
    pub(super) id: &'r str,
    /// The headers that are covered, and the path.
    pub(super) headers: [&'r str; 2],
    pub(super) path: String,
}

impl SignatureCheck {
    /// Signatures of `secret`.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        let old = OldForm {
            timestamp: "awaitly-timestamp".into(),
            signature: "awaitly-signature".into(),
            warned: Arc::default(),
        };
        Self { secret, any_route: false, below: "".into(), tolerance: mins(5), old: Some(old) }
    }

    /// Takes the standard signature `v1,..` too, which covers neither method nor path: for senders that know only Standard
    /// Webhooks. Give such a sender a secret that no other route has.
    ///
    /// # Default
    /// A signature has to cover method and path.
    #[must_use]
    pub const fn any_route(mut self) -> Self {
        self.any_route = true;
        self
    }

    /// Says which part of the path something in front of this program takes away: requests to `/api/orders` that come here as
    /// `/orders` are signed with `/api/orders`, so it is `/api`.
    ///
    /// # Default
    /// Nothing: requests come here with the path that was sent. What axum takes away by `nest` counts as sent.
    #[must_use]
    pub fn below(mut self, prefix: impl Into<Box<str>>) -> Self {
        self.below = prefix.into();
        self
    }

    /// Does not take the form of before, in which a request that was signed for one route holds for another.
    ///
    /// # Default
    /// It is taken, with a warning in the log. Say this once all senders sign with [`Secret::sign_route`].
    #[must_use]
    pub fn without_old_form(mut self) -> Self {
        self.old = None;
        self
    }

    /// The headers that hold the time and the signature in the form of before.
    ///
    /// # Default
    /// `awaitly-timestamp` and `awaitly-signature`
    #[must_use]
    pub fn headers(mut self, timestamp: impl Into<Box<str>>, signature: impl Into<Box<str>>) -> Self {
        if let Some(old) = &mut self.old {
            (old.timestamp, old.signature) = (timestamp.into(), signature.into());
        }
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

    /// Sees that a request was signed, as it is and not long ago. `key` stands in its header `key_header`.
    pub(super) fn verify<'r>(
        &'r self,
        request: &'r Request<Bytes>,
        key_header: &'r str,
        key: Option<&'r str>,
        now: SystemTime,
    ) -> Result<Signed<'r>, Problem> {
        let (signed, seconds) = match &self.old {
            Some(old) if !request.headers().contains_key(WEBHOOK_SIGNATURE) => {
                old.verify(&self.secret, request, key_header, key)?
            }
            _ => self.verify_webhook(request, key_header, key)?,
        };
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if now.abs_diff(Duration::from_secs(seconds)) > self.tolerance {
            return Err(refused("stale", "the signature is too old, or a clock is wrong: sign it anew"));
        }
        if let (Covers::Old, Some(old)) = (signed.covers, &self.old) {
            old.warn();
        }
        Ok(signed)
    }

    fn verify_webhook<'r>(
        &self,
        request: &'r Request<Bytes>,
        key_header: &'r str,
        key: Option<&str>,
    ) -> Result<(Signed<'r>, u64), Problem> {
        let [id, time, signatures] = read(request, [WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE])?;
        let seconds = seconds(time, WEBHOOK_TIMESTAMP)?;
        if id.is_empty() {
            return Err(refused("unsigned", "say in `webhook-id` what the request is known by"));
        }
        // Only one of them is signed.
        if key.is_some_and(|key| key != id) {
            return Err(refused("forged", format!("`{key_header}` is not the same as `{WEBHOOK_ID}`")));
        }
        let (body, path) = (request.body(), self.path(request));
        let method = request.method().as_str();
        let covers = |covers| {
            (Signed { covers, id, headers: [WEBHOOK_ID, WEBHOOK_TIMESTAMP], path: path.clone() }, seconds)
        };
        let of_route =
            |signature: &str| self.secret.holds_for_route((method, &path), id, seconds, body, signature);
        if signatures.split(' ').filter_map(|signature| signature.strip_prefix(OF_ROUTE)).any(of_route) {
            return Ok(covers(Covers::Route));
        }
        // With a full stop in the id, two requests could have the same text.
        let standard = |signature: &str| {
            !id.contains('.') && self.secret.holds_for_webhook(id, seconds, body, signature)
        };
        if !signatures.split(' ').filter_map(|signature| signature.strip_prefix(STANDARD)).any(standard) {
            let message = "no signature in `webhook-signature` is that of this request: check the secret, and that the method \
                           and the path are signed as they were sent";
            return Err(refused("forged", message));
        }
        if !self.any_route {
            let message = "the signature does not cover method and path, or those of another route: sign them, as `v1m,..` in \
                           `webhook-signature`";
            return Err(refused("unsigned", message));
        }
        Ok(covers(Covers::Webhook))
    }

    /// The path that was sent, with its query.
    fn path(&self, request: &Request<Bytes>) -> String {
        let sent = request.extensions().get::<OriginalUri>().map_or(request.uri(), |OriginalUri(uri)| uri);
        format!("{}{}", self.below, path_of(sent))
    }
}

impl OldForm {
    fn verify<'r>(
        &'r self,
        secret: &Secret,
        request: &'r Request<Bytes>,
        key_header: &'r str,
        key: Option<&'r str>,
    ) -> Result<(Signed<'r>, u64), Problem> {
        let [time, signature] = read(request, [&*self.timestamp, &*self.signature])?;
        let (seconds, id) = (seconds(time, &self.timestamp)?, key.unwrap_or_default());
        let Some(signature) = signature.strip_prefix("v1=") else { return Err(unsigned()) };
        if !secret.holds_for_request(seconds, id, request.body(), signature) {
            return Err(refused("forged", "the signature is not that of this request: check the secret"));
        }
        let headers = [&*self.timestamp, key_header];
        Ok((Signed { covers: Covers::Old, id, headers, path: "/".to_owned() }, seconds))
    }

    fn warn(&self) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a request was signed in the form of before, which holds for every route that knows the secret: let its \
                 sender sign with `Secret::sign_route`, then say `SignatureCheck::without_old_form`"
            );
        }
    }
}

/// The path of a URL with its query, as it stands in a request line.
fn path_of(uri: &Uri) -> String {
    uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string)
}

fn read<'r, const N: usize>(request: &'r Request<Bytes>, names: [&str; N]) -> Result<[&'r str; N], Problem> {
    let mut values = [""; N];
    for (value, name) in values.iter_mut().zip(names) {
        *value = single(request.headers(), name).ok().flatten().ok_or_else(unsigned)?;
    }
    Ok(values)
}

/// One time is written in one way: with a zero in front, a replay would be known by something else.
fn seconds(shown: &str, header: &str) -> Result<u64, Problem> {
    let seconds = shown.parse::<u64>().ok().filter(|seconds| seconds.to_string() == shown);
    seconds.ok_or_else(|| refused("unsigned", format!("`{header}` holds the seconds since 1970, in digits")))
}

fn unsigned() -> Problem {
    let message = "sign the request, with the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`, each once";
    refused("unsigned", message)
}

fn refused(code: &'static str, message: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(401, code, message)
}
