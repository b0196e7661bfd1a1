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
/// // Version 2 calls the step `charge` what version 1 called `pay`, and counts in cents.
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
    /// The key that it is about.
    key: Key,
    apply: Arc<Apply>,
}

type Apply = dyn Fn(&mut Contents) -> Result<Matched, Box<str>> + Send + Sync;

/// Whether a change found anything to change.
enum Matched {
    Something,
    Nothing,
}

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
    fn keys(&self) -> impl Iterator<Item = &Key> {
        let Self { records, waits, failed_on } = self;
        let records = records.iter().map(|record| &record.key);
        records.chain(waits.iter().map(|entry| &entry.key)).chain(failed_on)
    }

    /// Whether a migration that concerns the keys for which `is_meant` holds has anything to change.
    fn holds(&self, is_meant: impl Fn(&Key) -> bool) -> bool {
        self.keys().any(is_meant)
    }

    /// The key that stands twice among the records and the questions, if one does.
    fn twice(&self) -> Option<&Key> {
        let mut seen = HashSet::new();
        let records = self.records.iter().map(|record| &record.key);
        records.chain(self.waits.iter().map(|entry| &entry.key)).find(|key| !seen.insert(*key))
    }

    /// Gives keys another name, also in what sagas recorded of their steps. Returns whether there was one to change.
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
    /// The step known under `from` is now known as `to`, whether its outcome is recorded or it waits for an answer: who
    /// was asked may still answer with the token that they have. A journal without it is left alone; see
    /// [`apply`](Self::apply) for how to tell.
    ///
    /// Everything inside goes with it: the steps that its operation built (`from/charge`, `from@2/charge`), the branches
    /// of a `parallel!` (`from.user`), the items of a list (`from[0]`), its compensation (`undo from`) and the notices of
    /// its question (`notify from`). A second step of that name, `from#2`, is another step, and needs a rename of its
    /// own.
    ///
    /// # Errors
    /// A migration fails if the journal holds both an old and a new key: one of the two outcomes would be lost.
    ///
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

    /// The step known under `key` is forgotten with everything inside, as [`rename`](Self::rename) lists it, so that it
    /// runs again if the body asks for it. A question is withdrawn: an answer that comes later is refused.
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

    /// First `self`, then `next`, as one change.
    #[must_use]
    pub fn and_then(mut self, next: Self) -> Self {
        self.0.extend(next.0);
        self
    }

    /// Applies the migration to a journal, and says which of its changes found nothing to change: a step that the run had
    /// not come to, or a key that is not the step's.
    ///
    /// A workflow applies its migrations itself. Call this in a test, with a journal in which each step is recorded, so
    /// that a misspelt key shows.
    ///
    /// # Errors
    /// Returns the key that the migration stopped at, and the reason.
    ///
    /// ```
    /// use awaitly_core::journal::{Contents, Key, Migration, Outcome, Payload, Record};
    ///
    /// let outcome = Outcome::Value(Payload::from_stored("7"));
    /// let records = vec![Record { key: "pay/charge".into(), outcome, input: None }];
    /// let to_2 = Migration::rename("pay", "payment").and_then(Migration::remove("shpi"));
    /// let applied = to_2.apply(Contents { records, ..Contents::default() }).unwrap();
    /// assert_eq!(applied.contents.records[0].key, "payment/charge".into());
    /// assert_eq!(applied.unmatched, [Key::from("shpi")]);
    /// ```
    pub fn apply(&self, mut contents: Contents) -> Result<Applied, (Key, Box<str>)> {
        let mut unmatched = Vec::new();
        for change in self.0.iter() {
            match (change.apply)(&mut contents) {
                Ok(Matched::Something) => {}
                Ok(Matched::Nothing) => unmatched.push(change.key.clone()),
                Err(reason) => return Err((change.key.clone(), reason)),
            }
        }
        Ok(Applied { contents, unmatched })
    }

    fn new(
        key: Key,
        apply: impl Fn(&mut Contents) -> Result<Matched, Box<str>> + Send + Sync + 'static,
    ) -> Self {
        Self(vec![Change { key, apply: Arc::new(apply) }])
    }
}

/// A journal that a migration was applied to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// The journal.
    pub contents: Contents,
    /// The keys of the renames, removals and transformations that found nothing to change, in their order.
    pub unmatched: Vec<Key>,
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
    /// Returns [`MigrationError`] if a version has no migration, or one fails.
    pub fn apply(&self, contents: Contents, from: u32, to: u32) -> Result<Applied, MigrationError> {
        let start = Applied { contents, unmatched: Vec::new() };
        (from..to).try_fold(start, |Applied { contents, mut unmatched }, from| {
            let migration = self.0.get(&from).ok_or(MigrationError::Missing { from })?;
            let applied = migration.apply(contents);
            let failed = |(key, reason)| MigrationError::Failed { from, key, reason };
            let Applied { contents, unmatched: more } = applied.map_err(failed)?;
            unmatched.extend(more);
            Ok(Applied { contents, unmatched })
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
        migrations.apply(contents, 1, 2).map(|applied| applied.contents)
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
    fn change_that_finds_nothing_is_told() {
        let both = Migration::rename("pay", "bill").and_then(Migration::transform("ship", Ok));
        assert_eq!(both.apply(records(&[("pay/charge", 1)])).unwrap().unmatched, [Key::from("ship")]);
        assert_eq!(both.apply(records(&[("ship", 1)])).unwrap().unmatched, [Key::from("pay")]);
    }

    #[test]
    fn versions_are_walked_one_at_a_time_and_a_gap_is_named() {
        let mut migrations = Migrations::default();
        migrations.insert(1, Migration::rename("a", "b"));
        migrations.insert(2, Migration::rename("b", "c"));
        migrations.insert(4, Migration::remove("c"));
        let applied = migrations.apply(records(&[("a", 1)]), 1, 3).unwrap();
        assert_eq!(applied.contents, records(&[("c", 1)]));
        assert_eq!(migrations.apply(records(&[("a", 1)]), 1, 5), Err(MigrationError::Missing { from: 3 }));
        assert_eq!(migrations.apply(records(&[("a", 1)]), 3, 3).unwrap().contents, records(&[("a", 1)]));
    }
}
