//! Reads the words of a source file or page, without its code.

/// Prose as lower-case words.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) words: Vec<String>,
    /// The number of docs, or of other independent texts, that contain the words.
    pub(super) docs: usize,
    /// The number of these texts that begin with "What".
    pub(super) begin_with_what: usize,
}

impl Text {
    /// Adds the words of a line, without its code.
    fn add(&mut self, line: &str) {
        let prose = line.split('`').step_by(2);
        let words = prose.flat_map(|prose| prose.split(|c: char| !c.is_alphabetic() && c != '\''));
        self.words.extend(words.filter(|word| !word.is_empty()).map(str::to_lowercase));
    }

    /// Counts a new text that begins with this line.
    fn begin(&mut self, line: &str) {
        self.docs += 1;
        self.begin_with_what += usize::from(line.starts_with("What "));
    }
}

/// Returns the doc comments of a Rust file.
pub(super) fn docs_of(source: &str) -> Text {
    let docs = source.lines().map(|line| {
        let line = line.trim_start();
        line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).map(str::trim)
    });
    read(docs)
}

/// Returns the prose of a Markdown page.
pub(super) fn page(source: &str) -> Text {
    read(source.lines().map(|line| Some(line.trim())))
}

/// Reads lines without fenced code. `None` separates two texts.
fn read<'a>(lines: impl Iterator<Item = Option<&'a str>>) -> Text {
    let mut text = Text::default();
    let (mut is_inside, mut is_code) = (false, false);
    for line in lines {
        let Some(line) = line else {
            (is_inside, is_code) = (false, false);
            continue;
        };
        if line.starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            if !is_inside {
                text.begin(line);
            }
            text.add(line);
        }
        is_inside = true;
    }
    text
}

/// Returns the names of the tests in a Rust file, one text each.
pub(super) fn test_names(source: &str) -> Text {
    let mut text = Text::default();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some((_, declared)) = line.split_once("fn ").filter(|_| is_test) {
            let name = declared.split('(').next().unwrap_or_default().replace('_', " ");
            text.docs += 1;
            text.begin_with_what += usize::from(name.starts_with("what "));
            text.add(&name);
            is_test = false;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_are_read_without_code() {
        let source =
            "//! Runs.\n\n/// What `if` does:\n/// ```\n/// let what = 1;\n/// ```\nfn main() {} // if\n";
        let text = docs_of(source);
        assert_eq!(text.words, ["runs", "what", "does"]);
        assert_eq!((text.docs, text.begin_with_what), (2, 1));
    }

    #[test]
    fn pages_are_read_without_code() {
        assert_eq!(page("# A *page*\n```rust\nif x {}\n```\nIf so.").words, ["a", "page", "if", "so"]);
    }

    #[test]
    fn names_of_tests_are_read_as_words() {
        let source = "#[test]\nfn what_is_due() {}\nfn helper() {}\n#[tokio::test(x)]\nasync fn a_b() {}";
        let text = test_names(source);
        assert_eq!(text.words, ["what", "is", "due", "a", "b"]);
        assert_eq!((text.docs, text.begin_with_what), (2, 1));
    }
}
