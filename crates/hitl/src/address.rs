//! URLs of servers, read strictly: a request goes to the host and the port that the text names, or the text is refused.

use std::net::{Ipv4Addr, Ipv6Addr};

#[cfg(not(feature = "webhook"))]
use axum::http::Uri;
#[cfg(feature = "webhook")]
use hyper::Uri;

/// Reads the URL of a server that is reached by HTTP.
///
/// # Errors
/// Returns what to change about it. The reason does not contain the URL, which may hold a secret.
pub(crate) fn server(text: &str) -> Result<Uri, &'static str> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("write it in ASCII and without spaces, a name of other letters as `xn--..`");
    }
    // The client would drop this part silently.
    if text.contains('#') {
        return Err("leave out `#` and all behind it, which is never sent");
    }
    let url: Uri = text.parse().map_err(|_| "it cannot be read")?;
    let Some(authority) = url.authority().filter(|_| matches!(url.scheme_str(), Some("http" | "https")))
    else {
        return Err("begin it with `https://` and a host");
    };
    if authority.as_str().contains('@') {
        return Err("leave out the user in front of the host");
    }
    let (host, port) = split(authority.as_str());
    if !is_host(host) {
        return Err("its host is neither a name nor an address in full, as `10.0.0.7` or `[2001:db8::7]`");
    }
    // The client would take a port that it cannot read for the scheme's own.
    if port.is_some_and(|port| !is_port(port)) {
        return Err("its port is not a number from 1 to 65535");
    }
    Ok(url)
}

/// The host, and what stands behind the colon that follows it.
fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // Not a colon of an IPv6 address.
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
    // The system reads `127.1` and `0x7f000001` as addresses too.
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

/// Names on a private network have underscores as well.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
