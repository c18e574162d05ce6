//! Calls as requests of the DynamoDB JSON protocol.

use super::post;
use crate::config::{Attributes, CanaryConfig, Endpoint};
use crate::sign::Sign;
use crate::workload::Drawn;
use gameday_record::Call;
use std::sync::Arc;

/// Makes requests. The parts that never change are made once.
#[derive(Clone, Debug)]
pub struct Requests {
    /// Of each table: `"TableName":"…"`
    tables: Vec<String>,
    key: String,
    value: String,
    /// `,"pad":{"S":"xxx…`, as long as it gets.
    filler: String,
    /// Length of it without any `x`.
    filler_name: usize,
    /// What each endpoint is called.
    hosts: Vec<String>,
    signer: Arc<dyn Sign>,
}

impl Requests {
    /// For the endpoints, the table, the attributes and the item size of `config`.
    pub fn new(config: &CanaryConfig, signer: Arc<dyn Sign>) -> Self {
        let Attributes { key, value, filler } = &config.attributes;
        let name = format!(",{}:{{\"S\":\"", quoted(filler));
        let tables = config.tables();
        Requests {
            tables: tables
                .iter()
                .map(|t| format!("\"TableName\":{}", quoted(t)))
                .collect(),
            key: quoted(key),
            value: quoted(value),
            filler_name: name.len(),
            filler: name + &"x".repeat(config.most_filler()),
            hosts: config.endpoints.iter().map(Endpoint::host).collect(),
            signer,
        }
    }

    /// The request of `drawn` to the endpoint with this number, as it is written.
    pub fn request(&self, drawn: &Drawn, endpoint: usize) -> Vec<u8> {
        let target = match drawn.call {
            Call::Read { .. } => "DynamoDB_20120810.GetItem",
            Call::Write { .. } | Call::Insert { .. } | Call::Cas { .. } => {
                "DynamoDB_20120810.PutItem"
            }
            Call::Add { .. } => "DynamoDB_20120810.UpdateItem",
        };
        let body = self.body(drawn);
        post(
            &*self.signer,
            &self.hosts[endpoint],
            target,
            body.as_bytes(),
        )
    }

    // Concatenated, not formatted: this runs between a due time and its write.
    fn body(&self, drawn: &Drawn) -> String {
        let table: &str = &self.tables[drawn.table];
        let (name, value_name): (&str, &str) = (&self.key, &self.value);
        let key: &str = &quoted(drawn.call.key());
        match &drawn.call {
            Call::Read { strong, .. } => [
                "{",
                table,
                ",\"Key\":{",
                name,
                ":{\"S\":",
                key,
                "}},\"ConsistentRead\":",
                if *strong { "true" } else { "false" },
                "}",
            ]
            .concat(),
            Call::Write { value, .. } | Call::Insert { value, .. } => {
                ["{", table, &self.item(key, *value, drawn.bytes), "}"].concat()
            }
            Call::Add { delta, .. } => [
                "{",
                table,
                ",\"Key\":{",
                name,
                ":{\"S\":",
                key,
                "}},\"UpdateExpression\":\"ADD #n :d\",\"ExpressionAttributeNames\":{\"#n\":",
                value_name,
                "},\"ExpressionAttributeValues\":{\":d\":{\"N\":\"",
                &delta.to_string(),
                "\"}},\"ReturnValues\":\"UPDATED_NEW\"}",
            ]
            .concat(),
            Call::Cas { expected, new, .. } => {
                // Attribute names go through a placeholder: they may be reserved words.
                let condition = match expected {
                    None => [
                        "\"attribute_not_exists(#a)\",\"ExpressionAttributeNames\":{\"#a\":",
                        name,
                        "}",
                    ]
                    .concat(),
                    Some(old) => [
                        "\"#a = :old\",\"ExpressionAttributeNames\":{\"#a\":",
                        value_name,
                        "},\"ExpressionAttributeValues\":{\":old\":{\"N\":\"",
                        &old.to_string(),
                        "\"}}",
                    ]
                    .concat(),
                };
                [
                    "{",
                    table,
                    &self.item(key, *new, drawn.bytes),
                    ",\"ConditionExpression\":",
                    &condition,
                    ",\"ReturnValuesOnConditionCheckFailure\":\"ALL_OLD\"}",
                ]
                .concat()
            }
        }
    }

    /// `,"Item":{…}` of a quoted key.
    fn item(&self, key: &str, value: i64, bytes: u32) -> String {
        let (filler, end) = match bytes {
            0 => ("", ""),
            n => (&self.filler[..self.filler_name + n as usize], "\"}"),
        };
        let value = value.to_string();
        [
            ",\"Item\":{",
            &self.key,
            ":{\"S\":",
            key,
            "},",
            &self.value,
            ":{\"N\":\"",
            &value,
            "\"}",
            filler,
            end,
            "}",
        ]
        .concat()
    }
}

/// As a JSON string.
fn quoted(s: &str) -> String {
    serde_json::Value::from(s).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config;
    use serde_json::{Value, json};

    fn sent(config: &CanaryConfig, call: &Call) -> (String, Value) {
        let drawn = Drawn {
            call: call.clone(),
            table: config.workload.tables as usize - 1,
            fresh: false,
            bytes: config.workload.item_bytes,
        };
        let requests = Requests::new(config, Arc::new(crate::sign::Dummy));
        let request = String::from_utf8(requests.request(&drawn, 0)).unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let (first, headers) = head.split_once("\r\n").unwrap();
        assert_eq!(first, "POST / HTTP/1.1");
        let headers: Vec<_> = headers
            .split("\r\n")
            .map(|h| h.split_once(": ").unwrap())
            .collect();
        let h = |n: &str| {
            let mut found = headers.iter().filter(|(name, _)| *name == n);
            let (_, value) = found.next().unwrap();
            assert_eq!(found.next(), None, "{n} once");
            value.to_string()
        };
        assert_eq!(h("host"), "127.0.0.1:8000");
        assert_eq!(h("content-type"), "application/x-amz-json-1.0");
        assert_eq!(h("content-length"), body.len().to_string());
        assert_eq!(h("x-amz-date"), "20260101T000000Z");
        let auth = h("authorization");
        assert!(auth.starts_with("AWS4-HMAC-SHA256 Credential=gameday/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, Signature="), "{auth}");
        (h("x-amz-target"), serde_json::from_str(body).unwrap())
    }

    #[test]
    fn requests_are_what_the_protocol_asks_for() {
        let mut c = config();
        c.workload.item_bytes = 3;
        let key = || "k00001".to_string();
        let item = json!({"pk": {"S": "k00001"}, "v": {"N": "12"}, "pad": {"S": "xxx"}});
        let get = "DynamoDB_20120810.GetItem".to_string();
        let put = "DynamoDB_20120810.PutItem".to_string();
        for strong in [true, false] {
            assert_eq!(
                sent(&c, &Call::Read { key: key(), strong }),
                (
                    get.clone(),
                    json!({"TableName": "canary", "Key": {"pk": {"S": "k00001"}}, "ConsistentRead": strong})
                )
            );
        }
        assert_eq!(
            sent(
                &c,
                &Call::Write {
                    key: key(),
                    value: 12
                }
            ),
            (put.clone(), json!({"TableName": "canary", "Item": item}))
        );
        let cas = |expected| Call::Cas {
            key: key(),
            expected,
            new: 12,
        };
        assert_eq!(
            sent(&c, &cas(None)),
            (
                put.clone(),
                json!({
                    "TableName": "canary", "Item": item,
                    "ConditionExpression": "attribute_not_exists(#a)",
                    "ExpressionAttributeNames": {"#a": "pk"},
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                })
            )
        );
        assert_eq!(
            sent(&c, &cas(Some(11))),
            (
                put,
                json!({
                    "TableName": "canary", "Item": item,
                    "ConditionExpression": "#a = :old",
                    "ExpressionAttributeNames": {"#a": "v"},
                    "ExpressionAttributeValues": {":old": {"N": "11"}},
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                })
            )
        );
    }

    #[test]
    fn counters_inserts_and_tables_are_what_the_protocol_asks_for() {
        let mut c = config();
        c.workload.item_bytes = 2;
        c.workload.item_bytes_max = Some(9);
        c.workload.tables = 2;
        let key = || "c00001".to_string();
        let add = Call::Add {
            key: key(),
            delta: 4,
        };
        assert_eq!(
            sent(&c, &add),
            (
                "DynamoDB_20120810.UpdateItem".into(),
                json!({
                    "TableName": "canary-2", "Key": {"pk": {"S": "c00001"}},
                    "UpdateExpression": "ADD #n :d",
                    "ExpressionAttributeNames": {"#n": "v"},
                    "ExpressionAttributeValues": {":d": {"N": "4"}},
                    "ReturnValues": "UPDATED_NEW",
                })
            )
        );
        let insert = Call::Insert {
            key: key(),
            value: 5,
        };
        assert_eq!(
            sent(&c, &insert).1,
            json!({
                "TableName": "canary-2",
                "Item": {"pk": {"S": "c00001"}, "v": {"N": "5"}, "pad": {"S": "xx"}},
            })
        );
    }

    #[test]
    fn names_are_escaped_and_no_filler_means_no_attribute() {
        let mut c = config();
        c.table = "a\"b".into();
        c.attributes.key = "k\\".into();
        c.workload.item_bytes = 0;
        let call = Call::Write {
            key: "k00001".into(),
            value: 1,
        };
        let (_, body) = sent(&c, &call);
        assert_eq!(
            body,
            json!({"TableName": "a\"b", "Item": {"k\\": {"S": "k00001"}, "v": {"N": "1"}}})
        );
    }
}
