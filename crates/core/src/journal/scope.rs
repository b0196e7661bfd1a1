//! Which keys belong to which step.
//!
//! The key of a step is the beginning of the keys of everything inside of it: `pay/charge` is a step that the operation
//! of `pay` built, `pay@2/charge` one of its second attempt, `load.user` a branch of a `parallel!`, and `ship[0]` an item
//! of a list. What is done about a step has a word before the key: `undo pay` compensates it, `notify manager #1a2b` and
//! `remind manager 1 #1a2b` tell people of its question.

use super::Key;

/// What is done about a step: the words before its key, and what may follow the key beside what is inside of the step.
const ABOUT: [(&str, char); 3] = [("undo ", ':'), ("notify ", ' '), ("remind ", ' ')];

impl Key {
    /// Returns the key of a step with the name `self` that the operation of `step` builds in its `attempt`.
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

/// Returns whether `key` is the key of `step`, or of anything inside of it or about it.
pub(super) fn is_inside(key: &str, step: &str) -> bool {
    split(key, step).is_some()
}

/// Returns what `key` becomes when the step `from` is renamed. `None`: it is not concerned.
pub(super) fn renamed(key: &str, from: &str, to: &str) -> Option<Key> {
    let (about, inside) = split(key, from)?;
    // A saga that the operation of `from` executed undoes its steps there: `from/undo from/seat`.
    let inside = ABOUT.iter().fold(inside.to_owned(), |inside, (about, _)| {
        let (old, new) = (format!("/{about}{from}/"), format!("/{about}{to}/"));
        inside.replace(&old, &new)
    });
    Some(Key::from(format!("{about}{to}{inside}")))
}

/// Splits a key into the words before the key of `step`, and what follows it.
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

/// Returns whether a key that goes on like this belongs to the step before.
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
    fn key_of_an_undo_inside_of_a_renamed_step_is_renamed_twice() {
        assert_eq!(renamed("trip/undo trip/seat", "trip", "tour"), Some("tour/undo tour/seat".into()));
        assert_eq!(renamed("undo trip: done@2", "trip", "tour"), Some("undo tour: done@2".into()));
        assert_eq!(renamed("undo trip home", "trip", "tour"), None);
    }
}
