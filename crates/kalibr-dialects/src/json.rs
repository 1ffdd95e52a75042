//! JSON whose objects keep the order of their keys.
//!
//! `serde_json::Value` sorts keys. To a model the order of a schema's properties is the order in which it writes them,
//! and a cached prompt with its keys moved is another prompt; so a translation must leave it alone. (`serde_json` can
//! keep the order by a feature, but features hold for a whole program, and Kalibr's identities of paths rest on sorted
//! keys.)

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Number;

/// A JSON value.
///
/// ```
/// use kalibr_dialects::Json;
///
/// let text = r#"{"b":1,"a":[true,null,"x"]}"#;
/// assert_eq!(Json::parse(text.as_bytes()).unwrap().to_string(), text);
/// ```
#[derive(Clone, PartialEq, Default)]
pub enum Json {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, exact within 64 bits.
    Number(Number),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// An object.
    Object(Object),
}

/// A JSON object, its keys in the order in which they were written. Of a key that is read twice the last value counts,
/// in the place of the first.
#[derive(Clone, Default)]
pub struct Object(Vec<(String, Json)>);

impl Json {
    /// Reads JSON.
    ///
    /// # Errors
    /// Those of `serde_json`, nesting of more than 128 levels among them.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The object, if it is one.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn as_list(&self) -> Option<&[Json]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// Whether there is nothing in it: `null`, an empty list, an empty object.
    pub(crate) fn is_nothing(&self) -> bool {
        match self {
            Self::Null => true,
            Self::List(list) => list.is_empty(),
            Self::Object(object) => object.is_empty(),
            Self::Bool(_) | Self::Number(_) | Self::Text(_) => false,
        }
    }

    /// The whole number from 0 on, if it is one.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Number(number) => number.as_u64(),
            _ => None,
        }
    }
}

impl Object {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The text of a key, if it is one.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_text()
    }

    /// Sets a key, in its place if it is there and at the end if not.
    pub fn set(&mut self, key: &str, value: impl Into<Json>) {
        let value = value.into();
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// Sets a key if there is a value.
    pub fn set_some(&mut self, key: &str, value: Option<impl Into<Json>>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    /// The object with one more key.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Json>) -> Self {
        self.set(key, value);
        self
    }

    /// Whether it has no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many keys it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Keys and values in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Takes a key out.
    pub fn take(&mut self, key: &str) -> Option<Json> {
        let at = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.remove(at).1)
    }

    /// Takes a key out if `read` understands its value, which it gives back if not.
    pub(crate) fn take_if<T>(&mut self, key: &str, read: impl FnOnce(Json) -> Result<T, Json>) -> Option<T> {
        let at = self.0.iter().position(|(name, _)| name == key)?;
        let value = std::mem::take(&mut self.0[at].1);
        match read(value) {
            Ok(read) => {
                self.0.remove(at);
                Some(read)
            }
            Err(value) => {
                self.0[at].1 = value;
                None
            }
        }
    }

    pub(crate) fn take_text(&mut self, key: &str) -> Option<String> {
        self.take_if(key, |value| match value {
            Json::Text(text) => Ok(text),
            other => Err(other),
        })
    }

    pub(crate) fn take_bool(&mut self, key: &str) -> Option<bool> {
        self.take_if(key, |value| match value {
            Json::Bool(flag) => Ok(flag),
            other => Err(other),
        })
    }

    pub(crate) fn take_number(&mut self, key: &str) -> Option<Number> {
        self.take_if(key, |value| match value {
            Json::Number(number) => Ok(number),
            other => Err(other),
        })
    }

    pub(crate) fn take_u64(&mut self, key: &str) -> Option<u64> {
        self.take_if(key, |value| value.as_u64().ok_or(value))
    }

    pub(crate) fn take_object(&mut self, key: &str) -> Option<Object> {
        self.take_if(key, |value| match value {
            Json::Object(object) => Ok(object),
            other => Err(other),
        })
    }

    pub(crate) fn take_list(&mut self, key: &str) -> Option<Vec<Json>> {
        self.take_if(key, |value| match value {
            Json::List(list) => Ok(list),
            other => Err(other),
        })
    }

    /// Takes a list with something in it; one of nothing says as little as none.
    pub(crate) fn take_items(&mut self, key: &str) -> Option<Vec<Json>> {
        self.take_if(key, |value| match value {
            Json::List(list) if !list.is_empty() => Ok(list),
            other => Err(other),
        })
    }

    /// Takes a list of nothing but texts.
    pub(crate) fn take_texts(&mut self, key: &str) -> Option<Vec<String>> {
        self.take_if(key, |value| match value {
            Json::List(list) if !list.is_empty() && list.iter().all(|item| item.as_text().is_some()) => {
                let text = |item| if let Json::Text(text) = item { Some(text) } else { None };
                Ok(list.into_iter().filter_map(text).collect())
            }
            other => Err(other),
        })
    }

    /// Puts what was not understood of an inner object back.
    pub(crate) fn give_back(&mut self, key: &str, rest: Object) {
        if !rest.is_empty() {
            self.0.push((key.to_owned(), Json::Object(rest)));
        }
    }

    /// Adds what `kept` has more, within inner objects too. What is here stays.
    pub(crate) fn fill(&mut self, kept: &Object) {
        for (key, value) in &kept.0 {
            match self.0.iter_mut().find(|(name, _)| name == key) {
                None => self.0.push((key.clone(), value.clone())),
                Some((_, Json::Object(here))) => {
                    if let Json::Object(more) = value {
                        here.fill(more);
                    }
                }
                Some(_) => {}
            }
        }
    }
}

impl PartialEq for Object {
    /// As JSON has it: the order of keys does not matter.
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// What users write is not for logs.
impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Json(..)")
    }
}

/// What users write is not for logs.
impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Object(..)")
    }
}

macro_rules! json_from {
    ($($from:ty => $make:expr),* $(,)?) => {
        $(impl From<$from> for Json {
            fn from(value: $from) -> Self {
                let make: fn($from) -> Json = $make;
                make(value)
            }
        })*
    };
}

json_from! {
    bool => Json::Bool,
    Number => Json::Number,
    u64 => |number| Json::Number(number.into()),
    String => Json::Text,
    Vec<Json> => Json::List,
    Object => Json::Object,
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&[String]> for Json {
    fn from(texts: &[String]) -> Self {
        Self::List(texts.iter().map(|text| Self::Text(text.clone())).collect())
    }
}

impl FromIterator<(String, Json)> for Object {
    fn from_iter<I: IntoIterator<Item = (String, Json)>>(fields: I) -> Self {
        let mut object = Self(Vec::new());
        for (key, value) in fields {
            object.set(&key, value);
        }
        object
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(flag) => serializer.serialize_bool(*flag),
            Self::Number(number) => number.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(list) => list.serialize(serializer),
            Self::Object(object) => object.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct JsonVisitor;

        impl<'de> Visitor<'de> for JsonVisitor {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Json, E> {
                Ok(Json::Bool(flag))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
                Ok(Json::Number(number.into()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
                Ok(Json::Number(number.into()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
                Ok(Number::from_f64(number).map_or(Json::Null, Json::Number))
            }

            fn visit_str<E>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> Result<Json, E> {
                Ok(Json::Text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Json::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Json, A::Error> {
                /// Up to here looking a key up one by one is the quickest.
                const FEW: usize = 32;
                let mut object: Vec<(String, Json)> = Vec::new();
                let mut places: HashMap<String, usize> = HashMap::new();
                while let Some((key, value)) = fields.next_entry::<String, Json>()? {
                    let at = if object.len() < FEW {
                        object.iter().position(|(name, _)| *name == key)
                    } else {
                        if places.is_empty() {
                            places = object.iter().enumerate().map(|(at, (k, _))| (k.clone(), at)).collect();
                        }
                        places.get(&key).copied()
                    };
                    if let Some(at) = at {
                        object[at].1 = value;
                        continue;
                    }
                    if object.len() >= FEW {
                        places.insert(key.clone(), object.len());
                    }
                    object.push((key, value));
                }
                Ok(Json::Object(Object(object)))
            }
        }

        deserializer.deserialize_any(JsonVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_keys_stays_and_of_two_the_last_counts() {
        let read = |text: &str| Json::parse(text.as_bytes()).unwrap().to_string();
        assert_eq!(read(r#"{"z":1,"a":2.5,"z":-3}"#), r#"{"z":-3,"a":2.5}"#);
        let wide: Vec<String> = (0..100).chain([7, 70]).map(|key| format!("\"k{key}\":{key}")).collect();
        let object = Json::parse(format!("{{{}}}", wide.join(",")).as_bytes()).unwrap();
        assert_eq!(object.as_object().unwrap().len(), 100);
        assert!(object.to_string().starts_with(r#"{"k0":0,"k1":1,"#));
    }

    #[test]
    fn what_is_kept_fills_gaps_and_overwrites_nothing() {
        let object = |text: &str| match Json::parse(text.as_bytes()).unwrap() {
            Json::Object(object) => object,
            _ => unreachable!(),
        };
        let mut here = object(r#"{"a":1,"in":{"b":2}}"#);
        here.fill(&object(r#"{"a":9,"in":{"b":9,"c":3},"d":4}"#));
        assert_eq!(here.to_string(), r#"{"a":1,"in":{"b":2,"c":3},"d":4}"#);
    }
}
