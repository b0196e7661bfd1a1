//! The two forms in which the library writes a run as JSON, and their detection.

use std::collections::HashSet;

use awaitly_core::journal::{
    Fingerprint, Header, Payload, Record, ResumeState, Status, Timestamp, WaitEntry,
};
use awaitly_core::store::RunId;
use awaitly_persistence::operate::Exported;
use serde::de::{Error as _, IgnoredAny};
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
    let malformed = |source| FixtureError::Malformed { what: what.into(), source };
    let Probe { format: found, header } = serde_json::from_str(text).map_err(malformed)?;
    let supported = if header.is_some() { Exported::FORMAT } else { ResumeState::FORMAT };
    if found > supported {
        return Err(FixtureError::NewerFormat { what: what.into(), found, supported });
    }
    let journal = match header {
        Some(_) => serde_json::from_str::<Exported>(text).map(Journal::from).map_err(malformed)?,
        None => {
            let state = serde_json::from_str::<ResumeState>(text).map_err(malformed)?;
            of_state(state).map_err(|error| match error {
                Misfit::RunId(source) => FixtureError::NoRunId { what: what.into(), source },
                Misfit::Input(reason) => malformed(serde_json::Error::custom(reason)),
            })?
        }
    };
    let mut keys = HashSet::new();
    match journal.records.iter().find(|record| !keys.insert(&record.key)) {
        Some(Record { key, .. }) => Err(FixtureError::TwiceRecorded { what: what.into(), key: key.clone() }),
        None => Ok(journal),
    }
}

enum Misfit {
    RunId(awaitly_core::store::InvalidRunId),
    Input(Box<str>),
}

/// Creates the journal of an interrupted run from a state, which contains neither the ending of the run nor its start
/// time.
fn of_state(state: ResumeState) -> Result<Journal, Misfit> {
    let ResumeState { run, workflow, version, input, records, .. } = state;
    let run = RunId::new(run).map_err(Misfit::RunId)?;
    let mut header = Header::new(workflow, version, Status::Running, Timestamp::from_millis(0));
    if let Some(input) = &input {
        let value = input.decode::<serde_json::Value>().map_err(|error| Misfit::Input(error.reason))?;
        header.input = Some(Fingerprint::of(&value).map_err(|error| Misfit::Input(error.reason))?);
    }
    Ok(Journal { run, header, input, records, waits: Vec::new() })
}

/// Writes the journal as JSON. Equal journals produce equal bytes.
pub(super) fn write(journal: &Journal) -> Result<String, serde_json::Error> {
    let Journal { run, header, input, records, waits } = journal;
    let whole = Whole { format: Exported::FORMAT, run, header, input: input.as_ref(), records, waits };
    serde_json::to_string_pretty(&whole).map(|text| text + "\n")
}
