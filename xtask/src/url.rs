//! Reads URLs of servers, and hides their passwords.

const HIDDEN: &str = "***";
const PARAMETER: &str = "password=";

/// Returns the text with its password hidden, before the `@` or in a parameter.
///
/// If the end of the password is unclear, hides more: a password may contain an `@` or a `/` that is not encoded.
pub(crate) fn without_password(text: &str) -> String {
    let text = without_parameter(text);
    let Some((scheme, rest)) = text.split_once("://") else { return text };
    let Some((login, place)) = rest.rsplit_once('@') else { return text };
    match login.split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:{HIDDEN}@{place}"),
        None => text,
    }
}

fn without_parameter(text: &str) -> String {
    let mut pieces = text.split(PARAMETER);
    let mut shown = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find('&').unwrap_or(piece.len());
        shown.extend([PARAMETER, HIDDEN, piece.split_at(end).1]);
    }
    shown
}

/// Returns the host and the port of a URL with one of these schemes, or `None` if it has no host.
pub(crate) fn host_and_port(url: &str, schemes: &[&str], default_port: u16) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    if !schemes.contains(&scheme) {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let (host, port) = split_port(place)?;
    let port = if port.is_empty() { default_port } else { port.parse().ok()? };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

// An IPv6 address contains colons, so it is in brackets.
fn split_port(place: &str) -> Option<(&str, &str)> {
    if let Some(bracketed) = place.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']')?;
        return Some((host, rest.strip_prefix(':').unwrap_or(rest)));
    }
    Some(place.split_once(':').unwrap_or((place, "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_is_hidden_in_each_part_of_a_url() {
        let shown = [
            ("postgres://me:secret@db:5432/app", "postgres://me:***@db:5432/app"),
            ("redis://:secret@db:6379/0", "redis://:***@db:6379/0"),
            ("postgres://me@db/app?password=secret&sslmode=require", {
                "postgres://me@db/app?password=***&sslmode=require"
            }),
            ("postgres://me@db/app?password=se@cret", "postgres://me@db/app?password=***"),
            ("host=db password='se cret' user=me", "host=db password=***"),
        ];
        for (url, expected) in shown {
            assert_eq!(without_password(url), expected);
        }
    }

    #[test]
    fn unencoded_password_is_hidden() {
        assert_eq!(without_password("postgres://me:se@cr/et:@db/app"), "postgres://me:***@db/app");
        assert!(!without_password("postgres://me:password=se&cret@db/app").contains("cret"));
    }

    #[test]
    fn text_without_password_does_not_change() {
        for text in ["postgres://postgres@127.0.0.1:5432/postgres", "redis://[::1]:6379", "-D warnings", ""] {
            assert_eq!(without_password(text), text);
        }
    }

    #[test]
    fn host_and_port_are_read_from_each_form_of_url() {
        let read = |url| host_and_port(url, &["postgres", "postgresql"], 5432);
        let some = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(read("postgres://me:secret@db:6000/app"), some("db", 6000));
        assert_eq!(read("postgresql://me:a@b@db/app?x=y"), some("db", 5432));
        assert_eq!(read("postgres://[::1]:6000"), some("::1", 6000));
        assert_eq!(read("postgres://[::1]/app"), some("::1", 5432));
    }

    #[test]
    fn url_without_host_has_no_address() {
        for url in
            ["", "db:5432", "redis://db", "postgres:///app", "postgres://db:port/app", "postgres://[::1"]
        {
            assert_eq!(host_and_port(url, &["postgres"], 5432), None, "{url}");
        }
    }
}
