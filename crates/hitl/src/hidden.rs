//! Detects invisible characters, which can change how the text around them reads.

/// Returns whether `char` is invisible: it changes the direction of the text, joins or modifies its neighbours, or is not
/// drawn. Line ends and tabs are not hidden.
///
/// The list covers the control and format characters of Unicode, variation selectors, fillers, all other code points that
/// Unicode calls default ignorable, and the line and paragraph separators.
pub(crate) const fn is_hidden(char: char) -> bool {
    matches!(char,
        '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        // Zero-width characters and direction marks, separators, embeddings and overrides, isolates.
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        // Tags and the supplementary variation selectors.
        | '\u{e0000}'..='\u{e0fff}')
}
