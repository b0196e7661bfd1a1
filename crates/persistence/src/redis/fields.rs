//! The stored form of runs.

use std::borrow::Cow;
use std::str::FromStr;
use std::time::Duration;

use awaitly_core::dispatch::Place;
use awaitly_core::journal::{Fingerprint, Header, Key, Kind, Outcome, Payload, Status, Timestamp};
use awaitly_core::store::{Ending, StoreError, StoredRun};

use super::error::corrupt;
use super::labels;
use super::records::{records, waits};
use super::reply::Reply;

/// The fields of a run that scripts return, in order. Lists omit the last one, which may be large.
pub(super) const SUMMARY: [&str; 25] = [
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
    "queue",
    "key",
    "priority",
    "rank",
    "start_by",
    "paused",
    "crashes",
    "parent",
    "tags",
    "unique",
    "restarts",
];

/// The time of a queued run that never becomes due.
const NEVER: &str = "-";

/// The fields of a run by their names.
pub(super) struct Fields<'a> {
    run: &'a str,
    fields: Vec<(Cow<'static, str>, String)>,
}

impl<'a> Fields<'a> {
    /// Reads the fields in the order of [`SUMMARY`], and the outcome if it follows.
    pub(super) fn summary(run: &'a str, mut reply: Reply<'_>) -> Result<Self, StoreError> {
        let mut fields = Vec::with_capacity(reply.len());
        for name in SUMMARY.into_iter().chain(["outcome"]) {
            fields.extend(reply.maybe(name)?.map(|value| (Cow::Borrowed(name), value)));
        }
        Ok(Self { run, fields })
    }

    /// Reads fields that follow their names.
    pub(super) fn pairs(run: &'a str, mut reply: Reply<'_>) -> Result<Self, StoreError> {
        let mut fields = Vec::with_capacity(reply.len() / 2);
        while reply.len() > 0 {
            let name = reply.text("field")?;
            let value = reply.text(&name)?;
            fields.push((Cow::Owned(name), value));
        }
        Ok(Self { run, fields })
    }

    /// Takes a field.
    pub(super) fn maybe(&mut self, name: &str) -> Option<String> {
        let place = self.fields.iter().position(|(field, _)| field == name)?;
        Some(self.fields.swap_remove(place).1)
    }

    fn text(&mut self, name: &str) -> Result<String, StoreError> {
        self.maybe(name).ok_or_else(|| corrupt(self.run, name))
    }

    /// Takes a field, and reads it with `read`.
    fn read<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, StoreError> {
        let Some(text) = self.maybe(name) else { return Ok(None) };
        read(&text).map(Some).ok_or_else(|| corrupt(self.run, name))
    }

    fn number<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, StoreError> {
        self.read(name, |text| text.parse().ok())
    }

    fn moment(&mut self, name: &str) -> Result<Option<Timestamp>, StoreError> {
        self.read(name, moment)
    }
}

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
    /// Reads the fields of a run, or returns `None` if the run does not exist.
    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Option<Self>, StoreError> {
        let Some(workflow) = fields.maybe("workflow") else { return Ok(None) };
        let (place, status) = (fields.text("place")?, fields.text("status")?);
        let [version, token, until, holder] =
            ["version", "token", "until", "holder"].map(|name| fields.maybe(name).unwrap_or_default());
        let bad = |field| corrupt(fields.run, field);
        let number = number_or_zero(&version).ok_or_else(|| bad("version"))?;
        let newest = number_or_zero(&token).ok_or_else(|| bad("token"))?;
        let known = Status::from_name(&status).ok_or_else(|| bad("status"))?;
        let held_until = match (&*until, &*holder) {
            ("", _) | (_, "") => None,
            _ => Some(moment(&until).ok_or_else(|| bad("until"))?),
        };
        let created = fields.moment("created")?.ok_or_else(|| corrupt(fields.run, "created"))?;
        let mut header = Header::new(workflow.into(), number, known, created);
        fields.fill(&mut header)?;
        let seen = [place, token, status, version, until, holder];
        Ok(Some(Self { header, token: newest, held_until, seen }))
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

impl Fields<'_> {
    /// Sets the part of the header that has defaults.
    fn fill(&mut self, header: &mut Header) -> Result<(), StoreError> {
        header.input = self.read("fingerprint", fingerprint)?;
        header.outcome = self.read("outcome", outcome)?;
        header.error = self.maybe("error").map(Into::into);
        header.failed_on = self.read("failed_on", keys)?.unwrap_or_default();
        header.changed = self.moment("changed")?.unwrap_or(header.created);
        header.wake = match self.maybe("wake") {
            Some(never) if never == NEVER => None,
            Some(wake) => Some(moment(&wake).ok_or_else(|| corrupt(self.run, "wake"))?),
            // It may start since it was submitted.
            None => (header.status == Status::Queued).then_some(header.created),
        };
        header.cancel_requested = self.maybe("cancel").is_some();
        header.paused = self.maybe("paused").is_some();
        header.crashes = self.number("crashes")?.unwrap_or_default();
        header.restarts = self.number("restarts")?.unwrap_or_default();
        let mut place = Place::default();
        place.queue = self.maybe("queue").unwrap_or_default().into();
        place.key = self.maybe("key").map(Into::into);
        place.priority = self.number("priority")?.unwrap_or_default();
        place.rank = self.number("rank")?.unwrap_or_default();
        place.start_by = self.moment("start_by")?;
        place.unique = self.maybe("unique").map(Into::into);
        header.place = place;
        header.parent = self.read("parent", labels::parent)?.map(Box::new);
        header.tags = self.read("tags", labels::tags)?.unwrap_or_default();
        Ok(())
    }
}

/// Reads a script's journal after its first word: the server's time, the token, and the run.
pub(super) fn journal(run: &str, reply: &mut Reply<'_>) -> Result<(Timestamp, u64, StoredRun), StoreError> {
    let now = Timestamp::from_millis(reply.number("now")?);
    let mut fields = Fields::summary(run, reply.list("summary")?)?;
    let Known { header, token, .. } = Known::read(&mut fields)?.ok_or_else(|| reply.corrupt("workflow"))?;
    let input = reply.maybe("input")?.map(Payload::from_stored);
    let records = records(reply.list("records")?)?;
    let waits = waits(reply.list("waits")?)?;
    Ok((now, token, StoredRun { header, input, records, waits }))
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
    match wake {
        Some(wake) => fields.push(("wake", wake.as_millis().to_string())),
        None if *status == Status::Queued => fields.push(("wake", NEVER.to_owned())),
        None => {}
    }
    fields.extend(header.cancel_requested.then(|| ("cancel", "1".to_owned())));
    fields.extend(header.paused.then(|| ("paused", "1".to_owned())));
    fields.extend((header.crashes > 0).then(|| ("crashes", header.crashes.to_string())));
    fields.extend((header.restarts > 0).then(|| ("restarts", header.restarts.to_string())));
    fields.extend(header.parent.as_deref().map(|parent| ("parent", labels::parent_text(parent))));
    fields.extend((!header.tags.is_empty()).then(|| ("tags", labels::tags_text(&header.tags))));
    fields.extend(placed(&header.place));
    Ok(fields)
}

/// Returns the fields for the place of a run in its queue, except those with their default.
fn placed(place: &Place) -> impl Iterator<Item = (&'static str, String)> {
    let Place { queue, key, priority, rank, start_by, unique, .. } = place;
    let set = [
        ("queue", (!queue.is_empty()).then(|| (**queue).to_owned())),
        ("key", key.as_deref().map(str::to_owned)),
        ("priority", (*priority != 0).then(|| priority.to_string())),
        ("rank", (*rank != 0).then(|| rank.to_string())),
        ("start_by", start_by.map(|by| by.as_millis().to_string())),
        ("unique", unique.as_deref().map(str::to_owned)),
    ];
    set.into_iter().filter_map(|(name, value)| Some((name, value?)))
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
pub(super) fn fingerprint(text: &str) -> Option<Fingerprint> {
    text.parse().ok().map(Fingerprint::from_bits)
}

pub(super) fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok().map(Timestamp::from_millis)
}

/// Reads a number that is missing if it is zero.
fn number_or_zero<T: FromStr + Default>(text: &str) -> Option<T> {
    if text.is_empty() { Some(T::default()) } else { text.parse().ok() }
}
