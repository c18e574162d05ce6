//! What is printed: for people, as JSON, of several files.

use super::{LIMIT, anomalies, check, finish, folder, gameday, history, text, written};
use serde_json::Value;

#[test]
fn people_see_the_verdict_the_anomaly_and_who_did_what_when() {
    let said = check(&[&history("lost-write.jsonl")]);
    assert_eq!(said.code, 1);
    for part in [
        "FAIL ",
        "register · 3 operations, 0 of unknown outcome · 1 keys",
        "lost write on x (violates durability)",
        "process 1 (AZ b, endpoint a) wrote 2 [+0.003000 s to +0.004000 s]",
        "p0 write 1, ok",
        "├──┤",
        "p2 read found 1, ok",
    ] {
        assert!(said.out.contains(part), "{part} in\n{}", said.out);
    }
    let said = check(&[&history("cas-register.edn")]);
    assert_eq!(said.code, 0);
    for part in [
        "pass ",
        "not judged: 1 events that no client made",
        "0 stands for :two",
        "1 of 2 writes had an unknown outcome and were allowed both ways",
    ] {
        assert!(said.out.contains(part), "{part} in\n{}", said.out);
    }
}

#[test]
fn json_has_every_field_of_every_file() {
    let lost = history("lost-write.jsonl");
    let said = check(&[&lost, "--json"]);
    let file = said.file();
    let keys = |v: &Value| -> Vec<String> {
        let mut keys: Vec<String> = v.as_object().expect("an object").keys().cloned().collect();
        keys.sort_unstable();
        keys
    };
    let expected = [
        "checks",
        "failed_reads",
        "format",
        "keys",
        "milliseconds",
        "model",
        "names",
        "operations",
        "path",
        "reordered_events",
        "skipped_events",
        "unknown_operations",
        "verdict",
    ];
    assert_eq!(keys(&file), expected);
    assert_eq!(file["path"], lost.as_str());
    assert_eq!(file["verdict"], "fail");
    assert_eq!(file["operations"], 3);
    assert_eq!(file["keys"], 1);
    assert!(file["milliseconds"].is_number());
    let check_of = &file["checks"][0];
    assert_eq!(check_of["name"], "lost-writes");
    assert_eq!(check_of["verdict"], "fail");
    assert_eq!(check_of["anomalies_total"], 1);
    let anomaly = &check_of["anomalies"][0];
    assert_eq!(anomaly["key"], "x");
    assert_eq!(anomaly["violates"], "durability");
    let operation = &anomaly["operations"][1];
    assert_eq!(operation["process"], 1);
    assert_eq!(operation["az"], "b");
    assert_eq!(operation["endpoint"], "a");
    assert_eq!(operation["invoked"], 3_000_000);
    assert_eq!(operation["returned"], 4_000_000);

    let named = check(&[&history("cas-register.edn"), "--json"]).file();
    assert_eq!(named["names"][0]["value"], ":two");
    assert_eq!(named["names"][0]["number"], 0);
    assert_eq!(named["skipped_events"], 1);
    assert_eq!(named["unknown_operations"], 1);
}

#[test]
fn of_several_files_the_gravest_code_counts() {
    let dir = folder();
    let pass = history("registers.jsonl");
    let fail = history("lost-write.jsonl");
    let empty = written(&dir, "empty.edn", "");
    let none = written(&dir, "none.txt", "<html>");
    for (files, code) in [
        (vec![&pass, &pass], 0),
        (vec![&pass, &empty], 2),
        (vec![&empty, &fail, &pass], 1),
        (vec![&fail, &none, &empty], 64),
    ] {
        let arguments: Vec<&str> = files.iter().map(|f| f.as_str()).collect();
        let said = check(&arguments);
        assert_eq!(said.code, code, "{}{}", said.out, said.err);
        let judged = said.out.lines().filter(|l| !l.starts_with(' ')).count();
        let refused = said.err.lines().count();
        assert_eq!(judged + refused, files.len(), "{}{}", said.out, said.err);
    }
    let said = check(&[&pass, &none, "--json"]);
    assert_eq!(said.code, 64);
    let all: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(all["files"][0]["verdict"], "pass");
    assert_eq!(all["files"][1]["error"]["line"], 1);
}

/// Without its end marker a recording is never a pass, and still a fail.
#[test]
fn a_recording_that_was_cut_off_is_unknown() {
    let dir = folder();
    let cut = |name: &str| {
        let text = std::fs::read_to_string(history(name)).expect("readable");
        let end = text.find("{\"gameday_end\"").expect("an end marker");
        written(&dir, name, &text[..end])
    };
    let said = check(&[&cut("registers.jsonl"), "--json"]);
    assert_eq!(said.code, 2);
    let file = said.file();
    for c in file["checks"].as_array().expect("checks") {
        assert_eq!(c["verdict"], "unknown", "{c:#}");
        let detail = c["detail"].as_str().expect("a text");
        assert!(detail.contains("no end marker"), "{detail}");
    }
    let said = check(&[&cut("lost-write.jsonl"), "--json"]);
    assert_eq!(said.code, 1);
    assert_eq!(anomalies(&said.file()).len(), 2);
}

/// What a file says must not steer the terminal of who reads about it.
#[test]
fn control_characters_of_a_file_are_not_printed() {
    let dir = folder();
    let text = "{:process 0, :type :invoke, :f :read, :key \"k\\u001b[31m\", :value nil}
        {:process 0, :type :ok, :f :read, :key \"k\\u001b[31m\", :value 7}\n";
    let path = written(&dir, "history.edn", text);
    let said = check(&[&path]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(said.out.contains("phantom read on k"), "{}", said.out);
    let control = |c: char| c.is_control() && c != '\n';
    assert!(!said.out.contains(control), "{:?}", said.out);
}

/// A run folder may be an artefact that somebody keeps: it is read, and written to
/// only when that is asked for.
#[test]
fn a_run_folder_stays_as_it_is_unless_the_verdict_is_to_be_saved() {
    let dir = folder();
    std::fs::copy(history("registers.jsonl"), dir.path().join("history.jsonl")).unwrap();
    let names = || {
        let entries = std::fs::read_dir(dir.path()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let path = text(dir.path());
    let judged = check(&["--json", &path]);
    let verdict = judged.file()["verdict"].clone();
    assert_eq!(names(), ["history.jsonl"], "{}", judged.err);
    check(&["--json", "--timeout", "1ms", &path]);
    assert_eq!(names(), ["history.jsonl"]);
    let saved = check(&["--json", "--save", &path]);
    assert_eq!(saved.file()["verdict"], verdict, "{}", saved.err);
    assert_eq!(names(), ["history.jsonl", "verdict.json"]);
}

#[test]
fn a_path_that_is_no_text_is_judged_and_named_as_far_as_it_can_be() {
    use std::os::unix::ffi::OsStrExt;
    let dir = folder();
    let path = dir
        .path()
        .join(std::ffi::OsStr::from_bytes(b"odd-\xff.jsonl"));
    std::fs::copy(history("registers.jsonl"), &path).unwrap();
    let done = finish(gameday().args(["check", "--json"]).arg(&path), LIMIT);
    let said: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    let name = said["files"][0]["path"].as_str().expect("a name");
    assert!(name.contains("odd-"), "{name}");
    let same = check(&["--json", &history("registers.jsonl")]);
    assert_eq!(done.status.code(), Some(same.code));
}
