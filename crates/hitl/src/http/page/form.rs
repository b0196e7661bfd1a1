//! Renders inputs for an answer of a given shape, and reads the answer from the submitted form.

use serde_json::{Map, Number, Value};

use super::html::{Kept, Text, pretty, title};
use crate::hidden::is_hidden;
use crate::shape::{Choice, Content, Field, Shape};

/// The name of the input for the whole answer. An input for a part appends the part's position: `answer-0`.
const ANSWER: &str = "answer";

/// The submitted inputs.
#[derive(Default)]
pub(super) struct Entered(Vec<(String, String)>);

impl Entered {
    pub(super) fn parse(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    /// Returns the text of an input. Returns `None` if the browser did not send it, for example an unticked box.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

    /// Returns the text of an input without surrounding spaces; `None` if it is empty or was not sent.
    pub(super) fn words(&self, name: &str) -> Option<String> {
        let text = self.get(name).map(lines)?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }
}

// Browsers send line ends as CRLF.
fn lines(text: &str) -> String {
    text.replace("\r\n", "\n")
}

/// The error messages for inputs, with the input's name.
pub(super) type Wrong = Vec<(String, String)>;

/// The kind of input for a shape.
#[derive(Clone, Copy)]
enum Kind<'s> {
    /// No input, because there is only one possible answer.
    Nothing,
    Check,
    YesNo,
    Whole,
    /// A whole number, not below 0.
    Natural,
    Decimal,
    Words,
    Choice(&'s [Choice]),
    Group(&'s [Field]),
    Json,
}

/// Returns the kind of input, and whether it may stay empty, which means `null`.
fn kind(shape: &Shape) -> (Kind<'_>, bool) {
    let kind = match shape {
        Shape::Null => Kind::Nothing,
        Shape::Bool => Kind::Check,
        Shape::Integer => Kind::Whole,
        Shape::Natural => Kind::Natural,
        Shape::Number => Kind::Decimal,
        Shape::Text => Kind::Words,
        Shape::OneOf(choices) if choices.iter().all(stands_alone) => Kind::Choice(choices),
        Shape::Struct(fields) => Kind::Group(fields),
        Shape::Optional(inner) => {
            let optional = match kind(inner).0 {
                Kind::Check => Kind::YesNo,
                Kind::Nothing | Kind::Group(_) => Kind::Json,
                kind => kind,
            };
            return (optional, true);
        }
        _ => Kind::Json,
    };
    (kind, false)
}

fn stands_alone(choice: &Choice) -> bool {
    matches!(choice.content, Content::Nothing)
}

/// Renders inputs that contain the submitted text or, before the first submission, the proposal.
pub(super) fn inputs(
    shape: &Shape,
    proposed: Option<&Value>,
    entered: Option<&Entered>,
    wrong: &Wrong,
) -> String {
    let mut inputs = Inputs { entered, wrong, html: String::new() };
    inputs.add(ANSWER, "Answer", shape, proposed);
    inputs.html
}

struct Inputs<'a> {
    entered: Option<&'a Entered>,
    wrong: &'a Wrong,
    html: String,
}

impl Inputs<'_> {
    fn add(&mut self, name: &str, label: &str, shape: &Shape, proposed: Option<&Value>) {
        let (kind, optional) = kind(shape);
        match kind {
            Kind::Nothing => {}
            Kind::Group(fields) => self.add_group(name, label, fields, proposed),
            Kind::Check => self.add_check(name, label, proposed),
            kind => {
                let hint = match kind {
                    Kind::Json => " <span class=\"hint\">as JSON</span>",
                    _ if optional => " <span class=\"hint\">optional</span>",
                    _ => "",
                };
                let input = self.input(name, kind, optional, proposed);
                // An input contains the value unchanged, hidden characters included, so that submitting it changes nothing.
                let hidden = if input.contains(is_hidden) {
                    "<p class=\"wrong\">This text contains invisible characters: type it again, or find them by the mark \u{fffd} in the proposal.</p>"
                } else {
                    ""
                };
                let (label, wrong) = (Text(label), self.what_is_wrong(name));
                self.html.push_str(&format!(
                    "<div class=\"field\"><label for=\"{name}\" dir=\"auto\">{label}{hint}</label>{input}{hidden}{wrong}</div>"
                ));
            }
        }
    }

    fn add_group(&mut self, name: &str, label: &str, fields: &[Field], proposed: Option<&Value>) {
        let outermost = name == ANSWER;
        if !outermost {
            self.html.push_str(&format!("<fieldset><legend dir=\"auto\">{}</legend>", Text(label)));
        }
        for (place, field) in fields.iter().enumerate() {
            let proposed = proposed.and_then(|value| value.get(&field.name));
            self.add(&part(name, place), &title(&field.name), &field.shape, proposed);
        }
        if !outermost {
            self.html.push_str("</fieldset>");
        }
    }

    fn add_check(&mut self, name: &str, label: &str, proposed: Option<&Value>) {
        // The usual answer to an approved yes-or-no question is yes.
        let unless_entered = proposed.map_or(name == ANSWER, |value| *value == Value::Bool(true));
        let checked = self.entered.map_or(unless_entered, |entered| entered.get(name).is_some());
        let (checked, label) = (if checked { " checked" } else { "" }, Text(label));
        self.html.push_str(&format!(
            "<div class=\"field check\"><input type=\"checkbox\" id=\"{name}\" name=\"{name}\" value=\"yes\"{checked}>\
             <label for=\"{name}\" dir=\"auto\">{label}: yes</label></div>"
        ));
    }

    fn input(&self, name: &str, kind: Kind<'_>, optional: bool, proposed: Option<&Value>) -> String {
        let text = match self.entered {
            Some(entered) => entered.get(name).map(lines).unwrap_or_default(),
            None => proposed.map(|value| as_text(kind, value)).unwrap_or_default(),
        };
        let mut common = format!("id=\"{name}\" name=\"{name}\"");
        if self.wrong.iter().any(|(wrong, _)| wrong == name) {
            common.push_str(&format!(" aria-invalid=\"true\" aria-describedby=\"{name}-wrong\""));
        }
        match kind {
            Kind::YesNo => select(&common, ["yes", "no"].into_iter(), optional, &text),
            Kind::Choice(choices) => {
                select(&common, choices.iter().map(|choice| choice.name.as_str()), optional, &text)
            }
            Kind::Whole => format!("<input type=\"number\" step=\"1\" {common} value=\"{}\">", Kept(&text)),
            Kind::Natural => {
                format!("<input type=\"number\" step=\"1\" min=\"0\" {common} value=\"{}\">", Kept(&text))
            }
            Kind::Decimal => {
                format!("<input type=\"number\" step=\"any\" {common} value=\"{}\">", Kept(&text))
            }
            Kind::Words => textarea(&common, 1, "", &text),
            _ => textarea(&common, 3, " class=\"code\" spellcheck=\"false\" autocapitalize=\"off\"", &text),
        }
    }

    fn what_is_wrong(&self, name: &str) -> String {
        let wrong = self.wrong.iter().find(|(wrong, _)| wrong == name);
        wrong
            .map(|(_, words)| format!("<p class=\"wrong\" id=\"{name}-wrong\">{}</p>", Text(words)))
            .unwrap_or_default()
    }
}

fn part(name: &str, place: usize) -> String {
    format!("{name}-{place}")
}

fn as_text(kind: Kind<'_>, value: &Value) -> String {
    match (kind, value) {
        (Kind::Json, value) => escaped(&pretty(value)),
        (_, Value::Null) => String::new(),
        (Kind::YesNo, Value::Bool(yes)) => if *yes { "yes" } else { "no" }.to_owned(),
        (_, Value::String(text)) => text.clone(),
        (_, value) => value.to_string(),
    }
}

/// Escapes hidden characters in JSON, so that they are visible and survive the form unchanged.
fn escaped(json: &str) -> String {
    json.chars().fold(String::new(), |mut escaped, char| {
        if is_hidden(char) {
            let units = char
                .encode_utf16(&mut [0; 2])
                .iter()
                .map(|unit| format!("\\u{unit:04x}"))
                .collect::<String>();
            escaped.push_str(&units);
        } else {
            escaped.push(char);
        }
        escaped
    })
}

/// Renders a text area, because a single-line `input` would drop the line ends of a proposal.
pub(super) fn textarea(common: &str, rows: usize, more: &str, text: &str) -> String {
    let rows = text.lines().count().clamp(rows, 12);
    // An HTML parser drops the first line end after the tag; with this one, the text keeps its own.
    format!("<textarea {common} rows=\"{rows}\" dir=\"auto\"{more}>\n{}</textarea>", Kept(text))
}

fn select<'n>(common: &str, names: impl Iterator<Item = &'n str>, optional: bool, chosen: &str) -> String {
    let nothing = if optional { "nothing" } else { "choose" };
    let options: String = names
        .map(|name| {
            let selected = if name == chosen { " selected" } else { "" };
            format!("<option value=\"{}\"{selected}>{}</option>", Kept(name), Text(&title(name)))
        })
        .collect();
    format!("<select {common}><option value=\"\">{nothing}</option>{options}</select>")
}

/// Reads the submitted answer.
///
/// # Errors
/// Returns the messages for the inputs that are not acceptable.
pub(super) fn answer(shape: &Shape, proposed: Option<&Value>, entered: &Entered) -> Result<Value, Wrong> {
    let mut reading = Reading { entered, wrong: Vec::new() };
    let value = reading.read(ANSWER, shape, proposed, true);
    if reading.wrong.is_empty() { Ok(value.unwrap_or_default()) } else { Err(reading.wrong) }
}

struct Reading<'a> {
    entered: &'a Entered,
    wrong: Wrong,
}

impl Reading<'_> {
    /// Reads the input `name`. Returns `None` if it is empty and not required.
    fn read(&mut self, name: &str, shape: &Shape, proposed: Option<&Value>, required: bool) -> Option<Value> {
        let (kind, optional) = kind(shape);
        let text = self.entered.get(name).map(lines).unwrap_or_default();
        let trimmed = text.trim();
        match kind {
            Kind::Nothing => return Some(Value::Null),
            Kind::Check => return Some(self.entered.get(name).is_some().into()),
            Kind::Group(fields) => return Some(self.read_group(name, fields, proposed)),
            _ if trimmed.is_empty() && optional => return Some(Value::Null),
            // An empty text is a text, and is kept if it replaces a proposed one.
            Kind::Words if required || proposed.is_some() || !text.is_empty() => return Some(text.into()),
            _ if trimmed.is_empty() && !required => return None,
            _ => {}
        }
        let (value, expected) = match kind {
            Kind::Whole => (whole(trimmed), "Enter a whole number."),
            Kind::Natural => (natural(trimmed), "Enter a whole number, not below 0."),
            Kind::Decimal => (decimal(trimmed), "Enter a number."),
            Kind::YesNo => (yes_or_no(trimmed), "Choose one."),
            Kind::Choice(choices) => {
                let choice = choices.iter().find(|choice| choice.name == text);
                (choice.map(|choice| choice.name.as_str().into()), "Choose one.")
            }
            _ => (serde_json::from_str(trimmed).ok(), "This is not valid JSON: text needs quotes around it."),
        };
        if value.is_none() {
            self.wrong.push((name.to_owned(), expected.to_owned()));
        }
        value
    }

    fn read_group(&mut self, name: &str, fields: &[Field], proposed: Option<&Value>) -> Value {
        let mut group = Map::new();
        for (place, field) in fields.iter().enumerate() {
            let proposed = proposed.and_then(|value| value.get(&field.name));
            if let Some(value) = self.read(&part(name, place), &field.shape, proposed, field.required) {
                group.insert(field.name.clone(), value);
            }
        }
        group.into()
    }
}

fn natural(text: &str) -> Option<Value> {
    text.parse::<u64>().map(Value::from).ok()
}

fn whole(text: &str) -> Option<Value> {
    natural(text).or_else(|| text.parse::<i64>().map(Value::from).ok())
}

fn decimal(text: &str) -> Option<Value> {
    whole(text).or_else(|| text.parse().ok().and_then(Number::from_f64).map(Value::Number))
}

fn yes_or_no(text: &str) -> Option<Value> {
    match text {
        "yes" => Some(true.into()),
        "no" => Some(false.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Order {
        cents: i64,
        rate: f64,
        gift: bool,
        text: String,
        way: Way,
        note: Option<String>,
        sure: Option<bool>,
        to: To,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        lines: Vec<u32>,
    }

    #[derive(Serialize, Deserialize)]
    enum Way {
        Post,
        Courier,
    }

    #[derive(Serialize, Deserialize)]
    struct To {
        city: String,
    }

    fn order() -> Value {
        json!({
            "cents": -5, "rate": 0.25, "gift": true, "text": "two\nlines", "way": "Courier", "note": null, "sure": false,
            "to": { "city": "<Bonn>" }
        })
    }

    /// Returns the inputs that a browser submits for unchanged HTML.
    fn sent(html: &str) -> Entered {
        let mut sent = Vec::new();
        let unescaped = |text: &str| text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
        for tag in html.split('<').skip(1) {
            let attribute = |name: &str| {
                let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
                rest.split_once('"').map(|(value, _)| unescaped(value))
            };
            if tag.starts_with("input") && (tag.contains(" checked") || !tag.contains("checkbox")) {
                sent.push((attribute("name").unwrap(), attribute("value").unwrap()));
            } else if tag.starts_with("textarea") {
                let text = tag.split_once(">\n").unwrap().1;
                sent.push((attribute("name").unwrap(), unescaped(text).replace('\n', "\r\n")));
            } else if tag.starts_with("select") {
                sent.push((attribute("name").unwrap(), String::new()));
            } else if tag.starts_with("option") && tag.contains(" selected") {
                sent.last_mut().unwrap().1 = attribute("value").unwrap();
            }
        }
        Entered(sent)
    }

    #[test]
    fn unchanged_proposal_is_read_back_unchanged() {
        let shape = Shape::of::<Order>();
        let (html, proposal) = (inputs(&shape, Some(&order()), None, &Vec::new()), order());
        let entered = sent(&html);
        assert_eq!(answer(&shape, Some(&proposal), &entered), Ok(order()));
        // The submitted text is rendered again.
        let again = sent(&inputs(&shape, Some(&json!({})), Some(&entered), &Vec::new()));
        assert_eq!(answer(&shape, Some(&proposal), &again), Ok(order()));
        assert!(!html.contains("<Bonn>"));
    }

    #[test]
    fn scalar_values_are_read_back_unchanged() {
        let back = |shape: &Shape, value: Value| {
            let entered = sent(&inputs(shape, Some(&value), None, &Vec::new()));
            assert_eq!(answer(shape, Some(&value), &entered), Ok(value));
        };
        back(&Shape::Bool, json!(true));
        back(&Shape::Bool, json!(false));
        back(&Shape::Integer, json!(u64::MAX));
        back(&Shape::Integer, json!(i64::MIN));
        back(&Shape::Number, json!(1.5));
        back(&Shape::Text, json!("\n<two>\n"));
        back(&Shape::Text, json!(""));
        back(&Shape::Null, Value::Null);
        back(&Shape::Any, json!({ "a": ["<b>"] }));
        back(&Shape::List(Box::new(Shape::Integer)), json!([1, 2]));
        back(&Shape::Natural, json!(0));
        let choice = |name: &str, content| Choice { name: name.to_owned(), content };
        let alone = Shape::OneOf(vec![choice("A", Content::Nothing), choice("B", Content::Nothing)]);
        assert!(inputs(&alone, None, None, &Vec::new()).contains("<select"));
        back(&alone, json!("B"));
        let filled =
            Shape::OneOf(vec![choice("A", Content::Nothing), choice("B", Content::Shape(Shape::Object))]);
        back(&filled, json!("A"));
        back(&filled, json!({ "B": { "b": 1 } }));
        back(&Shape::Optional(Box::new(Shape::Integer)), Value::Null);
        back(&Shape::Optional(Box::new(Shape::Struct(Vec::new()))), Value::Null);
    }

    #[test]
    fn input_with_hidden_characters_shows_a_warning() {
        let hint = "invisible characters";
        let with = |value: Value| inputs(&Shape::Text, Some(&value), None, &Vec::new());
        assert!(with(json!("1\u{2067}000")).contains(hint));
        assert!(
            with(json!("1\u{2067}000")).contains("1\u{2067}000"),
            "the input contains the value unchanged"
        );
        assert!(!with(json!("1 000")).contains(hint));
        let value = json!({ "to": "a\u{200b}b\u{e0041}\u{0}" });
        let html = inputs(&Shape::Any, Some(&value), None, &Vec::new());
        assert!(html.contains("a\\u200bb\\udb40\\udc41\\u0000") && !html.contains(hint), "{html}");
        assert_eq!(answer(&Shape::Any, Some(&value), &sent(&html)), Ok(value));
    }

    #[test]
    fn each_invalid_input_gets_a_message() {
        let shape = Shape::of::<Order>();
        let entered = Entered::parse(b"answer-0=1.5&answer-1=NaN&answer-4=Pigeon&answer-8=%5B1");
        let wrong = answer(&shape, None, &entered).unwrap_err();
        let names: Vec<_> = wrong.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["answer-0", "answer-1", "answer-4", "answer-8"]);
        let html = inputs(&shape, None, Some(&entered), &wrong);
        assert!(html.contains("aria-describedby=\"answer-0-wrong\""), "{html}");
        assert!(html.contains("id=\"answer-0-wrong\">Enter a whole number."), "{html}");
        assert!(html.contains("value=\"1.5\""), "the submitted text is kept");
    }

    #[test]
    fn bool_answer_is_ticked_and_bool_field_is_not() {
        let entered = sent(&inputs(&Shape::Bool, None, None, &Vec::new()));
        assert_eq!(answer(&Shape::Bool, None, &entered), Ok(json!(true)));
        let field = Field { name: "gift".into(), shape: Shape::Bool, required: true };
        let entered = sent(&inputs(&Shape::Struct(vec![field.clone()]), None, None, &Vec::new()));
        assert_eq!(answer(&Shape::Struct(vec![field]), None, &entered), Ok(json!({ "gift": false })));
    }
}
