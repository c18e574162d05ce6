//! Calls as requests of the DynamoDB JSON protocol.

use crate::config::{Attributes, CanaryConfig, Endpoint};
use crate::sign::{Sign, Unsigned};
use bytes::Bytes;
use gameday_record::Call;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Method, Request};
use std::sync::Arc;

const CONTENT: &str = "application/x-amz-json-1.0";

/// Makes requests. The parts that never change are made once.
#[derive(Clone, Debug)]
pub struct Requests {
    /// `"TableName":"…"`
    table: String,
    key: String,
    value: String,
    /// `,"pad":{"S":"xxx…"}`, or nothing.
    filler: String,
    /// What each endpoint is called.
    hosts: Vec<String>,
    signer: Arc<dyn Sign>,
}

impl Requests {
    /// For the endpoints, the table, the attributes and the item size of `config`.
    pub fn new(config: &CanaryConfig, signer: Arc<dyn Sign>) -> Self {
        let Attributes { key, value, filler } = &config.attributes;
        let bytes = config.workload.item_bytes as usize;
        Requests {
            table: format!("\"TableName\":{}", quoted(&config.table)),
            key: quoted(key),
            value: quoted(value),
            filler: if bytes == 0 {
                String::new()
            } else {
                format!(",{}:{{\"S\":\"{}\"}}", quoted(filler), "x".repeat(bytes))
            },
            hosts: config.endpoints.iter().map(Endpoint::host).collect(),
            signer,
        }
    }

    /// The request of `call` to the endpoint with this number.
    pub fn request(&self, call: &Call, endpoint: usize) -> Request<Full<Bytes>> {
        let target = match call {
            Call::Read { .. } => "DynamoDB_20120810.GetItem",
            Call::Write { .. } | Call::Insert { .. } | Call::Cas { .. } => {
                "DynamoDB_20120810.PutItem"
            }
            Call::Add { .. } => "DynamoDB_20120810.UpdateItem",
        };
        let host = &self.hosts[endpoint];
        let body = Bytes::from(self.body(call));
        let signature = self.signer.sign(&Unsigned {
            host,
            content_type: CONTENT,
            target,
            body: &body,
        });
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        let value = |v: &str| HeaderValue::from_str(v).expect("visible ASCII");
        let headers = request.headers_mut();
        headers.insert(HOST, value(host));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT));
        headers.insert(
            HeaderName::from_static("x-amz-target"),
            HeaderValue::from_static(target),
        );
        for (name, v) in signature {
            headers.insert(HeaderName::from_static(name), value(&v));
        }
        request
    }

    fn body(&self, call: &Call) -> String {
        let table = &self.table;
        match call {
            Call::Read { key, strong } => format!(
                "{{{table},\"Key\":{{{}:{{\"S\":{}}}}},\"ConsistentRead\":{strong}}}",
                self.key,
                quoted(key),
            ),
            Call::Write { key, value } | Call::Insert { key, value } => {
                format!("{{{table},{}}}", self.item(key, *value))
            }
            Call::Add { key, delta } => format!(
                "{{{table},\"Key\":{{{}:{{\"S\":{}}}}},\"UpdateExpression\":\"ADD #n :d\",\
                 \"ExpressionAttributeNames\":{{\"#n\":{}}},\
                 \"ExpressionAttributeValues\":{{\":d\":{{\"N\":\"{delta}\"}}}},\
                 \"ReturnValues\":\"UPDATED_NEW\"}}",
                self.key,
                quoted(key),
                self.value
            ),
            Call::Cas { key, expected, new } => {
                // Attribute names go through a placeholder: they may be reserved words.
                let condition = match expected {
                    None => format!(
                        "\"attribute_not_exists(#a)\",\"ExpressionAttributeNames\":{{\"#a\":{}}}",
                        self.key
                    ),
                    Some(old) => format!(
                        "\"#a = :old\",\"ExpressionAttributeNames\":{{\"#a\":{}}},\
                         \"ExpressionAttributeValues\":{{\":old\":{{\"N\":\"{old}\"}}}}",
                        self.value
                    ),
                };
                format!(
                    "{{{table},{},\"ConditionExpression\":{condition},\
                     \"ReturnValuesOnConditionCheckFailure\":\"ALL_OLD\"}}",
                    self.item(key, *new)
                )
            }
        }
    }

    fn item(&self, key: &str, value: i64) -> String {
        format!(
            "\"Item\":{{{}:{{\"S\":{}}},{}:{{\"N\":\"{value}\"}}{}}}",
            self.key,
            quoted(key),
            self.value,
            self.filler
        )
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
    use http_body_util::BodyExt;
    use serde_json::{Value, json};

    fn sent(config: &CanaryConfig, call: &Call) -> (String, Value) {
        let request = Requests::new(config, Arc::new(crate::sign::Dummy)).request(call, 0);
        let h = |n: &str| request.headers()[n].to_str().unwrap().to_string();
        assert_eq!(request.method(), Method::POST);
        assert_eq!(request.uri(), "/");
        assert_eq!(h("host"), "127.0.0.1:8000");
        assert_eq!(h("content-type"), "application/x-amz-json-1.0");
        assert_eq!(h("x-amz-date"), "20260101T000000Z");
        let auth = h("authorization");
        assert!(auth.starts_with("AWS4-HMAC-SHA256 Credential=gameday/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, Signature="), "{auth}");
        let target = h("x-amz-target");
        let rt = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let body = rt
            .block_on(request.into_body().collect())
            .unwrap()
            .to_bytes();
        (target, serde_json::from_slice(&body).unwrap())
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
