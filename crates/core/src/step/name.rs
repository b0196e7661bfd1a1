/// The name that `step!` gives a step: that of the last function called in `expression`.
///
/// `api . charge (& hold)` gives `charge`. An expression that calls nothing gives its last word.
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

/// The word that ends before `end`, with spaces between.
const fn last_word(text: &'static str, mut end: usize) -> &'static str {
    let bytes = text.as_bytes();
    while end > 0 && !is_word(byte(bytes, end - 1)) {
        // A word is only looked for over spaces: `(a)(b)` calls nothing that has a name.
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

/// The position before a `::<..>` that ends before `end`.
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

/// Bytes beyond ASCII belong to words, so that a cut never falls inside a character.
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
    fn a_step_is_named_for_the_last_function_called() {
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
