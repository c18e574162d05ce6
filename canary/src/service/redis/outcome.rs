//! What a reply of Redis means.
//!
//! | reply | class | a write | a read |
//! | --- | --- | --- | --- |
//! | as expected | – | ok | ok |
//! | the script found another value | condition | failed | – |
//! | nil to `SET … NX`: the key is there | rejected | failed | – |
//! | an error that comes before anything is done: `READONLY`, `LOADING`, `MASTERDOWN`, `CLUSTERDOWN`, `MOVED`, `ASK`, `TRYAGAIN`, `OOM`, `MISCONF`, `NOREPLICAS`, `BUSY`, too many clients | server | failed | failed |
//! | `WRONGTYPE` | rejected | failed | failed |
//! | `NOAUTH`, `WRONGPASS`, `NOPERM`, `DENIED` | misconfigured | failed | failed |
//! | any other error | server | unknown | failed |
//! | a reply of another kind | protocol | unknown | failed |
//!
//! That these come before anything is done is said by Redis' source (`processCommand` in
//! `server.c` refuses by them what it has not begun to execute; a script that meets one of
//! them does at its only write).

use super::resp::Reply;
use crate::classify::{condition_failed, failed, uncertain};
use gameday_record::{Call, ErrorClass, Outcome};

/// First words of errors after which nothing was done.
const NOTHING_DONE: [&str; 11] = [
    "ASK",
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "MOVED",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "TRYAGAIN",
];

/// First words of errors that say that the one who asks is at fault.
const MISCONFIGURED: [&str; 4] = ["DENIED", "NOAUTH", "NOPERM", "WRONGPASS"];

/// Said to whoever connects when there are too many.
const TOO_MANY: &str = "ERR max number of clients reached";

/// What came of `call`, and whether the connection is worth keeping.
pub(super) fn outcome(call: &Call, reply: &Reply) -> (Outcome, bool) {
    match reply {
        Reply::Error(text) => error(call, text),
        reply => (answered(call, reply), true),
    }
}

fn error(call: &Call, text: &str) -> (Outcome, bool) {
    let outcome = match class(text) {
        Some(class) => failed(class, text),
        None => uncertain(call, ErrorClass::Server, text),
    };
    // Where nothing can be written any more there is another primary by now: whoever
    // connects again finds it.
    let gone = ["READONLY", "MASTERDOWN", TOO_MANY];
    (outcome, !gone.iter().any(|g| text.starts_with(g)))
}

/// The class of an error after which certainly nothing was done.
pub(super) fn class(text: &str) -> Option<ErrorClass> {
    let word = text.split(' ').next().unwrap_or_default();
    if NOTHING_DONE.contains(&word) || text == TOO_MANY {
        Some(ErrorClass::Server)
    } else if MISCONFIGURED.contains(&word) {
        Some(ErrorClass::Misconfigured)
    } else if word == "WRONGTYPE" {
        Some(ErrorClass::Rejected)
    } else {
        None
    }
}

fn answered(call: &Call, reply: &Reply) -> Outcome {
    let ok = |value| Outcome::Ok { value };
    match (call, reply) {
        (Call::Read { .. }, Reply::Bulk(found)) => match found.as_deref().map(value) {
            None => ok(None),
            Some(Ok(n)) => ok(Some(n)),
            Some(Err(why)) => uncertain(call, ErrorClass::Protocol, &why),
        },
        (Call::Write { .. } | Call::Insert { .. }, Reply::Status(s)) if s == "OK" => ok(None),
        (Call::Insert { .. }, Reply::Bulk(None)) => {
            failed(ErrorClass::Rejected, "the key is there already")
        }
        (Call::Add { .. }, Reply::Integer(sum)) => ok(Some(*sum)),
        (Call::Cas { .. }, Reply::Array(Some(parts))) => match &parts[..] {
            [Reply::Integer(1)] => ok(None),
            [Reply::Integer(0), Reply::Bulk(None)] => condition_failed(Some(None)),
            [Reply::Integer(0), Reply::Bulk(Some(found))] => match value(found) {
                Ok(n) => condition_failed(Some(Some(n))),
                Err(why) => uncertain(call, ErrorClass::Protocol, &why),
            },
            _ => odd(call),
        },
        _ => odd(call),
    }
}

fn odd(call: &Call) -> Outcome {
    let why = "a reply that does not fit the command";
    uncertain(call, ErrorClass::Protocol, why)
}

/// The number before the filler.
fn value(text: &[u8]) -> Result<i64, String> {
    let number = text.split(|b| *b == b' ').next().unwrap_or_default();
    let read = std::str::from_utf8(number)
        .ok()
        .and_then(|n| n.parse().ok());
    read.ok_or_else(|| {
        let number = String::from_utf8_lossy(number);
        format!("the value '{number}' was not written by a canary")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::tests::{one_of_each, short};

    fn bulk(text: &str) -> Reply {
        Reply::Bulk(Some(text.as_bytes().to_vec()))
    }

    #[test]
    fn the_table() {
        let error = |text: &str| Reply::Error(text.into());
        let found = |parts: &[Reply]| Reply::Array(Some(parts.to_vec()));
        let fp = "failed protocol";
        let up = "unknown protocol";
        // A reply, and the outcomes of a read, a write, an insert, a compare-and-set and an
        // addition.
        let mut table = vec![
            (Reply::Status("OK".into()), [fp, "ok", "ok", up, up]),
            (Reply::Status("QUEUED".into()), [fp, up, up, up, up]),
            (bulk("5"), ["ok 5", up, up, up, up]),
            (bulk("-5 xxx"), ["ok -5", up, up, up, up]),
            (bulk("5x"), [fp, up, up, up, up]),
            (bulk(""), [fp, up, up, up, up]),
            (Reply::Bulk(None), ["ok", up, "failed rejected", up, up]),
            (Reply::Integer(7), [fp, up, up, up, "ok 7"]),
            (Reply::Array(None), [fp, up, up, up, up]),
            (found(&[Reply::Integer(1)]), [fp, up, up, "ok", up]),
            (
                found(&[Reply::Integer(0), bulk("5 xx")]),
                [fp, up, up, "failed condition saw 5", up],
            ),
            (
                found(&[Reply::Integer(0), Reply::Bulk(None)]),
                [fp, up, up, "failed condition saw nothing", up],
            ),
            (found(&[Reply::Integer(0)]), [fp, up, up, up, up]),
            (found(&[Reply::Integer(0), bulk("x")]), [fp, up, up, up, up]),
        ];
        for text in [
            "MOVED 3999 127.0.0.1:6381",
            "ASK 3999 127.0.0.1:6381",
            "READONLY You can't write against a read only replica.",
            "LOADING Redis is loading the dataset in memory",
            "CLUSTERDOWN The cluster is down",
            "MASTERDOWN Link with MASTER is down",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "MISCONF Redis is configured to save RDB snapshots",
            "NOREPLICAS Not enough good replicas to write.",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "BUSY Redis is busy running a script.",
            "ERR max number of clients reached",
        ] {
            table.push((error(text), ["failed server"; 5]));
        }
        table.push((
            error("WRONGTYPE Operation against a key"),
            ["failed rejected"; 5],
        ));
        for text in [
            "NOAUTH Authentication required.",
            "NOPERM this user has no permissions",
            "WRONGPASS invalid username-password pair",
            "DENIED Redis is running in protected mode",
        ] {
            table.push((error(text), ["failed misconfigured"; 5]));
        }
        let us = "unknown server";
        for text in [
            "ERR unknown command",
            "ERR max number of clients reached, perhaps",
            "NOREPLICASX",
            "UNKILLABLE",
            "",
        ] {
            table.push((error(text), ["failed server", us, us, us, us]));
        }
        let [read, _, write, insert, cas, add] = one_of_each("k1");
        for (reply, expected) in &table {
            for (call, expected) in [&read, &write, &insert, &cas, &add].iter().zip(expected) {
                let (got, _) = outcome(call, reply);
                assert_eq!(short(&got), *expected, "{call:?} {reply:?}");
            }
        }
    }

    #[test]
    fn a_connection_to_what_is_no_primary_any_more_is_not_kept() {
        let [_, _, write, ..] = one_of_each("k1");
        let keep = |text: &str| outcome(&write, &Reply::Error(text.into())).1;
        assert!(!keep("READONLY You can't write"));
        assert!(!keep("MASTERDOWN Link with MASTER is down"));
        assert!(!keep(TOO_MANY));
        assert!(keep("NOREPLICAS Not enough good replicas to write."));
    }
}
