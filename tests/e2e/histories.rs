//! What a recorded history says, found again by other means than the program's.

use crate::support::*;
use gameday_record::{Call, Nanos, Operation, Outcome, RunFolder, history};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// That a packed history holds the lines that any decoder finds in it, that what is judged and
/// reported of it is what is said of its plain lines, and that one that was cut off is no pass.
pub fn a_packed_one_says_what_its_lines_say(folder: &Path) {
    let packed = folder.join("history.jsonl.zst");
    assert!(!folder.join("history.jsonl").exists(), "one history");
    let mut lines = Vec::new();
    let mut opened = history::open(&packed).unwrap();
    opened.read_to_end(&mut lines).unwrap();
    match Command::new("zstd").arg("-dc").arg(&packed).output() {
        Ok(done) => assert!(done.stdout == lines, "{}", text(&done)),
        Err(e) => println!("no second opinion: zstd: {e}"),
    }
    let bytes = std::fs::read(&packed).unwrap();
    assert!(lines.starts_with(b"{\"gameday_history\":"));
    assert!(bytes.len() < lines.len() / 3, "{} bytes", bytes.len());

    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    std::fs::create_dir(&plain).unwrap();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_file() && entry.path() != packed {
            std::fs::copy(entry.path(), plain.join(entry.file_name())).unwrap();
        }
    }
    std::fs::write(plain.join("history.jsonl"), &lines).unwrap();
    let judged = |folder: &Path| {
        let done = finish(gameday().args(["check", "--json"]).arg(folder), LIMIT);
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        let mut said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        let file = said["files"][0].as_object_mut().expect("a file");
        assert!(file.remove("path").is_some() && file.remove("milliseconds").is_some());
        let report = finish(gameday().arg("report").arg(folder), LIMIT);
        let codes = (done.status.code(), report.status.code());
        (codes, said, json(&folder.join("report.json")))
    };
    let (of_packed, of_plain) = (judged(folder), judged(&plain));
    assert_eq!(of_packed.0, (Some(0), Some(0)), "{}", of_packed.1);
    assert!(of_packed.1["files"][0]["operations"].as_u64() > Some(100));
    assert_eq!(of_packed, of_plain);

    let torn = dir.path().join("torn.jsonl.zst");
    std::fs::write(&torn, &bytes[..bytes.len() / 3 * 2]).unwrap();
    let checked = finish(gameday().arg("check").arg(&torn), LIMIT);
    assert_eq!(checked.status.code(), Some(2), "{}", text(&checked));
    assert!(text(&checked).contains("end marker"), "{}", text(&checked));
}

/// That the report says of eventual reads what the recorded operations show; how many were stale.
pub fn staleness_is_what_the_operations_show(folder: &Path) -> u64 {
    let recorded = RunFolder::at(folder).read_history().unwrap();
    let shown = Staleness::of(&recorded.operations);
    println!("eventual reads: {shown:?}");
    let report = json(&folder.join("report.json"));
    let checks = report["data"]["checks"].as_array().expect("checks");
    let check = checks.iter().find(|c| c["name"] == "eventual-reads");
    let check = check.expect("eventual reads were judged");
    let told = check["detail"].as_str().expect("a text");
    let wanted = format!(
        "{} eventual reads, {} of them stale.",
        shown.reads, shown.stale
    );
    assert!(told.starts_with(&wanted), "{wanted} is not what {told}");
    let measures = check["measures"].as_array().expect("measures");
    let ms = measures.iter().find(|m| m["unit"] == "ms").expect("in ms");
    let (worst, told) = (shown.worst as f64 / 1e6, ms["max"].as_f64().unwrap());
    // It is kept in 24 bits.
    assert!((worst - told).abs() <= worst * 1e-6, "{worst}, not {told}");
    shown.stale
}

/// Of eventual reads: every read against every version of its key.
#[derive(Debug, Default, PartialEq)]
struct Staleness {
    /// Those that succeeded.
    reads: u64,
    /// Those that did not find what had been there for certain before they began, but what is
    /// older for certain.
    stale: u64,
    /// For how many nanoseconds something newer had been there, at most.
    worst: u64,
}

/// What is known of one version of a key from strongly consistent operations.
#[derive(Clone, Copy, Debug)]
struct Version {
    /// Somebody who wrote or found it was told so: it had been there before.
    there: Nanos,
    /// Somebody who wrote or found it had not yet begun: it was there afterwards.
    still: Nanos,
}

impl Staleness {
    fn of(operations: &[Operation]) -> Staleness {
        // What a key held in the beginning was there first of all.
        let first = Version {
            there: Nanos::ZERO,
            still: Nanos::ZERO,
        };
        let mut keys: BTreeMap<(&str, &str), BTreeMap<Option<i64>, Version>> = BTreeMap::new();
        for op in operations {
            let of_key = (op.table.as_str(), op.call.key());
            let versions = keys
                .entry(of_key)
                .or_insert_with(|| BTreeMap::from([(None, first)]));
            let told = match op.outcome {
                Outcome::Ok { .. } | Outcome::Failed { .. } => op.returned.unwrap(),
                Outcome::Unknown { .. } => Nanos::FOREVER,
            };
            for value in shown_by(op) {
                let v = versions.entry(value).or_insert(Version {
                    there: told,
                    still: op.invoked,
                });
                v.there = v.there.min(told);
                v.still = v.still.max(op.invoked);
            }
        }
        let mut all = Staleness::default();
        for op in operations {
            let (Call::Read { strong: false, .. }, Outcome::Ok { value: found }) =
                (&op.call, &op.outcome)
            else {
                continue;
            };
            all.reads += 1;
            let versions = &keys[&(op.table.as_str(), op.call.key())];
            let Some(mine) = versions.get(found) else {
                continue;
            };
            let newer = versions.iter().filter(|(value, v)| {
                *value != found && mine.there < v.still && v.there < op.invoked
            });
            if let Some(since) = newer.map(|(_, v)| v.there).min() {
                all.stale += 1;
                all.worst = all.worst.max(op.invoked.0 - since.0);
            }
        }
        all
    }
}

/// The versions that an operation wrote (or may have), or found, strongly consistent.
fn shown_by(op: &Operation) -> Vec<Option<i64>> {
    match (&op.call, &op.outcome) {
        (Call::Read { strong: true, .. }, Outcome::Ok { value }) => vec![*value],
        (
            Call::Write { value, .. } | Call::Insert { value, .. },
            Outcome::Ok { .. } | Outcome::Unknown { .. },
        ) => {
            vec![Some(*value)]
        }
        (Call::Cas { expected, new, .. }, Outcome::Ok { .. }) => vec![*expected, Some(*new)],
        (Call::Cas { new, .. }, Outcome::Unknown { .. }) => vec![Some(*new)],
        (Call::Cas { .. }, Outcome::Failed { observed, .. }) => observed.iter().copied().collect(),
        _ => vec![],
    }
}
