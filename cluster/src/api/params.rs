//! Request bodies: every parameter that is understood, and the names of
//! those that are not, so that none is ignored silently.

use crate::api::error::ApiError;
use crate::api::json::{JsonItem, JsonValue};
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// An element of `KeySchema`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(crate) struct KeySchemaElement {
    pub attribute_name: Option<String>,
    pub key_type: Option<String>,
}

/// An element of `AttributeDefinitions`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(crate) struct AttributeDefinition {
    pub attribute_name: Option<String>,
    pub attribute_type: Option<String>,
}

/// `ProvisionedThroughput`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(crate) struct Throughput {
    pub read_capacity_units: Option<i64>,
    pub write_capacity_units: Option<i64>,
}

/// `StreamSpecification`, of which only its absence is supported.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(crate) struct StreamSpecification {
    pub stream_enabled: Option<bool>,
    pub stream_view_type: Option<String>,
}

/// `SSESpecification`, of which only its absence is supported.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SseSpecification {
    #[serde(rename = "Enabled")]
    pub enabled: Option<bool>,
    #[serde(rename = "SSEType")]
    pub kind: Option<String>,
    #[serde(rename = "KMSMasterKeyId")]
    pub key: Option<String>,
}

/// What a batch wants of one table.
#[derive(Debug)]
pub(crate) enum TableRequest {
    /// BatchGetItem.
    Get(Box<Params>),
    /// BatchWriteItem.
    Write(Vec<WriteRequest>),
}

/// One write of a BatchWriteItem.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(crate) struct WriteRequest {
    pub put_request: Option<PutRequest>,
    pub delete_request: Option<DeleteRequest>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(crate) struct PutRequest {
    pub item: JsonItem,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(crate) struct DeleteRequest {
    pub key: JsonItem,
}

impl<'de> Deserialize<'de> for TableRequest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = TableRequest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("keys to get or a list of writes")
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<TableRequest, M::Error> {
                Fields.visit_map(map).map(Box::new).map(TableRequest::Get)
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<TableRequest, S::Error> {
                let mut out = Vec::new();
                while let Some(write) = seq.next_element()? {
                    out.push(write);
                }
                Ok(TableRequest::Write(out))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

struct Fields;

macro_rules! params {
    ($($field:ident: $type:ty = $name:literal,)*) => {
        /// The parameters of all operations together.
        #[derive(Debug, Default)]
        pub(crate) struct Params {
            $(pub $field: Option<$type>,)*
            /// Names of the parameters that were given and are understood.
            present: Vec<&'static str>,
            /// The first one that is not understood.
            unknown: Option<String>,
        }

        impl<'de> Visitor<'de> for Fields {
            type Value = Params;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a request object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Params, M::Error> {
                let mut out = Params::default();
                while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                    match &*name {
                        $($name => {
                            out.$field = map.next_value::<Option<$type>>()?;
                            if out.$field.is_some() {
                                out.present.push($name);
                            }
                        })*
                        _ => {
                            if map.next_value::<Option<IgnoredAny>>()?.is_some() {
                                out.unknown.get_or_insert_with(|| name.into_owned());
                            }
                        }
                    }
                }
                Ok(out)
            }
        }
    };
}

params! {
    table_name: String = "TableName",
    item: JsonItem = "Item",
    key: JsonItem = "Key",
    keys: Vec<JsonItem> = "Keys",
    request_items: BTreeMap<String, TableRequest> = "RequestItems",
    condition_expression: String = "ConditionExpression",
    update_expression: String = "UpdateExpression",
    filter_expression: String = "FilterExpression",
    projection_expression: String = "ProjectionExpression",
    names: BTreeMap<String, String> = "ExpressionAttributeNames",
    values: BTreeMap<String, JsonValue> = "ExpressionAttributeValues",
    return_values: String = "ReturnValues",
    on_failure: String = "ReturnValuesOnConditionCheckFailure",
    return_capacity: String = "ReturnConsumedCapacity",
    return_metrics: String = "ReturnItemCollectionMetrics",
    consistent_read: bool = "ConsistentRead",
    limit: i64 = "Limit",
    select: String = "Select",
    segment: i64 = "Segment",
    total_segments: i64 = "TotalSegments",
    start_key: JsonItem = "ExclusiveStartKey",
    start_table: String = "ExclusiveStartTableName",
    attribute_definitions: Vec<AttributeDefinition> = "AttributeDefinitions",
    key_schema: Vec<KeySchemaElement> = "KeySchema",
    billing_mode: String = "BillingMode",
    throughput: Throughput = "ProvisionedThroughput",
    deletion_protection: bool = "DeletionProtectionEnabled",
    table_class: String = "TableClass",
    stream: StreamSpecification = "StreamSpecification",
    encryption: SseSpecification = "SSESpecification",
}

impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

impl Params {
    /// Refuses every parameter that the operation does not know.
    pub(crate) fn only(&self, operation: &str, known: &[&str]) -> Result<(), ApiError> {
        let stranger = self
            .present
            .iter()
            .copied()
            .find(|name| !known.contains(name))
            .or(self.unknown.as_deref());
        match stranger {
            None => Ok(()),
            Some(name) => Err(ApiError::validation(format!(
                "One or more parameter values were invalid: the parameter {name} is not supported by {operation} here"
            ))),
        }
    }

    /// The table's name, checked.
    pub(crate) fn table(&self) -> Result<&str, ApiError> {
        table_name(self.given_table()?)
    }

    /// The table's name or ARN, as it was given: so it is named in replies.
    pub(crate) fn given_table(&self) -> Result<&str, ApiError> {
        required(self.table_name.as_deref(), "tableName")
    }
}

/// The table's name, checked, from a name or an ARN
/// (`arn:aws:dynamodb:REGION:ACCOUNT:table/NAME`; region and account are as good as any, as
/// there is one of each).
pub(crate) fn table_name(given: &str) -> Result<&str, ApiError> {
    let parts: Vec<&str> = given.splitn(6, ':').collect();
    let name = match parts[..] {
        ["arn", _, "dynamodb", _, _, resource] => resource.strip_prefix("table/"),
        _ => None,
    };
    let name = name.unwrap_or(given);
    check_table_name(name)?;
    Ok(name)
}

/// Refuses an absent parameter.
pub(crate) fn required<T>(value: Option<T>, member: &str) -> Result<T, ApiError> {
    value.ok_or_else(|| {
        ApiError::validation(format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
        ))
    })
}

/// Refuses a value that is not one of an enumeration's.
pub(crate) fn one_of<'a>(
    value: Option<&'a str>,
    member: &str,
    known: &[&str],
    default: &'a str,
) -> Result<&'a str, ApiError> {
    match value {
        None => Ok(default),
        Some(value) if known.contains(&value) => Ok(value),
        Some(value) => Err(ApiError::validation(format!(
            "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must satisfy enum value set: [{}]",
            known.join(", ")
        ))),
    }
}

/// The failures of several checks of parameters, told together if there are several.
pub(crate) fn together(failures: &[Option<&ApiError>]) -> Result<(), ApiError> {
    const ONE: &str = "1 validation error detected: ";
    let failures = || failures.iter().copied().flatten();
    match failures().count() {
        0 => Ok(()),
        1 => failures().next().cloned().map_or(Ok(()), Err),
        count => {
            let texts = failures().map(|e| e.message.strip_prefix(ONE).unwrap_or(&e.message));
            Err(ApiError::validation(format!(
                "{count} validation errors detected: {}",
                texts.collect::<Vec<_>>().join("; ")
            )))
        }
    }
}

/// Refuses what cannot be a table's name.
pub(crate) fn check_table_name(name: &str) -> Result<(), ApiError> {
    let wrong = |constraint: &str| {
        Err(ApiError::validation(format!(
            "1 validation error detected: Value '{name}' at 'tableName' failed to satisfy constraint: {constraint}"
        )))
    };
    if !name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    {
        return wrong("Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+");
    }
    if name.len() < 3 {
        return wrong("Member must have length greater than or equal to 3");
    }
    if name.len() > 255 {
        return wrong("Member must have length less than or equal to 255");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::json::decode;

    #[test]
    fn unknown_and_misplaced_parameters_are_named() {
        let known = &["TableName"];
        let only = |text: &str| {
            let params: Params = decode(text.as_bytes()).unwrap();
            params.only("X", known).map_err(|e| e.message)
        };
        assert_eq!(only(r#"{"TableName":"abc","Legacy":null}"#), Ok(()));
        assert!(
            only(r#"{"Expected":{"a":[1]}}"#)
                .unwrap_err()
                .contains("Expected")
        );
        assert!(only(r#"{"Limit":5}"#).unwrap_err().contains("Limit"));
    }

    #[test]
    fn table_names_are_checked() {
        for (name, good) in [
            ("abc", true),
            ("a.b-c_D9", true),
            ("ab", false),
            ("a b c", false),
            ("", false),
            ("äöü", false),
        ] {
            assert_eq!(check_table_name(name).is_ok(), good, "{name}");
        }
        assert!(check_table_name(&"a".repeat(256)).is_err());
    }

    #[test]
    fn an_arn_is_a_name() {
        let arn = "arn:aws:dynamodb:eu-west-1:000000000000:table/tab";
        assert_eq!(table_name(arn).unwrap(), "tab");
        assert_eq!(table_name("tab").unwrap(), "tab");
        for wrong in [
            "arn:aws:dynamodb:eu-west-1:000000000000:table/t",
            "arn:aws:dynamodb:eu-west-1:000000000000:table/tab/index/x",
            "arn:aws:dynamodb:eu-west-1:000000000000:tab",
            "arn:aws:s3:::table/tab",
            "arn:aws:dynamodb",
        ] {
            assert!(table_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn failures_are_told_together() {
        let check = |value| one_of(Some(value), "m", &["A"], "").err();
        let told = |values: [&'static str; 3]| {
            let failures = values.map(check);
            together(&failures.each_ref().map(Option::as_ref)).map_err(|e| e.message)
        };
        assert_eq!(told(["A", "A", "A"]), Ok(()));
        let one = told(["A", "x", "A"]).unwrap_err();
        assert!(
            one.starts_with("1 validation error detected: Value 'x'"),
            "{one}"
        );
        let two = told(["x", "A", "y"]).unwrap_err();
        assert!(
            two.starts_with("2 validation errors detected: Value 'x'"),
            "{two}"
        );
        assert!(two.contains("; Value 'y'"), "{two}");
    }
}
