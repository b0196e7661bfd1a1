//! The [`Shape`] of an answer, derived from its type. It lets the inbox refuse an unfit answer when the answer arrives,
//! before the run continues with it.

use std::cell::Cell;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The form of JSON that a type decodes from, as far as it can be derived without a value.
///
/// [`Shape::of`] deserializes the type from a probe, which records the requests of the type's `Deserialize`
/// implementation, such as "a `u64`" or "a struct with these fields". The shape does not contain other checks of the
/// type, for example of a range or a format. If such a check refuses a value of the probe, the probe stops there. The
/// parts of the type that the probe has not reached then have the shape [`Any`](Self::Any).
///
/// # Examples
/// ```
/// use awaitly_hitl::Shape;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Decision {
///     cents: u64,
///     note: Option<String>,
/// }
///
/// let shape = Shape::of::<Decision>();
/// assert!(shape.check(&serde_json::json!({ "cents": 4200 })).is_ok());
/// let error = shape.check(&serde_json::json!({ "cents": "many" })).unwrap_err();
/// assert_eq!(error.to_string(), "`cents` should be a whole number, not below 0, and is text");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Shape {
    /// Any value, or an unknown shape.
    #[default]
    Any,
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number without a fraction.
    Integer,
    /// A number without a fraction, not below 0.
    Natural,
    /// A number.
    Number,
    /// A string.
    Text,
    /// `null`, or a value of the inner shape.
    Optional(Box<Self>),
    /// A list whose items have the inner shape.
    List(Box<Self>),
    /// An object with arbitrary names.
    Object,
    /// An object with these fields.
    Struct(Vec<Field>),
    /// One of these variants.
    OneOf(Vec<Choice>),
}

/// A variant of an enum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The name of the variant.
    pub name: String,
    #[serde(default)]
    pub(crate) content: Content,
}

impl Choice {
    /// Returns the shape of the variant's content. Returns `None` if the variant has no content, or if its content is
    /// unknown.
    ///
    /// In JSON, a variant with content is an object whose only key is the name of the variant; a variant without
    /// content is the name as text.
    ///
    /// # Examples
    /// ```
    /// use awaitly_hitl::Shape;
    ///
    /// #[derive(serde::Deserialize)]
    /// enum Way {
    ///     Post,
    ///     Courier(String),
    /// }
    ///
    /// let Shape::OneOf(ways) = Shape::of::<Way>() else { panic!("an enum is one of its variants") };
    /// assert_eq!((ways[0].name.as_str(), ways[0].shape()), ("Post", None));
    /// assert_eq!((ways[1].name.as_str(), ways[1].shape()), ("Courier", Some(&Shape::Text)));
    /// ```
    #[must_use]
    pub const fn shape(&self) -> Option<&Shape> {
        match &self.content {
            Content::Shape(shape) => Some(shape),
            Content::Unknown | Content::Nothing => None,
        }
    }
}

/// The content of a [`Choice`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Content {
    /// The content is unknown.
    #[default]
    Unknown,
    /// No content: the value is the name, as a string.
    Nothing,
    /// Content of this shape: the value is an object with the name as its only key.
    Shape(Shape),
}

/// A field of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The name of the field.
    pub name: String,
    /// The shape of its value.
    pub shape: Shape,
    /// `true` if the type refuses an object without this field. Only the fields of the outermost object have a known
    /// value; for all other fields, this is `false`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

/// A value that does not have the expected shape. The message names the place, the expectation and the kind of value found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} should be {expected}, and is {found}")]
pub struct WrongShape {
    place: String,
    expected: String,
    found: &'static str,
}

impl Shape {
    /// Derives the shape of `T`.
    ///
    /// # Examples
    /// ```
    /// use awaitly_hitl::Shape;
    ///
    /// assert_eq!(Shape::of::<u64>(), Shape::Natural);
    /// assert_eq!(Shape::of::<Vec<String>>().to_string(), "a list");
    /// ```
    #[must_use]
    pub fn of<T: DeserializeOwned>() -> Self {
        let first = Trace::new(None, 0);
        let (mut shape, whole) = first.read::<T>();
        // One pass probes one variant of each enum, so there are as many passes as the widest enum has variants.
        for choose in 1..first.widest.get().min(WIDEST) {
            shape.learn(Trace::new(None, choose).read::<T>().0);
        }
        if let Self::Struct(fields) = &mut shape
            && whole
        {
            for field in fields {
                field.required = !Trace::new(Some(&field.name), 0).read::<T>().1;
            }
        }
        shape
    }

    /// Fills in the parts that another pass over the type has discovered.
    fn learn(&mut self, other: Self) {
        match (self, other) {
            (this @ Self::Any, other) => *this = other,
            (Self::Optional(this), Self::Optional(other)) | (Self::List(this), Self::List(other)) => {
                this.learn(*other)
            }
            (Self::Struct(these), Self::Struct(others)) => {
                these.iter_mut().zip(others).for_each(|(this, other)| this.shape.learn(other.shape));
            }
            (Self::OneOf(these), Self::OneOf(others)) => {
                for (this, other) in these.iter_mut().zip(others) {
                    match (&mut this.content, other.content) {
                        (this @ Content::Unknown, other) => *this = other,
                        (Content::Shape(this), Content::Shape(other)) => this.learn(other),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    /// Checks that `value` has this shape.
    ///
    /// # Errors
    /// Returns [`WrongShape`], which names the first place that differs.
    pub fn check(&self, value: &Value) -> Result<(), WrongShape> {
        self.check_at("", value)
    }

    fn check_at(&self, place: &str, value: &Value) -> Result<(), WrongShape> {
        let fits = match (self, value) {
            (Self::Any, _)
            | (Self::Optional(_) | Self::Null, Value::Null)
            | (Self::Bool, Value::Bool(_))
            | (Self::Number, Value::Number(_))
            | (Self::Text, Value::String(_))
            | (Self::Object, Value::Object(_)) => true,
            (Self::Integer, Value::Number(number)) => number.is_i64() || number.is_u64(),
            (Self::Natural, Value::Number(number)) => number.is_u64(),
            (Self::Optional(inner), value) => return inner.check_at(place, value),
            (Self::List(inner), Value::Array(items)) => {
                for (position, item) in items.iter().enumerate() {
                    inner.check_at(&format!("{place}[{position}]"), item)?;
                }
                true
            }
            (Self::Struct(fields), Value::Object(object)) => {
                for Field { name, shape, required } in fields {
                    let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                    match object.get(name) {
                        Some(value) => shape.check_at(&place, value)?,
                        None if *required => return Err(shape.wrong(&place, "missing")),
                        None => {}
                    }
                }
                true
            }
            (Self::OneOf(choices), Value::String(name)) => choices
                .iter()
                .any(|choice| choice.name == *name && !matches!(choice.content, Content::Shape(_))),
            (Self::OneOf(choices), Value::Object(object)) if object.len() == 1 => {
                for (name, value) in object {
                    let choice = choices.iter().find(|choice| choice.name == *name);
                    match choice.map(|choice| &choice.content) {
                        Some(Content::Shape(shape)) => {
                            let place =
                                if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                            shape.check_at(&place, value)?;
                        }
                        Some(Content::Unknown) => {}
                        Some(Content::Nothing) | None => return Err(self.wrong(place, kind(value))),
                    }
                }
                true
            }
            _ => false,
        };
        if fits { Ok(()) } else { Err(self.wrong(place, kind(value))) }
    }

    fn wrong(&self, place: &str, found: &'static str) -> WrongShape {
        let place = if place.is_empty() { "the answer".to_owned() } else { format!("`{place}`") };
        WrongShape { place, expected: self.to_string(), found }
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "another number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("anything"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("true or false"),
            Self::Integer => f.write_str("a whole number"),
            Self::Natural => f.write_str("a whole number, not below 0"),
            Self::Number => f.write_str("a number"),
            Self::Text => f.write_str("text"),
            Self::Optional(inner) => write!(f, "{inner}, or null"),
            Self::List(_) => f.write_str("a list"),
            Self::Object => f.write_str("an object"),
            Self::Struct(fields) => {
                let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
                write!(f, "an object with {}", names.join(", "))
            }
            Self::OneOf(choices) => {
                let names: Vec<_> = choices.iter().map(|choice| choice.name.as_str()).collect();
                write!(f, "one of {}", names.join(", "))
            }
        }
    }
}

/// One pass over a type.
///
/// A pass lets the type deserialize itself from a [`Probe`]. Each request of the type, such as "a struct with these fields"
/// or "a `u64`", is noted in a [`Shape`] and answered with a minimal value, so that the type goes on to its next request.
/// Two questions need further passes: an enum shows the content of only one variant in each pass, and a field is required
/// if a pass that omits the field fails.
struct Trace<'t> {
    /// A field of the outermost object that this pass omits.
    omit: Option<&'t str>,
    /// The index of the variant that this pass takes in each enum, modulo the number of variants.
    choose: usize,
    /// The number of variants of the widest enum seen.
    widest: Cell<usize>,
    /// The number of places that the pass may still probe.
    left: Cell<usize>,
}

/// The nesting depth at which probing stops, because a recursive type has no end.
const DEEPEST: usize = 8;
/// The number of variants of an enum whose content is probed.
const WIDEST: usize = 32;
/// The number of places that one pass probes.
const LARGEST: usize = 2000;

impl<'t> Trace<'t> {
    const fn new(omit: Option<&'t str>, choose: usize) -> Self {
        Self { omit, choose, widest: Cell::new(0), left: Cell::new(LARGEST) }
    }

    /// Deserializes `T` from a probe. Returns the shape seen, and whether `T` accepted the values.
    fn read<T: DeserializeOwned>(&self) -> (Shape, bool) {
        let mut shape = Shape::Any;
        let whole = T::deserialize(Probe { seen: &mut shape, depth: 0, trace: self }).is_ok();
        (shape, whole)
    }
}

/// A deserializer that notes each request and answers it with a minimal value.
struct Probe<'a> {
    seen: &'a mut Shape,
    depth: usize,
    trace: &'a Trace<'a>,
}

type Nothing = serde::de::value::Error;

impl<'a> Probe<'a> {
    fn note(self, shape: Shape) -> &'a mut Shape {
        *self.seen = shape;
        self.seen
    }

    /// Creates a probe for a nested value, unless the pass has probed too many places.
    fn inside(trace: &'a Trace<'a>, seen: &'a mut Shape, depth: usize) -> Result<Self, Nothing> {
        match trace.left.get().checked_sub(1) {
            Some(left) => {
                trace.left.set(left);
                Ok(Self { seen, depth, trace })
            }
            None => Err(serde::de::Error::custom("the type has too many places to probe")),
        }
    }
}

/// Answers a request for a scalar, or for a value of any kind.
macro_rules! plain {
    ($($method:ident => $shape:ident $visit:ident($($value:expr)?);)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Nothing> {
            self.note(Shape::$shape);
            visitor.$visit($($value)?)
        })*
    };
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Nothing;

    plain! {
        deserialize_any => Any visit_unit();
        deserialize_ignored_any => Any visit_unit();
        deserialize_bytes => Any visit_bytes(&[]);
        deserialize_byte_buf => Any visit_bytes(&[]);
        deserialize_identifier => Text visit_str("");
        deserialize_bool => Bool visit_bool(false);
        deserialize_i8 => Integer visit_i8(1);
        deserialize_i16 => Integer visit_i16(1);
        deserialize_i32 => Integer visit_i32(1);
        deserialize_i64 => Integer visit_i64(1);
        deserialize_u8 => Natural visit_u8(1);
        deserialize_u16 => Natural visit_u16(1);
        deserialize_u32 => Natural visit_u32(1);
        deserialize_u64 => Natural visit_u64(1);
        deserialize_f32 => Number visit_f32(1.0);
        deserialize_f64 => Number visit_f64(1.0);
        deserialize_char => Text visit_char('a');
        deserialize_str => Text visit_str("");
        deserialize_string => Text visit_str("");
        deserialize_unit => Null visit_unit();
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Nothing> {
        visitor.visit_i64(1)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Nothing> {
        visitor.visit_u64(1)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Nothing> {
        let (trace, depth) = (self.trace, self.depth + 1);
        let Shape::Optional(inner) = self.note(Shape::Optional(Box::default())) else {
            return visitor.visit_none();
        };
        if depth > DEEPEST {
            visitor.visit_none()
        } else {
            visitor.visit_some(Probe::inside(trace, inner, depth)?)
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Nothing> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Nothing> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Nothing> {
        let (trace, depth) = (self.trace, self.depth + 1);
        let left = usize::from(depth <= DEEPEST);
        let Shape::List(inner) = self.note(Shape::List(Box::default())) else { return visitor.visit_unit() };
        visitor.visit_seq(Items { seen: inner, left, depth, trace })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Nothing> {
        let (trace, depth) = (self.trace, self.depth + 1);
        self.note(Shape::List(Box::default()));
        // The positions of a tuple may differ in shape, so the list's inner shape stays unknown.
        visitor.visit_seq(Items { seen: &mut Shape::Any, left: len, depth, trace })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Nothing> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Nothing> {
        let trace = self.trace;
        self.note(Shape::Object);
        visitor.visit_map(Names { fields: [].iter_mut(), next: None, omit: None, depth: 0, trace })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Nothing> {
        let (trace, depth) = (self.trace, self.depth + 1);
        let omit = trace.omit.filter(|_| depth == 1);
        let field = |name: &&str| Field { name: (*name).to_owned(), shape: Shape::Any, required: false };
        let fields = self.note(Shape::Struct(names.iter().map(field).collect()));
        let Shape::Struct(fields) = fields else { return visitor.visit_unit() };
        visitor.visit_map(Names { fields: fields.iter_mut(), next: None, omit, depth, trace })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Nothing> {
        let (trace, depth) = (self.trace, self.depth + 1);
        trace.widest.set(trace.widest.get().max(names.len()));
        let choice = |name: &&str| Choice { name: (*name).to_owned(), content: Content::Unknown };
        let choices = self.note(Shape::OneOf(names.iter().map(choice).collect()));
        let taken = trace.choose % names.len().max(1);
        match (choices, names.get(taken)) {
            (Shape::OneOf(choices), Some(name)) if depth <= DEEPEST => {
                let mut nobody = Content::Unknown;
                let content = choices.get_mut(taken).map_or(&mut nobody, |choice| &mut choice.content);
                visitor.visit_enum(Chosen { name, content, depth, trace })
            }
            _ => Err(serde::de::Error::custom("the enum has no variant to probe")),
        }
    }
}

struct Items<'a> {
    seen: &'a mut Shape,
    left: usize,
    depth: usize,
    trace: &'a Trace<'a>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Nothing;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Nothing> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(Probe::inside(self.trace, self.seen, self.depth)?).map(Some)
    }
}

struct Names<'a> {
    fields: std::slice::IterMut<'a, Field>,
    next: Option<&'a mut Shape>,
    omit: Option<&'a str>,
    depth: usize,
    trace: &'a Trace<'a>,
}

impl<'de> MapAccess<'de> for Names<'_> {
    type Error = Nothing;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Nothing> {
        let omit = self.omit;
        let Some(Field { name, shape, .. }) = self.fields.find(|field| Some(field.name.as_str()) != omit)
        else {
            return Ok(None);
        };
        self.next = Some(shape);
        seed.deserialize(StrDeserializer::<Nothing>::new(name)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Nothing> {
        let mut unknown = Shape::Any;
        let seen = self.next.take().unwrap_or(&mut unknown);
        seed.deserialize(Probe::inside(self.trace, seen, self.depth)?)
    }
}

struct Chosen<'a> {
    name: &'static str,
    content: &'a mut Content,
    depth: usize,
    trace: &'a Trace<'a>,
}

impl<'a> Chosen<'a> {
    /// Creates a probe for the content of the variant.
    fn inside(self) -> Result<Probe<'a>, Nothing> {
        let Self { content, depth, trace, .. } = self;
        *content = Content::Shape(Shape::Any);
        match content {
            Content::Shape(seen) => Probe::inside(trace, seen, depth),
            Content::Unknown | Content::Nothing => {
                Err(serde::de::Error::custom("the variant has no content to probe"))
            }
        }
    }
}

impl<'de, 'a> EnumAccess<'de> for Chosen<'a> {
    type Error = Nothing;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Nothing> {
        seed.deserialize(StrDeserializer::<Nothing>::new(self.name)).map(|variant| (variant, self))
    }
}

impl<'de> VariantAccess<'de> for Chosen<'_> {
    type Error = Nothing;

    fn unit_variant(self) -> Result<(), Nothing> {
        *self.content = Content::Nothing;
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Nothing> {
        seed.deserialize(self.inside()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Nothing> {
        self.inside()?.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Nothing> {
        self.inside()?.deserialize_struct("", names, visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct Order {
        cents: u64,
        rate: f64,
        note: Option<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        lines: Vec<Line>,
        way: Way,
        more: BTreeMap<String, u32>,
        pair: (u32, String),
        free: Value,
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Line {
        sku: String,
    }

    #[derive(Debug, Serialize, Deserialize)]
    enum Way {
        Post,
        Courier { name: String },
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only its type counts")]
    struct Tree {
        children: Vec<Self>,
        parent: Option<Box<Self>>,
    }

    fn order() -> Value {
        json!({ "cents": 1, "rate": 0.5, "way": { "Courier": { "name": "x" } }, "more": {}, "pair": [1, "a"], "free": [] })
    }

    #[test]
    fn serialized_value_fits_the_shape_of_its_type() {
        let shape = Shape::of::<Order>();
        assert_eq!(shape.check(&order()), Ok(()));
        let read: Order = serde_json::from_value(order()).unwrap();
        assert_eq!(shape.check(&serde_json::to_value(read).unwrap()), Ok(()));
        let kept: Shape = serde_json::from_str(&serde_json::to_string(&shape).unwrap()).unwrap();
        assert_eq!(kept, shape);
    }

    #[test]
    fn wrong_shape_names_the_place_and_the_expectation() {
        let shape = Shape::of::<Order>();
        let told = |name: &str, value: Value| {
            let mut order = order();
            order[name] = value;
            shape.check(&order).unwrap_err().to_string()
        };
        assert_eq!(
            told("cents", json!(1.5)),
            "`cents` should be a whole number, not below 0, and is another number"
        );
        assert_eq!(told("rate", json!("1")), "`rate` should be a number, and is text");
        assert_eq!(told("note", json!(1)), "`note` should be text, and is another number");
        assert_eq!(
            told("lines", json!([{ "sku": 1 }])),
            "`lines[0].sku` should be text, and is another number"
        );
        assert_eq!(told("way", json!("Pigeon")), "`way` should be one of Post, Courier, and is text");
        assert_eq!(told("more", json!([])), "`more` should be an object, and is a list");
        assert_eq!(
            shape.check(&json!({ "cents": 1 })).unwrap_err().to_string(),
            "`rate` should be a number, and is missing"
        );
        assert_eq!(
            Shape::of::<bool>().check(&json!("yes")).unwrap_err().to_string(),
            "the answer should be true or false, and is text"
        );
    }

    #[test]
    fn each_variant_is_checked_against_its_own_content() {
        let shape = Shape::of::<Option<Way>>();
        for good in [json!(null), json!("Post"), json!({ "Courier": { "name": "x" } })] {
            assert_eq!(shape.check(&good), Ok(()), "{good}");
        }
        for bad in [
            json!("Courier"),
            json!({ "Post": 1 }),
            json!({ "Courier": { "name": 1 } }),
            json!({}),
            json!("x"),
        ] {
            assert!(shape.check(&bad).is_err(), "{bad}");
        }
        assert!(Shape::of::<u8>().check(&json!(-1)).is_err());
        assert!(Shape::of::<i8>().check(&json!(-1)).is_ok());
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only its type counts")]
    struct Wide {
        a: Option<Box<Self>>,
        b: Option<Box<Self>>,
        c: Vec<Self>,
        d: Option<Box<Self>>,
        e: Vec<Self>,
    }

    #[test]
    fn wide_recursive_type_gives_a_bounded_shape() {
        let shape = Shape::of::<Wide>();
        assert!(serde_json::to_string(&shape).unwrap().len() < 500_000);
        assert!(shape.check(&json!({ "a": 7 })).is_err());
    }

    #[test]
    fn recursive_type_is_checked_to_a_limited_depth() {
        let shape = Shape::of::<Tree>();
        assert_eq!(shape.check(&json!({ "children": [{ "children": [] }] })), Ok(()));
        assert!(shape.check(&json!({ "children": [{ "children": 7 }] })).is_err());
    }
}
