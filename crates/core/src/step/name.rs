use std::borrow::Cow;
use std::sync::Arc;

use crate::journal::Key;

/// A text that names a step in [`step!`](crate::step!), [`parallel!`](crate::parallel!) and [`race!`](crate::race!).
///
/// The macros copy a borrowed text, so a name needs no special lifetime. The methods, such as
/// [`Run::step`](crate::Run::step), take an owned text instead: `name.to_owned()`.
///
/// ```
/// use awaitly_core::{Run, RunError, step};
///
/// # async fn send(sku: &str) -> Result<u32, RunError> { Ok(sku.len() as u32) }
/// async fn ship(run: &Run, sku: &str) -> Result<u32, RunError> {
///     let first = step!(run, sku, send(sku));
///     let second = step!(run.step(sku.to_owned(), || send(sku)));
///     Ok(first + second)
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot name a step",
    label = "the name and the key of a step are text",
    note = "make it text: `&format!(\"ship {{order}}\")`"
)]
pub trait Name {
    /// Converts the text into a key.
    fn to_key(&self) -> Key;
}

impl Name for Key {
    fn to_key(&self) -> Key {
        self.clone()
    }
}

impl Name for str {
    fn to_key(&self) -> Key {
        Key::from(Arc::from(self))
    }
}

impl Name for String {
    fn to_key(&self) -> Key {
        self.as_str().to_key()
    }
}

impl Name for Cow<'_, str> {
    fn to_key(&self) -> Key {
        str::to_key(self)
    }
}

impl Name for Arc<str> {
    fn to_key(&self) -> Key {
        Key::from(Self::clone(self))
    }
}

impl<N: Name + ?Sized> Name for &N {
    fn to_key(&self) -> Key {
        (**self).to_key()
    }
}

/// Converts the key argument of a macro.
pub fn key<N: Name + ?Sized>(name: &N) -> Key {
    name.to_key()
}

/// Returns the name that `step!` derives for a step: the name of the last function called in `expression`.
///
/// For example, `api . charge (& hold)` yields `charge`. An expression without a call yields its last word.
#[must_use]
pub const fn name_of(expression: &'static str) -> &'static str {
    let bytes = expression.as_bytes();
    let mut name = last_word(expression, bytes.len());
    let (mut at, mut depth) = (0, 0_usize);
    while at < bytes.len() {
        match byte(bytes, at) {
            b'(' if depth == 0 => {
                let before = last_word(expression, without_turbofish(bytes, at));
                if !before.is_empty() {
                    name = before;
                }
                depth += 1;
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    if name.is_empty() { "step" } else { name }
}

/// Returns the word that ends before `end`, if only spaces separate the two.
const fn last_word(text: &'static str, mut end: usize) -> &'static str {
    let bytes = text.as_bytes();
    while end > 0 && !is_word(byte(bytes, end - 1)) {
        // Only spaces may come between: `(a)(b)` calls no function with a name.
        if !byte(bytes, end - 1).is_ascii_whitespace() {
            return "";
        }
        end -= 1;
    }
    let mut start = end;
    while start > 0 && is_word(byte(bytes, start - 1)) {
        start -= 1;
    }
    text.split_at(end).0.split_at(start).1
}

/// Returns the position before a `::<..>` that ends before `end`.
const fn without_turbofish(bytes: &[u8], end: usize) -> usize {
    let mut at = skip_back(bytes, end);
    if at == 0 || byte(bytes, at - 1) != b'>' {
        return end;
    }
    let mut depth = 0_usize;
    while at > 0 {
        at -= 1;
        match byte(bytes, at) {
            b'>' => depth += 1,
            b'<' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            _ => {}
        }
    }
    at = skip_back(bytes, at);
    while at > 0 && byte(bytes, at - 1) == b':' {
        at -= 1;
    }
    at
}

const fn skip_back(bytes: &[u8], mut end: usize) -> usize {
    while end > 0 && byte(bytes, end - 1).is_ascii_whitespace() {
        end -= 1;
    }
    end
}

/// Bytes beyond ASCII count as parts of words, so that a cut never falls inside a character.
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

#[expect(clippy::indexing_slicing, reason = "`get` is not const; callers stay below the length")]
const fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes[at]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_is_named_for_the_last_function_called() {
        for (expression, name) in [
            ("api . charge (& hold)", "charge"),
            ("api.charge(&hold, fee(3))", "charge"),
            ("reserve(cart)", "reserve"),
            ("Api::reserve(& self.api)", "reserve"),
            ("client.get(url).send()", "send"),
            ("api.get::<User>(id)", "get"),
            ("api . get :: < Vec < User > > (id)", "get"),
            ("self.größe(x)", "größe"),
            ("future", "future"),
            ("self.pending", "pending"),
            ("async { f().await }", "step"),
            ("(make)(x)", "step"),
            ("", "step"),
        ] {
            assert_eq!(name_of(expression), name, "{expression}");
        }
    }
}
