//! What the keys of a store are called.

use std::sync::Arc;

use awaitly_core::store::{RunId, StoreError};

/// The names of the keys under a prefix, and of the members of what lists entries that wait.
///
/// Those of a run end in its run id behind the only `/` that may stand before it: neither a prefix nor a part
/// has one. So no two names are alike, whatever the prefixes and run ids are.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: Arc<str>,
}

impl Names {
    pub(super) fn new(prefix: Arc<str>) -> Result<Self, StoreError> {
        if prefix.contains('/') {
            let detail = format!("a prefix has no `/` in it, `{prefix}` has").into();
            return Err(StoreError::NotThere { detail });
        }
        Ok(Self { prefix })
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What a store knows of a run beside what is listed below: a hash.
    pub(super) fn run(&self, run: &str) -> String {
        self.of_run(":run/", run)
    }

    /// Its records by their keys: a hash.
    pub(super) fn records(&self, run: &str) -> String {
        self.of_run(":records/", run)
    }

    /// Its entries that wait by their keys: a hash.
    pub(super) fn waits(&self, run: &str) -> String {
        self.of_run(":waits/", run)
    }

    /// The run ids of the runs that may be due, by the moment since when.
    pub(super) fn due(&self) -> String {
        self.of_store(":due")
    }

    /// The entries that wait, by the moment since when.
    pub(super) fn asking(&self) -> String {
        self.of_store(":asking")
    }

    /// The entries that wait, by their tokens.
    pub(super) fn tokens(&self) -> String {
        self.of_store(":tokens")
    }

    /// All run ids, in the order in which they began.
    pub(super) fn runs(&self) -> String {
        self.of_store(":runs")
    }

    /// How many runs have begun.
    pub(super) fn sequence(&self) -> String {
        self.of_store(":sequence")
    }

    /// The version of all this.
    pub(super) fn format(&self) -> String {
        self.of_store(":format")
    }

    /// The channel on which is told that runs may have become due.
    pub(super) fn wakes(&self) -> String {
        self.of_store(":wakes")
    }

    fn of_run(&self, part: &str, run: &str) -> String {
        [&*self.prefix, part, run].concat()
    }

    fn of_store(&self, part: &str) -> String {
        [&*self.prefix, part].concat()
    }
}

/// A text with its end marked, in a way that what stands behind does not change the order of such texts.
fn marked(text: &str) -> String {
    let mut marked = text.replace('\0', "\0\u{1}");
    marked.push_str("\0\0");
    marked
}

/// How the name of each entry of the run begins that waits, so that names are in the order of run ids and keys.
pub(super) fn member_prefix(run: &str) -> String {
    marked(run)
}

/// What stands before the name of each entry with that token where they are found by it, and the first text that
/// begins with something greater.
pub(super) fn token_prefix(token: &str) -> (String, String) {
    let (prefix, mut behind) = (marked(token), marked(token));
    behind.pop();
    behind.push('\u{1}');
    (prefix, behind)
}

/// The name of an entry that waits.
pub(super) fn member(run: &str, key: &str) -> String {
    member_prefix(run) + key
}

/// The run and the key of an entry that waits.
pub(super) fn run_and_key(member: &str) -> Option<(RunId, &str)> {
    let end = member.find("\0\0")?;
    let (run, key) = member.split_at(end);
    Some((RunId::new(run.replace("\0\u{1}", "\0")).ok()?, key.get(2..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWKWARD: [&str; 9] = ["a", "a\0", "a\0\0", "a\0\u{1}", "a\u{1}", "a/b:c", "{a}", "ab", "é"];

    #[test]
    fn the_name_of_an_entry_leads_back_to_it() {
        for run in AWKWARD {
            for key in AWKWARD.into_iter().chain(["", "\0", "\0\0b"]) {
                let member = member(run, key);
                let (found, found_key) = run_and_key(&member).unwrap();
                assert_eq!((&*found, found_key), (run, key));
            }
        }
        assert_eq!(run_and_key("a"), None);
        assert_eq!(run_and_key("\0\0a"), None);
    }

    #[test]
    fn names_of_entries_are_in_the_order_of_runs_and_keys() {
        let places = || AWKWARD.into_iter().flat_map(|run| AWKWARD.map(|key| (run, key)));
        for one in places() {
            for other in places() {
                let names = member(one.0, one.1).cmp(&member(other.0, other.1));
                assert_eq!(names, one.cmp(&other), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn no_two_names_are_alike() {
        let mut names = Vec::new();
        for prefix in ["a", "a:run", "a:run:a", "", ":run", "a:"] {
            let of = Names::new(prefix.into()).unwrap();
            names.extend([
                of.due(),
                of.asking(),
                of.runs(),
                of.sequence(),
                of.format(),
                of.wakes(),
                of.tokens(),
            ]);
            for run in ["a", "due", "/", "/due", ":run/a", "a:run/a", "run/a"] {
                names.extend([of.run(run), of.records(run), of.waits(run)]);
            }
        }
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_prefix_that_could_make_two_names_alike_is_refused() {
        assert!(matches!(Names::new("a/b".into()), Err(StoreError::NotThere { .. })));
    }
}
