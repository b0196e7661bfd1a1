use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::decision::Decision;
use super::{Key, Outcome, Payload, Record, WaitEntry, scope};

/// One change to a journal, from one version of a workflow to the next.
///
/// ```
/// use awaitly_core::journal::Migration;
///
/// // In version 2, the step `pay` has the name `charge`, and its value is in cents.
/// let to_2 = Migration::rename("pay", "charge")
///     .and_then(Migration::transform("charge", |mut value| {
///         value["cents"] = (value["euros"].as_u64().ok_or("no euros")? * 100).into();
///         Ok(value)
///     }));
/// ```
#[derive(Clone)]
pub struct Migration(Vec<Change>);

/// One rename, removal or transformation.
#[derive(Clone)]
struct Change {
    /// The key that the change is about.
    key: Key,
    apply: Arc<Apply>,
}

type Apply = dyn Fn(&mut Contents) -> Result<Matched, Box<str>> + Send + Sync;

/// Whether a change matched any data.
enum Matched {
    Something,
    Nothing,
}

/// The parts of a journal that have keys. A migration may change all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The recorded outcomes, in the order in which they were appended.
    pub records: Vec<Record>,
    /// The entries that wait for an answer.
    pub waits: Vec<WaitEntry>,
    /// The keys of the steps that a failed run failed on. A retry drops their records.
    pub failed_on: Vec<Key>,
}

impl Contents {
    fn keys(&self) -> impl Iterator<Item = &Key> {
        let Self { records, waits, failed_on } = self;
        let records = records.iter().map(|record| &record.key);
        records.chain(waits.iter().map(|entry| &entry.key)).chain(failed_on)
    }

    /// Returns whether the contents have a key for which `is_meant` returns `true`.
    fn holds(&self, is_meant: impl Fn(&Key) -> bool) -> bool {
        self.keys().any(is_meant)
    }

    /// Returns a key that occurs twice among the records and the questions, if there is one.
    fn twice(&self) -> Option<&Key> {
        let mut seen = HashSet::new();
        let records = self.records.iter().map(|record| &record.key);
        records.chain(self.waits.iter().map(|entry| &entry.key)).find(|key| !seen.insert(*key))
    }

    /// Renames keys, including keys in the records of sagas. Returns whether a key was renamed.
    fn rename(&mut self, renamed: impl Fn(&Key) -> Option<Key>) -> bool {
        let mut has_changed = false;
        let mut change = |key: &mut Key| {
            if let Some(renamed) = renamed(key) {
                *key = renamed;
                has_changed = true;
            }
        };
        for record in &mut self.records {
            if let Outcome::Value(payload) = &record.outcome
                && let Some(decision) = Decision::read(&record.key, payload)
            {
                record.outcome = Outcome::Value(decision.changed(&mut change));
            }
            change(&mut record.key);
        }
        self.waits.iter_mut().for_each(|entry| change(&mut entry.key));
        self.failed_on.iter_mut().for_each(&mut change);
        has_changed
    }
}

impl Migration {
    /// Renames the step `from` to `to`, whether its outcome is recorded or it waits for an answer. The token of an open
    /// question stays valid. A journal without the step stays unchanged; [`apply`](Self::apply) reports this case.
    ///
    /// The rename includes everything inside: the steps that the operation built (`from/charge`, `from@2/charge`), the
    /// branches of a `parallel!` (`from.user`), the items of a list (`from[0]`), the compensation (`undo from`) and the
    /// notices of the question (`notify from`). A second step with the name, `from#2`, is a separate step and needs a
    /// separate rename.
    ///
    /// # Errors
    /// [`apply`](Self::apply) returns an error if the journal holds both an old key and its new form, because one of
    /// the two outcomes would be lost.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::journal::Migration;
    ///
    /// let to_2 = Migration::rename("pay", "payment"); // `pay/charge` becomes `payment/charge`
    /// ```
    #[must_use]
    pub fn rename(from: impl Into<Key>, to: impl Into<Key>) -> Self {
        let (from, to) = (from.into(), to.into());
        Self::new(from.clone(), move |contents| {
            if from == to || !contents.rename(|key| scope::renamed(key, &from, &to)) {
                return Ok(Matched::Nothing);
            }
            match contents.twice() {
                Some(key) => Err(format!("the journal already holds `{key}`").into()),
                None => Ok(Matched::Something),
            }
        })
    }

    /// Removes the step `key` and everything inside, as [`rename`](Self::rename) lists it, so the step runs again if
    /// the body builds it. A question is withdrawn: the store refuses later answers.
    ///
    /// ```
    /// use awaitly_core::Workflow;
    /// use awaitly_core::journal::Migration;
    ///
    /// // Version 2 checks the address again, with a better service.
    /// let checkout = Workflow::new("checkout").version(2).migration(1, Migration::remove("check address"));
    /// # let _ = checkout;
    /// ```
    #[must_use]
    pub fn remove(key: impl Into<Key>) -> Self {
        let key = key.into();
        Self::new(key.clone(), move |contents| {
            let is_meant = |other: &Key| scope::is_inside(other, &key);
            if !contents.holds(is_meant) {
                return Ok(Matched::Nothing);
            }
            contents.records.retain(|record| !is_meant(&record.key));
            contents.waits.retain(|entry| !is_meant(&entry.key));
            contents.failed_on.retain(|failed| !is_meant(failed));
            Ok(Matched::Something)
        })
    }

    /// Transforms the value recorded under `key`. Recorded errors stay unchanged, and an open question stays open; its
    /// later answer is not transformed.
    ///
    /// If `change` returns an error, the migration stops and the stored journal stays unchanged. The error is boxed
    /// because only its text is used.
    ///
    /// ```
    /// use awaitly_core::journal::{Contents, Migration, Outcome, Payload, Record};
    ///
    /// // Version 2 counts in cents.
    /// let to_2 = Migration::transform("price", |value| {
    ///     let euros = value.as_u64().ok_or("the price is not a number")?;
    ///     Ok((euros * 100).into())
    /// });
    ///
    /// let outcome = Outcome::Value(Payload::encode("free").unwrap());
    /// let records = vec![Record { key: "price".into(), outcome, input: None }];
    /// let failed = to_2.apply(&mut Contents { records, ..Contents::default() }).unwrap_err();
    /// assert_eq!(failed, ("price".into(), "the price is not a number".into()));
    /// ```
    #[must_use]
    pub fn transform(
        key: impl Into<Key>,
        change: impl Fn(Value) -> Result<Value, Box<dyn Error + Send + Sync>> + Send + Sync + 'static,
    ) -> Self {
        let key = key.into();
        Self::new(key.clone(), move |contents| {
            let mut matched = Matched::Nothing;
            for record in contents.records.iter_mut().filter(|record| record.key == key) {
                if let Outcome::Value(payload) = &record.outcome {
                    record.outcome = Outcome::Value(transformed(payload, &change)?);
                    matched = Matched::Something;
                }
            }
            Ok(matched)
        })
    }

    /// Applies first `self`, then `next`, as one change.
    ///
    /// ```
    /// use awaitly_core::journal::Migration;
    ///
    /// let to_2 = Migration::remove("quote").and_then(Migration::rename("pay", "payment"));
    /// assert_eq!(format!("{to_2:?}"), r#"["quote", "pay"]"#);
    /// ```
    #[must_use]
    pub fn and_then(mut self, next: Self) -> Self {
        self.0.extend(next.0);
        self
    }

    /// Applies the migration to a journal, and returns the keys of the changes that matched no data: the run had not
    /// reached the step, or the key is wrong.
    ///
    /// A workflow applies its migrations itself. Call this method in a test, with a journal that has a record of each
    /// step, to detect a misspelt key.
    ///
    /// # Errors
    /// Returns the key at which the migration stopped, and the reason. `contents` may then be migrated in part.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::journal::{Contents, Key, Migration, Outcome, Payload, Record};
    ///
    /// let outcome = Outcome::Value(Payload::from_stored("7"));
    /// let records = vec![Record { key: "pay/charge".into(), outcome, input: None }];
    /// let to_2 = Migration::rename("pay", "payment").and_then(Migration::remove("shpi"));
    /// let mut journal = Contents { records, ..Contents::default() };
    /// let unmatched = to_2.apply(&mut journal).unwrap();
    /// assert_eq!(journal.records[0].key, "payment/charge".into());
    /// assert_eq!(unmatched, [Key::from("shpi")]);
    /// ```
    pub fn apply(&self, contents: &mut Contents) -> Result<Vec<Key>, (Key, Box<str>)> {
        let mut unmatched = Vec::new();
        for change in self.0.iter() {
            match (change.apply)(contents) {
                Ok(Matched::Something) => {}
                Ok(Matched::Nothing) => unmatched.push(change.key.clone()),
                Err(reason) => return Err((change.key.clone(), reason)),
            }
        }
        Ok(unmatched)
    }

    fn new(
        key: Key,
        apply: impl Fn(&mut Contents) -> Result<Matched, Box<str>> + Send + Sync + 'static,
    ) -> Self {
        Self(vec![Change { key, apply: Arc::new(apply) }])
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
        f.debug_list().entries(self.0.iter().map(|change| &change.key)).finish()
    }
}

/// The migrations of a workflow, by the version from which each starts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Migrations(BTreeMap<u32, Migration>);

/// The reason why a journal could not be migrated to the version of the code. The stored journal is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MigrationError {
    /// No migration starts from this version.
    #[error("no migration leads from version {from} to version {}", from + 1)]
    Missing {
        /// The version without a migration.
        from: u32,
    },
    /// A migration could not be applied.
    #[error("the migration from version {from} failed at the key `{key}`: {reason}")]
    Failed {
        /// The version from which the migration starts.
        from: u32,
        /// The key at which the migration stopped.
        key: Key,
        /// The reason.
        reason: Box<str>,
    },
}

impl Migrations {
    /// Adds the migration that starts from version `from`, and replaces an earlier one from this version.
    pub(crate) fn insert(&mut self, from: u32, migration: Migration) {
        self.0.insert(from, migration);
    }

    /// Migrates `contents` from version `from` to version `to`, one version at a time. Returns the keys of the changes that
    /// matched no data.
    ///
    /// # Errors
    /// Returns [`MigrationError`] if a version has no migration, or if a migration fails.
    pub(crate) fn apply(
        &self,
        contents: &mut Contents,
        from: u32,
        to: u32,
    ) -> Result<Vec<Key>, MigrationError> {
        let mut unmatched = Vec::new();
        for from in from..to {
            let migration = self.0.get(&from).ok_or(MigrationError::Missing { from })?;
            let failed = |(key, reason)| MigrationError::Failed { from, key, reason };
            unmatched.extend(migration.apply(contents).map_err(failed)?);
        }
        Ok(unmatched)
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

    fn migrated(migration: Migration, mut contents: Contents) -> Result<Contents, MigrationError> {
        let mut migrations = Migrations::default();
        migrations.insert(1, migration);
        migrations.apply(&mut contents, 1, 2).map(|_| contents)
    }

    fn apply(migration: Migration, pairs: &[(&'static str, u32)]) -> Result<Contents, MigrationError> {
        migrated(migration, records(pairs))
    }

    #[test]
    fn migration_moves_waits_and_failures_with_their_key() {
        assert_eq!(migrated(Migration::rename("ask", "manager"), waits("ask")).unwrap(), waits("manager"));
        assert_eq!(migrated(Migration::remove("ask"), waits("ask")).unwrap(), Contents::default());
        let both = Contents { records: records(&[("manager", 1)]).records, ..waits("ask") };
        assert!(migrated(Migration::rename("ask", "manager"), both).is_err(), "an outcome would be lost");
    }

    #[test]
    fn step_is_renamed_removed_or_transformed() {
        let renamed = apply(Migration::rename("pay", "charge"), &[("reserve", 1), ("pay", 2)]).unwrap();
        assert_eq!(renamed, records(&[("reserve", 1), ("charge", 2)]));
        let removed = apply(Migration::remove("pay"), &[("reserve", 1), ("pay", 2)]).unwrap();
        assert_eq!(removed, records(&[("reserve", 1)]));
        let doubled =
            Migration::transform("pay", |value| Ok((value.as_u64().ok_or("not a number")? * 2).into()));
        assert_eq!(apply(doubled, &[("pay", 2)]).unwrap(), records(&[("pay", 4)]));
    }

    #[test]
    fn renaming_that_would_lose_an_outcome_fails() {
        let error = apply(Migration::rename("pay", "charge"), &[("pay", 1), ("charge", 2)]).unwrap_err();
        assert!(matches!(error, MigrationError::Failed { from: 1, key, .. } if key == "pay".into()));
    }

    #[test]
    fn rename_and_removal_take_everything_inside_along() {
        let inside = [
            "pay",
            "pay/charge",
            "pay@2/charge",
            "pay.user",
            "pay[0]",
            "pay[0]/fee",
            "undo pay",
            "notify pay #1",
        ];
        let others = ["payment 2", "pay#2", "prepay/charge", "repay", "pay:tea"];
        let before: Vec<_> = inside.iter().chain(&others).map(|key| (*key, 1)).collect();
        let after = apply(Migration::rename("pay", "bill"), &before).unwrap();
        let keys: Vec<_> = after.records.iter().map(|record| record.key.to_string()).collect();
        let expected = inside.iter().map(|key| key.replace("pay", "bill"));
        assert_eq!(keys, expected.chain(others.map(String::from)).collect::<Vec<_>>());
        let left = apply(Migration::remove("pay"), &before).unwrap();
        assert_eq!(left.records.len(), others.len());
    }

    #[test]
    fn rename_reaches_the_steps_that_a_saga_recorded() {
        let decision = r#"{"cancelled":false,"cause":{"failed":340282366920938463463374607431768211455},"in_doubt":["seat/hold"],"steps":["seat","room[0]"],"time":1}"#;
        let outcome = Outcome::Value(Payload::from_stored(decision));
        let records = vec![Record { key: "undo trip".into(), outcome, input: None }];
        let contents = Contents { records, ..Contents::default() };
        let renamed = migrated(Migration::rename("seat", "chair"), contents).unwrap();
        let text = renamed.records[0].outcome.payload().as_str();
        assert_eq!(text, decision.replace("seat", "chair"));
    }

    #[test]
    fn unmatched_change_is_reported() {
        let both = Migration::rename("pay", "bill").and_then(Migration::transform("ship", Ok));
        assert_eq!(both.apply(&mut records(&[("pay/charge", 1)])).unwrap(), [Key::from("ship")]);
        assert_eq!(both.apply(&mut records(&[("ship", 1)])).unwrap(), [Key::from("pay")]);
    }

    #[test]
    fn migrations_apply_in_sequence_and_gap_is_named() {
        let mut migrations = Migrations::default();
        migrations.insert(1, Migration::rename("a", "b"));
        migrations.insert(2, Migration::rename("b", "c"));
        migrations.insert(4, Migration::remove("c"));
        let migrated = |from, to| {
            let mut contents = records(&[("a", 1)]);
            migrations.apply(&mut contents, from, to).map(|_| contents)
        };
        assert_eq!(migrated(1, 3), Ok(records(&[("c", 1)])));
        assert_eq!(migrated(1, 5), Err(MigrationError::Missing { from: 3 }));
        assert_eq!(migrated(3, 3), Ok(records(&[("a", 1)])));
    }
}
