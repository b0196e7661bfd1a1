//! Reads the server's reply piece by piece.

use std::vec;

use awaitly_core::journal::Timestamp;
use awaitly_core::store::StoreError;
use redis::Value;

use super::error::corrupt;

/// The unread rest of a list that the server sent about a run.
#[derive(Debug)]
pub(super) struct Reply<'a> {
    run: &'a str,
    values: vec::IntoIter<Value>,
}

impl<'a> Reply<'a> {
    pub(super) fn of(run: &'a str, value: Value) -> Result<Self, StoreError> {
        match value {
            Value::Array(values) => Ok(Self { run, values: values.into_iter() }),
            _ => Err(corrupt(run, "reply")),
        }
    }

    /// Returns the number of pieces left.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Returns the next piece as the server sent it, if any is left.
    pub(super) fn next(&mut self) -> Option<Value> {
        self.values.next()
    }

    /// Returns the next piece as text, if any is left and it is not nothing.
    pub(super) fn maybe(&mut self, field: &str) -> Result<Option<String>, StoreError> {
        match self.values.next() {
            None | Some(Value::Nil) => Ok(None),
            Some(value) => text(value).map(Some).ok_or_else(|| self.corrupt(field)),
        }
    }

    /// Returns the next piece.
    pub(super) fn text(&mut self, field: &str) -> Result<String, StoreError> {
        self.maybe(field)?.ok_or_else(|| self.corrupt(field))
    }

    /// Returns the next piece as a number.
    pub(super) fn number(&mut self, field: &str) -> Result<u64, StoreError> {
        self.text(field)?.parse().map_err(|_| self.corrupt(field))
    }

    /// Returns the next piece as a list.
    pub(super) fn list(&mut self, field: &str) -> Result<Self, StoreError> {
        match self.values.next() {
            Some(Value::Array(values)) => Ok(Self { run: self.run, values: values.into_iter() }),
            _ => Err(self.corrupt(field)),
        }
    }

    /// Returns the next piece as a list, which is empty if no piece is left.
    pub(super) fn maybe_list(&mut self, field: &str) -> Result<Self, StoreError> {
        if self.len() > 0 {
            self.list(field)
        } else {
            Ok(Self { run: self.run, values: Vec::new().into_iter() })
        }
    }

    pub(super) fn corrupt(&self, field: &str) -> StoreError {
        corrupt(self.run, field)
    }
}

pub(super) fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        Value::Int(number) => Some(number.to_string()),
        Value::Okay => Some("OK".to_owned()),
        _ => None,
    }
}

/// Reads the reply to `TIME`.
pub(super) fn time(answer: Value) -> Result<Timestamp, StoreError> {
    let mut reply = Reply::of("", answer)?;
    let (seconds, micros) = (reply.number("time")?, reply.number("time")?);
    Ok(Timestamp::from_millis(seconds * 1000 + micros / 1000))
}

/// Returns an entry of the reply to `INFO`.
pub(super) fn entry<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
}
