//! A small client of the API for control: make a table, wait until it serves,
//! put and get single items. One attempt per call, no retries.

use crate::api::json::{Json, JsonItem};
use crate::api::value::Item;
use crate::backend::{TableSpec, TableStatus};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Largest reply that is read, in bytes.
const MAX_REPLY: usize = 32 << 20;
/// Shape of a signature: servers of ours look at no more than that.
pub(crate) const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=gameday/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, Signature=0000000000000000000000000000000000000000000000000000000000000000";
pub(crate) const DATE: &str = "20260101T000000Z";

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ClientError {
    /// No connection: certainly without effect.
    #[error("no connection to {url}: {why}")]
    Connect {
        /// Endpoint.
        url: String,
        /// Reason.
        why: String,
    },
    /// No answer, or not all of it: it may have had effect.
    #[error("no answer from {url}: {why}")]
    NoAnswer {
        /// Endpoint.
        url: String,
        /// Reason.
        why: String,
    },
    /// The service answered with an error. 5xx other than 503 may have had effect.
    #[error("{code} ({status}): {message}")]
    Service {
        /// HTTP status.
        status: u16,
        /// Name such as `ResourceNotFoundException`.
        code: String,
        /// For people.
        message: String,
        /// The item as it is, of a failed condition that asked for it.
        item: Option<Box<Item>>,
    },
    /// The answer is not what the protocol says.
    #[error("unexpected answer from {url}: {why}")]
    Protocol {
        /// Endpoint.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// A table was not ACTIVE in time.
    #[error("table {table} was not active after {waited:?}: {last}")]
    NotActive {
        /// Table.
        table: String,
        /// Time spent.
        waited: Duration,
        /// What the last look at it found.
        last: String,
    },
}

impl ClientError {
    /// The service's name for the error, if it gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Service { code, .. } => Some(code),
            _ => None,
        }
    }
}

/// A client of one endpoint.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    url: String,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    __type: String,
    #[serde(default, alias = "Message")]
    message: String,
    #[serde(rename = "Item")]
    item: Option<JsonItem>,
}

#[derive(Deserialize)]
struct GetBody {
    #[serde(rename = "Item")]
    item: Option<JsonItem>,
}

impl Client {
    /// A client of the endpoint `url` (such as `http://127.0.0.1:8000`) that
    /// gives every call `deadline`.
    ///
    /// # Errors
    /// If no HTTP client can be made here.
    pub fn new(url: &str, deadline: Duration) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .timeout(deadline)
            .connect_timeout(deadline)
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .build()
            .map_err(|error| ClientError::Connect {
                url: url.to_owned(),
                why: reasons(&error),
            })?;
        Ok(Self {
            http,
            url: url.trim_end_matches('/').to_owned(),
        })
    }

    /// One call of any operation: body to body.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn call(&self, operation: &str, body: &Value) -> Result<Vec<u8>, ClientError> {
        let sent = self
            .http
            .post(format!("{}/", self.url))
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
            .header("x-amz-date", DATE)
            .header("authorization", AUTHORIZATION)
            .body(body.to_string())
            .send()
            .await;
        let no_answer = |why: String| ClientError::NoAnswer {
            url: self.url.clone(),
            why,
        };
        let mut response = match sent {
            Ok(response) => response,
            Err(error) if error.is_connect() => {
                return Err(ClientError::Connect {
                    url: self.url.clone(),
                    why: reasons(&error),
                });
            }
            Err(error) => return Err(no_answer(reasons(&error))),
        };
        let status = response.status().as_u16();
        let sum = response
            .headers()
            .get("x-amz-crc32")
            .and_then(|v| v.to_str().ok()?.parse::<u32>().ok());
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| no_answer(reasons(&e)))? {
            if bytes.len() + chunk.len() > MAX_REPLY {
                return Err(self.protocol(format!("more than {MAX_REPLY} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        if sum.is_some_and(|sum| sum != crc32fast::hash(&bytes)) {
            return Err(self.protocol("the checksum does not match the body"));
        }
        if status == 200 {
            return Ok(bytes);
        }
        match serde_json::from_slice::<ErrorBody>(&bytes) {
            Ok(error) => Err(ClientError::Service {
                status,
                code: error.__type.rsplit('#').next().unwrap_or("").to_owned(),
                message: error.message,
                item: error.item.map(|item| Box::new(item.0)),
            }),
            Err(error) => Err(self.protocol(format!("status {status}, {error}"))),
        }
    }

    fn protocol(&self, why: impl Into<String>) -> ClientError {
        ClientError::Protocol {
            url: self.url.clone(),
            why: why.into(),
        }
    }

    fn read<'a, T: Deserialize<'a>>(&self, body: &'a [u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| self.protocol(error.to_string()))
    }

    /// Starts making a table.
    ///
    /// # Errors
    /// See [`ClientError`]; `ResourceInUseException` if it exists.
    pub async fn create_table(&self, spec: &TableSpec) -> Result<(), ClientError> {
        let keys = [(Some(&spec.hash), "HASH"), (spec.range.as_ref(), "RANGE")];
        let keys = || keys.iter().filter_map(|(key, role)| Some(((*key)?, *role)));
        let mut body = json!({
            "TableName": spec.name,
            "KeySchema": keys()
                .map(|(key, role)| json!({"AttributeName": key.name, "KeyType": role}))
                .collect::<Vec<_>>(),
            "AttributeDefinitions": keys()
                .map(|(key, _)| json!({"AttributeName": key.name, "AttributeType": key.kind.as_str()}))
                .collect::<Vec<_>>(),
            "BillingMode": spec.billing_mode,
        });
        if spec.billing_mode == "PROVISIONED" {
            body["ProvisionedThroughput"] = json!({
                "ReadCapacityUnits": spec.read_units,
                "WriteCapacityUnits": spec.write_units,
            });
        }
        self.call("CreateTable", &body).await.map(drop)
    }

    /// A table's state.
    ///
    /// # Errors
    /// See [`ClientError`]; `ResourceNotFoundException` if there is none.
    pub async fn describe_table(&self, table: &str) -> Result<TableStatus, ClientError> {
        let body = self
            .call("DescribeTable", &json!({"TableName": table}))
            .await?;
        let value: Value = self.read(&body)?;
        match value["Table"]["TableStatus"].as_str() {
            Some("CREATING") => Ok(TableStatus::Creating),
            Some("ACTIVE") => Ok(TableStatus::Active),
            Some("DELETING") => Ok(TableStatus::Deleting),
            other => Err(self.protocol(format!("TableStatus {other:?}"))),
        }
    }

    /// Waits until a table is ACTIVE, looking every 50 ms for at most
    /// `patience`. Errors on the way are not the end: a cluster that starts
    /// has them.
    ///
    /// # Errors
    /// [`ClientError::NotActive`] with what was seen last.
    pub async fn wait_active(&self, table: &str, patience: Duration) -> Result<(), ClientError> {
        let start = Instant::now();
        let mut last = "no answer".to_owned();
        loop {
            let left = patience.saturating_sub(start.elapsed());
            match tokio::time::timeout(left, self.describe_table(table)).await {
                Ok(Ok(TableStatus::Active)) => return Ok(()),
                Ok(Ok(status)) => last = format!("{status:?}"),
                Ok(Err(error)) => last = error.to_string(),
                // The patience is over: what was seen before stands.
                Err(_) => {}
            }
            if start.elapsed() >= patience {
                return Err(ClientError::NotActive {
                    table: table.to_owned(),
                    waited: start.elapsed(),
                    last,
                });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Writes an item.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn put(&self, table: &str, item: &Item) -> Result<(), ClientError> {
        let body = json!({"TableName": table, "Item": Json(item)});
        self.call("PutItem", &body).await.map(drop)
    }

    /// Reads an item; strongly if `consistent`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get(
        &self,
        table: &str,
        key: &Item,
        consistent: bool,
    ) -> Result<Option<Item>, ClientError> {
        let body = json!({"TableName": table, "Key": Json(key), "ConsistentRead": consistent});
        let reply = self.call("GetItem", &body).await?;
        let reply: GetBody = self.read(&reply)?;
        Ok(reply.item.map(|item| item.0))
    }

    /// Starts deleting a table.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete_table(&self, table: &str) -> Result<(), ClientError> {
        self.call("DeleteTable", &json!({"TableName": table}))
            .await
            .map(drop)
    }
}

/// An error and its causes on one line: reqwest's own text leaves them out.
fn reasons(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
