//! What an answer over HTTP means (RFC 9110).
//!
//! | what was answered | class | a write | a read |
//! | --- | --- | --- | --- |
//! | a status that counts as success | – | ok | ok, with the value if there is one |
//! | 404, 410 to a read of what is written as well | – | – | ok: nothing there |
//! | 429 | throttled | failed | failed |
//! | 408: it gave up waiting | timeout | unknown | failed |
//! | 401, 403 | misconfigured | failed | failed |
//! | any other 4xx | rejected | failed | failed |
//! | 5xx | server | unknown | failed |
//! | any other status, or a value that is none | protocol | unknown | failed |

use super::HttpSpec;
use crate::classify::{failed, uncertain};
use gameday_record::{Call, ErrorClass, Outcome};
use serde_json::Value;

impl HttpSpec {
    /// Whether a status counts as success.
    pub(super) fn succeeds(&self, status: u16) -> bool {
        self.success
            .iter()
            .any(|(from, to)| (*from..=*to).contains(&status))
    }
}

/// What came of `call`.
pub(super) fn outcome(spec: &HttpSpec, call: &Call, status: u16, body: &[u8]) -> Outcome {
    let ok = |value| Outcome::Ok { value };
    let message = status.to_string();
    let read = !call.is_write();
    match status {
        404 | 410 if read && spec.write.is_some() => ok(None),
        status if spec.succeeds(status) => match &spec.write {
            Some(write) if read => match number(&write.value, body) {
                Ok(value) => ok(Some(value)),
                Err(why) => failed(ErrorClass::Protocol, &format!("{message}: {why}")),
            },
            _ => ok(None),
        },
        429 => failed(ErrorClass::Throttled, &message),
        408 => uncertain(call, ErrorClass::Timeout, &message),
        401 | 403 => failed(ErrorClass::Misconfigured, &message),
        400..=499 => failed(ErrorClass::Rejected, &message),
        500..=599 => uncertain(call, ErrorClass::Server, &message),
        _ => uncertain(call, ErrorClass::Protocol, &message),
    }
}

/// The number at a JSON pointer; that is the whole body if it is empty.
fn number(pointer: &str, body: &[u8]) -> Result<i64, String> {
    let text = std::str::from_utf8(body).map_err(|_| "a body that is no text")?;
    let of = |text: &str| text.trim().parse::<i64>();
    if pointer.is_empty() {
        return of(text).map_err(|_| "the body is no number".into());
    }
    let json: Value = serde_json::from_str(text).map_err(|e| format!("no JSON: {e}"))?;
    let found = match json.pointer(pointer) {
        Some(Value::Number(n)) => n.as_i64(),
        Some(Value::String(s)) => of(s).ok(),
        _ => None,
    };
    found.ok_or(format!("there is no number at {pointer}"))
}

#[cfg(test)]
mod tests {
    use super::super::HttpWrite;
    use super::*;
    use crate::classify::tests::{one_of_each, short};

    fn spec(value: Option<&str>) -> HttpSpec {
        HttpSpec {
            path: "/{key}".into(),
            read: "GET".into(),
            write: value.map(|value| HttpWrite {
                method: "PUT".into(),
                body: "{value}".into(),
                delete: "DELETE".into(),
                value: value.into(),
            }),
            headers: Vec::new(),
            success: vec![(200, 299)],
        }
    }

    #[test]
    fn the_table() {
        let (fp, fr, fm) = ("failed protocol", "failed rejected", "failed misconfigured");
        // A status and a body, and the outcomes of a read and of a write.
        for (status, body, read, write) in [
            (200, "{\"a\":{\"v\":5}}", "ok 5", "ok"),
            (201, "{\"a\":{\"v\":\"-5\"}}", "ok -5", "ok"),
            (200, "{\"a\":{}}", fp, "ok"),
            (200, "{\"a\":{\"v\":5.5}}", fp, "ok"),
            (200, "five", fp, "ok"),
            (404, "", "ok", fr),
            (410, "", "ok", fr),
            (429, "", "failed throttled", "failed throttled"),
            (408, "", "failed timeout", "unknown timeout"),
            (401, "", fm, fm),
            (403, "", fm, fm),
            (400, "", fr, fr),
            (409, "", fr, fr),
            (412, "", fr, fr),
            (425, "", fr, fr),
            (500, "", "failed server", "unknown server"),
            (502, "", "failed server", "unknown server"),
            (503, "", "failed server", "unknown server"),
            (504, "", "failed server", "unknown server"),
            (302, "", fp, "unknown protocol"),
            (304, "", fp, "unknown protocol"),
        ] {
            let [r, eventual, w, insert, ..] = one_of_each("k1");
            for (call, expected) in [(r, read), (eventual, read), (w, write), (insert, write)] {
                let got = outcome(&spec(Some("/a/v")), &call, status, body.as_bytes());
                assert_eq!(short(&got), expected, "{call:?} {status} {body}");
            }
        }
    }

    #[test]
    fn the_whole_body_may_be_the_value_and_what_is_only_read_has_none() {
        let [read, ..] = one_of_each("k1");
        let of = |value, status, body: &str| {
            short(&outcome(&spec(value), &read, status, body.as_bytes()))
        };
        assert_eq!(of(Some(""), 200, " 12\n"), "ok 12");
        assert_eq!(of(Some(""), 200, "12 apples"), "failed protocol");
        assert_eq!(of(None, 200, "<html>"), "ok");
        assert_eq!(of(None, 404, ""), "failed rejected");
        let mut lenient = spec(None);
        lenient.success = vec![(200, 204), (404, 404)];
        assert_eq!(short(&outcome(&lenient, &read, 404, b"")), "ok");
        assert_eq!(
            short(&outcome(&lenient, &read, 206, b"")),
            "failed protocol"
        );
    }
}
