//! What an answer of etcd's gateway means.
//!
//! | answer | class | a write | a read |
//! | --- | --- | --- | --- |
//! | 200, understood | – | ok | ok |
//! | 200, the comparison of a compare-and-set did not hold | condition | failed | – |
//! | 200, the key of an insert is there | rejected | failed | – |
//! | 400 or 404 with code 3 or 12: invalid, not implemented | rejected | failed | failed |
//! | 401 or 403 with code 16 or 7: who asks is not known, or may not | misconfigured | failed | failed |
//! | 429 with code 8: too many requests, no space left | throttled | failed | failed |
//! | any other status: time-outs, no leader, a leader that changed | server | unknown | failed |
//! | an answer that makes no sense | protocol | unknown | failed |
//!
//! Codes are those of gRPC. What comes with 3, 7, 8, 12 and 16 is decided before a proposal
//! takes effect, or instead of it (`server/etcdserver/api/v3rpc/util.go`, `apply`).

use crate::classify::{condition_failed, failed, uncertain};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use gameday_record::{Call, ErrorClass, Outcome};
use serde::Deserialize;

/// The parts of an answer that matter. What is absent is its default, as protobuf has it.
#[derive(Debug, Default, Deserialize)]
struct Body {
    header: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    kvs: Vec<Item>,
    #[serde(default)]
    succeeded: bool,
    #[serde(default)]
    responses: Vec<Response>,
}

#[derive(Debug, Deserialize)]
struct Response {
    response_range: Option<Range>,
}

#[derive(Debug, Deserialize)]
struct Range {
    #[serde(default)]
    kvs: Vec<Item>,
}

#[derive(Debug, Deserialize)]
struct Item {
    key: String,
    #[serde(default)]
    value: String,
}

/// What it says of an error.
#[derive(Debug, Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    code: u32,
    #[serde(default)]
    message: String,
    #[serde(default)]
    error: String,
}

/// What an answer means.
pub(super) fn outcome(call: &Call, status: u16, body: &[u8]) -> Outcome {
    if status == 200 {
        return understood(call, body)
            .unwrap_or_else(|why| uncertain(call, ErrorClass::Protocol, &why));
    }
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let message = said(status, &refusal);
    match (status, refusal.code) {
        (400, 3) | (404, 12) | (501, 12) => failed(ErrorClass::Rejected, &message),
        (401, 16) | (403, 7) => failed(ErrorClass::Misconfigured, &message),
        (429, 8) => failed(ErrorClass::Throttled, &message),
        _ => uncertain(call, ErrorClass::Server, &message),
    }
}

/// A status with what was said.
pub(super) fn message(status: u16, body: &[u8]) -> String {
    said(status, &serde_json::from_slice(body).unwrap_or_default())
}

fn said(status: u16, refusal: &Refusal) -> String {
    let text = match refusal.message.is_empty() {
        true => &refusal.error,
        false => &refusal.message,
    };
    format!("{status} {text}").trim_end().into()
}

fn understood(call: &Call, body: &[u8]) -> Result<Outcome, String> {
    let body: Body = serde_json::from_slice(body)
        .map_err(|e| format!("200 with a body that is no answer: {e}"))?;
    if body.header.is_none() {
        return Err("200 with an answer without a header".into());
    }
    let ok = |value| Ok(Outcome::Ok { value });
    match call {
        Call::Read { key, .. } => ok(number(&body.kvs, key)?),
        Call::Write { .. } => ok(None),
        Call::Insert { .. } if body.succeeded => ok(None),
        Call::Insert { .. } => Ok(failed(ErrorClass::Rejected, "the key is there already")),
        Call::Cas { .. } if body.succeeded => ok(None),
        Call::Cas { key, .. } => match &body.responses[..] {
            [
                Response {
                    response_range: Some(found),
                },
            ] => Ok(condition_failed(Some(number(&found.kvs, key)?))),
            _ => Err("it does not say what it found".into()),
        },
        Call::Add { .. } => Err("an addition, which etcd has not".into()),
    }
}

/// The number of the one item of `key`; `None` without.
fn number(items: &[Item], key: &str) -> Result<Option<i64>, String> {
    let item = match items {
        [] => return Ok(None),
        [item] => item,
        _ => return Err("several items of one key".into()),
    };
    let text = |coded: &str| {
        let bytes = BASE64.decode(coded).ok()?;
        String::from_utf8(bytes).ok()
    };
    let found = text(&item.key).ok_or("a key that is no text")?;
    if !found.ends_with(&["/", key].concat()) {
        return Err(format!("asked for '{key}' and got '{found}'"));
    }
    let value = text(&item.value).ok_or("a value that is no text")?;
    let number = value.split(' ').next().unwrap_or_default();
    number
        .parse()
        .map(Some)
        .map_err(|_| format!("the value '{number}' was not written by a canary"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::tests::{one_of_each, short};

    #[test]
    fn the_table() {
        let b = |text: &str| BASE64.encode(text);
        let item = |key: &str, value: &str| {
            format!(
                r#""kvs":[{{"key":"{}","value":"{}","version":"1"}}],"count":"1""#,
                b(key),
                b(value)
            )
        };
        let with = |rest: &str| format!(r#"{{"header":{{"revision":"7"}}{rest}}}"#);
        let found = |items: &str| {
            with(&format!(
                r#","responses":[{{"response_range":{{"header":{{}},{items}}}}}]"#
            ))
        };
        let error = |code: u32| format!(r#"{{"error":"why","message":"why","code":{code}}}"#);
        let (fp, up, fr) = ("failed protocol", "unknown protocol", "failed rejected");
        let us = [
            "failed server",
            "unknown server",
            "unknown server",
            "unknown server",
        ];
        let five = item("t/k1", "5 xx");
        // Status and body, and the outcomes of a read, a write, an insert and a compare-and-set.
        for (status, body, expected) in [
            (200, with(""), ["ok", "ok", fr, up]),
            (
                200,
                with(r#","succeeded":true,"responses":[{}]"#),
                ["ok", "ok", "ok", "ok"],
            ),
            (200, with(&format!(",{five}")), ["ok 5", "ok", fr, up]),
            (
                200,
                found(&five),
                ["ok", "ok", fr, "failed condition saw 5"],
            ),
            (
                200,
                found(r#""count":"0""#),
                ["ok", "ok", fr, "failed condition saw nothing"],
            ),
            (200, found(&item("t/k2", "5 ")), ["ok", "ok", fr, up]),
            (
                200,
                with(&format!(",{}", item("t/k2", "5 "))),
                [fp, "ok", fr, up],
            ),
            (
                200,
                with(&format!(",{}", item("t/k1", "x"))),
                [fp, "ok", fr, up],
            ),
            (200, with(r#","kvs":[{"key":"?"}]"#), [fp, "ok", fr, up]),
            (200, "{}".into(), [fp, up, up, up]),
            (200, "hello".into(), [fp, up, up, up]),
            (400, error(3), [fr; 4]),
            (404, error(12), [fr; 4]),
            (401, error(16), ["failed misconfigured"; 4]),
            (403, error(7), ["failed misconfigured"; 4]),
            (429, error(8), ["failed throttled"; 4]),
            (503, error(14), us),
            (504, error(4), us),
            (500, error(2), us),
            // A status or a code alone decides nothing.
            (400, error(14), us),
            (503, error(3), us),
            (404, "404 page not found".into(), us),
            (302, String::new(), us),
        ] {
            let [read, eventual, write, insert, cas, _] = one_of_each("k1");
            for (call, expected) in [&read, &write, &insert, &cas].iter().zip(expected) {
                let got = short(&outcome(call, status, body.as_bytes()));
                assert_eq!(got, expected, "{call:?} {status} {body}");
            }
            assert_eq!(
                outcome(&eventual, status, body.as_bytes()),
                outcome(&read, status, body.as_bytes())
            );
        }
    }
}
