//! Escapes text for HTML, lays out values, and fills templates.

use std::fmt::{self, Display, Write};

use serde_json::{Map, Value};

use crate::hidden::is_hidden;
use crate::shape::{Choice, Content, Shape};

/// Text that is shown unchanged, between tags or in a quoted attribute.
pub(super) struct Kept<'t>(pub(super) &'t str);

/// Text for people. Each hidden character is replaced by a visible mark: without it, `1\u{202e}000` would read as another
/// number than the one in the text.
pub(super) struct Text<'t>(pub(super) &'t str);

impl Display for Kept<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| match char {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            char => f.write_char(char),
        })
    }
}

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Kept(&self.0.replace(is_hidden, "\u{fffd}")).fmt(f)
    }
}

/// Replaces each `{{name}}` in `template` with the text that `part` returns. Inserted text is not searched for names.
pub(super) fn filled<'p>(template: &str, part: impl Fn(&str) -> &'p str) -> String {
    let mut pieces = template.split("{{");
    let mut page = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").unwrap_or((piece, ""));
        page.push_str(part(name));
        page.push_str(rest);
    }
    page
}

/// Converts an identifier to words: `unit_price` becomes `Unit price`.
pub(super) fn title(name: &str) -> String {
    let words = name.replace(['_', '-'], " ");
    let mut chars = words.trim().chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        // Keep a name without a letter or digit unchanged, for example `_`.
        None => name.to_owned(),
    }
}

/// The depth up to which a value is laid out; deeper parts are shown as JSON.
const DEEPEST: usize = 4;

/// Renders a value for people. The fields of an object follow the order of its shape, if the shape has one.
pub(super) fn value(value: &Value, shape: &Shape) -> String {
    let mut html = String::new();
    write_value(&mut html, value, shape, 0);
    html
}

fn write_value(html: &mut String, value: &Value, shape: &Shape, depth: usize) {
    match value {
        Value::Null => html.push_str("<span class=\"none\">nothing</span>"),
        Value::Bool(yes) => html.push_str(if *yes { "yes" } else { "no" }),
        Value::Number(number) => html.push_str(&number.to_string()),
        Value::String(text) if text.is_empty() => html.push_str("<span class=\"none\">empty</span>"),
        Value::String(text) => {
            html.push_str(&format!("<span class=\"text\" dir=\"auto\">{}</span>", Text(text)));
        }
        Value::Array(items) if items.is_empty() => html.push_str("<span class=\"none\">none</span>"),
        Value::Object(names) if names.is_empty() => html.push_str("<span class=\"none\">none</span>"),
        value if depth >= DEEPEST => html.push_str(&format!("<pre>{}</pre>", Text(&pretty(value)))),
        Value::Array(items) => {
            html.push_str("<ul>");
            for item in items {
                html.push_str("<li>");
                write_value(html, item, of_items(shape), depth + 1);
                html.push_str("</li>");
            }
            html.push_str("</ul>");
        }
        Value::Object(names) => {
            html.push_str("<dl>");
            for (name, value, shape) in in_order(names, shape) {
                html.push_str(&format!("<div><dt dir=\"auto\">{}</dt><dd>", Text(&title(name))));
                write_value(html, value, shape, depth + 1);
                html.push_str("</dd></div>");
            }
            html.push_str("</dl>");
        }
    }
}

fn of_items(shape: &Shape) -> &Shape {
    match shape {
        Shape::List(inner) => inner,
        Shape::Optional(inner) => of_items(inner),
        _ => &Shape::Any,
    }
}

/// Returns the fields that the shape names, in its order, and then the others.
fn in_order<'v>(names: &'v Map<String, Value>, shape: &'v Shape) -> Vec<(&'v String, &'v Value, &'v Shape)> {
    let fields = match shape {
        Shape::Struct(fields) => fields.as_slice(),
        Shape::Optional(inner) => return in_order(names, inner),
        Shape::OneOf(choices) => {
            return names.iter().map(|(name, value)| (name, value, of_choice(choices, name))).collect();
        }
        _ => &[],
    };
    let known = fields.iter().filter_map(|field| {
        let (name, value) = names.get_key_value(&field.name)?;
        Some((name, value, &field.shape))
    });
    let is_known = |name: &String| fields.iter().any(|field| field.name == *name);
    let others = names.iter().filter(|(name, _)| !is_known(name));
    known.chain(others.map(|(name, value)| (name, value, &Shape::Any))).collect()
}

fn of_choice<'c>(choices: &'c [Choice], name: &str) -> &'c Shape {
    match choices.iter().find(|choice| choice.name == *name).map(|choice| &choice.content) {
        Some(Content::Shape(shape)) => shape,
        _ => &Shape::Any,
    }
}

/// Formats a value as JSON that people can edit.
pub(super) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hostile_text_is_escaped_in_tags_and_attributes() {
        let hostile = "<script>alert('x')</script>\" onclick=\"y & z";
        assert_eq!(
            Text(hostile).to_string(),
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot; onclick=&quot;y &amp; z"
        );
        assert_eq!(Kept(hostile).to_string(), Text(hostile).to_string());
        assert_eq!(Text("1\u{202e}000").to_string(), "1\u{fffd}000");
        assert_eq!(Kept("1\u{202e}000").to_string(), "1\u{202e}000", "an input returns the text unchanged");
    }

    #[test]
    fn hidden_characters_are_replaced_by_marks() {
        assert_eq!(Text("Pay 1\u{2067}000 2\u{2069} Euro?").to_string(), "Pay 1\u{fffd}000 2\u{fffd} Euro?");
        let ranges = [
            '\0'..='\u{8}',
            '\u{b}'..='\u{c}',
            '\u{e}'..='\u{1f}',
            '\u{7f}'..='\u{9f}',
            '\u{ad}'..='\u{ad}',
            '\u{34f}'..='\u{34f}',
            '\u{61c}'..='\u{61c}',
            '\u{115f}'..='\u{1160}',
            '\u{17b4}'..='\u{17b5}',
            '\u{180b}'..='\u{180f}',
            '\u{200b}'..='\u{200f}',
            '\u{2028}'..='\u{202e}',
            '\u{2060}'..='\u{206f}',
            '\u{3164}'..='\u{3164}',
            '\u{fe00}'..='\u{fe0f}',
            '\u{feff}'..='\u{feff}',
            '\u{ffa0}'..='\u{ffa0}',
            '\u{fff0}'..='\u{fffb}',
            '\u{1bca0}'..='\u{1bca3}',
            '\u{1d173}'..='\u{1d17a}',
            '\u{e0000}'..='\u{e0fff}',
        ];
        for char in ranges.into_iter().flatten() {
            assert_eq!(Text(&format!("1{char}2")).to_string(), "1\u{fffd}2", "{char:?}");
        }
        for kept in ["1\n2\t3\r\n4", "1\u{a0}000 \u{20ac}", "\u{5d0}\u{628}", "\u{e9}e\u{301}", "\u{1f980}"] {
            assert_eq!(Text(kept).to_string(), kept);
        }
    }

    #[test]
    fn inserted_text_is_not_searched_for_names() {
        let page = filled("a {{x}} b {{y}}", |name| if name == "x" { "{{y}}" } else { "Y" });
        assert_eq!(page, "a {{y}} b Y");
    }

    #[test]
    fn names_become_words_and_deep_values_json() {
        assert_eq!(title("unit_price"), "Unit price");
        assert_eq!(title("_"), "_");
        let shown = value(&json!({ "ok": true, "lines": ["<b>", 1.5, null], "none": {} }), &Shape::Any);
        assert!(shown.contains("<dt dir=\"auto\">Ok</dt><dd>yes</dd>"), "{shown}");
        assert!(shown.contains("&lt;b&gt;") && !shown.contains("<b>"), "{shown}");
        let deep = (0..6).fold(json!("<i>"), |inner, _| json!([inner]));
        let shown = value(&deep, &Shape::Any);
        assert!(shown.contains("<pre>") && shown.contains("&lt;i&gt;"), "{shown}");
    }

    #[test]
    fn fields_follow_the_order_of_their_type() {
        #[derive(serde::Deserialize)]
        #[expect(dead_code, reason = "only its type counts")]
        struct Line {
            sku: String,
            cents: u32,
        }
        let line = json!({ "added": 1, "cents": 2, "sku": 3 });
        let shown = value(&json!([line]), &Shape::of::<Option<Vec<Line>>>());
        let places = ["Sku", "Cents", "Added"].map(|name| shown.find(name).unwrap());
        assert!(places.is_sorted(), "{shown}");
    }
}
