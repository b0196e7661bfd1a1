use awaitly_core::journal::{Header, Payload, Record, WaitEntry};
use awaitly_core::store::{Operate, RunId, StoreError, StoredRun};
use serde::{Deserialize, Serialize};

/// A complete run as a value. Its JSON form is
///
/// ```json
/// {"format":1,"run":"order-42","header":{"workflow":"checkout","version":1,"status":"completed",..},
///  "records":[{"key":"charge","outcome":{"value":"ch_7"}}]}
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Exported {
    /// The version of this form. The library writes [`FORMAT`](Self::FORMAT).
    pub format: u32,
    /// The run id.
    pub run: RunId,
    /// Everything except the input, the records and the waiting entries.
    pub header: Header,
    /// The input, if the run has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Payload>,
    /// The recorded outcomes, in the order in which they were recorded.
    pub records: Vec<Record>,
    /// The entries that wait for an answer, including their tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<WaitEntry>,
}

impl Exported {
    /// The newest version of the JSON form that this library reads. The library writes this version.
    pub const FORMAT: u32 = 1;
}

pub(super) async fn export<S: Operate + ?Sized>(
    store: &S,
    run: &RunId,
) -> Result<Option<Exported>, StoreError> {
    let stored = store.load(run).await?;
    Ok(stored.map(|StoredRun { header, input, records, waits }| Exported {
        format: Exported::FORMAT,
        run: run.clone(),
        header,
        input,
        records,
        waits,
    }))
}

pub(super) async fn import<S: Operate + ?Sized>(store: &S, exported: Exported) -> Result<bool, StoreError> {
    let Exported { format, run, header, input, records, waits } = exported;
    if format > Exported::FORMAT {
        return Err(StoreError::NewerFormat { found: format, supported: Exported::FORMAT });
    }
    store.import(run, StoredRun { header, input, records, waits }).await
}
