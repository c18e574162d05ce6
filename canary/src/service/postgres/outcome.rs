//! What an answer of PostgreSQL means.
//!
//! | what was said | class | a write | a read |
//! | --- | --- | --- | --- |
//! | done, and ready again | – | ok | ok |
//! | no row was changed by a compare-and-set | condition | failed | – |
//! | no row was made by an insert: the key is there | rejected | failed | – |
//! | a warning: the wait for the standbys was given up, the commit stands here alone | server | unknown | ok |
//! | ERROR 40001, 40P01, 25006, 53xxx, 55P03, 57014: rolled back, or never begun | server | failed | failed |
//! | ERROR 22xxx, 23xxx: the statement cannot be | rejected | failed | failed |
//! | ERROR 42xxx: no such table, no right | misconfigured | failed | failed |
//! | any other error, and whatever is FATAL | server | unknown | failed |
//! | an answer that does not fit | protocol | unknown | failed |
//!
//! A statement is its own transaction, which commits at the sync behind it: an ERROR rolls
//! it back. The codes that count as such are a closed list (40003, say, is the code of a
//! server that does not know itself), and only of severity ERROR: a FATAL one may come while
//! a commit waits. <https://www.postgresql.org/docs/current/errcodes-appendix.html>

use super::frames::{Reply, Said};
use crate::classify::{condition_failed, failed, uncertain};
use gameday_record::{Call, ErrorClass, Outcome};

/// What came of `call`, and whether the connection is worth keeping.
pub(super) fn outcome(call: &Call, reply: &Reply) -> (Outcome, bool) {
    if let Some(error) = &reply.error {
        let outcome = match class(error) {
            Some(class) => failed(class, &error.to_string()),
            None => uncertain(call, ErrorClass::Server, &error.to_string()),
        };
        // A server that only reads: whoever connects again may find one that writes.
        return (outcome, reply.ready && error.code != "25006");
    }
    if let Some(warning) = reply.warning.as_ref().filter(|_| call.is_write()) {
        let outcome = uncertain(call, ErrorClass::Server, &warning.to_string());
        return (outcome, reply.ready);
    }
    let outcome = match answered(call, reply) {
        Ok(outcome) => outcome,
        Err(why) => uncertain(call, ErrorClass::Protocol, &why),
    };
    (outcome, reply.ready)
}

/// The class of an error after which certainly nothing was done.
fn class(error: &Said) -> Option<ErrorClass> {
    if error.severity != "ERROR" {
        return None;
    }
    match (error.code.as_str(), error.code.get(..2)?) {
        ("40001" | "40P01" | "25006" | "55P03" | "57014", _) | (_, "53") => {
            Some(ErrorClass::Server)
        }
        (_, "22" | "23") => Some(ErrorClass::Rejected),
        (_, "42") => Some(ErrorClass::Misconfigured),
        _ => None,
    }
}

fn answered(call: &Call, reply: &Reply) -> Result<Outcome, String> {
    let tag = reply.tag.as_deref().ok_or("it does not say what it did")?;
    let ok = |value| Ok(Outcome::Ok { value });
    match (call, tag) {
        (Call::Read { .. }, "SELECT 0") => ok(None),
        (Call::Read { .. }, "SELECT 1") => ok(Some(number(reply)?)),
        (Call::Write { .. }, "INSERT 0 1") => ok(None),
        (Call::Insert { .. }, "INSERT 0 1") => ok(None),
        (Call::Insert { .. }, "INSERT 0 0") => {
            Ok(failed(ErrorClass::Rejected, "the key is there already"))
        }
        (Call::Cas { .. }, "UPDATE 1" | "INSERT 0 1") => ok(None),
        // What was there instead is not reported.
        (Call::Cas { .. }, "UPDATE 0" | "INSERT 0 0") => Ok(condition_failed(None)),
        (Call::Add { .. }, "INSERT 0 1") => ok(Some(number(reply)?)),
        _ => Err(format!("'{tag}' does not fit the statement")),
    }
}

fn number(reply: &Reply) -> Result<i64, String> {
    let value = reply.value.as_ref().ok_or("it does not say the value")?;
    let value = value.as_deref().ok_or("the value is null")?;
    value
        .parse()
        .map_err(|_| format!("the value '{value}' is no number"))
}

#[cfg(test)]
mod tests {
    use super::super::frames::reply;
    use super::super::frames::tests::{done, ready, row, speaking};
    use super::*;
    use crate::classify::tests::{one_of_each, short};

    #[test]
    fn the_table() {
        let (fp, up) = ("failed protocol", "unknown protocol");
        let (fs, us) = ("failed server", "unknown server");
        let error = |code: &str| [speaking(b'E', "ERROR", code), ready()].concat();
        let with = |parts: &[Vec<u8>]| [parts.concat(), ready()].concat();
        let given_up = |code: &str, tag: &str| with(&[done(tag), speaking(b'N', "WARNING", code)]);
        // What was said, and the outcomes of a read, a write, an insert, a compare-and-set
        // and an addition.
        let mut table = vec![
            (
                with(&[row(Some("5")), done("SELECT 1")]),
                ["ok 5", up, up, up, up],
            ),
            (with(&[done("SELECT 0")]), ["ok", up, up, up, up]),
            (with(&[done("SELECT 1")]), [fp, up, up, up, up]),
            (with(&[row(None), done("SELECT 1")]), [fp, up, up, up, up]),
            (
                with(&[row(Some("x")), done("SELECT 1")]),
                [fp, up, up, up, up],
            ),
            (with(&[done("INSERT 0 1")]), [fp, "ok", "ok", "ok", up]),
            (
                with(&[row(Some("7")), done("INSERT 0 1")]),
                [fp, "ok", "ok", "ok", "ok 7"],
            ),
            (
                with(&[done("INSERT 0 0")]),
                [fp, up, "failed rejected", "failed condition", up],
            ),
            (with(&[done("UPDATE 1")]), [fp, up, up, "ok", up]),
            (
                with(&[done("UPDATE 0")]),
                [fp, up, up, "failed condition", up],
            ),
            (with(&[]), [fp, up, up, up, up]),
            (given_up("01000", "INSERT 0 1"), [fp, us, us, us, us]),
            (given_up("57P01", "UPDATE 1"), [fp, us, us, us, us]),
            (given_up("01000", "SELECT 0"), ["ok", us, us, us, us]),
            (speaking(b'E', "FATAL", "57P01"), [fs, us, us, us, us]),
            (speaking(b'E', "FATAL", "40001"), [fs, us, us, us, us]),
            (speaking(b'E', "PANIC", "53100"), [fs, us, us, us, us]),
            // It had said that it was done, but the commit failed.
            (
                with(&[done("INSERT 0 1"), speaking(b'E', "ERROR", "40001")]),
                [fs; 5],
            ),
        ];
        for code in [
            "40001", "40P01", "25006", "53100", "53200", "53300", "55P03", "57014",
        ] {
            table.push((error(code), [fs; 5]));
        }
        for code in ["22003", "23505", "23514"] {
            table.push((error(code), ["failed rejected"; 5]));
        }
        for code in ["42P01", "42501", "42703"] {
            table.push((error(code), ["failed misconfigured"; 5]));
        }
        for code in [
            "40003", "08006", "57P01", "57P02", "58030", "XX000", "", "4",
        ] {
            table.push((error(code), [fs, us, us, us, us]));
        }
        let [read, _, write, insert, cas, add] = one_of_each("k1");
        for (said, expected) in &table {
            let (reply, _) = reply(said, true).unwrap();
            for (call, expected) in [&read, &write, &insert, &cas, &add].iter().zip(expected) {
                let (got, _) = outcome(call, &reply);
                assert_eq!(short(&got), *expected, "{call:?} {reply:?}");
            }
        }
    }

    #[test]
    fn a_connection_to_what_only_reads_is_not_kept() {
        let [_, _, write, ..] = one_of_each("k1");
        let keep = |code: &str| {
            let said = [speaking(b'E', "ERROR", code), ready()].concat();
            outcome(&write, &reply(&said, false).unwrap().0).1
        };
        assert!(keep("40001"));
        assert!(!keep("25006"));
        let fatal = speaking(b'E', "FATAL", "57P01");
        assert!(!outcome(&write, &reply(&fatal, true).unwrap().0).1);
    }
}
