//! What an answer has to look like, found out from its type, so that one that does not fit is refused when it is given
//! and not when the run goes on: [`Shape`].

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The JSON that a type is read from, as far as can be told without a value.
///
/// It is found out by letting the type read itself from a source that notes what it is asked for. What a type checks
/// beyond that, a range or a format, is not seen, and counts as [`Any`](Self::Any) from there on.
///
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
/// assert_eq!(error.to_string(), "`cents` should be a whole number, and is text");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Shape {
    /// Anything, or nobody knows.
    #[default]
    Any,
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number without a fraction.
    Integer,
    /// A number.
    Number,
    /// A string.
    Text,
    /// `null`, or what is said here.
    Optional(Box<Self>),
    /// A list of these.
    List(Box<Self>),
    /// An object with any names.
    Object,
    /// An object with these names.
    Struct(Vec<Field>),
    /// One of these names, by itself or as the only name of an object.
    OneOf(Vec<String>),
}

/// A name of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The name.
    pub name: String,
    /// What stands under it.
    pub shape: Shape,
    /// Whether it has to be there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

/// Why a value does not have a shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} should be {expected}, and is {found}")]
pub struct Misfit {
    place: String,
    expected: String,
    found: &'static str,
}

impl Shape {
    /// That of `T`.
    #[must_use]
    pub fn of<T: DeserializeOwned>() -> Self {
        let (mut shape, whole) = trace::<T>(None);
        if let Self::Struct(fields) = &mut shape
            && whole
        {
            for field in fields {
                field.required = !trace::<T>(Some(&field.name)).1;
            }
        }
        shape
    }

    /// Whether `value` has it.
    ///
    /// # Errors
    /// [`Misfit`] says where it does not.
    pub fn check(&self, value: &Value) -> Result<(), Misfit> {
        self.check_at("", value)
    }

    fn check_at(&self, place: &str, value: &Value) -> Result<(), Misfit> {
        let fits = match (self, value) {
            (Self::Any, _)
            | (Self::Optional(_) | Self::Null, Value::Null)
            | (Self::Bool, Value::Bool(_))
            | (Self::Number, Value::Number(_))
            | (Self::Text, Value::String(_))
            | (Self::Object, Value::Object(_)) => true,
            (Self::Integer, Value::Number(number)) => number.is_i64() || number.is_u64(),
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
                        None if *required => return Err(shape.misfit(&place, "missing")),
                        None => {}
                    }
                }
                true
            }
            (Self::OneOf(names), Value::String(name)) => names.contains(name),
            (Self::OneOf(names), Value::Object(object)) => {
                object.len() == 1 && object.keys().all(|name| names.contains(name))
            }
            _ => false,
        };
        if fits { Ok(()) } else { Err(self.misfit(place, kind(value))) }
    }

    fn misfit(&self, place: &str, found: &'static str) -> Misfit {
        let place = if place.is_empty() { "the answer".to_owned() } else { format!("`{place}`") };
        Misfit { place, expected: self.to_string(), found }
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
            Self::Number => f.write_str("a number"),
            Self::Text => f.write_str("text"),
            Self::Optional(inner) => write!(f, "{inner}, or null"),
            Self::List(_) => f.write_str("a list"),
            Self::Object => f.write_str("an object"),
            Self::Struct(fields) => {
                let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
                write!(f, "an object with {}", names.join(", "))
            }
            Self::OneOf(names) => write!(f, "one of {}", names.join(", ")),
        }
    }
}

/// Lets `T` read itself, and says what it asked for, and whether it came to an end. `omit` is a name of the outermost
/// object that is not there.
fn trace<T: DeserializeOwned>(omit: Option<&str>) -> (Shape, bool) {
    let mut shape = Shape::Any;
    let whole = T::deserialize(Probe { seen: &mut shape, omit, depth: 0 }).is_ok();
    (shape, whole)
}

/// How deep a type is looked into: one that holds itself has no end.
const DEEPEST: usize = 8;

/// A source that notes what it is asked for, and gives the least there is of it.
struct Probe<'a> {
    seen: &'a mut Shape,
    omit: Option<&'a str>,
    depth: usize,
}

type Nothing = serde::de::value::Error;

impl<'a> Probe<'a> {
    fn note(self, shape: Shape) -> &'a mut Shape {
        *self.seen = shape;
        self.seen
    }
}

/// A value of one kind, without anything inside.
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
        deserialize_u8 => Integer visit_u8(1);
        deserialize_u16 => Integer visit_u16(1);
        deserialize_u32 => Integer visit_u32(1);
        deserialize_u64 => Integer visit_u64(1);
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
        let depth = self.depth + 1;
        let Shape::Optional(inner) = self.note(Shape::Optional(Box::default())) else {
            return visitor.visit_none();
        };
        if depth > DEEPEST {
            visitor.visit_none()
        } else {
            visitor.visit_some(Probe { seen: inner, omit: None, depth })
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
        let depth = self.depth + 1;
        let left = usize::from(depth <= DEEPEST);
        let Shape::List(inner) = self.note(Shape::List(Box::default())) else { return visitor.visit_unit() };
        visitor.visit_seq(Items { seen: inner, left, depth })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Nothing> {
        let depth = self.depth + 1;
        self.note(Shape::List(Box::default()));
        // Its places may differ, so none speaks for all.
        visitor.visit_seq(Items { seen: &mut Shape::Any, left: len, depth })
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
        self.note(Shape::Object);
        visitor.visit_map(Names { fields: [].iter_mut(), next: None, omit: None, depth: 0 })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Nothing> {
        let (omit, depth) = (self.omit, self.depth + 1);
        let field = |name: &&str| Field { name: (*name).to_owned(), shape: Shape::Any, required: false };
        let fields = self.note(Shape::Struct(names.iter().map(field).collect()));
        let Shape::Struct(fields) = fields else { return visitor.visit_unit() };
        visitor.visit_map(Names { fields: fields.iter_mut(), next: None, omit, depth })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Nothing> {
        let depth = self.depth + 1;
        self.note(Shape::OneOf(names.iter().map(ToString::to_string).collect()));
        match names.first() {
            Some(first) if depth <= DEEPEST => visitor.visit_enum(Choice { name: first, depth }),
            _ => Err(serde::de::Error::custom("there is nothing to choose")),
        }
    }
}

struct Items<'a> {
    seen: &'a mut Shape,
    left: usize,
    depth: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Nothing;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Nothing> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(Probe { seen: self.seen, omit: None, depth: self.depth }).map(Some)
    }
}

struct Names<'a> {
    fields: std::slice::IterMut<'a, Field>,
    next: Option<&'a mut Shape>,
    omit: Option<&'a str>,
    depth: usize,
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
        seed.deserialize(Probe { seen, omit: None, depth: self.depth })
    }
}

struct Choice {
    name: &'static str,
    depth: usize,
}

impl<'de> EnumAccess<'de> for Choice {
    type Error = Nothing;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Nothing> {
        seed.deserialize(StrDeserializer::<Nothing>::new(self.name)).map(|variant| (variant, self))
    }
}

impl<'de> VariantAccess<'de> for Choice {
    type Error = Nothing;

    fn unit_variant(self) -> Result<(), Nothing> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Nothing> {
        seed.deserialize(Probe { seen: &mut Shape::Any, omit: None, depth: self.depth })
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Nothing> {
        visitor.visit_seq(Items { seen: &mut Shape::Any, left: len, depth: self.depth })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Nothing> {
        Probe { seen: &mut Shape::Any, omit: None, depth: self.depth }.deserialize_struct("", names, visitor)
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
        children: Vec<Tree>,
        parent: Option<Box<Tree>>,
    }

    fn order() -> Value {
        json!({ "cents": 1, "rate": 0.5, "way": { "Courier": { "name": "x" } }, "more": {}, "pair": [1, "a"], "free": [] })
    }

    #[test]
    fn what_a_type_writes_fits_what_it_asks_for() {
        let shape = Shape::of::<Order>();
        assert_eq!(shape.check(&order()), Ok(()));
        let read: Order = serde_json::from_value(order()).unwrap();
        assert_eq!(shape.check(&serde_json::to_value(read).unwrap()), Ok(()));
        let kept: Shape = serde_json::from_str(&serde_json::to_string(&shape).unwrap()).unwrap();
        assert_eq!(kept, shape);
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_place() {
        let shape = Shape::of::<Order>();
        let told = |name: &str, value: Value| {
            let mut order = order();
            order[name] = value;
            shape.check(&order).unwrap_err().to_string()
        };
        assert_eq!(told("cents", json!(1.5)), "`cents` should be a whole number, and is another number");
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
    fn a_type_that_holds_itself_has_an_end() {
        let shape = Shape::of::<Tree>();
        assert_eq!(shape.check(&json!({ "children": [{ "children": [] }] })), Ok(()));
        assert!(shape.check(&json!({ "children": [{ "children": 7 }] })).is_err());
    }
}
