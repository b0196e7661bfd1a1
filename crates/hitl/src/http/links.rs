use std::sync::Arc;
use std::time::{Duration, SystemTime};

use awaitly_core::clock::days;
use awaitly_core::journal::Timestamp;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::problem::Problem;
use crate::address::{self, UrlError};
use crate::notify::Notice;
use crate::request::Question;
use crate::signature::{self, Secret};

/// Creates and verifies links with which people answer without an account.
///
/// Each link is for one question and one person, and is valid for a limited time. Anyone with the link can answer once
/// in that person's name. Therefore send the link only through channels that the person alone reads, keep it out of
/// logs, including proxy logs, and serve the pages over HTTPS. Links are signed: only a program with the [`Secret`] can
/// create a link, or change its person or its expiry.
///
/// # Examples
/// ```
/// use awaitly_hitl::Question;
/// use awaitly_hitl::http::{Links, Secret};
///
/// # fn send(address: &str, link: String) {}
/// # fn tell(secret: Secret, question: &Question) -> Result<(), Box<dyn std::error::Error>> {
/// let links = Links::new(secret, "https://example.com/approvals")?;
/// send("ada@example.com", links.to_question(question, "ada"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Links {
    secret: Secret,
    base: Arc<str>,
    valid: Duration,
}

impl Links {
    /// Creates links that are signed with `secret` and lead to the [`Api`](super::Api) mounted at `base_url`.
    ///
    /// # Errors
    /// Returns [`UrlError::InvalidUrl`] if `base_url` is not an `http` or `https` URL, contains a query or a
    /// fragment, or is so ambiguous that a browser could connect to another host or port than its text names.
    ///
    /// # Examples
    /// ```
    /// use awaitly_hitl::http::{Links, Secret};
    ///
    /// let secret = Secret::random()?;
    /// assert!(Links::new(secret.clone(), "https://example.com/approvals").is_ok());
    /// let refused = Links::new(secret, "/approvals").unwrap_err();
    /// assert!(refused.to_string().contains("begin it with `https://` and a host"));
    /// # Ok::<(), awaitly_hitl::SecretError>(())
    /// ```
    pub fn new(secret: Secret, base_url: &str) -> Result<Self, UrlError> {
        let base = base_url.trim_end_matches('/');
        address::server(base)?;
        if base.contains(['?', '@', '\\']) {
            return Err(UrlError::InvalidUrl { reason: "remove `?`, `@` and `\\`" });
        }
        Ok(Self { secret, base: base.into(), valid: days(7) })
    }

    /// Sets the time for which a link is valid after its creation. A link never outlives its question: if the question expires
    /// earlier, the link expires with it.
    ///
    /// # Default
    /// 7 days
    #[must_use]
    pub const fn valid_for(mut self, time: Duration) -> Self {
        self.valid = time;
        self
    }

    /// Returns a link to `question` for the person `by`; with `None`, the answer has no name.
    ///
    /// # Examples
    /// ```
    /// # use awaitly_core::{DurableRun, Workflow};
    /// # use awaitly_hitl::{Approvals, Inbox};
    /// # use awaitly_persistence::MemoryStore;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let (expenses, inbox) = (Workflow::new("expense").store(store.clone()), Inbox::new(store));
    /// use awaitly_hitl::http::{Links, Secret};
    ///
    /// let body = async |run: &DurableRun| run.approval::<u64>("manager").answerer("ada").await;
    /// assert!(expenses.run("trip-7", body).await.is_err(), "the run waits");
    ///
    /// let links = Links::new(Secret::random()?, "https://example.com/approvals")?;
    /// let question = inbox.at("trip-7", "manager").show().await?;
    /// let link = links.to_question(&question, "ada");
    /// assert!(link.starts_with("https://example.com/approvals/link/"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn to_question<'a>(&self, question: &Question, by: impl Into<Option<&'a str>>) -> String {
        self.link(&question.token, by.into(), question.expires)
    }

    /// Returns a link to the question of `notice`, for the person `by`; with `None`, the answer has no name. Call it in
    /// a [`Notifier`](crate::Notifier).
    ///
    /// # Examples
    /// ```
    /// use awaitly_hitl::Notice;
    /// use awaitly_hitl::http::Links;
    ///
    /// /// Returns the text of a mail to each answerer.
    /// fn mails(links: &Links, notice: &Notice) -> Vec<String> {
    ///     let answerers = notice.answerers.iter();
    ///     answerers.map(|name| format!("Please decide: {}", links.to_notice(notice, name.as_str()))).collect()
    /// }
    /// ```
    #[must_use]
    pub fn to_notice<'a>(&self, notice: &Notice, by: impl Into<Option<&'a str>>) -> String {
        self.link(&notice.token, by.into(), notice.expires)
    }

    fn link(&self, token: &str, by: Option<&str>, expires: Option<Timestamp>) -> String {
        let until = Timestamp::from(SystemTime::now()).after(self.valid);
        let until = expires.map_or(until, |expires| expires.min(until));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.secret.sign(&text(token, by, until)));
        let (base, token, until) = (&self.base, encoded(token), until.as_millis());
        let by = by.map(|by| format!("by={}&", encoded(by))).unwrap_or_default();
        format!("{base}/link/{token}?{by}until={until}&signature={signature}")
    }

    /// Verifies a link from the token in its path and the query, which is the text after the question mark. Returns the person
    /// for whom the link is, if it names one. Call this before you show the question of a link on a page of your own.
    ///
    /// # Errors
    /// Returns a problem with the code `forged_link` if the signature is not valid, or with `expired_link` if `now` is at or
    /// after the time at which the link expires.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::journal::Timestamp;
    /// use awaitly_hitl::http::{Links, Problem, Secret};
    ///
    /// let links = Links::new(Secret::random()?, "https://example.com/approvals")?;
    /// let query = "by=ada&until=7&signature=AAAA";
    /// let forged = links.verify("t0ken", query, Timestamp::from_millis(0)).unwrap_err();
    /// assert_eq!((forged.status(), forged.code()), (401, "forged_link"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn verify(&self, token: &str, query: &str, now: Timestamp) -> Result<Option<String>, Problem> {
        let (mut by, mut until, mut signature) = (None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            // Mail programs append further parameters to links; these are ignored.
            let place = match &*name {
                "by" => &mut by,
                "until" => &mut until,
                "signature" => &mut signature,
                _ => continue,
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(forged());
            }
        }
        let until = until.and_then(|until| until.parse().ok()).map(Timestamp::from_millis);
        let signature = signature.and_then(|signature| BASE64_URL_SAFE_NO_PAD.decode(signature).ok());
        let (Some(until), Some(signature)) = (until, signature) else { return Err(forged()) };
        if !self.secret.holds(&text(token, by.as_deref(), until), &signature) {
            return Err(forged());
        }
        if until <= now { Err(expired()) } else { Ok(by) }
    }
}

/// Returns the text to sign. A link without a person and a link for the person with the empty name have different texts.
fn text(token: &str, by: Option<&str>, until: Timestamp) -> Vec<u8> {
    let until = until.as_millis().to_string();
    match by {
        Some(by) => signature::link(&[token.as_bytes(), until.as_bytes(), by.as_bytes()]),
        None => signature::link(&[token.as_bytes(), until.as_bytes()]),
    }
}

/// Percent-encodes text for any place in a URL.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b'.' => {
                encoded.push(char::from(byte));
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}

/// Returns the problem of a link whose signature was made with another secret, or that was changed.
pub(super) fn forged() -> Problem {
    Problem::new(
        401,
        "forged_link",
        "this link is forged or was changed: open the link exactly as you received it",
    )
}

fn expired() -> Problem {
    Problem::new(410, "expired_link", "this link has expired: ask for a new one")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links() -> Links {
        Links::new(Secret::new("0123456789abcdef").unwrap(), "https://example.com/approvals/").unwrap()
    }

    /// Splits a link into the token and the query, as a server receives them.
    fn parts(link: &str) -> (&str, &str) {
        let path = link.strip_prefix("https://example.com/approvals/link/").unwrap();
        path.split_once('?').unwrap()
    }

    fn now() -> Timestamp {
        SystemTime::now().into()
    }

    #[test]
    fn link_names_its_person_and_expires_after_a_week() {
        let link = links().link("t0ken", Some("Ada & Bob/ü"), None);
        let (token, query) = parts(&link);
        assert_eq!(token, "t0ken");
        assert_eq!(links().verify(token, query, now()), Ok(Some("Ada & Bob/ü".to_owned())));
        assert!(links().verify(token, query, now().after(days(7) - Duration::from_secs(60))).is_ok());
        assert_eq!(links().verify(token, query, now().after(days(7))), Err(expired()));
        assert!(!format!("{:?}", links()).contains("0123456789abcdef"));
    }

    #[test]
    fn link_expires_with_its_question() {
        let expires = now().after(Duration::from_secs(60));
        let just_before = Timestamp::from_millis(expires.as_millis() - 1);
        let link = links().link("t", None, Some(expires));
        let (token, query) = parts(&link);
        assert_eq!(links().verify(token, query, just_before), Ok(None));
        assert_eq!(links().verify(token, query, expires), Err(expired()));
        let early = links().valid_for(Duration::from_secs(30)).link("t", None, Some(expires));
        let (token, query) = parts(&early);
        assert_eq!(links().verify(token, query, just_before), Err(expired()));
    }

    #[test]
    fn changed_link_is_forged() {
        let link = links().link("t0ken", Some("ada"), None);
        let (token, query) = parts(&link);
        let is_forged = |token: &str, query: &str| {
            assert_eq!(links().verify(token, query, now()), Err(forged()), "{token} {query}");
        };
        assert!(links().verify(token, query, now()).is_ok());
        assert!(links().verify(token, &format!("{query}&utm_source=mail"), now()).is_ok());
        is_forged("t0keN", query);
        is_forged(token, &query.replace("ada", "bob"));
        is_forged(token, &query.replace("by=ada&", ""));
        is_forged(token, &query.replace("until=1", "until=2"));
        is_forged(token, &query.replace("until=", "until=0x"));
        is_forged(token, &query.replace("signature=", "signature=A"));
        is_forged(token, query.split("&signature").next().unwrap());
        is_forged(token, &format!("{query}&by=bob"));
        is_forged(token, &format!("by=bob&{query}"));
        is_forged(token, "");
        let nobody = links().link("t0ken", None, None);
        let (token, query) = parts(&nobody);
        is_forged(token, &format!("by=&{query}"));
        let other = Links::new(Secret::new("fedcba9876543210").unwrap(), "https://example.com").unwrap();
        assert_eq!(other.verify(token, query, now()), Err(forged()));
        let rotated = Secret::new("fedcba9876543210").unwrap().or_older("0123456789abcdef").unwrap();
        let rotated = Links::new(rotated, "https://example.com").unwrap();
        assert!(rotated.verify(token, query, now()).is_ok());
    }

    #[test]
    fn invalid_base_url_is_refused() {
        let secret = || Secret::new("0123456789abcdef").unwrap();
        for base in ["http://localhost:3000", "https://example.com/a/b/"] {
            assert!(Links::new(secret(), base).is_ok(), "{base}");
        }
        for base in [
            "",
            "/approvals",
            "example.com",
            "ftp://example.com",
            "https://",
            "https://e/?a=b",
            "https://e/#a",
            "https://u:p@e/",
            "https://e:99999/",
            "https://e:/",
            "https://127.1",
            "https://e\\@f/",
            "https://e/a b",
        ] {
            assert!(Links::new(secret(), base).is_err(), "{base}");
        }
    }
}
