//! The two forms in which the library writes a run as JSON, and their detection.

use std::collections::HashSet;
use std::fmt::Display;

use awaitly_core::journal::{
    Fingerprint, Header, Payload, Record, ResumeState, Status, Timestamp, WaitEntry,
};
use awaitly_core::store::RunId;
use awaitly_persistence::operate::Exported;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::{FixtureError, Journal};

/// A complete run, as `OperateExt::export` writes it.
#[derive(Serialize)]
struct Whole<'a> {
    format: u32,
    run: &'a RunId,
    header: &'a Header,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a Payload>,
    records: &'a [Record],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    waits: &'a [WaitEntry],
}

/// The fields that distinguish the forms.
#[derive(Deserialize)]
struct Probe {
    format: u32,
    #[serde(default)]
    header: Option<IgnoredAny>,
}

/// Parses a journal. `what` names the source in errors.
pub(super) fn parse(text: &str, what: &str) -> Result<Journal, FixtureError> {
    let journal = parse_text(text).and_then(|journal| {
        let mut keys = HashSet::new();
        match journal.records.iter().find(|record| !keys.insert(&record.key)) {
            Some(Record { key, .. }) => {
                Err(format!("it contains the key `{key}` twice: write it again, or remove the wrong outcome"))
            }
            None => Ok(journal),
        }
    });
    journal.map_err(|reason| FixtureError::Invalid { what: what.into(), reason: reason.into() })
}

fn parse_text(text: &str) -> Result<Journal, String> {
    let Probe { format, header } = serde_json::from_str(text).map_err(malformed)?;
    let supported = if header.is_some() { Exported::FORMAT } else { ResumeState::FORMAT };
    if format > supported {
        return Err(format!(
            "it has format {format}, but this version reads up to {supported}: upgrade this library"
        ));
    }
    match header {
        Some(_) => serde_json::from_str::<Exported>(text).map(Journal::from).map_err(malformed),
        None => of_state(serde_json::from_str(text).map_err(malformed)?),
    }
}

fn malformed(error: impl Display) -> String {
    format!("{error}: write it again with `Journal::write`, or from an exported run or a `ResumeState`")
}

/// Creates the journal of an interrupted run from a state, which contains neither the ending of the run nor its start
/// time.
fn of_state(state: ResumeState) -> Result<Journal, String> {
    let ResumeState { run, workflow, version, input, records, .. } = state;
    let run = RunId::new(run).map_err(|error| format!("it has no valid run id ({error}): correct the id"))?;
    let mut header = Header::new(workflow, version, Status::Running, Timestamp::from_millis(0));
    if let Some(input) = &input {
        let value = input.decode::<serde_json::Value>().map_err(|error| malformed(error.reason))?;
        header.input = Some(Fingerprint::of(&value).map_err(|error| malformed(error.reason))?);
    }
    Ok(Journal { run, header, input, records, waits: Vec::new() })
}

/// Writes the journal as JSON. Equal journals produce equal bytes.
pub(super) fn write(journal: &Journal) -> Result<String, serde_json::Error> {
    let Journal { run, header, input, records, waits } = journal;
    let whole = Whole { format: Exported::FORMAT, run, header, input: input.as_ref(), records, waits };
    serde_json::to_string_pretty(&whole).map(|text| text + "\n")
}
