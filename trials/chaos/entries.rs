//! The records and questions that the modes write.

use anyhow::Result;
use awaitly::journal::{Key, Outcome, Payload, Record};
use awaitly::store::Wait;

/// Returns a record whose value is its key.
pub(crate) fn record(key: &str) -> Result<Record> {
    let key = key.to_owned();
    Ok(Record { outcome: Outcome::Value(Payload::encode(&key)?), key: Key::from(key), input: None })
}

/// Returns a question without an expiry, whose token is its key.
pub(crate) fn question(key: &'static str) -> Wait {
    Wait { key: Key::from(key), token: key.into(), request: Payload::from_stored("null"), expires_in: None }
}
