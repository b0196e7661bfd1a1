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

/// A check that admits only requests whose sender knows a secret.
///
/// Requests are signed in the form of [Standard Webhooks](https://www.standardwebhooks.com), with these headers:
///
/// - `webhook-id` identifies the request.
/// - `webhook-timestamp` is the Unix time of sending, in seconds.
/// - `webhook-signature` contains one or more signatures, separated by spaces.
///
/// The standard signature, `v1,..`, covers the id, the time and the body, but neither method nor path. A request that was
/// signed for one route would therefore be valid for every route with that secret. For this reason, the check requires a
/// signature of the form `v1m,..`, which also covers method and path. [`Secret::sign_route`] computes it, and a
/// `WebhookNotifier` sends both signatures. Nevertheless, use a separate secret for each sender and each direction.
///
/// | sender | check |
/// | --- | --- |
/// | a `WebhookNotifier`, or a program that calls `Secret::sign_route` | `SignatureCheck::new(secret).without_old_form()` |
/// | a service that supports only Standard Webhooks | additionally [`any_route`](Self::any_route), and a secret for this route alone |
/// | a program that signs in the old form | `SignatureCheck::new(secret)`, for a transition period |
///
/// # Replays
/// An eavesdropper can send a signed request again. While its time is within the [tolerance](Self::tolerance), the replay
/// returns the outcome of the first request and executes no steps, because the run id depends only on signed parts. After
/// that, the check refuses it.
///
/// # The old form
/// A request in the old form has the Unix time in `awaitly-timestamp`. Its header `awaitly-signature` contains `v1=` and the
/// HMAC-SHA256, in hexadecimal digits, of `awaitly-request-v1`, the time, the
/// [idempotency key](super::Inbound::idempotency_header) or an empty text, and the body, separated by line feeds. The
/// signature covers neither method nor path. A check accepts this form unless
/// [`without_old_form`](Self::without_old_form) is called, and logs a warning for the first such request. A later version
/// will refuse it.
///
/// # Examples
/// ```
/// use awaitly_hitl::Secret;
/// use awaitly_hitl::http::SignatureCheck;
///
/// # fn check() -> Result<SignatureCheck, awaitly_hitl::SecretError> {
/// let secret = Secret::standard("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
/// let check = SignatureCheck::new(secret).without_old_form();
/// # Ok(check)
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SignatureCheck {
    secret: Secret,
    any_route: bool,
    below: Box<str>,
    tolerance: Duration,
    old: Option<OldForm>,
}

/// The headers of the old form, if the check accepts it.
#[derive(Debug, Clone)]
struct OldForm {
    timestamp: Box<str>,
    signature: Box<str>,
    warned: Arc<AtomicBool>,
}

/// The parts of a request that a signature covers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Covers {
    /// The id in `webhook-id`, the time, the body, the method and the path.
    Route,
    /// The id in `webhook-id`, the time and the body.
    Webhook,
    /// The idempotency key, the time and the body.
    Old,
}

/// A request with a valid signature.
pub(super) struct Signed<'r> {
    pub(super) covers: Covers,
    /// The id of the request; in the old form, the idempotency key, or empty without one.
    pub(super) id: &'r str,
    /// The headers that the signature covers. `path` is the signed path.
    pub(super) headers: [&'r str; 2],
    pub(super) path: String,
}

impl SignatureCheck {
    /// Creates a check for signatures of `secret`.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        let old = OldForm {
            timestamp: "awaitly-timestamp".into(),
            signature: "awaitly-signature".into(),
            warned: Arc::default(),
        };
        Self { secret, any_route: false, below: "".into(), tolerance: mins(5), old: Some(old) }
    }

    /// Also accepts the standard signature `v1,..`, which covers neither method nor path. Call this for a sender that supports
    /// only Standard Webhooks, and give that sender a secret that no other route has.
    ///
    /// # Default
    /// A signature must cover method and path.
    ///
    /// # Examples
    /// ```
    /// use awaitly_hitl::http::{Secret, SignatureCheck};
    ///
    /// # fn check() -> Result<SignatureCheck, awaitly_hitl::SecretError> {
    /// let of_service = Secret::standard("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
    /// let check = SignatureCheck::new(of_service).any_route().without_old_form();
    /// # Ok(check)
    /// # }
    /// ```
    #[must_use]
    pub const fn any_route(mut self) -> Self {
        self.any_route = true;
        self
    }

    /// Sets the path prefix that a proxy in front of this program removes. For example, if the sender signs `/api/orders` and
    /// the request arrives as `/orders`, the prefix is `/api`.
    ///
    /// # Default
    /// An empty prefix: requests arrive with the path that was sent. A prefix that axum removes through `nest` is added
    /// automatically.
    #[must_use]
    pub fn below(mut self, prefix: impl Into<Box<str>>) -> Self {
        self.below = prefix.into();
        self
    }

    /// Refuses requests in the old form, in which a request that was signed for one route is valid for others. Call this once
    /// all senders sign with [`Secret::sign_route`].
    ///
    /// # Default
    /// The old form is accepted, with a warning in the log.
    #[must_use]
    pub fn without_old_form(mut self) -> Self {
        self.old = None;
        self
    }

    /// Sets the headers that contain the time and the signature in the old form. This has no effect after
    /// [`without_old_form`](Self::without_old_form).
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

    /// Sets the maximal difference between the time of a request and the clock of this machine, in both directions.
    ///
    /// # Default
    /// 5 minutes
    #[must_use]
    pub const fn tolerance(mut self, time: Duration) -> Self {
        self.tolerance = time;
        self
    }

    /// Verifies the signature and the age of a request. `key` is the value of its header `key_header`.
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
            return Err(refused(
                "stale",
                "the signature is too old, or a clock is wrong: sign the request again",
            ));
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
            return Err(refused("unsigned", "`webhook-id` is empty: set it to an id of the request"));
        }
        // The signature covers `webhook-id`, so a different key in the other header would be unsigned.
        if key.is_some_and(|key| key != id) {
            return Err(refused(
                "forged",
                format!("`{key_header}` differs from `{WEBHOOK_ID}`: send one id in both"),
            ));
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
        // An id with a full stop would let two requests share one signed text.
        let standard = |signature: &str| {
            !id.contains('.') && self.secret.holds_for_webhook(id, seconds, body, signature)
        };
        if !signatures.split(' ').filter_map(|signature| signature.strip_prefix(STANDARD)).any(standard) {
            let message = "no signature in `webhook-signature` is valid for this request: check the secret, and that the method \
                           and the path are signed as they are sent";
            return Err(refused("forged", message));
        }
        if !self.any_route {
            let message = "the signature does not cover the method and the path of this route: sign them, as `v1m,..` in \
                           `webhook-signature`";
            return Err(refused("unsigned", message));
        }
        Ok(covers(Covers::Webhook))
    }

    /// Returns the path that the sender requested, with its query.
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
            return Err(refused("forged", "the signature is not valid for this request: check the secret"));
        }
        let headers = [&*self.timestamp, key_header];
        Ok((Signed { covers: Covers::Old, id, headers, path: "/".to_owned() }, seconds))
    }

    fn warn(&self) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a request was signed in the old form, which is valid for every route with the secret: change its \
                 sender to `Secret::sign_route`, then call `SignatureCheck::without_old_form`"
            );
        }
    }
}

/// Returns the path of a URL with its query, as in a request line.
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

/// Parses a time that is written without leading zeros. A second spelling of one time would give a replay another run id.
fn seconds(shown: &str, header: &str) -> Result<u64, Problem> {
    let seconds = shown.parse::<u64>().ok().filter(|seconds| seconds.to_string() == shown);
    seconds.ok_or_else(|| {
        refused("unsigned", format!("`{header}` must contain the Unix time in seconds, in digits"))
    })
}

fn unsigned() -> Problem {
    let message = "sign the request: send the headers `webhook-id`, `webhook-timestamp` and `webhook-signature` once each";
    refused("unsigned", message)
}

fn refused(code: &'static str, message: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(401, code, message)
}
