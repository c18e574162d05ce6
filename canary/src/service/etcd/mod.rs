//! etcd by the JSON gateway of its API, version 3 (etcd 3.4 and later).
//!
//! | call | request |
//! | --- | --- |
//! | strongly consistent read | `/v3/kv/range` |
//! | eventually consistent read | `/v3/kv/range`, `serializable`: what this member has |
//! | write | `/v3/kv/put` |
//! | insert | `/v3/kv/txn`: if the key was never created, put |
//! | compare-and-set | `/v3/kv/txn`: if the value is the expected one, put, else range |
//! | addition | none: it would be a loop of others |
//!
//! A key is `<table>/<key>`, a value the number, a space and the filler. A comparison of two
//! bounds finds the number whatever the filler is.
//! <https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/>

mod outcome;

use super::once::once;
use super::url::{Parts, ServiceUrl, az_of};
use super::{Answer, CallKind, Fut, Place, Service, ServiceSpec};
use crate::config::{CanaryConfig, Endpoint};
use crate::exchange;
use crate::workload::Drawn;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use gameday_record::{Call, Outcome};
use serde_json::json;

/// Port where none is given.
const PORT: u16 = 2379;

/// Keys that are deleted in one transaction; a server takes 128 operations by default.
const DELETED: usize = 100;

/// Reads `[AZ=]http[s]://host[:port]`.
///
/// # Errors
/// What is wrong with it, for people.
pub fn parse(text: &str) -> Result<ServiceUrl, String> {
    let (az, url) = az_of(text)?;
    let parts = Parts::parse(url)?;
    let tls = match parts.scheme.as_str() {
        "http" => false,
        "https" => true,
        other => {
            return Err(format!(
                "'{other}://' is no etcd; write http:// or https://"
            ));
        }
    };
    if parts.user.is_some() || parts.password.is_some() {
        return Err("users of etcd are not supported: a member without authentication is".into());
    }
    if !parts.path.is_empty() || !parts.query.is_empty() {
        return Err("an endpoint is a URL without path and query".into());
    }
    if parts.hosts.len() > 1 {
        return Err(
            "each member is an endpoint of its own: repeat the option, each with an AZ".into(),
        );
    }
    Ok(ServiceUrl {
        az,
        hosts: parts.endpoints(tls, PORT),
        service: ServiceSpec::Etcd,
    })
}

/// Whether it has this kind of call.
///
/// # Errors
/// Why not, and what to do instead.
pub fn can(kind: CallKind) -> Result<(), String> {
    match kind {
        CallKind::Add => {
            Err("etcd has no addition; count with compare-and-set instead (a share of cas)".into())
        }
        _ => Ok(()),
    }
}

/// etcd as a service.
#[derive(Debug)]
pub struct Etcd {
    /// What keys of each table begin with.
    prefixes: Vec<String>,
    /// As long as it gets.
    filler: String,
    /// What each endpoint is called.
    hosts: Vec<String>,
}

impl Etcd {
    /// With the endpoints, the tables and the item size of `config`.
    pub fn new(config: &CanaryConfig) -> Self {
        Etcd {
            prefixes: config.tables().iter().map(|t| prefix(t)).collect(),
            filler: "x".repeat(config.most_filler()),
            hosts: config.endpoints.iter().map(Endpoint::host).collect(),
        }
    }

    fn value(&self, number: i64, bytes: u32) -> String {
        BASE64.encode([&number.to_string(), " ", &self.filler[..bytes as usize]].concat())
    }
}

/// What keys of a table begin with.
fn prefix(table: &str) -> String {
    format!("{table}/")
}

fn post(host: &str, path: &str, body: &str) -> Vec<u8> {
    let headers = [("host", host), ("content-type", "application/json")];
    exchange::request(&["POST ", path].concat(), headers, body.as_bytes())
}

impl Service for Etcd {
    fn request(&self, drawn: &Drawn, endpoint: usize) -> Vec<u8> {
        let key = [&self.prefixes[drawn.table], drawn.call.key()].concat();
        let key = &BASE64.encode(key);
        let put = |value| {
            let value = self.value(value, drawn.bytes);
            ["{\"key\":\"", key, "\",\"value\":\"", &value, "\"}"].concat()
        };
        let (path, body) = match &drawn.call {
            Call::Read { strong, .. } => {
                let serializable = if *strong {
                    ""
                } else {
                    ",\"serializable\":true"
                };
                (
                    "range",
                    ["{\"key\":\"", key, "\"", serializable, "}"].concat(),
                )
            }
            Call::Write { value, .. } => ("put", put(*value)),
            Call::Insert { value, .. } => ("txn", transaction(&absent(key), &put(*value), "")),
            Call::Cas { expected, new, .. } => {
                let condition = match expected {
                    None => absent(key),
                    Some(number) => equal(key, *number),
                };
                let found = ["{\"request_range\":{\"key\":\"", key, "\"}}"].concat();
                ("txn", transaction(&condition, &put(*new), &found))
            }
            // Refused beforehand: it has no such call.
            Call::Add { .. } => ("range", "{}".into()),
        };
        post(&self.hosts[endpoint], &["/v3/kv/", path].concat(), &body)
    }

    fn answer(&self, call: &Call, bytes: &[u8], closed: bool) -> Answer<Outcome> {
        exchange::answer(bytes, closed).map(|r| outcome::outcome(call, r.status, &r.body))
    }

    fn prepare<'a>(&'a self, at: Place<'a>, _: bool) -> Fut<'a, Result<bool, String>> {
        Box::pin(async move {
            let body = json!({ "key": BASE64.encode(prefix(at.table)), "count_only": true });
            let asked = asked(self, at, "range", &body);
            asked.await.map(|()| false)
        })
    }

    fn clear<'a>(&'a self, at: Place<'a>, keys: Vec<String>) -> Fut<'a, Result<(), String>> {
        Box::pin(async move {
            for some in keys.chunks(DELETED) {
                let deleted = some.iter().map(|key| {
                    let key = BASE64.encode([&prefix(at.table), key.as_str()].concat());
                    json!({"request_delete_range": {"key": key}})
                });
                let body = json!({"success": deleted.collect::<Vec<_>>()});
                asked(self, at, "txn", &body).await?;
            }
            Ok(())
        })
    }
}

/// Asks what is prepared with; an answer other than 200 is an error.
async fn asked(
    etcd: &Etcd,
    at: Place<'_>,
    path: &str,
    body: &serde_json::Value,
) -> Result<(), String> {
    let path = format!("/v3/kv/{path}");
    let request = post(&at.endpoint.host(), &path, &body.to_string());
    let read = |bytes: &[u8], closed| {
        exchange::answer(bytes, closed).map(|r| (r.status, outcome::message(r.status, &r.body)))
    };
    match once(etcd, at, &request, read).await? {
        (200, _) => Ok(()),
        (404, said) => Err(format!("{path}: {said}: is it etcd 3.4 or later?")),
        (_, said) => Err(format!("{path}: {said}")),
    }
}

/// If `conditions` hold, `put`; else `found`.
fn transaction(conditions: &str, put: &str, found: &str) -> String {
    [
        "{\"compare\":[",
        conditions,
        "],\"success\":[{\"request_put\":",
        put,
        "}],\"failure\":[",
        found,
        "]}",
    ]
    .concat()
}

/// The key is not there.
fn absent(key: &str) -> String {
    let target = ",\"target\":\"CREATE\",\"result\":\"EQUAL\",\"create_revision\":\"0\"}";
    ["{\"key\":\"", key, "\"", target].concat()
}

/// The number at the key is this one: its value is between `<number>` and `<number>!`,
/// where '!' is what follows the space behind each number.
fn equal(key: &str, number: i64) -> String {
    let bound = |result: &str, end: &str| {
        let value = BASE64.encode(format!("{number}{end}"));
        [
            "{\"key\":\"",
            key,
            "\",\"target\":\"VALUE\",\"result\":\"",
            result,
            "\",\"value\":\"",
            &value,
            "\"}",
        ]
        .concat()
    };
    [bound("GREATER", ""), bound("LESS", "!")].join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::tests::one_of_each;
    use crate::config::tests::config;
    use serde_json::Value;

    #[test]
    fn urls_are_read() {
        let url = parse("b=https://h").unwrap();
        assert_eq!(
            (url.az.as_deref(), url.hosts[0].port, url.hosts[0].tls),
            (Some("b"), 2379, true)
        );
        for (url, expected) in [
            ("redis://h", "http://"),
            ("http://u:p@h", "users"),
            ("http://h/x", "without path"),
            ("http://a,b", "repeat"),
        ] {
            let e = parse(url).unwrap_err();
            assert!(e.contains(expected), "{url}: {e}");
        }
    }

    fn sent(call: Call, bytes: u32) -> (String, Value) {
        let drawn = Drawn {
            call,
            table: 0,
            fresh: false,
            bytes,
        };
        let request = Etcd::new(&config()).request(&drawn, 0);
        let text = String::from_utf8(request).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("\r\nhost: 127.0.0.1:8000\r\n"), "{head}");
        assert!(
            head.contains(&format!("\r\ncontent-length: {}", body.len())),
            "{head}"
        );
        let path = head.strip_prefix("POST /v3/kv/").unwrap();
        (
            path.split(' ').next().unwrap().into(),
            serde_json::from_str(body).unwrap(),
        )
    }

    #[test]
    fn requests_are_what_the_gateway_asks_for() {
        let [read, eventual, write, insert, cas, _] = one_of_each("k1");
        let b = |text: &str| BASE64.encode(text);
        let (key, put) = (
            b("canary/k1"),
            json!({"key": b("canary/k1"), "value": b("9 xx")}),
        );
        assert_eq!(sent(read, 2), ("range".into(), json!({"key": key})));
        let body = json!({"key": key, "serializable": true});
        assert_eq!(sent(eventual, 2), ("range".into(), body));
        assert_eq!(sent(write, 2), ("put".into(), put.clone()));
        let absent =
            json!({"key": key, "target": "CREATE", "result": "EQUAL", "create_revision": "0"});
        let body = json!({"compare": [absent], "success": [{"request_put": put}], "failure": []});
        assert_eq!(sent(insert, 2), ("txn".into(), body));
        let bound = |result: &str, value: &str| json!({"key": key, "target": "VALUE", "result": result, "value": b(value)});
        let found = json!([{"request_range": {"key": key}}]);
        let body = json!({
            "compare": [bound("GREATER", "4"), bound("LESS", "4!")],
            "success": [{"request_put": put}],
            "failure": found,
        });
        assert_eq!(sent(cas, 2), ("txn".into(), body));
        let first = Call::Cas {
            key: "k1".into(),
            expected: None,
            new: 9,
        };
        let body =
            json!({"compare": [absent], "success": [{"request_put": put}], "failure": found});
        assert_eq!(sent(first, 2), ("txn".into(), body));
    }

    #[test]
    fn the_bounds_hold_one_number_whatever_the_filler() {
        let within =
            |value: &str, number: &str| value > number && value < &format!("{number}!")[..];
        for value in ["12 ", "12 x", "12 xxxxxxxx"] {
            assert!(within(value, "12"), "{value}");
            for other in ["1", "2", "120", "13", "11", "-12"] {
                assert!(!within(value, other), "{value} {other}");
            }
        }
    }

    #[test]
    fn additions_are_refused_with_what_to_do() {
        assert!(can(CallKind::Add).unwrap_err().contains("share of cas"));
        assert!(can(CallKind::Cas).is_ok());
    }
}
