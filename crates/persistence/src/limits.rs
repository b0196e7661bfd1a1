use std::collections::HashSet;
use std::time::Duration;

use awaitly_core::journal::{Key, Record};
use awaitly_core::store::{RunId, StoreError};

/// A hundred years: longer leases are held for this long, so that no clock overflows.
pub(crate) const LONGEST_TTL: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The keys of a journal that is to be written as a whole, each once.
pub(crate) fn distinct_keys<'a>(run: &RunId, records: &'a [Record]) -> Result<HashSet<&'a Key>, StoreError> {
    let mut keys = HashSet::with_capacity(records.len());
    match records.iter().find(|record| !keys.insert(&record.key)) {
        Some(twice) => Err(StoreError::AlreadyRecorded { run: (**run).into(), key: twice.key.clone() }),
        None => Ok(keys),
    }
}
