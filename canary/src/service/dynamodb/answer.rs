//! What an answer of the DynamoDB JSON protocol means.
//!
//! | what was answered | class | a write | a read |
//! | --- | --- | --- | --- |
//! | 200, understood | – | ok | ok |
//! | 400 ConditionalCheckFailedException | condition | failed | – |
//! | 400 of a throttle, 429 | throttled | failed | failed |
//! | 408: a gateway gave up waiting | timeout | unknown | failed |
//! | 400 about credentials, rights, signature, clock, validation, a missing table, of a table that is not the run's own | misconfigured | failed | failed |
//! | any other 4xx | rejected | failed | failed |
//! | 5xx | server | unknown | failed |
//! | anything else, or an answer that makes no sense | protocol | unknown | failed |

use crate::classify::{condition_failed, failed, uncertain};
use crate::config::Attributes;
use gameday_record::{Call, ErrorClass, Outcome};
use serde_json::{Map, Value};

/// Whose the tables are that a canary calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tables {
    /// The run made them on a store of its own: whatever is wrong with them, and
    /// with who may use them, is the store's doing.
    OfRun,
    /// Somebody's, who gave the canary its credentials, its rights and its table.
    Given,
}

/// Errors that say that the one who asks is at fault, as the error reference of
/// DynamoDB and the common errors of AWS's services name them.
const MISCONFIGURED: [&str; 21] = [
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "OptInRequired",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "ResourceNotFoundException",
    "SerializationException",
    "SignatureDoesNotMatch",
    "UnknownOperationException",
    "UnrecognizedClientException",
    "ValidationError",
    "ValidationException",
];

/// What an answer means.
pub(super) fn outcome(
    call: &Call,
    attributes: &Attributes,
    tables: Tables,
    status: u16,
    body: &[u8],
) -> Outcome {
    let object = serde_json::from_slice::<Map<String, Value>>(body);
    if status == 200 {
        let understood = object
            .map_err(|e| format!("200 with a body that is no JSON object: {e}"))
            .and_then(|object| match call {
                Call::Read { key, .. } => found(&object, attributes, key),
                Call::Add { .. } => sum(&object, attributes).map(Some),
                Call::Write { .. } | Call::Insert { .. } | Call::Cas { .. } => Ok(None),
            });
        return match understood {
            Ok(value) => Outcome::Ok { value },
            Err(why) => uncertain(call, ErrorClass::Protocol, &why),
        };
    }
    let object = object.unwrap_or_default();
    let name = error_name(&object);
    let message = describe(status, name, &object);
    match (status, name) {
        (400, "ConditionalCheckFailedException") => condition(call, attributes, &object, &message),
        (
            400,
            "ProvisionedThroughputExceededException"
            | "ThrottlingException"
            | "RequestLimitExceeded",
        )
        | (429, _) => failed(ErrorClass::Throttled, &message),
        (408, _) => uncertain(call, ErrorClass::Timeout, &message),
        (400..=499, name) if tables == Tables::Given && MISCONFIGURED.contains(&name) => {
            failed(ErrorClass::Misconfigured, &message)
        }
        (400..=499, _) => failed(ErrorClass::Rejected, &message),
        (500..=599, _) => uncertain(call, ErrorClass::Server, &message),
        _ => uncertain(call, ErrorClass::Protocol, &message),
    }
}

/// A condition that did not hold: an answer, which reports the current item.
fn condition(
    call: &Call,
    attributes: &Attributes,
    object: &Map<String, Value>,
    message: &str,
) -> Outcome {
    let Call::Cas { key, .. } = call else {
        let why = format!("{message}, but there was no condition");
        return uncertain(call, ErrorClass::Protocol, &why);
    };
    match found(object, attributes, key) {
        // No `Item` may mean that there is none, or that the service does not
        // report it: not reported is what is certain.
        Ok(value) => condition_failed(value.map(Some)),
        Err(why) => uncertain(call, ErrorClass::Protocol, &format!("{message}: {why}")),
    }
}

/// The value of the `Item` in an answer about `key`; `None` without item.
fn found(
    object: &Map<String, Value>,
    attributes: &Attributes,
    key: &str,
) -> Result<Option<i64>, String> {
    let item = match object.get("Item") {
        None => return Ok(None),
        Some(Value::Object(item)) => item,
        Some(_) => return Err("Item is no object".into()),
    };
    let of = |name: &str, kind: &str| item.get(name)?.as_object()?.get(kind)?.as_str();
    match of(&attributes.key, "S") {
        Some(k) if k == key => {}
        Some(k) => return Err(format!("asked for item '{key}' and got '{k}'")),
        None => return Err("the item has no key".into()),
    }
    let number = of(&attributes.value, "N").ok_or("the item has no value")?;
    number
        .parse()
        .map(Some)
        .map_err(|_| format!("the item's value '{number}' was not written by a canary"))
}

/// The sum in the `Attributes` of an answer to an addition that asked for it.
fn sum(object: &Map<String, Value>, attributes: &Attributes) -> Result<i64, String> {
    let of = |kind: &str| {
        let attribute = object.get("Attributes")?.get(&attributes.value)?;
        attribute.get(kind)?.as_str()
    };
    let number = of("N").ok_or("the answer does not say the sum")?;
    number
        .parse()
        .map_err(|_| format!("the sum '{number}' was not made by canaries"))
}

/// `Name` of `"__type":"namespace#Name"`.
fn error_name(object: &Map<String, Value>) -> &str {
    let full = object.get("__type").and_then(Value::as_str).unwrap_or("");
    full.rsplit('#').next().unwrap_or(full)
}

fn describe(status: u16, name: &str, object: &Map<String, Value>) -> String {
    let said = ["message", "Message"]
        .iter()
        .find_map(|m| object.get(*m)?.as_str())
        .unwrap_or("");
    let mut text = status.to_string();
    for part in [name, said] {
        if !part.is_empty() {
            text.push(' ');
            text.push_str(part);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::tests::short;

    fn of(call: &Call, tables: Tables, (status, body): &Said) -> Outcome {
        outcome(
            call,
            &Attributes::default(),
            tables,
            *status,
            body.as_bytes(),
        )
    }

    /// A status and a body.
    type Said = (u16, String);

    fn answer(status: u16, body: &str) -> Said {
        (status, body.to_string())
    }

    fn error(status: u16, name: &str) -> Said {
        let body =
            format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{name}","message":"why"}}"#);
        answer(status, &body)
    }

    #[test]
    fn the_table() {
        let item = r#"{"Item":{"pk":{"S":"k1"},"v":{"N":"5"},"pad":{"S":"x"}}}"#;
        let ccf = |rest: &str| {
            answer(
                400,
                &format!(r#"{{"__type":"x#ConditionalCheckFailedException","message":"m"{rest}}}"#),
            )
        };
        // what is answered, then the outcomes of a strong read, a write and a compare-and-set.
        let table: Vec<(Said, [&str; 3])> = vec![
            (answer(200, item), ["ok 5", "ok", "ok"]),
            (answer(200, "{}"), ["ok", "ok", "ok"]),
            (
                answer(200, ""),
                ["failed protocol", "unknown protocol", "unknown protocol"],
            ),
            (
                answer(200, "[null]"),
                ["failed protocol", "unknown protocol", "unknown protocol"],
            ),
            (
                answer(200, r#"{"Item":null}"#),
                ["failed protocol", "ok", "ok"],
            ),
            (
                answer(200, r#"{"Item":{"pk":{"S":"k1"}}}"#),
                ["failed protocol", "ok", "ok"],
            ),
            (
                answer(200, r#"{"Item":{"pk":{"S":"k2"},"v":{"N":"5"}}}"#),
                ["failed protocol", "ok", "ok"],
            ),
            (
                answer(200, r#"{"Item":{"pk":{"S":"k1"},"v":{"N":"5.5"}}}"#),
                ["failed protocol", "ok", "ok"],
            ),
            (
                ccf(r#","Item":{"pk":{"S":"k1"},"v":{"N":"5"}}"#),
                [
                    "failed protocol",
                    "unknown protocol",
                    "failed condition saw 5",
                ],
            ),
            (
                ccf(""),
                ["failed protocol", "unknown protocol", "failed condition"],
            ),
            (
                ccf(r#","Item":{"pk":{"S":"k2"},"v":{"N":"5"}}"#),
                ["failed protocol", "unknown protocol", "unknown protocol"],
            ),
            (
                error(400, "ProvisionedThroughputExceededException"),
                ["failed throttled"; 3],
            ),
            (error(400, "ThrottlingException"), ["failed throttled"; 3]),
            (error(400, "RequestLimitExceeded"), ["failed throttled"; 3]),
            (answer(429, ""), ["failed throttled"; 3]),
            (error(400, "ValidationException"), ["failed rejected"; 3]),
            (
                error(400, "ResourceNotFoundException"),
                ["failed rejected"; 3],
            ),
            (answer(400, "not json"), ["failed rejected"; 3]),
            (
                answer(404, "<UnknownOperationException/>\n"),
                ["failed rejected"; 3],
            ),
            (answer(413, ""), ["failed rejected"; 3]),
            (
                answer(408, ""),
                ["failed timeout", "unknown timeout", "unknown timeout"],
            ),
            (
                error(500, "InternalServerError"),
                ["failed server", "unknown server", "unknown server"],
            ),
            (
                answer(503, "busy"),
                ["failed server", "unknown server", "unknown server"],
            ),
            // A 5xx that names a definite error is still a 5xx.
            (
                error(500, "ConditionalCheckFailedException"),
                ["failed server", "unknown server", "unknown server"],
            ),
            (
                answer(204, ""),
                ["failed protocol", "unknown protocol", "unknown protocol"],
            ),
            (
                answer(302, ""),
                ["failed protocol", "unknown protocol", "unknown protocol"],
            ),
        ];
        let key = || "k1".to_string();
        let calls = [
            Call::Read {
                key: key(),
                strong: true,
            },
            Call::Write {
                key: key(),
                value: 9,
            },
            Call::Cas {
                key: key(),
                expected: Some(4),
                new: 9,
            },
        ];
        for (said, expected) in &table {
            for (call, expected) in calls.iter().zip(expected) {
                let got = short(&of(call, Tables::OfRun, said));
                assert_eq!(&got, expected, "{call:?} {said:?}");
            }
            let eventual = Call::Read {
                key: key(),
                strong: false,
            };
            assert_eq!(
                of(&eventual, Tables::OfRun, said),
                of(&calls[0], Tables::OfRun, said)
            );
        }
    }

    #[test]
    fn whoever_asks_wrongly_is_at_fault_unless_the_table_is_the_runs_own() {
        let call = Call::Write {
            key: "k1".into(),
            value: 9,
        };
        for name in MISCONFIGURED {
            let said = error(400, name);
            assert_eq!(
                short(&of(&call, Tables::Given, &said)),
                "failed misconfigured",
                "{name}"
            );
            assert_eq!(
                short(&of(&call, Tables::OfRun, &said)),
                "failed rejected",
                "{name}"
            );
        }
        // Its own trouble, that of a proxy, and one that is the store's although it is a 400.
        for (said, expected) in [
            (error(500, "AccessDeniedException"), "unknown server"),
            (answer(400, "Bad Request"), "failed rejected"),
            (answer(403, ""), "failed rejected"),
            (
                error(400, "ReplicatedWriteConflictException"),
                "failed rejected",
            ),
            (error(400, "ThrottlingException"), "failed throttled"),
        ] {
            assert_eq!(
                short(&of(&call, Tables::Given, &said)),
                expected,
                "{said:?}"
            );
        }
    }

    #[test]
    fn an_addition_reports_its_sum_or_is_not_understood() {
        let add = Call::Add {
            key: "c1".into(),
            delta: 2,
        };
        for (body, expected) in [
            (r#"{"Attributes":{"v":{"N":"7"}}}"#, "ok 7"),
            (r#"{"Attributes":{"w":{"N":"7"}}}"#, "unknown protocol"),
            (r#"{"Attributes":{"v":{"N":"7.5"}}}"#, "unknown protocol"),
            (r#"{"Attributes":[]}"#, "unknown protocol"),
            ("{}", "unknown protocol"),
        ] {
            let got = of(&add, Tables::OfRun, &answer(200, body));
            assert_eq!(short(&got), expected, "{body}");
        }
        let insert = Call::Insert {
            key: "i1".into(),
            value: 2,
        };
        assert_eq!(short(&of(&insert, Tables::OfRun, &answer(200, "{}"))), "ok");
    }

    #[test]
    fn messages_say_what_was_answered() {
        let call = Call::Read {
            key: "k1".into(),
            strong: true,
        };
        let o = of(&call, Tables::OfRun, &error(500, "InternalServerError"));
        assert_eq!(o.failure().unwrap().message, "500 InternalServerError why");
    }
}
