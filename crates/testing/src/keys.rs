//! Relations between step keys, and their form in messages.

use std::fmt::Display;

/// Returns the keys of the steps that may enclose the step with this key: `pay` for `pay/charge` and for
/// `pay@2/charge`.
pub(crate) fn outer_keys(key: &str) -> Vec<&str> {
    let outer = key.match_indices('/').filter_map(|(at, _)| key.get(..at));
    outer
        .flat_map(|outer| {
            let numbered = outer.rsplit_once('@');
            let plain = numbered.filter(|(_, number)| number.parse::<u32>().is_ok()).map(|(plain, _)| plain);
            [Some(outer), plain].into_iter().flatten()
        })
        .collect()
}

/// Returns whether `key` records a notification or a reminder about a question, as `awaitly-hitl` writes it. A
/// resumed body does not ask for such a record once the question is answered.
pub(crate) fn is_notice(key: &str, is_question: impl Fn(&str) -> bool) -> bool {
    let told = ["notify ", "remind "].iter().find_map(|act| key.strip_prefix(act));
    let Some((of, token)) = told.and_then(|told| told.rsplit_once(" #")) else { return false };
    token.len() == 8 && (is_question(of) || of.rsplit_once(' ').is_some_and(|(of, _)| is_question(of)))
}

/// Formats names as `` `a`, `b` ``.
pub(crate) fn quoted<N: Display>(names: impl IntoIterator<Item = N>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
