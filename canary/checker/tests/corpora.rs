//! Recorded histories with known verdicts: `EXPECTED.tsv` and the files it
//! lists, in the folder that `GAMEDAY_HISTORIES` names, or else in
//! `shared/histories` beside the project. They are not ours to copy; where
//! there are none, that is said and nothing is judged.

use gameday_checker::read::{self, read};
use gameday_checker::{Options, check};
use gameday_record::Verdict;
use std::path::PathBuf;

fn folder() -> Option<PathBuf> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    match std::env::var("GAMEDAY_HISTORIES") {
        Ok(named) => Some(named.into()),
        // Beside the project, or beside the folder of its worktrees.
        Err(_) => ["../shared/histories", "../../shared/histories"]
            .map(|near| PathBuf::from(root).join(near))
            .into_iter()
            .find(|f| f.join("EXPECTED.tsv").is_file()),
    }
}

#[test]
fn recorded_histories_have_their_known_verdicts() {
    let Some(folder) = folder() else {
        eprintln!("no recorded histories (GAMEDAY_HISTORIES is not set): skipped");
        return;
    };
    let list = std::fs::read_to_string(folder.join("EXPECTED.tsv")).expect("EXPECTED.tsv");
    let mut judged = 0;
    for line in list.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let bytes = std::fs::read(folder.join(fields[0])).expect(fields[0]);
        let options = read::Options {
            format: Some(match fields[1] {
                "jepsen-log" => read::Format::JepsenLog,
                "porcupine-kv" => read::Format::Kv,
                other => panic!("a format that is not known: {other}"),
            }),
            ..read::Options::default()
        };
        let reading = read(&bytes, &options).expect(fields[0]);
        let number = |i: usize| fields[i].parse::<usize>().expect(fields[0]);
        assert_eq!(reading.log.len(), number(4), "{}", fields[0]);
        // The list counts reads that timed out, which we count as failed.
        let unknown = reading.unknown() + reading.failed_reads();
        assert_eq!(unknown, number(5), "{}", fields[0]);
        let checks = check(&reading.log, &Options::default());
        let expected = match fields[3] {
            "ok" => Verdict::Pass,
            "illegal" => Verdict::Fail,
            "empty" => Verdict::Unknown,
            other => panic!("a verdict that is not known: {other}"),
        };
        let verdict = checks.iter().map(|c| c.verdict).reduce(Verdict::and);
        assert_eq!(verdict, Some(expected), "{}: {checks:#?}", fields[0]);
        judged += 1;
    }
    eprintln!("{judged} recorded histories");
    assert!(judged > 0, "the list is empty");
}

/// What the arguments of `gameday check` in an index say; the command itself
/// is tested with them elsewhere.
fn options(arguments: &str) -> read::Options {
    let mut options = read::Options::default();
    let mut words = arguments.split_whitespace();
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        match name {
            "--model" => options.model = read::Model::ALL.into_iter().find(|m| m.name() == value),
            "--format" => {
                options.format = read::Format::ALL.into_iter().find(|f| f.name() == value);
            }
            "--nil" => options.nil = Some(read::Nil::Absent),
            "--timeout" => {}
            other => panic!("an argument that is not known: {other}"),
        }
    }
    options
}

/// Each `INDEX.tsv` lists files, arguments, and the exit code that is right.
#[test]
fn collected_histories_have_the_verdict_that_is_right() {
    let Some(folder) = folder() else {
        return;
    };
    let mut wrong = Vec::new();
    for list in ["tricky", "../cases/histories"].map(|near| folder.join(near)) {
        let Ok(index) = std::fs::read_to_string(list.join("INDEX.tsv")) else {
            continue;
        };
        for line in index.lines().skip(1) {
            let fields: Vec<&str> = line.split('\t').collect();
            let bytes = std::fs::read(list.join(fields[0])).expect(fields[0]);
            let (code, said) = match read(&bytes, &options(fields[1])) {
                Err(e) => (64, e.to_string()),
                Ok(reading) => {
                    let checks = check(&reading.log, &Options::default());
                    let verdict = checks.iter().map(|c| c.verdict).reduce(Verdict::and);
                    let code = match verdict.expect("there are checks") {
                        Verdict::Pass => 0,
                        Verdict::Fail => 1,
                        Verdict::Unknown => 2,
                    };
                    (code, format!("{checks:#?}"))
                }
            };
            if code.to_string() != fields[2] {
                wrong.push(format!("{}: {code}, not {}: {said}", fields[0], fields[2]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
