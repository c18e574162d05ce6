//! Recorded histories with known verdicts, if `GAMEDAY_HISTORIES` names a
//! folder with them: `EXPECTED.tsv` and the files it lists. Format
//! `jepsen-log`: one event per line, the order of lines is the order of time.

use gameday_checker::frontier::{Answer, search};
use gameday_checker::register::{Action, FOREVER, RegisterOp, Value};
use gameday_checker::{Budget, zones};
use std::collections::HashMap;
use std::path::Path;

fn value(s: &str) -> Value {
    match s {
        "nil" => None,
        n => Some(n.parse().expect("a number")),
    }
}

fn pair(s: &str) -> (i64, i64) {
    let inner = s.trim_start_matches('[').trim_end_matches(']');
    let mut n = inner
        .split_whitespace()
        .map(|n| n.parse().expect("a number"));
    (n.next().expect("expected"), n.next().expect("new"))
}

fn read_log(path: &Path) -> Vec<RegisterOp> {
    let text = std::fs::read_to_string(path).expect("readable");
    let mut ops: Vec<RegisterOp> = Vec::new();
    let mut open: HashMap<String, usize> = HashMap::new();
    let mut drop = Vec::new();
    for (time, line) in (0u64..).zip(text.lines().filter(|l| !l.is_empty())) {
        let mut words = line.split_whitespace().skip(3);
        let mut word = || words.next().expect("a word").to_string();
        let (process, kind, f) = (word(), word(), word());
        let rest = words.collect::<Vec<_>>().join(" ");
        if kind == ":invoke" {
            let action = match f.as_str() {
                ":read" => Action::Read(None),
                ":write" => Action::Write(value(&rest).expect("a number")),
                _ => {
                    let (expected, new) = pair(&rest);
                    let expected = Some(expected);
                    Action::Cas { expected, new }
                }
            };
            assert!(open.insert(process, ops.len()).is_none());
            ops.push(RegisterOp {
                start: time,
                finish: FOREVER,
                action,
            });
            continue;
        }
        let at = open.remove(&process).expect("an open call");
        let op = &mut ops[at];
        match (kind.as_str(), op.action) {
            (":info", _) => {}
            (":fail", Action::Read(_)) => drop.push(at),
            (":fail", Action::Cas { expected, new }) => {
                op.finish = time;
                op.action = Action::FailedCas {
                    expected,
                    new,
                    found: None,
                };
            }
            (":ok", Action::Read(_)) => {
                op.finish = time;
                op.action = Action::Read(value(&rest));
            }
            (":ok", _) => op.finish = time,
            other => panic!("{other:?}"),
        }
    }
    for at in drop.into_iter().rev() {
        ops.remove(at);
    }
    ops
}

#[test]
fn recorded_histories_have_their_known_verdicts() {
    let Ok(folder) = std::env::var("GAMEDAY_HISTORIES") else {
        eprintln!("GAMEDAY_HISTORIES is not set: skipped");
        return;
    };
    let folder = Path::new(&folder);
    let list = std::fs::read_to_string(folder.join("EXPECTED.tsv")).expect("EXPECTED.tsv");
    let mut judged = 0;
    for line in list.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        if fields[1] != "jepsen-log" || !["ok", "illegal"].contains(&fields[3]) {
            continue;
        }
        let ops = read_log(&folder.join(fields[0]));
        let answer = search(&ops, None, &mut Budget::unlimited());
        match fields[3] {
            "ok" => assert_eq!(answer, Answer::Linearizable, "{}", fields[0]),
            _ => assert!(matches!(answer, Answer::Illegal { .. }), "{}", fields[0]),
        }
        // Zones must not pretend to judge repeated values.
        let repeats = ops.iter().filter_map(RegisterOp::writes).count() > 5;
        assert!(!repeats || zones::check(&ops, None).is_err());
        judged += 1;
    }
    eprintln!("{judged} histories");
    assert!(judged > 0, "the list names no history of a known format");
}
