//! Every format, told apart and judged; and written as EDN, judged the same.

use super::{anomalies, check, folder, history, text};

/// File, its format and model, and what is wrong with it: check and anomaly.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const CASES: &[Case] = &[
    (
        "registers.jsonl",
        "gameday",
        "cas-register + durable set + counter",
        &[],
    ),
    (
        "lost-write.jsonl",
        "gameday",
        "register",
        &[
            ("lost-writes", "lost write"),
            ("linearizability", "stale read"),
        ],
    ),
    ("cas-register.edn", "edn", "cas-register", &[]),
    (
        "lost-update.edn",
        "edn",
        "cas-register",
        &[("linearizability", "lost update")],
    ),
    ("counter.edn", "edn", "counter", &[]),
    (
        "lost-addition.edn",
        "edn",
        "counter",
        &[("counters", "stale read")],
    ),
    ("set.json", "json", "set", &[]),
    (
        "lost-element.json",
        "json",
        "set",
        &[
            ("linearizability", "stale read"),
            ("durable-set", "lost write"),
        ],
    ),
    ("register.log", "jepsen-log", "cas-register", &[]),
    (
        "stale-read.log",
        "jepsen-log",
        "register",
        &[("linearizability", "stale read")],
    ),
    ("texts.txt", "kv", "kv-append", &[]),
    (
        "lost-append.txt",
        "kv",
        "kv-append",
        &[("linearizability", "stale read")],
    ),
];

fn expected(wrong: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(check, anomaly): &(&str, &str)| (check.to_string(), anomaly.to_string());
    wrong.iter().map(owned).collect()
}

#[test]
fn every_format_is_told_by_its_beginning_and_judged() {
    for (name, format, model, wrong) in CASES {
        let said = check(&[&history(name), "--json"]);
        let file = said.file();
        assert_eq!(said.code, i32::from(!wrong.is_empty()), "{name}: {file:#}");
        assert_eq!(file["format"], *format, "{name}");
        assert_eq!(file["model"], *model, "{name}");
        assert_eq!(anomalies(&file), expected(wrong), "{name}: {file:#}");
        let named = check(&[&history(name), "--json", "--format", format]).file();
        assert_eq!(named["checks"], file["checks"], "{name}");
    }
}

#[test]
fn every_file_beside_the_tests_is_judged() {
    let folder = std::path::PathBuf::from(history(""));
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("the histories")
        .map(|e| {
            e.expect("readable")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    names.sort_unstable();
    let mut cases: Vec<&str> = CASES.iter().map(|c| c.0).collect();
    cases.sort_unstable();
    assert_eq!(names, cases);
}

#[test]
fn written_as_edn_a_history_has_the_same_verdict() {
    let dir = folder();
    for (name, _, _, wrong) in CASES {
        let edn = text(&dir.path().join(name));
        let before = check(&[&history(name), "--json", "--edn", &edn]);
        assert!(before.err.contains("operations written"), "{}", before.err);
        let after = check(&[&edn, "--json"]);
        assert_eq!(after.code, before.code, "{name}: {}", after.out);
        let (before, after) = (before.file(), after.file());
        assert_eq!(after["format"], "edn", "{name}");
        assert_eq!(after["verdict"], before["verdict"], "{name}");
        assert_eq!(anomalies(&after), expected(wrong), "{name}: {after:#}");
        // A second time, nothing is lost any more.
        let again = text(&dir.path().join(format!("{name}.again")));
        check(&[&edn, "--edn", &again]);
        let read = |path| std::fs::read_to_string(path).expect("it was written");
        let operations = |text: String| -> Vec<String> {
            let lines = text.lines().filter(|l| !l.starts_with(';'));
            lines.map(String::from).collect()
        };
        assert_eq!(operations(read(&again)), operations(read(&edn)), "{name}");
    }
}

#[test]
fn eventual_reads_are_left_out_of_edn_and_that_is_said() {
    let dir = folder();
    let edn = text(&dir.path().join("out.edn"));
    let said = check(&[&history("registers.jsonl"), "--edn", &edn]);
    let counts = "9 operations written, 1 eventually consistent reads left out";
    assert!(said.err.contains(counts), "{}", said.err);
}

/// Reads that timed out have no effect and their process goes on: they are
/// counted apart from calls that may have had one.
#[test]
fn unknown_outcomes_and_failed_reads_are_counted_apart() {
    let file = check(&[&history("register.log"), "--json"]).file();
    assert_eq!(file["operations"], 6, "{file:#}");
    assert_eq!(file["unknown_operations"], 1, "{file:#}");
    assert_eq!(file["failed_reads"], 1, "{file:#}");
    let said = check(&[&history("register.log")]);
    let counts = "6 operations, 1 of unknown outcome, 1 failed reads";
    assert!(said.out.contains(counts), "{}", said.out);
}
