//! The stored form of records and waiting entries.

use awaitly_core::journal::{Fingerprint, Kind, Outcome, Payload, Record, WaitEntry};
use awaitly_core::store::StoreError;

use super::fields::{fingerprint, moment};
use super::reply::Reply;

/// Reads records in their stored form, by their keys.
pub(super) fn records(mut reply: Reply<'_>) -> Result<Vec<Record>, StoreError> {
    let mut records = Vec::with_capacity(reply.len() / 2);
    while reply.len() > 0 {
        let key = reply.text("records")?;
        let text = reply.text(&key)?;
        let (place, outcome, input) = record(&text).ok_or_else(|| reply.corrupt(&key))?;
        records.push((place, Record { key: key.into(), outcome, input }));
    }
    records.sort_unstable_by_key(|(place, _)| *place);
    Ok(records.into_iter().map(|(_, record)| record).collect())
}

/// Reads waiting entries in their stored form, by their keys.
pub(super) fn waits(mut reply: Reply<'_>) -> Result<Vec<WaitEntry>, StoreError> {
    let mut waits = Vec::with_capacity(reply.len() / 2);
    while reply.len() > 0 {
        let key = reply.text("waits")?;
        let text = reply.text(&key)?;
        waits.push(entry(&key, &text).ok_or_else(|| reply.corrupt(&key))?);
    }
    waits.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    Ok(waits)
}

/// Reads a record in its stored form: its position, its outcome, and the fingerprint of its input.
pub(super) fn record(text: &str) -> Option<(u64, Outcome, Option<Fingerprint>)> {
    let mut parts = text.splitn(6, ' ');
    let place = parts.next()?.parse().ok()?;
    let kind = Kind::from_number(parts.next()?.parse().ok()?)?;
    let input = match parts.next()? {
        "-" => None,
        text => Some(fingerprint(text)?),
    };
    // Only scripts use the nonces of the writer and of the question.
    let payload = parts.nth(2)?;
    Some((place, Outcome::from_parts(kind, Payload::from_stored(payload)), input))
}

/// Reads a waiting entry in its stored form.
pub(super) fn entry(key: &str, text: &str) -> Option<WaitEntry> {
    let mut parts = text.splitn(5, ' ');
    let since = moment(parts.next()?)?;
    let expires = match parts.next()? {
        "-" => None,
        text => Some(moment(text)?),
    };
    let length = parts.nth(1)?.parse().ok()?;
    let (token, request) = parts.next()?.split_at_checked(length)?;
    let request = Payload::from_stored(request);
    Some(WaitEntry { key: key.to_owned().into(), token: token.into(), request, since, expires })
}

pub(super) fn entry_text(entry: &WaitEntry, nonce: &str) -> String {
    let WaitEntry { token, request, since, expires, .. } = entry;
    let expires = expires.map_or_else(|| "-".to_owned(), |expires| expires.as_millis().to_string());
    format!("{} {expires} {nonce} {} {token}{}", since.as_millis(), token.len(), request.as_str())
}

pub(super) fn fingerprint_text(fingerprint: Option<Fingerprint>) -> String {
    fingerprint.map_or_else(|| "-".to_owned(), |fingerprint| fingerprint.to_bits().to_string())
}

#[cfg(test)]
mod tests {
    use awaitly_core::journal::Timestamp;

    use super::*;

    #[test]
    fn entry_comes_back_as_it_was_written_down() {
        for (token, request, expires) in
            [("s3cret", "[1]", None), (" 1 \0é", "{\"a\": 1}", Some(u64::MAX)), ("", "", Some(0))]
        {
            let before = WaitEntry {
                key: "ask".into(),
                token: token.into(),
                request: Payload::from_stored(request),
                since: Timestamp::from_millis(7),
                expires: expires.map(Timestamp::from_millis),
            };
            assert_eq!(entry("ask", &entry_text(&before, "f")), Some(before));
        }
    }

    #[test]
    fn malformed_text_is_neither_record_nor_entry() {
        for text in ["", "1", "1 9 - a - 1", "x 0 - a - 1", "1 0 x a - 1", "1 0 - a -"] {
            assert_eq!(record(text), None, "{text}");
        }
        for text in ["", "1 - a 4 abc", "1 - a x abc", "1 - a 1 é", "1 x a 1 a"] {
            assert_eq!(entry("ask", text), None, "{text}");
        }
    }
}
