//! The stored form of runs, records and waiting entries.

use std::time::Duration;

use awaitly_core::journal::{
    Fingerprint, Header, Key, Kind, Outcome, Payload, Record, Status, Timestamp, WaitEntry,
};
use awaitly_core::store::{Ending, StoreError, StoredRun};

use super::reply::Reply;

/// The fields of a run that scripts return, in order. Lists omit the last one, which may be large.
pub(super) const SUMMARY: [&str; 14] = [
    "workflow",
    "version",
    "status",
    "fingerprint",
    "error",
    "failed_on",
    "created",
    "changed",
    "wake",
    "cancel",
    "place",
    "token",
    "until",
    "holder",
];

/// The known state of a run.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) header: Header,
    pub(super) token: u64,
    /// The end of the lease, unless the lease was released.
    pub(super) held_until: Option<Timestamp>,
    /// The values that a script compares before it takes the lease: everything that
    /// [`admit`](awaitly_core::journal::admit) reads changes only together with one of them.
    pub(super) seen: [String; 6],
}

impl Known {
    /// Reads a script's summary of a run, or returns `None` if the run does not exist.
    pub(super) fn read(mut reply: Reply<'_>) -> Result<Option<Self>, StoreError> {
        let Some(workflow) = reply.maybe("workflow")? else { return Ok(None) };
        let version = reply.text("version")?;
        let status = reply.text("status")?;
        let fingerprint = reply.maybe("fingerprint")?;
        let error = reply.maybe("error")?;
        let failed_on = reply.maybe("failed_on")?;
        let created = Timestamp::from_millis(reply.number("created")?);
        let changed = Timestamp::from_millis(reply.number("changed")?);
        let wake = reply.maybe("wake")?;
        let cancel_requested = reply.maybe("cancel")?.is_some();
        let place = reply.text("place")?;
        let token = reply.text("token")?;
        let until = reply.maybe("until")?;
        let holder = reply.maybe("holder")?;
        let outcome = reply.maybe("outcome")?;

        let bad = |field| reply.corrupt(field);
        let number = version.parse().map_err(|_| bad("version"))?;
        let known = Status::from_name(&status).ok_or_else(|| bad("status"))?;
        let mut header = Header::new(workflow.into(), number, known, created);
        header.input =
            fingerprint.map(|text| self::fingerprint(&text).ok_or_else(|| bad("fingerprint"))).transpose()?;
        header.outcome =
            outcome.map(|text| self::outcome(&text).ok_or_else(|| bad("outcome"))).transpose()?;
        header.error = error.map(Into::into);
        header.failed_on = match failed_on {
            Some(text) => keys(&text).ok_or_else(|| bad("failed_on"))?,
            None => Vec::new(),
        };
        header.changed = changed;
        header.wake = wake.map(|text| moment(&text).ok_or_else(|| bad("wake"))).transpose()?;
        header.cancel_requested = cancel_requested;
        let held_until = match (&until, &holder) {
            (Some(until), Some(_)) => Some(moment(until).ok_or_else(|| bad("until"))?),
            _ => None,
        };
        let number = token.parse().map_err(|_| bad("token"))?;
        let seen = [place, token, status, version, until.unwrap_or_default(), holder.unwrap_or_default()];
        Ok(Some(Self { header, token: number, held_until, seen }))
    }

    /// Returns the remaining time of the lease, if an owner holds it.
    pub(super) fn lease(&self, now: Timestamp) -> Option<Duration> {
        self.held_until.map(|until| now.until(until)).filter(|remaining| !remaining.is_zero())
    }

    /// Returns the position of the run among all runs.
    pub(super) fn place(&self) -> &str {
        let [place, ..] = &self.seen;
        place
    }
}

/// Reads a script's journal after its first word: the server's time, the token, and the run.
pub(super) fn journal(reply: &mut Reply<'_>) -> Result<(Timestamp, u64, StoredRun), StoreError> {
    let now = Timestamp::from_millis(reply.number("now")?);
    let known = Known::read(reply.list("summary")?)?.ok_or_else(|| reply.corrupt("workflow"))?;
    let input = reply.maybe("input")?.map(Payload::from_stored);
    let records = records(reply.list("records")?)?;
    let waits = waits(reply.list("waits")?)?;
    Ok((now, known.token, StoredRun { header: known.header, input, records, waits }))
}

fn records(mut reply: Reply<'_>) -> Result<Vec<Record>, StoreError> {
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

/// Returns the fields that describe how a run ended or that it waits, except the fields that the script sets.
pub(super) fn ending(ending: &Ending) -> Result<Vec<(&'static str, String)>, StoreError> {
    let Ending { status, outcome, error, failed_on, .. } = ending;
    let mut fields = vec![("status", status.as_str().to_owned())];
    fields.extend(outcome.as_ref().map(|outcome| ("outcome", outcome_text(outcome))));
    fields.extend(error.as_deref().map(|error| ("error", error.to_owned())));
    if !failed_on.is_empty() {
        fields.push(("failed_on", keys_text(failed_on)?));
    }
    Ok(fields)
}

/// Returns all fields of an imported run.
pub(super) fn imported(
    header: &Header,
    input: Option<&Payload>,
) -> Result<Vec<(&'static str, String)>, StoreError> {
    let Header { workflow, version, status, outcome, error, failed_on, created, changed, wake, .. } = header;
    let ended = Ending {
        outcome: outcome.clone(),
        error: error.clone(),
        failed_on: failed_on.clone(),
        ..Ending::new(*status)
    };
    let mut fields = ending(&ended)?;
    fields.extend([
        ("workflow", (**workflow).to_owned()),
        ("version", version.to_string()),
        ("created", created.as_millis().to_string()),
        ("changed", changed.as_millis().to_string()),
    ]);
    fields.extend(header.input.map(|input| ("fingerprint", input.to_bits().to_string())));
    fields.extend(input.map(|input| ("input", input.as_str().to_owned())));
    fields.extend(wake.map(|wake| ("wake", wake.as_millis().to_string())));
    fields.extend(header.cancel_requested.then(|| ("cancel", "1".to_owned())));
    Ok(fields)
}

fn outcome_text(outcome: &Outcome) -> String {
    format!("{} {}", outcome.kind().to_number(), outcome.payload().as_str())
}

fn outcome(text: &str) -> Option<Outcome> {
    let (kind, payload) = text.split_once(' ')?;
    Some(Outcome::from_parts(Kind::from_number(kind.parse().ok()?)?, Payload::from_stored(payload)))
}

pub(super) fn keys_text(keys: &[Key]) -> Result<String, StoreError> {
    let unstorable = |error: awaitly_core::journal::EncodeError| StoreError::Unstorable {
        detail: error.to_string().into(),
    };
    Payload::encode(keys).map(|text| text.as_str().to_owned()).map_err(unstorable)
}

fn keys(text: &str) -> Option<Vec<Key>> {
    Payload::from_stored(text).decode().ok()
}

/// Reads a decimal number as text, because Lua's numbers have only 53 bits.
fn fingerprint(text: &str) -> Option<Fingerprint> {
    text.parse().ok().map(Fingerprint::from_bits)
}

fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok().map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
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
