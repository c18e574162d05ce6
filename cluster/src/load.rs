//! A closed-loop load generator: as many clients as asked for, each with one
//! connection and one request at a time, for a while.
//!
//! Closed loop: a client sends its next request when the last one ended, so
//! this measures throughput, not the latency at a given rate.

use crate::api::params::check_table_name;
use crate::client::{AUTHORIZATION, DATE};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Largest latency that the histogram tells apart, in microseconds.
const MAX_LATENCY: u64 = 600_000_000;
/// Kinds of errors that are counted one by one.
const MAX_KINDS: usize = 32;
/// Pause after an error, so that a dead endpoint is not hammered.
const PAUSE: Duration = Duration::from_millis(10);
/// Largest reply that is read, in bytes.
const MAX_REPLY: usize = 1 << 20;

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadOperation {
    /// PutItem.
    Put,
    /// GetItem, strongly consistent.
    Get,
}

/// A load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadSpec {
    /// Clients are spread over them in turn.
    pub endpoints: Vec<SocketAddr>,
    /// Table, whose only key attribute is `key` of type S.
    pub table: String,
    /// Name of the partition key: letters, digits and `_`.
    pub key: String,
    /// What they do.
    pub operation: LoadOperation,
    /// Clients, 1 to 4096.
    pub clients: usize,
    /// For how long.
    pub duration: Duration,
    /// Different keys, uniformly chosen; at least 1.
    pub keys: u64,
    /// Bytes of the one attribute that is not the key, at most 400 000.
    pub value_size: usize,
    /// Seed of the choice of keys.
    pub seed: u64,
    /// Deadline of one request, connecting included.
    pub deadline: Duration,
}

/// Latencies of the requests that succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// Mean.
    pub mean: Duration,
    /// Median.
    pub p50: Duration,
    /// 90 %.
    pub p90: Duration,
    /// 99 %.
    pub p99: Duration,
    /// 99.9 %.
    pub p999: Duration,
    /// Largest.
    pub max: Duration,
}

/// What a load measured.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadResult {
    /// Requests that succeeded (status 200).
    pub succeeded: u64,
    /// Requests that did not.
    pub failed: u64,
    /// Failures by what was seen: `503`, `connect`, `no answer`, `deadline`.
    pub failures: BTreeMap<String, u64>,
    /// From the start to the end of the last request.
    pub elapsed: Duration,
    /// `succeeded` per second of `elapsed`.
    pub per_second: f64,
    /// Of those that succeeded.
    pub latencies: Latencies,
}

/// A load that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("impossible load: {0}")]
pub struct LoadError(String);

impl LoadSpec {
    fn check(&self) -> Result<(), LoadError> {
        let wrong = |what: &str| Err(LoadError(what.to_owned()));
        if check_table_name(&self.table).is_err() {
            return wrong("the table's name is not one");
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if self.key.is_empty() || self.key == "v" || !self.key.bytes().all(plain) {
            return wrong("the key's name must have letters, digits and _ only, and not be v");
        }
        if self.endpoints.is_empty() {
            return wrong("no endpoints");
        }
        if !(1..=4096).contains(&self.clients) {
            return wrong("1 to 4096 clients");
        }
        if self.keys == 0 {
            return wrong("at least one key");
        }
        if self.value_size > 400_000 {
            return wrong("items larger than the store takes");
        }
        Ok(())
    }

    /// The body for a key; everything else in it is the same each time.
    fn body(&self, key: u64) -> Vec<u8> {
        let (table, name) = (&self.table, &self.key);
        match self.operation {
            LoadOperation::Put => {
                let mut body = Vec::with_capacity(self.value_size + 128);
                body.extend_from_slice(
                    format!(
                        r#"{{"TableName":"{table}","Item":{{"{name}":{{"S":"key-{key:012}"}},"v":{{"S":""#
                    )
                    .as_bytes(),
                );
                body.resize(body.len() + self.value_size, b'x');
                body.extend_from_slice(br#""}}}"#);
                body
            }
            LoadOperation::Get => format!(
                r#"{{"TableName":"{table}","Key":{{"{name}":{{"S":"key-{key:012}"}}}},"ConsistentRead":true}}"#
            )
            .into_bytes(),
        }
    }

    fn headers(&self, endpoint: SocketAddr) -> Result<HeaderMap, LoadError> {
        let host = HeaderValue::from_str(&endpoint.to_string())
            .map_err(|error| LoadError(error.to_string()))?;
        let target = match self.operation {
            LoadOperation::Put => "DynamoDB_20120810.PutItem",
            LoadOperation::Get => "DynamoDB_20120810.GetItem",
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host);
        let mut fixed = |name, value| headers.insert(name, HeaderValue::from_static(value));
        fixed(header::CONTENT_TYPE, "application/x-amz-json-1.0");
        fixed(header::AUTHORIZATION, AUTHORIZATION);
        fixed(HeaderName::from_static("x-amz-date"), DATE);
        fixed(HeaderName::from_static("x-amz-target"), target);
        Ok(headers)
    }
}

/// What one client counted.
struct Tally {
    latencies: Histogram<u64>,
    failures: BTreeMap<String, u64>,
}

impl Tally {
    fn new() -> Result<Self, LoadError> {
        let latencies = Histogram::new_with_bounds(1, MAX_LATENCY, 3)
            .map_err(|error| LoadError(error.to_string()))?;
        Ok(Self {
            latencies,
            failures: BTreeMap::new(),
        })
    }

    fn fail(&mut self, kind: &str, count: u64) {
        let kind = if self.failures.len() < MAX_KINDS || self.failures.contains_key(kind) {
            kind
        } else {
            "other"
        };
        *self.failures.entry(kind.to_owned()).or_default() += count;
    }
}

/// Runs a load to its end. Boxed, as [`crate::node::run`] is: what measures is compiled like what
/// it measures.
///
/// # Errors
/// If the load makes no sense. Failed requests are counted, not errors.
pub fn run(spec: LoadSpec) -> BoxFuture<'static, Result<LoadResult, LoadError>> {
    Box::pin(clients(spec))
}

async fn clients(spec: LoadSpec) -> Result<LoadResult, LoadError> {
    spec.check()?;
    let spec = std::sync::Arc::new(spec);
    let start = Instant::now();
    let end = start + spec.duration;
    let mut clients = JoinSet::new();
    for number in 0..spec.clients {
        let spec = spec.clone();
        let tally = Tally::new()?;
        let endpoint = spec.endpoints[number % spec.endpoints.len()];
        let headers = spec.headers(endpoint)?;
        clients.spawn(async move { client(&spec, number, endpoint, headers, end, tally).await });
    }
    let mut all = Tally::new()?;
    while let Some(ended) = clients.join_next().await {
        let tally = ended.map_err(|error| LoadError(format!("a client died: {error}")))?;
        all.latencies
            .add(&tally.latencies)
            .map_err(|error| LoadError(error.to_string()))?;
        for (kind, count) in &tally.failures {
            all.fail(kind, *count);
        }
    }
    Ok(summary(&all, start.elapsed()))
}

fn summary(all: &Tally, elapsed: Duration) -> LoadResult {
    let at = |q| Duration::from_micros(all.latencies.value_at_quantile(q));
    let succeeded = all.latencies.len();
    LoadResult {
        succeeded,
        failed: all.failures.values().sum(),
        failures: all.failures.clone(),
        elapsed,
        per_second: succeeded as f64 / elapsed.as_secs_f64().max(1e-9),
        latencies: Latencies {
            mean: Duration::from_micros(all.latencies.mean() as u64),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: Duration::from_micros(all.latencies.max()),
        },
    }
}

/// One client until `end`; a request that began before may end after it.
async fn client(
    spec: &LoadSpec,
    number: usize,
    endpoint: SocketAddr,
    headers: HeaderMap,
    end: Instant,
    mut tally: Tally,
) -> Tally {
    let mut random = ChaCha8Rng::seed_from_u64(spec.seed.wrapping_add(number as u64));
    let mut connection: Option<SendRequest<Full<Bytes>>> = None;
    while Instant::now() < end {
        let begun = Instant::now();
        let body = Bytes::from(spec.body(random.random_range(0..spec.keys)));
        let attempt = async {
            let mut sender = match connection.take() {
                Some(sender) => sender,
                None => connect(endpoint).await.ok_or("connect".to_owned())?,
            };
            let status = request(&mut sender, headers.clone(), body)
                .await
                .ok_or("no answer".to_owned())?;
            connection = Some(sender);
            if status == 200 {
                Ok(())
            } else {
                Err(status.to_string())
            }
        };
        let result = timeout(spec.deadline, attempt)
            .await
            .unwrap_or_else(|_| Err("deadline".to_owned()));
        match result {
            Ok(()) => {
                let micros = begun.elapsed().as_micros() as u64;
                tally.latencies.saturating_record(micros.max(1));
            }
            Err(kind) => {
                tally.fail(&kind, 1);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    tally
}

async fn connect(endpoint: SocketAddr) -> Option<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(endpoint).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    // Ends when the sender is dropped or the peer closes.
    tokio::spawn(connection);
    Some(sender)
}

/// Sends a request and reads all of its answer; its status, or `None` if
/// there was no whole answer.
async fn request(
    sender: &mut SendRequest<Full<Bytes>>,
    headers: HeaderMap,
    body: Bytes,
) -> Option<u16> {
    sender.ready().await.ok()?;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static("/");
    *request.headers_mut() = headers;
    let response = sender.send_request(request).await.ok()?;
    let status = response.status().as_u16();
    Limited::new(response.into_body(), MAX_REPLY)
        .collect()
        .await
        .ok()?;
    Some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(operation: LoadOperation) -> LoadSpec {
        LoadSpec {
            endpoints: vec![([127, 0, 0, 1], 1).into()],
            table: "bench".into(),
            key: "id".into(),
            operation,
            clients: 1,
            duration: Duration::from_millis(1),
            keys: 10,
            value_size: 5,
            seed: 1,
            deadline: Duration::from_secs(1),
        }
    }

    #[test]
    fn bodies_are_json_of_the_size_asked_for() {
        let body = |operation| -> serde_json::Value {
            serde_json::from_slice(&spec(operation).body(7)).unwrap()
        };
        let put = body(LoadOperation::Put);
        assert_eq!(put["Item"]["id"]["S"], "key-000000000007");
        assert_eq!(put["Item"]["v"]["S"], "xxxxx");
        let get = body(LoadOperation::Get);
        assert_eq!(
            get["Key"],
            serde_json::json!({"id": {"S": "key-000000000007"}})
        );
        assert_eq!(get["ConsistentRead"], true);
    }

    #[test]
    fn impossible_loads_are_refused() {
        let changes: [fn(&mut LoadSpec); 6] = [
            |s| s.endpoints.clear(),
            |s| s.table = "a\"b".into(),
            |s| s.key = "\"".into(),
            |s| s.clients = 0,
            |s| s.keys = 0,
            |s| s.value_size = 1 << 20,
        ];
        assert_eq!(spec(LoadOperation::Put).check(), Ok(()));
        for change in changes {
            let mut spec = spec(LoadOperation::Put);
            change(&mut spec);
            assert!(spec.check().is_err());
        }
    }

    #[test]
    fn kinds_of_failures_are_bounded() {
        let mut tally = Tally::new().unwrap();
        for n in 0..100 {
            tally.fail(&n.to_string(), 2);
        }
        assert!(tally.failures.len() <= MAX_KINDS + 1);
        assert_eq!(summary(&tally, Duration::from_secs(1)).failed, 200);
    }
}
