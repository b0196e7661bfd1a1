use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::{Key, Outcome, Payload, Record};

/// One change to a journal, from one version of a workflow to the next.
///
/// ```
/// use awaitly_core::journal::Migration;
///
/// // Version 2 calls the step `charge` what version 1 called `pay`, and counts in cents.
/// let to_2 = Migration::rename("pay", "charge")
///     .and_then(Migration::transform("charge", |mut value| {
///         value["cents"] = (value["euros"].as_u64().ok_or("no euros")? * 100).into();
///         Ok(value)
///     }));
/// ```
#[derive(Clone)]
pub struct Migration(Arc<Apply>);

type Apply = dyn Fn(Vec<Record>) -> Result<Vec<Record>, Reason> + Send + Sync;
type Reason = (Key, Box<str>);

impl Migration {
    /// The step recorded under `from` is now known as `to`. A journal without it is left alone.
    ///
    /// Fails where the journal holds both keys: one of the two outcomes would be lost.
    #[must_use]
    pub fn rename(from: impl Into<Key>, to: impl Into<Key>) -> Self {
        let (from, to) = (from.into(), to.into());
        Self::new(move |mut records| {
            if from == to || !records.iter().any(|record| record.key == from) {
                return Ok(records);
            }
            if records.iter().any(|record| record.key == to) {
                return Err((from.clone(), format!("the journal already holds `{to}`").into()));
            }
            for record in records.iter_mut().filter(|record| record.key == from) {
                record.key = to.clone();
            }
            Ok(records)
        })
    }

    /// The step recorded under `key` is forgotten, so that it runs again where it is asked for.
    #[must_use]
    pub fn remove(key: impl Into<Key>) -> Self {
        let key = key.into();
        Self::new(move |mut records| {
            records.retain(|record| record.key != key);
            Ok(records)
        })
    }

    /// The value recorded under `key` takes another form. Recorded errors are left alone.
    ///
    /// What `change` returns as an error stops the migration, and the stored journal stays as it was. The
    /// error is boxed because only its text is used.
    #[must_use]
    pub fn transform(
        key: impl Into<Key>,
        change: impl Fn(Value) -> Result<Value, Box<dyn Error + Send + Sync>> + Send + Sync + 'static,
    ) -> Self {
        let key = key.into();
        Self::new(move |mut records| {
            for record in records.iter_mut().filter(|record| record.key == key) {
                if let Outcome::Value(payload) = &record.outcome {
                    let changed = transformed(payload, &change).map_err(|reason| (key.clone(), reason))?;
                    record.outcome = Outcome::Value(changed);
                }
            }
            Ok(records)
        })
    }

    /// First `self`, then `next`, as one change.
    #[must_use]
    pub fn and_then(self, next: Self) -> Self {
        Self::new(move |records| (self.0)(records).and_then(|records| (next.0)(records)))
    }

    fn new(apply: impl Fn(Vec<Record>) -> Result<Vec<Record>, Reason> + Send + Sync + 'static) -> Self {
        Self(Arc::new(apply))
    }
}

fn transformed(
    payload: &Payload,
    change: impl Fn(Value) -> Result<Value, Box<dyn Error + Send + Sync>>,
) -> Result<Payload, Box<str>> {
    let value = payload.decode::<Value>().map_err(|error| error.reason)?;
    let changed = change(value).map_err(|error| error.to_string().into_boxed_str())?;
    Payload::encode(&changed).map_err(|error| error.reason)
}

impl fmt::Debug for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Migration")
    }
}

/// The migrations of a workflow, each known by the version that it starts from.
#[derive(Debug, Clone, Default)]
pub struct Migrations(BTreeMap<u32, Migration>);

/// A journal that could not be brought to the version of the code. The stored journal is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MigrationError {
    /// No migration starts at this version.
    #[error("no migration leads from version {from} to version {}", from + 1)]
    Missing {
        /// The version at which the way ends.
        from: u32,
    },
    /// A migration could not be applied.
    #[error("the migration from version {from} failed at the key `{key}`: {reason}")]
    Failed {
        /// The version it starts from.
        from: u32,
        /// The key it stopped at.
        key: Key,
        /// What went wrong.
        reason: Box<str>,
    },
}

impl Migrations {
    /// Adds the migration that starts from version `from`; another one from there is replaced.
    pub fn insert(&mut self, from: u32, migration: Migration) {
        self.0.insert(from, migration);
    }

    /// Brings `records` from version `from` to version `to`, one version at a time.
    ///
    /// # Errors
    /// [`MigrationError`] where a version has no migration, or one fails.
    pub fn apply(&self, records: Vec<Record>, from: u32, to: u32) -> Result<Vec<Record>, MigrationError> {
        (from..to).try_fold(records, |records, from| {
            let migration = self.0.get(&from).ok_or(MigrationError::Missing { from })?;
            (migration.0)(records).map_err(|(key, reason)| MigrationError::Failed { from, key, reason })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(pairs: &[(&'static str, u32)]) -> Vec<Record> {
        pairs
            .iter()
            .map(|(key, value)| Record {
                key: Key::from(*key),
                outcome: Outcome::Value(Payload::encode(value).unwrap()),
                input: None,
            })
            .collect()
    }

    fn apply(migration: Migration, pairs: &[(&'static str, u32)]) -> Result<Vec<Record>, MigrationError> {
        let mut migrations = Migrations::default();
        migrations.insert(1, migration);
        migrations.apply(records(pairs), 1, 2)
    }

    #[test]
    fn a_step_is_renamed_removed_or_transformed() {
        let renamed = apply(Migration::rename("pay", "charge"), &[("reserve", 1), ("pay", 2)]).unwrap();
        assert_eq!(renamed, records(&[("reserve", 1), ("charge", 2)]));
        let removed = apply(Migration::remove("pay"), &[("reserve", 1), ("pay", 2)]).unwrap();
        assert_eq!(removed, records(&[("reserve", 1)]));
        let doubled =
            Migration::transform("pay", |value| Ok((value.as_u64().ok_or("not a number")? * 2).into()));
        assert_eq!(apply(doubled, &[("pay", 2)]).unwrap(), records(&[("pay", 4)]));
    }

    #[test]
    fn a_renaming_that_would_lose_an_outcome_fails() {
        let error = apply(Migration::rename("pay", "charge"), &[("pay", 1), ("charge", 2)]).unwrap_err();
        assert!(matches!(error, MigrationError::Failed { from: 1, key, .. } if key == "pay".into()));
    }

    #[test]
    fn versions_are_walked_one_at_a_time_and_a_gap_is_named() {
        let mut migrations = Migrations::default();
        migrations.insert(1, Migration::rename("a", "b"));
        migrations.insert(2, Migration::rename("b", "c"));
        migrations.insert(4, Migration::remove("c"));
        assert_eq!(migrations.apply(records(&[("a", 1)]), 1, 3).unwrap(), records(&[("c", 1)]));
        assert_eq!(migrations.apply(records(&[("a", 1)]), 1, 5), Err(MigrationError::Missing { from: 3 }));
        assert_eq!(migrations.apply(records(&[("a", 1)]), 3, 3).unwrap(), records(&[("a", 1)]));
    }
}
