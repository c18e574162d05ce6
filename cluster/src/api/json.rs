//! DynamoDB JSON, read in one pass and written without copies.

use crate::api::error::{ApiError, ErrorKind};
use crate::api::value::{AttributeValue, Item, MAX_NAME, Number};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Starts the text of an error that is about a value's meaning, so that it
/// can be told from one about the body's shape after serde carried it.
const MARK: char = '\u{1}';

/// An error of meaning: it becomes a ValidationException.
pub(crate) fn invalid<E: de::Error>(message: impl fmt::Display) -> E {
    E::custom(format_args!("{MARK}{message}{MARK}"))
}

/// Reads a request body.
///
/// # Errors
/// SerializationException for what is not JSON or has the wrong shape,
/// ValidationException for values that cannot be.
pub fn decode<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        match text.strip_prefix(MARK).and_then(|t| t.rsplit_once(MARK)) {
            Some((message, _)) => ApiError::validation(message),
            None => ApiError::new(ErrorKind::Serialization, text),
        }
    })
}

/// Memory of a value in a map: its part of a node, or a node of its own in a map of one.
const IN_MAP: usize = 384;
/// Memory of a value in a list, which grows by doubling.
const IN_LIST: usize = 192;
/// Memory of a string besides its bytes.
const TEXT: usize = 96;

/// About how many bytes of memory reading a body takes, at most: small values take a hundred
/// times as much as their text. Found without reading it, so that it can be refused before.
pub(crate) fn footprint(body: &[u8]) -> usize {
    let mut total = body.len();
    let mut before = 0;
    let mut at = 0;
    while let Some(&byte) = body.get(at) {
        at += 1;
        match byte {
            b'"' => {
                total += TEXT;
                at += string_end(&body[at..]);
            }
            b'{' if before == b':' => total += IN_MAP,
            b'{' => total += IN_LIST,
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            _ => {}
        }
        before = byte;
    }
    total
}

/// How many bytes a string that has begun goes on, its quotation mark included.
fn string_end(rest: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = rest.get(at..).and_then(|r| memchr::memchr2(b'"', b'\\', r)) {
        at += found + 1;
        if rest[at - 1] == b'"' {
            return at;
        }
        // Whatever is escaped does not end it.
        at += 1;
    }
    rest.len()
}

/// Writes values and items as DynamoDB JSON.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a, T>(pub &'a T);

impl Serialize for Json<'_, Item> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Json(&self.0.0).serialize(serializer)
    }
}

impl Serialize for Json<'_, BTreeMap<String, AttributeValue>> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, Json(value))))
    }
}

impl Serialize for Json<'_, AttributeValue> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use AttributeValue as A;
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_key(self.0.type_name())?;
        match self.0 {
            A::S(text) => map.serialize_value(text)?,
            A::N(number) => map.serialize_value(&Text(number))?,
            A::B(bytes) => map.serialize_value(&STANDARD.encode(bytes))?,
            A::Bool(value) => map.serialize_value(value)?,
            A::Null => map.serialize_value(&true)?,
            A::M(inner) => map.serialize_value(&Json(inner))?,
            A::L(list) => map.serialize_value(&Each(|| list.iter().map(Json)))?,
            A::Ss(set) => map.serialize_value(set)?,
            A::Ns(set) => map.serialize_value(&Each(|| set.iter().map(Text)))?,
            A::Bs(set) => map.serialize_value(&Each(|| set.iter().map(|b| STANDARD.encode(b))))?,
        }
        map.end()
    }
}

/// Something by its `Display`.
struct Text<'a>(&'a Number);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

/// A sequence made anew each time it is written.
struct Each<F>(F);

impl<F, I> Serialize for Each<F>
where
    F: Fn() -> I,
    I: Iterator<Item: Serialize>,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

/// An item read from DynamoDB JSON.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JsonItem(pub Item);

/// A value read from DynamoDB JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonValue(pub AttributeValue);

impl<'de> Deserialize<'de> for JsonItem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_map(Attributes)
            .map(|map| Self(Item(map)))
    }
}

impl<'de> Deserialize<'de> for JsonValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OneValue).map(Self)
    }
}

/// Attributes by name, each name once.
struct Attributes;

impl<'de> Visitor<'de> for Attributes {
    type Value = BTreeMap<String, AttributeValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of attribute values")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut out = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if name.len() > MAX_NAME {
                return Err(invalid(format_args!(
                    "Attribute name is too large, must be less than {} bytes",
                    MAX_NAME + 1
                )));
            }
            let JsonValue(value) = map.next_value()?;
            if out.insert(name, value).is_some() {
                return Err(de::Error::custom("duplicate attribute name"));
            }
        }
        Ok(out)
    }
}

/// Exactly one type tag and its value.
struct OneValue;

impl<'de> Visitor<'de> for OneValue {
    type Value = AttributeValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an attribute value such as {\"S\": \"text\"}")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<AttributeValue, M::Error> {
        use AttributeValue as A;
        const NONE: &str =
            "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes";
        let Some(tag) = map.next_key_seed(Tag)? else {
            return Err(invalid(NONE));
        };
        let value = match tag {
            "S" => A::S(map.next_value()?),
            "N" => A::N(map.next_value::<DecodeNumber>()?.0),
            "B" => A::B(map.next_value::<Binary>()?.0),
            "BOOL" => A::Bool(map.next_value()?),
            "NULL" => {
                if !map.next_value::<bool>()? {
                    return Err(invalid(
                        "One or more parameter values were invalid: Null attribute value types must have the value of true",
                    ));
                }
                A::Null
            }
            "M" => A::M(map.next_value::<JsonItem>()?.0.0),
            "L" => A::L(map.next_value::<List>()?.0),
            "SS" => A::Ss(map.next_value::<Set<String>>()?.0),
            "NS" => A::Ns(
                map.next_value::<Set<DecodeNumber>>()?
                    .0
                    .into_iter()
                    .map(|n| n.0)
                    .collect(),
            ),
            "BS" => A::Bs(
                map.next_value::<Set<Binary>>()?
                    .0
                    .into_iter()
                    .map(|b| b.0)
                    .collect(),
            ),
            _ => return Err(invalid(NONE)),
        };
        if map.next_key::<de::IgnoredAny>()?.is_some() {
            return Err(invalid(
                "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes",
            ));
        }
        Ok(value)
    }
}

/// Reads a type tag without allocating; unknown ones become "".
struct Tag;

impl<'de> de::DeserializeSeed<'de> for Tag {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<&'static str, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Tag {
    type Value = &'static str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a type tag")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<&'static str, E> {
        const TAGS: [&str; 10] = ["S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS"];
        Ok(TAGS.into_iter().find(|tag| *tag == text).unwrap_or(""))
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct DecodeNumber(Number);

impl<'de> Deserialize<'de> for DecodeNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(invalid)
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Binary(Vec<u8>);

impl<'de> Deserialize<'de> for Binary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        match STANDARD.decode(text.as_bytes()) {
            Ok(bytes) => Ok(Self(bytes)),
            Err(error) => Err(de::Error::custom(format_args!("invalid base64: {error}"))),
        }
    }
}

struct List(Vec<AttributeValue>);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = List;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of attribute values")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<List, S::Error> {
                let mut out = Vec::new();
                while let Some(JsonValue(value)) = seq.next_element()? {
                    out.push(value);
                }
                Ok(List(out))
            }
        }
        deserializer.deserialize_seq(Elements)
    }
}

/// A set that is not empty and has no element twice.
struct Set<T>(BTreeSet<T>);

impl<'de, T: Deserialize<'de> + Ord> Deserialize<'de> for Set<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = Vec::<T>::deserialize(deserializer)?;
        let count = list.len();
        let set: BTreeSet<T> = list.into_iter().collect();
        if set.is_empty() {
            return Err(invalid(
                "One or more parameter values were invalid: A set may not be empty",
            ));
        }
        if set.len() != count {
            return Err(invalid(
                "One or more parameter values were invalid: Input collection contains duplicates",
            ));
        }
        Ok(Self(set))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<AttributeValue, ApiError> {
        decode::<JsonValue>(text.as_bytes()).map(|v| v.0)
    }

    #[test]
    fn every_type_goes_round() {
        for text in [
            r#"{"S":"héé\n"}"#,
            r#"{"S":""}"#,
            r#"{"N":"-1.5"}"#,
            r#"{"B":"AAEC"}"#,
            r#"{"BOOL":false}"#,
            r#"{"NULL":true}"#,
            r#"{"M":{"a":{"L":[{"N":"1"},{"M":{}}]}}}"#,
            r#"{"SS":["a","b"]}"#,
            r#"{"NS":["-1","2","10"]}"#,
            r#"{"BS":["AA==","AQ=="]}"#,
        ] {
            let value = read(text).unwrap();
            assert_eq!(serde_json::to_string(&Json(&value)).unwrap(), text);
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_kind() {
        for (text, kind, part) in [
            ("{}", ErrorKind::Validation, "is empty"),
            (r#"{"X":1}"#, ErrorKind::Validation, "is empty"),
            (
                r#"{"S":"a","N":"1"}"#,
                ErrorKind::Validation,
                "more than one",
            ),
            (r#"{"N":"x"}"#, ErrorKind::Validation, "numeric value: x"),
            (r#"{"N":"1E200"}"#, ErrorKind::Validation, "overflow"),
            (r#"{"NULL":false}"#, ErrorKind::Validation, "true"),
            (r#"{"SS":[]}"#, ErrorKind::Validation, "empty"),
            (r#"{"NS":["1","1.0"]}"#, ErrorKind::Validation, "duplicates"),
            (r#"{"N":1}"#, ErrorKind::Serialization, "integer"),
            (r#"{"S":1}"#, ErrorKind::Serialization, "integer"),
            (r#"{"B":"a"}"#, ErrorKind::Serialization, "base64"),
            (r#"{"B":"AB=="}"#, ErrorKind::Serialization, "base64"),
            (r#""S""#, ErrorKind::Serialization, "attribute value"),
            (
                r#"{"M":{"a":{"S":"1"},"a":{"S":"2"}}}"#,
                ErrorKind::Serialization,
                "duplicate",
            ),
            (r#"{"S":"a""#, ErrorKind::Serialization, "EOF"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.kind, kind, "{text}: {}", error.message);
            assert!(error.message.contains(part), "{text}: {}", error.message);
        }
    }

    #[test]
    fn footprints_count_values_and_texts() {
        assert_eq!(footprint(b""), 0);
        assert_eq!(footprint(b"[1, 2]"), 6);
        let body = br#"{"a\"{": {"S":"{}"}, "l":{"L":[{"N":"1"} ,\n{"N":"2"}]}}"#;
        let values = 3 * IN_LIST + 2 * IN_MAP;
        assert_eq!(footprint(body), body.len() + values + 9 * TEXT);
        // Not JSON at all.
        for odd in [&b"\""[..], b"\"\\", b"\"\\\"", b"{\"", b"\xff{"] {
            footprint(odd);
        }
    }

    #[test]
    fn endless_nesting_is_an_error() {
        let text = r#"{"L":["#.repeat(100_000);
        assert_eq!(read(&text).unwrap_err().kind, ErrorKind::Serialization);
    }

    pub(crate) fn any_value() -> impl Strategy<Value = AttributeValue> {
        use AttributeValue as A;
        let number = || any::<i64>().prop_map(Number::from);
        let leaf = prop_oneof![
            ".{0,8}".prop_map(A::S),
            number().prop_map(A::N),
            proptest::collection::vec(any::<u8>(), 0..8).prop_map(A::B),
            any::<bool>().prop_map(A::Bool),
            Just(A::Null),
            proptest::collection::btree_set(".{0,4}", 1..4).prop_map(A::Ss),
            proptest::collection::btree_set(number(), 1..4).prop_map(A::Ns),
        ];
        leaf.prop_recursive(5, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(A::L),
                proptest::collection::btree_map(".{0,4}", inner, 0..4).prop_map(A::M),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_go_round(value in any_value()) {
            let text = serde_json::to_vec(&Json(&value)).unwrap();
            prop_assert_eq!(decode::<JsonValue>(&text).unwrap().0, value.clone());
            let bytes = postcard::to_stdvec(&value).unwrap();
            prop_assert_eq!(postcard::from_bytes::<AttributeValue>(&bytes).unwrap(), value);
        }

        #[test]
        fn any_bytes_are_survived(text in r#"[\[\]{}:,"SNBML0-9atrue]{0,40}"#) {
            let _ = decode::<JsonItem>(text.as_bytes());
        }
    }
}
