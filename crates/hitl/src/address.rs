//! Strict parsing of server URLs: a URL is refused if a client could connect to another host or port than its text names.

use std::net::{Ipv4Addr, Ipv6Addr};

#[cfg(not(feature = "webhook"))]
use axum::http::Uri;
#[cfg(feature = "webhook")]
use hyper::Uri;

/// The reasons for which the URL of a server is refused or cannot be used. The messages do not contain the URL, which
/// may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// The text is not the URL of a server, or a client could connect to another host or port than it names.
    #[error("this URL is not accepted: {reason}; use the form `https://example.com/path`")]
    InvalidUrl {
        /// The defect of the URL, or the change that makes the URL acceptable.
        reason: &'static str,
    },
    /// Notices to another machine would travel unencrypted.
    #[error("notices would be sent unencrypted: use `https`, or call `WebhookNotifier::over_http`")]
    Unencrypted,
    /// The system's root certificates could not be loaded.
    #[error(
        "the root certificates of this system cannot be loaded: install them (Debian: `ca-certificates`): {reason}"
    )]
    NoCertificates {
        /// The error of the loader.
        reason: String,
    },
}

/// Parses the URL of an HTTP server.
///
/// # Errors
/// Returns [`UrlError::InvalidUrl`].
pub(crate) fn server(text: &str) -> Result<Uri, UrlError> {
    parsed(text).map_err(|reason| UrlError::InvalidUrl { reason })
}

/// Returns the URL, or the change that makes it acceptable.
fn parsed(text: &str) -> Result<Uri, &'static str> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("write it in ASCII without spaces, and an international host name as `xn--..`");
    }
    // The client would silently drop a fragment.
    if text.contains('#') {
        return Err("remove `#` and the text after it, which is never sent");
    }
    let url: Uri = text.parse().map_err(|_| "it cannot be parsed")?;
    let Some(authority) = url.authority().filter(|_| matches!(url.scheme_str(), Some("http" | "https")))
    else {
        return Err("begin it with `https://` and a host");
    };
    if authority.as_str().contains('@') {
        return Err("remove the user in front of the host");
    }
    let (host, port) = split(authority.as_str());
    if !is_host(host) {
        return Err(
            "its host is neither a name nor a complete address such as `10.0.0.7` or `[2001:db8::7]`",
        );
    }
    // The client would replace a port that it cannot parse with the default port of the scheme.
    if port.is_some_and(|port| !is_port(port)) {
        return Err("its port is not a number from 1 to 65535");
    }
    Ok(url)
}

/// Splits an authority into the host and the text after the colon that follows the host.
fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // A colon before `]` belongs to an IPv6 address.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse().is_ok_and(|port: u16| port != 0)
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    // The system resolver also accepts `127.1` and `0x7f000001` as addresses.
    if name.rsplit('.').next().is_some_and(is_number) {
        return host.parse::<Ipv4Addr>().is_ok();
    }
    name.len() <= 253 && name.split('.').all(is_label)
}

fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// Accepts underscores too: names on private networks contain them.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
