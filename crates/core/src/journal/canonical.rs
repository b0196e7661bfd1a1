use std::fmt::Display;

use serde::ser::{self, Serialize, Serializer};

use super::EncodeError;

/// A canonical form: equal values have equal forms, regardless of the features of serde_json in the program.
///
/// serde_json's own `Value` is not sufficient. It has no integers beyond 64 bits unless another crate enables
/// `arbitrary_precision`, which changes the form of every `f32`. It turns NaN and infinity into `null`. It keeps the
/// random order of a `HashSet`. In this form, each number is its decimal text, a number that is not finite is an error,
/// and the elements of a set have no order.
///
/// serde presents a set as a sequence, like a list. The name of the type reveals the set, so a set inside a type with a
/// custom implementation of `Serialize` counts as a list.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Canonical {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Self>),
    Set(Vec<Self>),
    Map(Vec<(String, Self)>),
}

impl Canonical {
    /// Returns the canonical form of `value`.
    ///
    /// # Errors
    /// Returns [`EncodeError`] if the value has no JSON form, or holds a number that is not finite.
    pub(super) fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, EncodeError> {
        form(value).map_err(|Unformed(reason)| EncodeError {
            type_name: std::any::type_name::<T>().into(),
            reason: reason.into(),
        })
    }
}

/// The reason why a value has no canonical form.
#[derive(Debug)]
struct Unformed(String);

impl Display for Unformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unformed {}

impl ser::Error for Unformed {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

type Form = Result<Canonical, Unformed>;

fn form<T: Serialize + ?Sized>(value: &T) -> Form {
    let form = value.serialize(Former)?;
    Ok(match form {
        Canonical::List(items) if is_set(std::any::type_name::<T>()) => Canonical::Set(items),
        form => form,
    })
}

/// Returns whether the elements of a type have no order: the type is named `HashSet`, possibly behind a pointer.
fn is_set(type_name: &str) -> bool {
    let (outer, inner) = type_name.split_once('<').unwrap_or((type_name, ""));
    match outer.trim_start_matches('&').rsplit("::").next() {
        Some("HashSet") => true,
        Some("Box" | "Arc" | "Rc" | "Cow") => is_set(inner),
        _ => false,
    }
}

fn finite(number: f64) -> Form {
    if !number.is_finite() {
        return Err(Unformed(format!("JSON has no form for the number {number}")));
    }
    // serde_json has a form for every finite number.
    serde_json::to_string(&number).map(Canonical::Number).map_err(ser::Error::custom)
}

fn number(number: impl Display) -> Form {
    Ok(Canonical::Number(number.to_string()))
}

/// The names with which serde_json passes on a number of any length and raw JSON text.
const NUMBER: &str = "$serde_json::private::Number";
const RAW: &str = "$serde_json::private::RawValue";

struct Former;

macro_rules! numbers {
    ($($method:ident: $type:ty),+) => {$(
        fn $method(self, value: $type) -> Form {
            number(value)
        }
    )+};
}

impl Serializer for Former {
    type Ok = Canonical;
    type Error = Unformed;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Items;
    type SerializeMap = Entries;
    type SerializeStruct = Entries;
    type SerializeStructVariant = Entries;

    numbers! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128
    }

    fn serialize_bool(self, value: bool) -> Form {
        Ok(Canonical::Bool(value))
    }

    fn serialize_f32(self, value: f32) -> Form {
        finite(value.into())
    }

    fn serialize_f64(self, value: f64) -> Form {
        finite(value)
    }

    fn serialize_char(self, value: char) -> Form {
        Ok(Canonical::Text(value.into()))
    }

    fn serialize_str(self, value: &str) -> Form {
        Ok(Canonical::Text(value.into()))
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Form {
        bytes.iter().map(number).collect::<Result<_, _>>().map(Canonical::List)
    }

    fn serialize_none(self) -> Form {
        Ok(Canonical::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Form {
        form(value)
    }

    fn serialize_unit(self) -> Form {
        Ok(Canonical::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Form {
        Ok(Canonical::Null)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Form {
        Ok(Canonical::Text(variant.into()))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Form {
        form(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Form {
        Ok(Canonical::Map(vec![(variant.into(), form(value)?)]))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items, Unformed> {
        Ok(Items { variant: None, items: Vec::new() })
    }

    fn serialize_tuple(self, _: usize) -> Result<Items, Unformed> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Items, Unformed> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Items, Unformed> {
        Ok(Items { variant: Some(variant), items: Vec::new() })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries, Unformed> {
        Ok(Entries { name: "", variant: None, key: None, entries: Vec::new() })
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Entries, Unformed> {
        Ok(Entries { name, variant: None, key: None, entries: Vec::new() })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Entries, Unformed> {
        Ok(Entries { name: "", variant: Some(variant), key: None, entries: Vec::new() })
    }
}

/// A list under construction, possibly of an enum variant.
struct Items {
    variant: Option<&'static str>,
    items: Vec<Canonical>,
}

impl Items {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unformed> {
        self.items.push(form(value)?);
        Ok(())
    }

    fn finish(self) -> Form {
        Ok(of_variant(self.variant, Canonical::List(self.items)))
    }
}

fn of_variant(variant: Option<&'static str>, form: Canonical) -> Canonical {
    match variant {
        Some(variant) => Canonical::Map(vec![(variant.into(), form)]),
        None => form,
    }
}

impl ser::SerializeSeq for Items {
    type Ok = Canonical;
    type Error = Unformed;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unformed> {
        self.push(value)
    }

    fn end(self) -> Form {
        self.finish()
    }
}

impl ser::SerializeTuple for Items {
    type Ok = Canonical;
    type Error = Unformed;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unformed> {
        self.push(value)
    }

    fn end(self) -> Form {
        self.finish()
    }
}

impl ser::SerializeTupleStruct for Items {
    type Ok = Canonical;
    type Error = Unformed;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unformed> {
        self.push(value)
    }

    fn end(self) -> Form {
        self.finish()
    }
}

impl ser::SerializeTupleVariant for Items {
    type Ok = Canonical;
    type Error = Unformed;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unformed> {
        self.push(value)
    }

    fn end(self) -> Form {
        self.finish()
    }
}

/// A map or struct under construction, possibly of an enum variant.
struct Entries {
    name: &'static str,
    variant: Option<&'static str>,
    key: Option<String>,
    entries: Vec<(String, Canonical)>,
}

impl Entries {
    fn push<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), Unformed> {
        self.entries.push((key.into(), form(value)?));
        Ok(())
    }

    fn finish(mut self) -> Form {
        match (self.name, self.entries.pop()) {
            (NUMBER, Some((_, Canonical::Text(digits)))) => return Ok(Canonical::Number(digits)),
            (RAW, Some((_, Canonical::Text(json)))) => {
                let value: serde_json::Value = serde_json::from_str(&json).map_err(ser::Error::custom)?;
                return form(&value);
            }
            (_, last) => self.entries.extend(last),
        }
        Ok(of_variant(self.variant, Canonical::Map(self.entries)))
    }
}

impl ser::SerializeMap for Entries {
    type Ok = Canonical;
    type Error = Unformed;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unformed> {
        self.key = Some(match form(key)? {
            Canonical::Text(text) | Canonical::Number(text) => text,
            Canonical::Bool(value) => value.to_string(),
            _ => return Err(ser::Error::custom("the key of a map must be text or a number")),
        });
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unformed> {
        let key = self.key.take().unwrap_or_default();
        self.push(&key, value)
    }

    fn end(self) -> Form {
        self.finish()
    }
}

impl ser::SerializeStruct for Entries {
    type Ok = Canonical;
    type Error = Unformed;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Unformed> {
        self.push(key, value)
    }

    fn end(self) -> Form {
        self.finish()
    }
}

impl ser::SerializeStructVariant for Entries {
    type Ok = Canonical;
    type Error = Unformed;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Unformed> {
        self.push(key, value)
    }

    fn end(self) -> Form {
        self.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    #[test]
    fn sets_are_recognised_wherever_they_stand() {
        #[derive(serde::Serialize)]
        struct Tags(HashSet<u32>);
        #[derive(serde::Serialize)]
        struct Order {
            tags: Tags,
            shared: Arc<HashSet<u32>>,
            maybe: Option<HashSet<u32>>,
            list: Vec<u32>,
        }
        let set = HashSet::from([7]);
        let order =
            Order { tags: Tags(set.clone()), shared: Arc::new(set.clone()), maybe: Some(set), list: vec![7] };
        let Canonical::Map(entries) = Canonical::of(&order).unwrap() else { panic!("no map") };
        let forms: BTreeMap<_, _> = entries.into_iter().collect();
        let seven = vec![Canonical::Number("7".into())];
        for name in ["tags", "shared", "maybe"] {
            assert_eq!(forms[name], Canonical::Set(seven.clone()), "{name}");
        }
        assert_eq!(forms["list"], Canonical::List(seven));
    }

    #[test]
    fn raw_json_has_canonical_form_of_its_value() {
        let raw: Box<serde_json::value::RawValue> = serde_json::from_str(r#"{"a":[1,2.5]}"#).unwrap();
        assert_eq!(Canonical::of(&raw).unwrap(), Canonical::of(&json!({"a": [1, 2.5]})).unwrap());
    }

    #[test]
    fn only_finite_numbers_have_canonical_form() {
        let wide = Canonical::of(&u128::MAX).unwrap();
        assert_eq!(wide, Canonical::Number(u128::MAX.to_string()));
        assert!(Canonical::of(&[Some(f32::INFINITY)]).is_err());
    }
}
