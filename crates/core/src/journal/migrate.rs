use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::{Key, Outcome, Payload, Record, WaitEntry};

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

type Apply = dyn Fn(Contents) -> Result<Contents, Reason> + Send + Sync;
type Reason = (Key, Box<str>);

/// What a journal knows by keys, and a migration may change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The recorded outcomes, in the order in which they were appended.
    pub records: Vec<Record>,
    /// The entries that wait for an answer.
    pub waits: Vec<WaitEntry>,
    /// The steps that a failed run failed on, whose records a retry drops.
    pub failed_on: Vec<Key>,
}

impl Contents {
    fn holds(&self, key: &Key) -> bool {
        self.records.iter().any(|record| record.key == *key)
            || self.waits.iter().any(|entry| entry.key == *key)
    }

    fn keys_mut(&mut self) -> impl Iterator<Item = &mut Key> {
        let Self { records, waits, failed_on } = self;
        let records = records.iter_mut().map(|record| &mut record.key);
        records.chain(waits.iter_mut().map(|entry| &mut entry.key)).chain(failed_on)
    }
}

impl Migration {
    /// The step known under `from` is now known as `to`, whether its outcome is recorded or it waits for an answer: who
    /// was asked may still answer with the token that they have. A journal without it is left alone.
    ///
    /// Fails where the journal holds both keys: one of the two outcomes would be lost.
    #[must_use]
    pub fn rename(from: impl Into<Key>, to: impl Into<Key>) -> Self {
        let (from, to) = (from.into(), to.into());
        Self::new(move |mut contents| {
            if from == to || !contents.holds(&from) {
                return Ok(contents);
            }
            if contents.holds(&to) {
                return Err((from.clone(), format!("the journal already holds `{to}`").into()));
            }
            contents.keys_mut().filter(|key| **key == from).for_each(|key| *key = to.clone());
            Ok(contents)
        })
    }

    /// The step known under `key` is forgotten, so that it runs again where it is asked for. One that waits for an
    /// answer is withdrawn: an answer that comes later is refused.
    #[must_use]
    pub fn remove(key: impl Into<Key>) -> Self {
        let key = key.into();
        Self::new(move |mut contents| {
            contents.records.retain(|record| record.key != key);
            contents.waits.retain(|entry| entry.key != key);
            contents.failed_on.retain(|failed| *failed != key);
            Ok(contents)
        })
    }

    /// The value recorded under `key` takes another form. Recorded errors are left alone, and so is an answer that is
    /// still to come.
    ///
    /// What `change` returns as an error stops the migration, and the stored journal stays as it was. The
    /// error is boxed because only its text is used.
    #[must_use]
    pub fn transform(
        key: impl Into<Key>,
        change: impl Fn(Value) -> Result<Value, Box<dyn Error + Send + Sync>> + Send + Sync + 'static,
    ) -> Self {
        let key = key.into();
        Self::new(move |mut contents| {
            for record in contents.records.iter_mut().filter(|record| record.key == key) {
                if let Outcome::Value(payload) = &record.outcome {
                    let changed = transformed(payload, &change).map_err(|reason| (key.clone(), reason))?;
                    record.outcome = Outcome::Value(changed);
                }
            }
            Ok(contents)
        })
    }

    /// First `self`, then `next`, as one change.
    #[must_use]
    pub fn and_then(self, next: Self) -> Self {
        Self::new(move |contents| (self.0)(contents).and_then(|contents| (next.0)(contents)))
    }

    fn new(apply: impl Fn(Contents) -> Result<Contents, Reason> + Send + Sync + 'static) -> Self {
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

    /// Brings `contents` from version `from` to version `to`, one version at a time.
    ///
    /// # Errors
    /// [`MigrationError`] where a version has no migration, or one fails.
    pub fn apply(&self, contents: Contents, from: u32, to: u32) -> Result<Contents, MigrationError> {
        (from..to).try_fold(contents, |contents, from| {
            let migration = self.0.get(&from).ok_or(MigrationError::Missing { from })?;
            (migration.0)(contents).map_err(|(key, reason)| MigrationError::Failed { from, key, reason })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(pairs: &[(&'static str, u32)]) -> Contents {
        let record = |(key, value): &(&'static str, u32)| Record {
            key: Key::from(*key),
            outcome: Outcome::Value(Payload::encode(value).unwrap()),
            input: None,
        };
        Contents { records: pairs.iter().map(record).collect(), ..Contents::default() }
    }

    fn waits(key: &'static str) -> Contents {
        let (request, since) = (Payload::from_stored("null"), crate::journal::Timestamp::from_millis(5));
        let entry = WaitEntry { key: key.into(), token: "t".into(), request, since, expires: None };
        Contents { waits: vec![entry], failed_on: vec![key.into()], ..Contents::default() }
    }

    fn migrated(migration: Migration, contents: Contents) -> Result<Contents, MigrationError> {
        let mut migrations = Migrations::default();
        migrations.insert(1, migration);
        migrations.apply(contents, 1, 2)
    }

    fn apply(migration: Migration, pairs: &[(&'static str, u32)]) -> Result<Contents, MigrationError> {
        migrated(migration, records(pairs))
    }

    #[test]
    fn a_question_and_what_a_run_failed_on_go_with_the_key() {
        assert_eq!(migrated(Migration::rename("ask", "manager"), waits("ask")).unwrap(), waits("manager"));
        assert_eq!(migrated(Migration::remove("ask"), waits("ask")).unwrap(), Contents::default());
        let both = Contents { records: records(&[("manager", 1)]).records, ..waits("ask") };
        assert!(migrated(Migration::rename("ask", "manager"), both).is_err(), "an outcome would be lost");
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
