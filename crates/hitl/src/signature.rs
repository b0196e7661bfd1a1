//! Signatures of links and requests: HMAC-SHA256 with a secret.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A secret that signs links and requests, and verifies their signatures.
///
/// Every program that has the secret can sign. A secret must contain at least 16 bytes that cannot be guessed, for
/// example from `openssl rand -base64 32`. Cloning is cheap, and `Debug` does not show the bytes.
#[cfg_attr(
    feature = "http",
    doc = r#"
```
use awaitly_hitl::http::Secret;

# fn secret(now: Vec<u8>, before: Vec<u8>) -> Result<Secret, awaitly_hitl::http::SecretError> {
// Signatures of the previous secret remain valid until this call is removed.
let secret = Secret::new(now)?.or_older(before)?;
# Ok(secret)
# }
```
"#
)]
#[derive(Clone)]
pub struct Secret {
    signs: Arc<[u8]>,
    older: Vec<Arc<[u8]>>,
}

/// The reasons for which a [`Secret`] could not be created, or a bearer token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The secret or token is so short that it could be guessed.
    #[error("a secret needs at least {min} bytes, but this one has {bytes}: create one with `openssl rand -hex 32`", min = Secret::MIN_BYTES)]
    TooShort {
        /// The length of the secret in bytes.
        bytes: usize,
    },
    /// The text is not in the form of Standard Webhooks.
    #[error(
        "this is not a secret of Standard Webhooks: copy it from the sender, with `whsec_` and the base64 after it"
    )]
    NotStandard,
    /// The bearer token contains characters that a header cannot carry.
    #[error(
        "a bearer token consists of ASCII letters, digits and signs, without spaces: create one with `openssl rand -hex 32`"
    )]
    Unsendable,
    /// The operating system failed to provide random bytes.
    #[error("the operating system provides no random bytes: {reason}")]
    NoRandomNumbers {
        /// The error of the operating system.
        reason: String,
    },
}

/// The headers of a signed request, with the names of Standard Webhooks.
pub(crate) const WEBHOOK_ID: &str = "webhook-id";
pub(crate) const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
pub(crate) const WEBHOOK_SIGNATURE: &str = "webhook-signature";
/// The prefixes of a signature in `webhook-signature`: of Standard Webhooks, and with method and path.
pub(crate) const STANDARD: &str = "v1,";
pub(crate) const OF_ROUTE: &str = "v1m,";
/// The default header for the key of a request.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";

impl Secret {
    /// The minimal length of a secret or bearer token in bytes.
    pub const MIN_BYTES: usize = 16;

    /// Creates a secret from raw bytes.
    ///
    /// # Errors
    /// Returns [`SecretError::TooShort`] if `bytes` is shorter than [`MIN_BYTES`](Self::MIN_BYTES).
    ///
    /// # Examples
    /// ```
    /// use awaitly_hitl::{Secret, SecretError};
    ///
    /// assert!(Secret::new("sixteen bytes or more").is_ok());
    /// assert_eq!(Secret::new("short").unwrap_err(), SecretError::TooShort { bytes: 5 });
    /// ```
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, SecretError> {
        long_enough(bytes.as_ref())?;
        Ok(Self { signs: bytes.as_ref().into(), older: Vec::new() })
    }

    /// Parses a secret in the form of [Standard Webhooks](https://www.standardwebhooks.com): `whsec_`, then the bytes in base64.
    ///
    /// # Errors
    /// Returns [`SecretError::NotStandard`] if the text has another form, or [`SecretError::TooShort`] if the decoded
    /// secret is shorter than [`MIN_BYTES`](Self::MIN_BYTES).
    ///
    /// # Examples
    /// ```
    /// use awaitly_hitl::Secret;
    ///
    /// let secret = Secret::standard("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
    /// let signature = secret.sign_webhook("msg_1", 1_614_265_330, b"{}");
    /// assert!(signature.starts_with("v1,"));
    /// # Ok::<(), awaitly_hitl::SecretError>(())
    /// ```
    pub fn standard(text: &str) -> Result<Self, SecretError> {
        let bytes = text.strip_prefix("whsec_").and_then(|text| BASE64_STANDARD.decode(text).ok());
        Self::new(bytes.ok_or(SecretError::NotStandard)?)
    }

    /// Creates a secret from 32 random bytes, for tests and trials. The secret is lost when the process ends, and its
    /// signatures can no longer be verified.
    ///
    /// # Errors
    /// Returns [`SecretError::NoRandomNumbers`] if the operating system provides no random bytes.
    pub fn random() -> Result<Self, SecretError> {
        Self::new(random_bytes()?)
    }

    /// Also accepts signatures of an older secret, so that a program can replace a secret without refusing requests
    /// or links that were signed before. The first secret makes all new signatures.
    ///
    /// # Errors
    /// Returns [`SecretError::TooShort`] if `bytes` is shorter than [`MIN_BYTES`](Self::MIN_BYTES).
    ///
    /// # Examples
    /// ```
    /// use awaitly_hitl::Secret;
    ///
    /// let secret = Secret::new("the secret from May on")?.or_older("the secret until May")?;
    /// let signature = secret.sign_webhook("msg_1", 1_614_265_330, b"{}");
    /// assert_eq!(signature, Secret::new("the secret from May on")?.sign_webhook("msg_1", 1_614_265_330, b"{}"));
    /// # Ok::<(), awaitly_hitl::SecretError>(())
    /// ```
    pub fn or_older(mut self, bytes: impl AsRef<[u8]>) -> Result<Self, SecretError> {
        long_enough(bytes.as_ref())?;
        self.older.push(bytes.as_ref().into());
        Ok(self)
    }

    /// Signs a request as [Standard Webhooks](https://www.standardwebhooks.com) does, and returns `v1,` and the HMAC-SHA256, in
    /// base64, of `{id}.{seconds}.{body}`.
    ///
    /// `seconds` is the Unix time of sending. The id must not contain a full stop. The signature covers neither method nor
    /// path, so it is valid for every receiver that knows the secret: prefer [`sign_route`](Self::sign_route) if the receiver
    /// uses this library.
    #[must_use]
    pub fn sign_webhook(&self, id: &str, seconds: u64, body: &[u8]) -> String {
        format!("{STANDARD}{}", BASE64_STANDARD.encode(self.sign(&standard(id, seconds, body))))
    }

    /// Signs a request for one route, and returns `v1m,` and the HMAC-SHA256, in base64, of `awaitly-v1m`, `method`,
    /// `path`, `id`, `seconds` and `body`, separated by line feeds.
    ///
    /// `method` must be in capitals, `path` must include the query, and `seconds` is the Unix time of sending.
    ///
    /// The sender puts the signature into the header `webhook-signature`. If the receiver may be a program without this
    /// library, the header contains the [standard signature](Self::sign_webhook), a space, and then this one.
    ///
    /// # Examples
    /// ```
    /// # fn sign(secret: awaitly_hitl::Secret, now: u64, body: &[u8]) -> [(&'static str, String); 3] {
    /// let signature = secret.sign_route("POST", "/orders", "msg_1", now, body);
    /// [("webhook-id", "msg_1".to_owned()), ("webhook-timestamp", now.to_string()), ("webhook-signature", signature)]
    /// # }
    /// ```
    #[must_use]
    pub fn sign_route(&self, method: &str, path: &str, id: &str, seconds: u64, body: &[u8]) -> String {
        format!("{OF_ROUTE}{}", BASE64_STANDARD.encode(self.sign(&of_route(method, path, id, seconds, body))))
    }

    /// Signs a request in the old form, and returns 64 hexadecimal digits, which the sender writes after `v1=`.
    ///
    /// `seconds` is the Unix time of sending, and `id` the key of the request, or empty. The signature is the HMAC-SHA256 of
    /// `awaitly-request-v1`, the seconds, the id and the body, separated by line feeds.
    #[must_use]
    #[deprecated(note = "the signature is valid for every route with this secret: sign with `sign_route`")]
    pub fn sign_request(&self, seconds: u64, id: &str, body: &[u8]) -> String {
        hex(&self.sign(&request(seconds, id, body)))
    }

    #[cfg(feature = "http")]
    pub(crate) fn holds_for_request(&self, seconds: u64, id: &str, body: &[u8], signature: &str) -> bool {
        from_hex(signature).is_some_and(|tag| self.holds(&request(seconds, id, body), &tag))
    }

    #[cfg(feature = "http")]
    pub(crate) fn holds_for_webhook(&self, id: &str, seconds: u64, body: &[u8], signature: &str) -> bool {
        self.holds_in_base64(&standard(id, seconds, body), signature)
    }

    #[cfg(feature = "http")]
    pub(crate) fn holds_for_route(
        &self,
        (method, path): (&str, &str),
        id: &str,
        seconds: u64,
        body: &[u8],
        signature: &str,
    ) -> bool {
        self.holds_in_base64(&of_route(method, path, id, seconds, body), signature)
    }

    #[cfg(feature = "http")]
    fn holds_in_base64(&self, text: &[u8], signature: &str) -> bool {
        BASE64_STANDARD.decode(signature).is_ok_and(|tag| self.holds(text, &tag))
    }

    pub(crate) fn sign(&self, text: &[u8]) -> [u8; 32] {
        mac(&self.signs, text).finalize().into_bytes().into()
    }

    /// Returns whether `tag` is the signature of `text` by any of the secrets. The comparison takes constant time.
    #[cfg(feature = "http")]
    pub(crate) fn holds(&self, text: &[u8], tag: &[u8]) -> bool {
        let mut keys = [&self.signs].into_iter().chain(&self.older);
        keys.any(|key| mac(key, text).verify_slice(tag).is_ok())
    }
}

/// Refuses a secret that is so short that it could be guessed.
pub(crate) const fn long_enough(bytes: &[u8]) -> Result<(), SecretError> {
    match bytes.len() {
        Secret::MIN_BYTES.. => Ok(()),
        bytes => Err(SecretError::TooShort { bytes }),
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn mac(key: &[u8], text: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length").chain_update(text)
}

// The verified id contains no full stop and the seconds are digits, so different requests have different texts.
fn standard(id: &str, seconds: u64, body: &[u8]) -> Vec<u8> {
    [format!("{id}.{seconds}.").as_bytes(), body].concat()
}

// Only the body may contain a line feed: the other parts come from a request line and headers.
fn of_route(method: &str, path: &str, id: &str, seconds: u64, body: &[u8]) -> Vec<u8> {
    [format!("awaitly-v1m\n{method}\n{path}\n{id}\n{seconds}\n").as_bytes(), body].concat()
}

// Only the body may contain a line feed: the seconds are a number, and the id comes from a header. So different requests
// have different texts, and a request's text is never the text of a link.
fn request(seconds: u64, id: &str, body: &[u8]) -> Vec<u8> {
    [format!("awaitly-request-v1\n{seconds}\n{id}\n").as_bytes(), body].concat()
}

/// Returns the text that a link's signature covers. Each part is preceded by its length, so that no byte can move from one
/// part to its neighbour.
#[cfg(feature = "http")]
pub(crate) fn link(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().fold(b"awaitly-link-v1\n".to_vec(), |mut text, part| {
        text.extend_from_slice(format!("{}:", part.len()).as_bytes());
        text.extend_from_slice(part);
        text
    })
}

pub(crate) fn random_bytes() -> Result<[u8; 32], SecretError> {
    let mut bytes = [0; 32];
    let filled = getrandom::fill(&mut bytes);
    filled.map_err(|error| SecretError::NoRandomNumbers { reason: error.to_string() })?;
    Ok(bytes)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(feature = "http")]
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let byte = |pair: &[u8]| match pair {
        [high, low] => {
            let digit =
                |digit: &u8| char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            Some(digit(high)? << 4 | digit(low)?)
        }
        _ => None,
    };
    digits.chunks(2).map(byte).collect()
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "http"))]
#[expect(deprecated, reason = "requests signed in the old form are still accepted")]
mod tests {
    use super::*;

    const KEY: &[u8] = b"0123456789abcdef";
    const OTHER: &[u8] = b"fedcba9876543210";

    #[test]
    fn old_form_signature_matches_openssl() {
        // printf 'awaitly-request-v1\n1700000000\nn-1\n{}' | openssl dgst -sha256 -hmac 0123456789abcdef
        let secret = Secret::new(KEY).unwrap();
        assert_eq!(
            secret.sign_request(1_700_000_000, "n-1", b"{}"),
            "b9e65ca60d6ae896f7197ac4bf848ad7fd9af20e8595ed2aada0001386bf83e7"
        );
    }

    #[test]
    fn webhook_signature_matches_the_standard_vector() {
        // The test vector of the Standard Webhooks libraries, and a signature with method and path:
        // printf 'awaitly-v1m\nPOST\n/orders?a=b\nmsg_p5jX\n1614265330\n{}' | openssl dgst -sha256 -mac HMAC -macopt hexkey:..
        let secret = Secret::standard("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#);
        let standard = secret.sign_webhook(id, 1_614_265_330, body);
        assert_eq!(standard, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let of_route = secret.sign_route("POST", "/orders?a=b", "msg_p5jX", 1_614_265_330, b"{}");
        assert_eq!(of_route, "v1m,/TPyVBTQp1QJQlXD2Nonx4aplRS+p9S0tY9EatYB/Tw=");
        assert!(secret.holds_for_webhook(id, 1_614_265_330, body, standard.strip_prefix("v1,").unwrap()));
        for wrong in ["", "whsec_", "whsec_?", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert!(Secret::standard(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn changed_request_or_signature_does_not_verify() {
        let secret = Secret::new(KEY).unwrap();
        let signature = secret.sign_request(7, "a", b"body");
        assert!(secret.holds_for_request(7, "a", b"body", &signature));
        assert!(!secret.holds_for_request(8, "a", b"body", &signature));
        assert!(!secret.holds_for_request(7, "b", b"body", &signature));
        assert!(!secret.holds_for_request(7, "a", b"bodY", &signature));
        assert!(!Secret::new(OTHER).unwrap().holds_for_request(7, "a", b"body", &signature));
        for forged in
            ["", "00", "zz", "é", &signature[..62], &format!("{signature}00"), &signature.replace('a', "b")]
        {
            assert!(!secret.holds_for_request(7, "a", b"body", forged), "{forged}");
        }
    }

    #[test]
    fn different_requests_and_links_have_different_texts() {
        assert_ne!(request(1, "2", b"3"), request(1, "", b"2\n3"));
        assert_ne!(link(&[b"ab", b"c"]), link(&[b"a", b"bc"]));
        assert_ne!(link(&[b"a"]), link(&[b"a", b""]));
        assert_ne!(link(&[b"1:a"]), link(&[b"", b"a"]));
    }

    #[test]
    fn older_secret_verifies_and_first_secret_signs() {
        let both = Secret::new(KEY).unwrap().or_older(OTHER).unwrap();
        let old = Secret::new(OTHER).unwrap().sign_request(7, "", b"body");
        assert!(both.holds_for_request(7, "", b"body", &old));
        assert_eq!(both.sign_request(7, "", b"body"), Secret::new(KEY).unwrap().sign_request(7, "", b"body"));
    }

    #[test]
    fn short_secret_is_refused_and_debug_hides_bytes() {
        let short = Secret::new(&KEY[1..]).unwrap_err();
        assert_eq!(short, SecretError::TooShort { bytes: 15 });
        assert!(short.to_string().starts_with("a secret needs at least 16 bytes, but this one has 15"));
        assert!(Secret::new(KEY).unwrap().or_older("").is_err());
        assert_eq!(format!("{:?}", Secret::new(KEY).unwrap()), "Secret { .. }");
        let (one, two) = (Secret::random().unwrap(), Secret::random().unwrap());
        assert_ne!(one.sign_request(7, "", b""), two.sign_request(7, "", b""));
    }
}
