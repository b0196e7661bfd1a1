use std::borrow::Cow;
use std::sync::Arc;

use awaitly_core::journal::{
    Fingerprint, Header, Key, Outcome, Payload, Record, Status, Timestamp, WaitEntry,
};
use awaitly_core::store::{Ending, RunId, StoreError};
use serde::{Deserialize, Deserializer, Serialize};

use super::frame;

/// What happened to a run: an entry of its file. The run is what they all come to, one after another.
///
/// An entry is a JSON document. What a later version adds to one is left out by this version only where it has
/// a default; an entry of another kind needs a new [format](frame::FORMAT).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry<'a> {
    /// The run begins. The first entry is this or `Imported`, and no other is.
    Begun {
        run: RunId,
        /// Greater than that of all runs that the store had before.
        number: i64,
        workflow: Arc<str>,
        version: u32,
        #[serde(default, deserialize_with = "there", skip_serializing_if = "Option::is_none")]
        input: Option<Cow<'a, Payload>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fingerprint: Option<Fingerprint>,
        at: Timestamp,
    },
    /// The run is there as it was elsewhere, or as it was before its file was written anew.
    Imported {
        run: RunId,
        number: i64,
        header: Cow<'a, Header>,
        #[serde(default, deserialize_with = "there", skip_serializing_if = "Option::is_none")]
        input: Option<Cow<'a, Payload>>,
        records: Cow<'a, [Record]>,
        waits: Cow<'a, [WaitEntry]>,
    },
    Appended(Cow<'a, Record>),
    Replaced(Cow<'a, Record>),
    Waits(Cow<'a, WaitEntry>),
    /// Somebody answered: the record takes the place of the entry that waits.
    Answered {
        record: Cow<'a, Record>,
        at: Timestamp,
    },
    /// Nobody answered in time.
    Expired(Cow<'a, Record>),
    Revived {
        drop: Cow<'a, [Key]>,
        at: Timestamp,
    },
    /// The journal has the form of another version of its workflow. Where it says nothing of what waits and of what the
    /// run failed on, that stays.
    Rewritten {
        version: u32,
        records: Cow<'a, [Record]>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        waits: Option<Cow<'a, [WaitEntry]>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed_on: Option<Cow<'a, [Key]>>,
    },
    /// The run ended, or stopped to wait.
    Ended {
        status: Status,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outcome: Option<Cow<'a, Outcome>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Box<str>>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        failed_on: Vec<Key>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wake: Option<Timestamp>,
        at: Timestamp,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cancelling: bool,
    },
    CancelRequested,
}

impl<'a> Entry<'a> {
    /// The end of a run. `answered`: one of the keys that it waits on has an outcome by now.
    pub(super) fn ended(ending: &'a Ending, answered: bool, at: Timestamp) -> Self {
        Self::Ended {
            status: ending.status,
            outcome: ending.outcome.as_ref().map(Cow::Borrowed),
            error: ending.error.clone(),
            failed_on: ending.failed_on.clone(),
            wake: if answered { Some(at) } else { ending.wake },
            at,
            cancelling: ending.cancelling,
        }
    }

    /// Adds the entry to `frames`, which are as they were where it cannot be written.
    pub(super) fn push(&self, frames: &mut Vec<u8>) -> Result<(), StoreError> {
        let unstorable = |detail: String| StoreError::Unstorable { detail: detail.into() };
        frame::push(
            frames,
            || unstorable("it is larger than a gibibyte".into()),
            |bytes| {
                serde_json::to_writer(bytes, self)
                    .map_err(|error| unstorable(format!("it is no JSON: {error}")))
            },
        )
    }

    pub(super) fn read(json: &[u8]) -> Option<Entry<'static>> {
        serde_json::from_slice(json).ok()
    }
}

/// An input that is `null` is not the same as none.
fn there<'de, 'a, D: Deserializer<'de>>(input: D) -> Result<Option<Cow<'a, Payload>>, D::Error> {
    Payload::deserialize(input).map(|payload| Some(Cow::Owned(payload)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that was written once is read for ever: these texts are never changed, only added to.
    #[test]
    fn the_format_is_what_it_was() {
        let at = Timestamp::from_millis(7);
        let record = || {
            Cow::<Record>::Owned(Record {
                key: "charge".into(),
                outcome: Outcome::Value(Payload::from_stored("{\"id\": 1.50}")),
                input: Some(Fingerprint::from_bits(3)),
            })
        };
        let wait = WaitEntry {
            key: "ask".into(),
            token: "t".into(),
            request: Payload::from_stored("[]"),
            since: at,
            expires: Some(at),
        };
        let run = RunId::new("a\0b").unwrap();
        let json = r#"{"key":"charge","outcome":{"value":{"id": 1.50}},"input":"0000000000000003"}"#;
        let waiting = r#"{"key":"ask","token":"t","request":[],"since":7,"expires":7}"#;
        let undo_waits = Ending { cancelling: true, ..Ending::new(Status::Waiting) };
        let written: [(Entry<'_>, String); 12] = [
            (
                Entry::Begun {
                    run: run.clone(),
                    number: 1,
                    workflow: "w".into(),
                    version: 2,
                    input: Some(Cow::Owned(Payload::from_stored("null"))),
                    fingerprint: Some(Fingerprint::from_bits(9)),
                    at,
                },
                r#"{"begun":{"run":"a\u0000b","number":1,"workflow":"w","version":2,"input":null,"fingerprint":"0000000000000009","at":7}}"#.into(),
            ),
            (
                Entry::Imported {
                    run,
                    number: 1,
                    header: Cow::Owned(Header::new("w".into(), 2, Status::Running, at)),
                    input: None,
                    records: vec![record().into_owned()].into(),
                    waits: vec![wait.clone()].into(),
                },
                format!(
                    r#"{{"imported":{{"run":"a\u0000b","number":1,"header":{{"workflow":"w","version":2,"status":"running","created":7,"changed":7}},"records":[{json}],"waits":[{waiting}]}}}}"#
                ),
            ),
            (Entry::Appended(record()), format!(r#"{{"appended":{json}}}"#)),
            (Entry::Replaced(record()), format!(r#"{{"replaced":{json}}}"#)),
            (Entry::Waits(Cow::Owned(wait.clone())), format!(r#"{{"waits":{waiting}}}"#)),
            (Entry::Answered { record: record(), at }, format!(r#"{{"answered":{{"record":{json},"at":7}}}}"#)),
            (Entry::Expired(record()), format!(r#"{{"expired":{json}}}"#)),
            (
                Entry::Revived { drop: vec!["a".into()].into(), at },
                r#"{"revived":{"drop":["a"],"at":7}}"#.into(),
            ),
            (
                Entry::Rewritten { version: 3, records: vec![].into(), waits: None, failed_on: None },
                r#"{"rewritten":{"version":3,"records":[]}}"#.into(),
            ),
            (
                Entry::Rewritten {
                    version: 3,
                    records: vec![].into(),
                    waits: Some(vec![wait.clone()].into()),
                    failed_on: Some(vec!["a".into()].into()),
                },
                format!(r#"{{"rewritten":{{"version":3,"records":[],"waits":[{waiting}],"failed_on":["a"]}}}}"#),
            ),
            (
                Entry::Ended {
                    status: Status::Failed,
                    outcome: Some(Cow::Owned(Outcome::Failed(Payload::from_stored("1")))),
                    error: Some("no".into()),
                    failed_on: vec!["charge".into()],
                    wake: None,
                    at,
                    cancelling: false,
                },
                r#"{"ended":{"status":"failed","outcome":{"failed":1},"error":"no","failed_on":["charge"],"at":7}}"#.into(),
            ),
            (
                Entry::ended(&undo_waits, true, at),
                r#"{"ended":{"status":"waiting","wake":7,"at":7,"cancelling":true}}"#.into(),
            ),
        ];
        for (entry, json) in written {
            assert_eq!(serde_json::to_string(&entry).unwrap(), json);
            let read = Entry::read(json.as_bytes()).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), json);
            // Fingerprints were bare numbers once.
            let older = json.replace(r#""0000000000000003""#, "3").replace(r#""0000000000000009""#, "9");
            let read = Entry::read(older.as_bytes()).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), json);
        }
        assert_eq!(serde_json::to_string(&Entry::CancelRequested).unwrap(), r#""cancel_requested""#);
        assert!(matches!(Entry::read(br#""cancel_requested""#), Some(Entry::CancelRequested)));
        assert!(Entry::read(br#"{"dreamt":{"at":7}}"#).is_none());
    }
}
