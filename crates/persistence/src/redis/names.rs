//! The names of a store's keys.

use std::sync::Arc;

use awaitly_core::store::{RunId, StoreError};

/// The names of the keys under a prefix, and of the members in the lists of waiting entries.
///
/// The key of a run ends in `/` and the run id. Neither a prefix nor a part contains another `/`, so all names are
/// distinct for all prefixes and run ids.
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

    /// Returns the hash with the fields of a run, except the ones listed below.
    pub(super) fn run(&self, run: &str) -> String {
        self.of_run(":run/", run)
    }

    /// Returns the hash of a run's records by their keys.
    pub(super) fn records(&self, run: &str) -> String {
        self.of_run(":records/", run)
    }

    /// Returns the hash of a run's waiting entries by their keys.
    pub(super) fn waits(&self, run: &str) -> String {
        self.of_run(":waits/", run)
    }

    /// Returns the hash of the values that a run published, by their names.
    pub(super) fn values(&self, run: &str) -> String {
        self.of_run(":values/", run)
    }

    /// Returns the beginning of the names of all keys that do not belong to one run. Scripts add the rest.
    pub(super) fn base(&self) -> String {
        self.of_store(":")
    }

    /// Returns the sorted set of the run ids that become due later, or have become due since the last claim, by the
    /// time at which they become due.
    pub(super) fn due(&self) -> String {
        self.of_store(":due")
    }

    /// Returns the sorted set of the due run ids, by the time at which they became due. Lanes that already have this
    /// order are not included.
    pub(super) fn overdue(&self) -> String {
        self.of_store(":overdue")
    }

    /// Returns the sorted set of the workflows with lanes.
    pub(super) fn workflows(&self) -> String {
        self.of_store(":workflows")
    }

    /// Returns the sorted set of the lanes of a workflow.
    pub(super) fn lanes(&self, workflow: &str) -> String {
        self.of_run(":lanes/", workflow)
    }

    /// Returns the sorted set of the ready runs in a lane, by their ranks.
    pub(super) fn ready(&self, workflow: &str, lane: &str) -> String {
        self.of_run(":ready/", &(marked(workflow) + lane))
    }

    /// Returns the sorted set of the queues with held runs, each by a time before which none of its leases ends.
    pub(super) fn lapses(&self) -> String {
        self.of_store(":lapses")
    }

    /// Returns the sorted set of the held runs of a queue, by the time at which their leases end. `queue` is a member
    /// of [`lapses`](Self::lapses).
    pub(super) fn held(&self, queue: &str) -> String {
        self.of_run(":held/", queue)
    }

    /// Returns the sorted set of the waiting entries, by the time at which they began to wait.
    pub(super) fn asking(&self) -> String {
        self.of_store(":asking")
    }

    /// Returns the sorted set of the waiting entries, by their tokens.
    pub(super) fn tokens(&self) -> String {
        self.of_store(":tokens")
    }

    /// Returns the sorted set of all run ids, in the order in which the runs began.
    pub(super) fn runs(&self) -> String {
        self.of_store(":runs")
    }

    /// Returns the sorted set of the run ids with a tag, in the order in which the runs began.
    pub(super) fn tag(&self, tag: &str) -> String {
        self.of_run(":tag/", tag)
    }

    /// Returns the key with the version of this format.
    pub(super) fn format(&self) -> String {
        self.of_store(":format")
    }

    /// Returns the channel for notifications that runs may have become due.
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

/// Marks the end of a text. Text after the mark does not change the order of marked texts.
pub(super) fn marked(text: &str) -> String {
    let mut marked = text.replace('\0', "\0\u{1}");
    marked.push_str("\0\0");
    marked
}

/// Returns the range of the names of the entries with that token: their prefix, and the first text after them.
pub(super) fn token_prefix(token: &str) -> (String, String) {
    let (prefix, mut behind) = (marked(token), marked(token));
    behind.pop();
    behind.push('\u{1}');
    (prefix, behind)
}

/// Returns the name of a waiting entry. Names sort by run id and then by key.
pub(super) fn member(run: &str, key: &str) -> String {
    marked(run) + key
}

/// Returns the run and the key of a waiting entry from its name.
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
    fn name_of_an_entry_leads_back_to_it() {
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
    fn entry_names_sort_by_run_and_key() {
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
                of.base(),
                of.due(),
                of.overdue(),
                of.lapses(),
                of.workflows(),
                of.asking(),
                of.runs(),
                of.format(),
                of.wakes(),
                of.tokens(),
            ]);
            for run in ["b", "due", "/", "/due", ":run/a", "a:run/a", "run/a"] {
                names.extend([of.run(run), of.records(run), of.waits(run), of.held(run)]);
                names.extend([
                    of.tag(run),
                    of.values(run),
                    of.lanes(run),
                    of.ready(run, "a"),
                    of.ready(run, run),
                ]);
            }
        }
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn prefix_that_could_make_two_names_alike_is_refused() {
        assert!(matches!(Names::new("a/b".into()), Err(StoreError::NotThere { .. })));
    }
}
