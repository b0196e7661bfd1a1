//! Text in the form that Postgres accepts: its texts cannot contain NUL, but run ids and keys can.

use std::borrow::Cow;

use awaitly_core::journal::Payload;

/// The escape character for NUL and for itself, followed by a digit. All other text is stored unchanged, so that people
/// who look into the tables can read it.
const ESCAPE: char = '\u{1a}';

/// Returns the stored form of a text. Different texts have different forms.
pub(super) fn stored(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', ESCAPE]) {
        return Cow::Borrowed(text);
    }
    let mut stored = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\0' => stored.push_str("\u{1a}0"),
            ESCAPE => stored.push_str("\u{1a}1"),
            character => stored.push(character),
        }
    }
    Cow::Owned(stored)
}

/// Returns the text of a stored form.
pub(super) fn loaded(stored: String) -> String {
    if !stored.contains(ESCAPE) {
        return stored;
    }
    stored.replace("\u{1a}0", "\0").replace("\u{1a}1", "\u{1a}")
}

/// Returns the stored form of a list of texts.
pub(super) fn json<T: serde::Serialize>(texts: &[T]) -> String {
    // A list of strings always has a JSON form.
    Payload::encode(texts).map_or_else(|_| "[]".to_owned(), |json| json.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_text_is_kept_as_it_is() {
        assert!(matches!(stored("it's \\ 100% 🫖"), Cow::Borrowed(_)));
        assert_eq!(stored("a\0b"), "a\u{1a}0b");
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in "[\0\u{1a}01ab]{0,12}") {
            let kept = stored(&text).into_owned();
            prop_assert!(!kept.contains('\0'));
            prop_assert_eq!(loaded(kept), text);
        }
    }
}
