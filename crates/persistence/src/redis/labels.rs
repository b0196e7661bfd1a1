//! The stored form of the parents and the tags of runs.

use std::sync::Arc;

use awaitly_core::dispatch::Parent;
use awaitly_core::store::RunId;

use super::names::marked;

/// Returns the length of the run id, the run id, and the key of the step.
pub(super) fn parent_text(parent: &Parent) -> String {
    let Parent { run, key } = parent;
    format!("{} {}{}", run.len(), &**run, &**key)
}

pub(super) fn parent(text: &str) -> Option<Parent> {
    let (length, rest) = text.split_once(' ')?;
    let (run, key) = rest.split_at_checked(length.parse().ok()?)?;
    Some(Parent { run: RunId::new(run).ok()?, key: key.to_owned().into() })
}

/// Returns the marked tags, one behind the other.
pub(super) fn tags_text(tags: &[Arc<str>]) -> String {
    tags.iter().map(|tag| marked(tag)).collect()
}

pub(super) fn tags(text: &str) -> Option<Vec<Arc<str>>> {
    let tags = text.strip_suffix("\0\0")?.split("\0\0");
    Some(tags.map(|tag| tag.replace("\0\u{1}", "\0").into()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_back_as_they_were_written_down() {
        for key in ["ship", "1 2", "é\0"] {
            let one = Parent { run: RunId::new("order 42").unwrap(), key: key.to_owned().into() };
            assert_eq!(parent(&parent_text(&one)), Some(one));
        }
        let some = ["a", "\0", "a\0b", "\0\u{1}", "x\0"].map(Arc::from);
        assert_eq!(tags(&tags_text(&some)).as_deref(), Some(&some[..]));
    }

    #[test]
    fn malformed_text_is_neither_parent_nor_tags() {
        for text in ["", "5", "x a", "9 short", "0 key"] {
            assert_eq!(parent(text), None, "{text}");
        }
        assert_eq!(tags("a"), None);
    }
}
