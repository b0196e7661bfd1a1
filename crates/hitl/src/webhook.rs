use std::error::Error as StdError;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use awaitly_core::clock::secs;
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use hyper::{Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::address::{self, UrlError};
#[cfg(feature = "http")]
use crate::http::Links;
use crate::notify::{Notice, Notifier};
use crate::signature::{IDEMPOTENCY_KEY, Secret, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP, hex};

/// A notifier that sends each notice as a signed HTTP request, for example to a program that mails it or posts it in a chat.
///
/// The body is the [`Notice`] in JSON. The headers follow [Standard Webhooks](https://www.standardwebhooks.com):
///
/// - `webhook-id` identifies the notice; it does not change if the notice is sent again. `idempotency-key` repeats it.
/// - `webhook-timestamp` is the Unix time of sending, in seconds.
/// - `webhook-signature` contains the [standard signature](Secret::sign_webhook) and a signature that
///   [covers method and path](Secret::sign_route).
///
/// The receiver verifies the request with a library of Standard Webhooks, given the secret as `whsec_` and base64, or with
/// this crate's `SignatureCheck`.
///
/// A notice is delivered if the response has a status from 200 to 299. Any other response is an error, after which the run
/// tries again. The notifier does not follow redirects, does not use a proxy, and does not read the response body.
///
/// A URL is refused if the client could connect to another host or port than its text names, for example because the port
/// is out of range or an address is abbreviated.
///
/// Take the URL from your configuration, never from users of your program: the notifier connects to any host that the URL
/// names, including hosts inside your network.
///
/// # Examples
#[cfg_attr(
    feature = "http",
    doc = r#"
```
use awaitly_core::{DurableRun, RunError};
use awaitly_hitl::http::Secret;
use awaitly_hitl::{Approvals, WebhookNotifier};

async fn expense(run: &DurableRun, hook: &WebhookNotifier) -> Result<u64, RunError> {
    run.approval("manager").answerer("ada").notify(hook).await
}

# fn hook(secret: Secret) -> Result<(), Box<dyn std::error::Error>> {
let hook = WebhookNotifier::new("https://notify.example.com/awaitly", secret)?;
# Ok(())
# }
```
"#
)]
#[derive(Clone)]
pub struct WebhookNotifier {
    url: Uri,
    secret: Secret,
    transport: Transport,
    timeout: Duration,
    #[cfg(feature = "http")]
    links: Option<Links>,
}

#[derive(Clone)]
enum Transport {
    Plain(Client<HttpConnector, String>),
    Encrypted(Client<HttpsConnector<HttpConnector>, String>),
}

impl WebhookNotifier {
    /// Creates a notifier that sends to `url` and signs with `secret`. The URL must begin with `https`, or with
    /// `http` if the receiver runs on this machine.
    ///
    /// # Errors
    /// Returns [`UrlError::Unencrypted`] if an `http` URL names another machine, or another [`UrlError`] if the URL
    /// is not accepted or the system's root certificates cannot be loaded.
    ///
    /// # Examples
    /// ```
    /// use awaitly_hitl::{Secret, UrlError, WebhookNotifier};
    ///
    /// let secret = Secret::random()?;
    /// assert!(WebhookNotifier::new("http://localhost:3000/hook", secret.clone()).is_ok());
    /// let plain = WebhookNotifier::new("http://notify.example.com/hook", secret);
    /// assert_eq!(plain.unwrap_err(), UrlError::Unencrypted);
    /// # Ok::<(), awaitly_hitl::SecretError>(())
    /// ```
    pub fn new(url: &str, secret: Secret) -> Result<Self, UrlError> {
        let notifier = Self::over_http(url, secret)?;
        match notifier.transport {
            Transport::Plain(_) if !is_loopback(&notifier.url) => Err(UrlError::Unencrypted),
            _ => Ok(notifier),
        }
    }

    /// Creates a notifier like [`new`](Self::new), but also accepts the `http` URL of another machine. Requests to such
    /// a URL are not encrypted.
    ///
    /// Every machine between the sender and the receiver can read an unencrypted notice, and can answer the question
    /// with the token in the notice.
    ///
    /// # Errors
    /// Returns [`UrlError`] if the URL is refused, or if the system's root certificates cannot be loaded.
    pub fn over_http(url: &str, secret: Secret) -> Result<Self, UrlError> {
        let url = address::server(url)?;
        let client = Client::builder(TokioExecutor::new());
        let transport = match url.scheme_str() {
            Some("https") => Transport::Encrypted(client.build(encrypted()?)),
            _ => Transport::Plain(client.build(HttpConnector::new())),
        };
        Ok(Self {
            url,
            secret,
            transport,
            timeout: secs(10),
            #[cfg(feature = "http")]
            links: None,
        })
    }

    /// Sends links instead of the token: the field `links`, a list with one `{"by": "ada", "url": "https://.."}` for each
    /// answerer. If everyone may answer, it contains one link without `by`.
    ///
    /// # Default
    /// The notice contains the token, from which the receiver makes links.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn links(mut self, links: Links) -> Self {
        self.links = Some(links);
        self
    }

    /// Sets the time within which the receiver must respond. In a run, each attempt also ends after 10 seconds, so a
    /// longer time has no effect there.
    ///
    /// # Default
    /// 10 seconds
    #[must_use]
    pub const fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    fn request(&self, notice: &Notice) -> Result<Request<String>, String> {
        let unsendable = |error: &dyn StdError| format!("the request cannot be built: {error}");
        let body = self.body(notice).map_err(|error| unsendable(&error))?.to_string();
        let id = id(notice);
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (seconds, bytes) = (since.as_secs(), body.as_bytes());
        let path = self.url.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        let standard = self.secret.sign_webhook(&id, seconds, bytes);
        let of_route = self.secret.sign_route("POST", &path, &id, seconds, bytes);
        let request = Request::post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("awaitly/", env!("CARGO_PKG_VERSION")))
            .header(IDEMPOTENCY_KEY, &id)
            .header(WEBHOOK_ID, id)
            .header(WEBHOOK_TIMESTAMP, seconds)
            .header(WEBHOOK_SIGNATURE, format!("{standard} {of_route}"));
        request.body(body).map_err(|error| unsendable(&error))
    }

    #[cfg(feature = "http")]
    fn body(&self, notice: &Notice) -> serde_json::Result<Value> {
        let mut body = serde_json::to_value(notice)?;
        if let (Some(links), Some(body)) = (&self.links, body.as_object_mut()) {
            body.remove("token");
            body.insert("links".to_owned(), links_of(links, notice));
        }
        Ok(body)
    }

    #[cfg(not(feature = "http"))]
    fn body(&self, notice: &Notice) -> serde_json::Result<Value> {
        serde_json::to_value(notice)
    }
}

#[cfg(feature = "http")]
fn links_of(links: &Links, notice: &Notice) -> Value {
    if notice.answerers.is_empty() {
        return serde_json::json!([{ "url": links.to_notice(notice, None) }]);
    }
    let link = |by: &String| serde_json::json!({ "by": by, "url": links.to_notice(notice, by.as_str()) });
    notice.answerers.iter().map(link).collect()
}

/// Returns the id of a notice, which does not change between attempts. The id does not reveal the random token.
fn id(notice: &Notice) -> String {
    let Notice { kind, run, key, token, .. } = notice;
    hex(&Sha256::digest(format!("{token}\n{kind:?}\n{}\n{run}\n{key}", run.len())))
}

/// Creates a connector with the system's root certificates. It names its crypto provider, so that it works regardless of
/// the providers that other crates of the program install.
fn encrypted() -> Result<HttpsConnector<HttpConnector>, UrlError> {
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(ring::default_provider())
        .map_err(|error| UrlError::NoCertificates { reason: error.to_string() })?;
    Ok(connector.https_only().enable_http1().build())
}

fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

impl Notifier for WebhookNotifier {
    type Error = String;

    async fn notify(&self, notice: Notice) -> Result<(), String> {
        let request = self.request(&notice)?;
        let answered = match &self.transport {
            Transport::Plain(client) => client.request(request),
            Transport::Encrypted(client) => client.request(request),
        };
        let Ok(answered) = tokio::time::timeout(self.timeout, answered).await else {
            return Err(format!("the receiver did not respond within {:?}", self.timeout));
        };
        let status = answered.map_err(|error| chain(&error))?.status();
        if status.is_success() {
            Ok(())
        } else if status.is_redirection() {
            Err(format!(
                "the receiver responded with the redirect {status}: configure the URL that it leads to"
            ))
        } else {
            Err(format!("the receiver responded with {status}"))
        }
    }
}

/// Formats an error with its causes; the outermost error alone says little.
fn chain(error: &dyn StdError) -> String {
    let mut text = "the receiver could not be reached".to_owned();
    let mut cause = Some(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

// The path of a webhook URL is often a secret.
impl fmt::Debug for WebhookNotifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookNotifier")
            .field("host", &self.url.host())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use awaitly_core::journal::Timestamp;

    use super::*;
    use crate::notify::NoticeKind;

    fn secret() -> Secret {
        Secret::new("0123456789abcdef").unwrap()
    }

    fn notice(answerers: &[&str]) -> Notice {
        Notice {
            kind: NoticeKind::Asked,
            run: "r".into(),
            key: "manager".into(),
            prompt: Some("May I?".into()),
            metadata: None,
            answerers: answerers.iter().map(|name| (*name).to_owned()).collect(),
            expires: Some(Timestamp::from_millis(7)),
            token: "t0ken".into(),
        }
    }

    #[test]
    fn plain_http_to_another_machine_is_refused() {
        for url in
            ["http://localhost:80/x", "http://127.1.2.3/", "http://[::1]:8080/", "http://[::ffff:127.0.0.1]/"]
        {
            assert!(WebhookNotifier::new(url, secret()).is_ok(), "{url}");
        }
        for url in
            ["http://example.com/", "http://localhost.example.com/", "http://10.0.0.1/", "http://[::2]/"]
        {
            assert_eq!(WebhookNotifier::new(url, secret()).unwrap_err(), UrlError::Unencrypted, "{url}");
            assert!(WebhookNotifier::over_http(url, secret()).is_ok(), "{url}");
        }
        for url in [
            "",
            "/hook",
            "example.com",
            "ftp://localhost/",
            "http://u:p@localhost/",
            "file:///etc/passwd",
            "http://",
        ] {
            let refused = WebhookNotifier::over_http(url, secret());
            assert!(matches!(refused, Err(UrlError::InvalidUrl { .. })), "{url}");
        }
    }

    #[test]
    fn ambiguous_url_is_refused() {
        for url in [
            "http://127.0.0.1:99999/hook",
            "http://127.0.0.1:65536/",
            "http://127.0.0.1:0/",
            "http://127.0.0.1:/",
            "http://127.0.0.1:+80/",
            "http://127.0.0.1:8 0/",
            "http://127.0.0.1:80:80/",
            "http://@127.0.0.1/",
            "http://u@127.0.0.1/",
            "http://127.0.0.1\\@example.com/",
            "http://:80/",
            "http:///hook",
            "http://[]/",
            "http://[::1/",
            "http://::1/",
            "http://[127.0.0.1]/",
            "http://[::1%25lo]/",
            "http://[fe80::1%eth0]/",
            "http://[v1.x]/",
            "http://[::1]x:80/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.0.0.1/",
            "http://0177.0.0.1/",
            "http://127.0.0.1./",
            "http://127.0.0.256/",
            "http://ex%61mple.com/",
            "http://bücher.example/",
            "http://example..com/",
            "http://-example.com/",
            "http://example.com,example.org/",
            "http://example.com/#token",
            "http://example.com/ü",
            " http://example.com/",
            "http://example.com/ ",
            "http://example.com/a b",
            "http://exam\tple.com/",
            "http:example.com",
            "httpx://example.com/",
            "//example.com/",
            "example.com:80",
            "*",
        ] {
            let refused = WebhookNotifier::over_http(url, secret());
            assert!(matches!(refused, Err(UrlError::InvalidUrl { .. })), "{url}");
        }
    }

    proptest::proptest! {
        #[test]
        fn accepted_url_names_its_host_and_port(
            scheme in "(http|https|HTTP)://",
            host in "([a-z0-9_.-]{1,12}|[0-9x.]{1,12}|[a-z]{1,5}\\.[a-z]{2,3}|\\[[0-9a-f:.%]{1,12}\\]|127\\.0\\.0\\.[0-9]{1,3}|.{0,6})",
            port in "(|:[0-9]{1,6}|:[0-9+ -]{0,3})",
            rest in "(|/[a-z%#@? ]{0,6}|\\?[a-z]{1,3}|.{0,4})",
        ) {
            let text = format!("{scheme}{host}{port}{rest}");
            if let Ok(hook) = WebhookNotifier::over_http(&text, secret()) {
                let named = url::Url::parse(&text).expect("the other parser accepts the URL");
                // The port that the client's connector uses.
                let default = if hook.url.scheme_str() == Some("https") { 443 } else { 80 };
                let port = hook.url.port_u16().unwrap_or(default);
                proptest::prop_assert_eq!(hook.url.host().map(str::to_ascii_lowercase), lowered(&named, &host));
                proptest::prop_assert_eq!(Some(port), named.port_or_known_default());
                proptest::prop_assert_eq!((named.username(), named.password(), named.fragment()), ("", None, None));
            }
        }
    }

    /// Returns the host that another parser reads. That parser abbreviates an IPv6 address.
    fn lowered(named: &url::Url, host: &str) -> Option<String> {
        match named.host()? {
            url::Host::Ipv6(address) => {
                let given = host.trim_matches(['[', ']']).parse();
                (given == Ok(address)).then(|| host.to_ascii_lowercase())
            }
            other => Some(other.to_string()),
        }
    }

    #[test]
    fn body_contains_either_token_or_links() {
        let hook = WebhookNotifier::new("http://localhost/s3cret", secret()).unwrap();
        let body = hook.body(&notice(&["ada"])).unwrap();
        assert_eq!(
            (&body["token"], &body["run"], &body["expires"]),
            (&"t0ken".into(), &"r".into(), &7.into())
        );
        assert!(!format!("{hook:?}").contains("s3cret"));

        let links = Links::new(secret(), "https://example.com").unwrap();
        let hook = hook.links(links);
        let body = hook.body(&notice(&["ada", "bob"])).unwrap();
        assert_eq!(body.get("token"), None);
        assert_eq!((&body["links"][0]["by"], &body["links"][1]["by"]), (&"ada".into(), &"bob".into()));
        let link = body["links"][0]["url"].as_str().unwrap();
        assert!(link.starts_with("https://example.com/link/t0ken?by=ada&until=7&signature="), "{link}");
        let body = hook.body(&notice(&[])).unwrap();
        assert_eq!(body["links"].as_array().unwrap().len(), 1);
        assert_eq!(body["links"][0].get("by"), None);
    }

    #[test]
    fn resent_notice_keeps_its_id() {
        let first = notice(&["ada"]);
        let mut reminder = first.clone();
        reminder.kind = NoticeKind::Reminder(1);
        assert_eq!(id(&first), id(&first.clone()));
        assert_ne!(id(&first), id(&reminder));
    }
}
