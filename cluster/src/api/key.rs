//! Keys: what identifies an item, checked against the table and encoded.

use crate::api::error::ApiError;
use crate::api::value::{AttributeValue, Item, KeyType, Number};
use crate::backend::{KeyAttribute, StoreKey, TableSpec};

/// Longest partition key, in bytes.
pub const MAX_HASH: usize = 2048;
/// Longest sort key, in bytes.
pub const MAX_RANGE: usize = 1024;

/// The key of a whole item.
///
/// # Errors
/// ValidationException if a key attribute is missing, of another type, empty or too long.
pub fn of_item(spec: &TableSpec, item: &Item) -> Result<StoreKey, ApiError> {
    let part = |attribute: &KeyAttribute| match item.0.get(&attribute.name) {
        None => Err(ApiError::validation(format!(
            "One or more parameter values were invalid: Missing the key {} in the item",
            attribute.name
        ))),
        Some(value) if !attribute.kind.fits(value) => Err(ApiError::validation(format!(
            "One or more parameter values were invalid: Type mismatch for key {} expected: {} actual: {}",
            attribute.name,
            attribute.kind.as_str(),
            value.type_name()
        ))),
        Some(value) => encode(attribute, value),
    };
    finish(
        part(&spec.hash)?,
        spec.range.as_ref().map(part).transpose()?,
    )
}

/// The key that a `Key` parameter gives: exactly the key attributes.
///
/// # Errors
/// ValidationException if it is anything else.
pub fn of_key(spec: &TableSpec, key: &Item) -> Result<StoreKey, ApiError> {
    const MISMATCH: &str = "The provided key element does not match the schema";
    if key.0.len() != 1 + usize::from(spec.range.is_some()) {
        return Err(ApiError::validation(MISMATCH));
    }
    let part = |attribute: &KeyAttribute| match key.0.get(&attribute.name) {
        Some(value) if attribute.kind.fits(value) => encode(attribute, value),
        _ => Err(ApiError::validation(MISMATCH)),
    };
    finish(
        part(&spec.hash)?,
        spec.range.as_ref().map(part).transpose()?,
    )
}

fn finish(hash: Vec<u8>, range: Option<Vec<u8>>) -> Result<StoreKey, ApiError> {
    let range = range.unwrap_or_default();
    if hash.len() > MAX_HASH {
        return Err(ApiError::validation(format!(
            "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of {MAX_HASH} bytes"
        )));
    }
    if range.len() > MAX_RANGE {
        return Err(ApiError::validation(format!(
            "One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit of {MAX_RANGE} bytes"
        )));
    }
    Ok(StoreKey { hash, range })
}

/// Bytes in the order of the values: UTF-8, raw, or the number's own.
fn encode(attribute: &KeyAttribute, value: &AttributeValue) -> Result<Vec<u8>, ApiError> {
    let (bytes, what) = match value {
        AttributeValue::S(text) => (text.as_bytes().to_vec(), "string"),
        AttributeValue::B(bytes) => (bytes.clone(), "binary"),
        AttributeValue::N(number) => (number.to_ordered_bytes(), "number"),
        other => {
            return Err(ApiError::validation(format!(
                "One or more parameter values were invalid: Type mismatch for key {} expected: {} actual: {}",
                attribute.name,
                attribute.kind.as_str(),
                other.type_name()
            )));
        }
    };
    if bytes.is_empty() {
        return Err(ApiError::validation(format!(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty {what} value. Key: {}",
            attribute.name
        )));
    }
    Ok(bytes)
}

/// The key attributes that an encoded key stands for; `None` if it is not a key of this table.
pub fn decode(spec: &TableSpec, key: &StoreKey) -> Option<Item> {
    let value = |kind: KeyType, bytes: &[u8]| match kind {
        KeyType::S => String::from_utf8(bytes.to_vec())
            .ok()
            .map(AttributeValue::S),
        KeyType::N => Number::from_ordered_bytes(bytes).map(AttributeValue::N),
        KeyType::B => Some(AttributeValue::B(bytes.to_vec())),
    };
    let mut item = Item::default();
    item.0
        .insert(spec.hash.name.clone(), value(spec.hash.kind, &key.hash)?);
    if let Some(range) = &spec.range {
        item.0
            .insert(range.name.clone(), value(range.kind, &key.range)?);
    }
    Some(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(hash: KeyType, range: Option<KeyType>) -> TableSpec {
        let attribute = |name: &str, kind| KeyAttribute {
            name: name.into(),
            kind,
        };
        TableSpec {
            name: "t".into(),
            hash: attribute("h", hash),
            range: range.map(|kind| attribute("r", kind)),
            billing_mode: "PAY_PER_REQUEST".into(),
            read_units: 0,
            write_units: 0,
        }
    }

    fn item(pairs: &[(&str, AttributeValue)]) -> Item {
        Item(
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), v.clone()))
                .collect(),
        )
    }

    #[test]
    fn keys_go_round() {
        let s = AttributeValue::S("x".into());
        let n = AttributeValue::N((-12).into());
        let b = AttributeValue::B(vec![0, 255]);
        for (hash, range, key) in [
            (
                KeyType::S,
                Some(KeyType::N),
                item(&[("h", s.clone()), ("r", n.clone())]),
            ),
            (
                KeyType::N,
                Some(KeyType::B),
                item(&[("h", n), ("r", b.clone())]),
            ),
            (KeyType::B, None, item(&[("h", b)])),
        ] {
            let spec = spec(hash, range);
            let encoded = of_key(&spec, &key).unwrap();
            assert_eq!(of_item(&spec, &key).unwrap(), encoded);
            assert_eq!(decode(&spec, &encoded).unwrap(), key);
        }
    }

    #[test]
    fn keys_that_do_not_fit_are_refused() {
        let s = |text: &str| AttributeValue::S(text.into());
        let spec = spec(KeyType::S, Some(KeyType::S));
        for (key, part) in [
            (item(&[("h", s("a"))]), "Missing the key r"),
            (
                item(&[("h", AttributeValue::Null), ("r", s("a"))]),
                "Type mismatch for key h expected: S actual: NULL",
            ),
            (
                item(&[("h", s("")), ("r", s("a"))]),
                "empty string value. Key: h",
            ),
            (
                item(&[("h", s(&"a".repeat(2049))), ("r", s("a"))]),
                "hashkey",
            ),
            (
                item(&[("h", s("a")), ("r", s(&"a".repeat(1025)))]),
                "range keys",
            ),
        ] {
            assert!(
                of_item(&spec, &key).unwrap_err().message.contains(part),
                "{part}"
            );
            assert!(of_key(&spec, &key).is_err());
        }
        let more = item(&[("h", s("a")), ("r", s("a")), ("x", s("a"))]);
        assert!(of_item(&spec, &more).is_ok());
        assert!(of_key(&spec, &more).is_err());
    }
}
