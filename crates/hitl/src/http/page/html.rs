//! Text as HTML, and templates.

use std::fmt::{self, Display, Write};

use serde_json::{Map, Value};

use crate::hidden::is_hidden;
use crate::shape::{Choice, Content, Shape};

/// Text as it is, wherever it stands in a page: between tags, or in an attribute with quotes.
pub(super) struct Kept<'t>(pub(super) &'t str);

/// Text for people to read. Each hidden character is shown as a mark: `1\u{202e}000` would read as another number than the
/// one that is meant.
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

/// `template` with what `part` gives in the place of each `{{name}}`. What is put in is not looked at again.
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

/// A name of a program, as people write it: `unit_price` is `Unit price`.
pub(super) fn title(name: &str) -> String {
    let words = name.replace(['_', '-'], " ");
    let mut chars = words.trim().chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        // One that is all lines, or nothing, stays as it is.
        None => name.to_owned(),
    }
}

/// How deep a value is laid out; what is below that is shown as JSON.
const DEEPEST: usize = 4;

/// A value for people to read; the names of an object in the order of its shape, where that has one.
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

/// Those that the shape names, and then the others.
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

/// A value as JSON that people can edit.
pub(super) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_stays_text_between_tags_and_in_attributes() {
        let hostile = "<script>alert('x')</script>\" onclick=\"y & z";
        assert_eq!(
            Text(hostile).to_string(),
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot; onclick=&quot;y &amp; z"
        );
        assert_eq!(Kept(hostile).to_string(), Text(hostile).to_string());
        assert_eq!(Text("1\u{202e}000").to_string(), "1\u{fffd}000");
        assert_eq!(Kept("1\u{202e}000").to_string(), "1\u{202e}000", "what comes back is what was sent");
    }

    #[test]
    fn characters_that_change_how_text_reads_are_marked() {
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
    fn what_is_filled_in_is_not_filled_again() {
        let page = filled("a {{x}} b {{y}}", |name| if name == "x" { "{{y}}" } else { "Y" });
        assert_eq!(page, "a {{y}} b Y");
    }

    #[test]
    fn names_and_values_are_shown_as_people_write_them() {
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
    fn names_are_shown_in_the_order_of_their_type() {
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
