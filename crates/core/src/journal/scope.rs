//! The relation between keys and steps.
//!
//! The key of a step is the prefix of all keys inside of the step: the operation of `pay` built the step `pay/charge`,
//! its second attempt built `pay@2/charge`, `load.user` is a branch of a `parallel!`, and `ship[0]` is an item of a
//! list. An action about a step has a word before the key: `undo pay` compensates the step, and `notify manager #1a2b`
//! and `remind manager 1 #1a2b` inform people of its question.

use super::Key;

/// The prefixes in the keys of actions about a step. With such a prefix, the given character may also follow the step's
/// key.
const ABOUT: [(&str, char); 3] = [("undo ", ':'), ("notify ", ' '), ("remind ", ' ')];

impl Key {
    /// Returns the key of a step named `self` that the operation of `step` builds in its `attempt`.
    pub(crate) fn within(&self, step: &Self, attempt: u32) -> Self {
        match attempt {
            1 => Self::from(format!("{step}/{self}")),
            attempt => Self::from(format!("{step}@{attempt}/{self}")),
        }
    }

    /// Returns whether the operation of `step` built the step with this key.
    pub(crate) fn is_within(&self, step: &Self) -> bool {
        let inside = self.strip_prefix(step.as_str());
        inside.is_some_and(|inside| inside.starts_with(['/', '@']) && is_boundary(inside))
    }
}

/// Returns whether `key` is the key of `step`, of a step inside of it, or of an action about it.
pub(super) fn is_inside(key: &str, step: &str) -> bool {
    split(key, step).is_some()
}

/// Returns the new form of `key` when the step `from` is renamed. `None`: the rename does not affect the key.
pub(super) fn renamed(key: &str, from: &str, to: &str) -> Option<Key> {
    let (about, inside) = split(key, from)?;
    // A saga inside of the operation of `from` undoes its steps under keys such as `from/undo from/seat`.
    let inside = ABOUT.iter().fold(inside.to_owned(), |inside, (about, _)| {
        let (old, new) = (format!("/{about}{from}/"), format!("/{about}{to}/"));
        inside.replace(&old, &new)
    });
    Some(Key::from(format!("{about}{to}{inside}")))
}

/// Splits a key into the prefix before the key of `step` and the rest after it.
fn split<'k>(key: &'k str, step: &str) -> Option<(&'k str, &'k str)> {
    if let Some(inside) = key.strip_prefix(step).filter(|inside| is_boundary(inside)) {
        return Some(("", inside));
    }
    ABOUT.iter().find_map(|(about, follows)| {
        let inside = key.strip_prefix(about)?.strip_prefix(step)?;
        let is_about = is_boundary(inside) || inside.starts_with(*follows);
        Some((key.get(..about.len())?, inside)).filter(|_| is_about)
    })
}

/// Returns whether `inside`, the rest of a key after the key of a step, makes the key belong to this step.
fn is_boundary(inside: &str) -> bool {
    match inside.strip_prefix('@') {
        Some(attempt) => {
            let rest = attempt.trim_start_matches(|digit: char| digit.is_ascii_digit());
            rest.len() < attempt.len() && rest.starts_with('/')
        }
        None => inside.is_empty() || inside.starts_with(['/', '.', '[']),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_that_an_attempt_builds_is_within_its_step() {
        let pay = Key::from("pay");
        for attempt in [1, 2, 12] {
            let charge = Key::from("charge").within(&pay, attempt);
            assert!(charge.is_within(&pay), "{charge}");
        }
        for other in ["pay", "pay.card", "pay[0]", "pay@2", "pay@/charge", "payment/charge"] {
            assert!(!Key::from(other).is_within(&pay), "{other}");
        }
    }

    #[test]
    fn undo_key_inside_renamed_step_is_renamed_twice() {
        assert_eq!(renamed("trip/undo trip/seat", "trip", "tour"), Some("tour/undo tour/seat".into()));
        assert_eq!(renamed("undo trip: done@2", "trip", "tour"), Some("undo tour: done@2".into()));
        assert_eq!(renamed("undo trip home", "trip", "tour"), None);
    }
}
