//! What is no history, or cannot be done: exit code 64, with what and where.

use super::{check, folder, history, text, written};

#[test]
fn a_file_that_is_no_history_is_refused_with_the_place() {
    let dir = folder();
    let header = "{\"gameday_history\":{\"version\":2,\"run\":\"r\",\"seed\":1,\"clock\":\"c\",\"epoch_utc\":\"\"}}\n";
    for (name, contents, line, column, what) in [
        (
            "page.html",
            "\n  <html>".to_string(),
            2,
            3,
            "this begins like no history of a known format (gameday, edn, json, jepsen-log, jepsen-txt, kv)",
        ),
        (
            "bad.edn",
            "[{:process 0, :type :invoke, :f :read}\n {:process 0, :type :oops, :f :read}]".into(),
            2,
            2,
            ":type is :oops, not :invoke, :ok, :fail or :info",
        ),
        (
            "open.edn",
            "[{:process 0, :type :invoke, :f :write, :value \"x}".into(),
            1,
            48,
            "this string is never closed",
        ),
        (
            "bad.json",
            "[{\"process\":0,\"type\":\"invoke\",\"f\":\"read\"},\n {\"process\":0,]".into(),
            2,
            15,
            "key must be a string",
        ),
        (
            "bad.log",
            "INFO  jepsen.util - 0\t:invoke\t:read\tnil\nINFO  jepsen.util - x\t:ok\t:read\t1\n"
                .into(),
            2,
            21,
            "'x' is no process number",
        ),
        (
            "bad.txt",
            "{:process 0, :type :invoke, :f :put, :key \"k\", :value 7}\n".into(),
            1,
            1,
            "a text is a string, not a number",
        ),
        (
            "bad.jsonl",
            format!(
                "{header}{{\"time\":1,\"process\":0,\"type\":\"invoke\",\"f\":\"jump\",\"key\":\"k\",\"value\":1}}\n"
            ),
            2,
            0,
            "unknown call 'jump'",
        ),
        (
            "torn.jsonl",
            format!("{header}{{\"time\":1,\"pro\n"),
            2,
            14,
            "neither an event, a header nor an end marker",
        ),
    ] {
        let path = written(&dir, name, &contents);
        let said = check(&[&path]);
        assert_eq!(said.code, 64, "{name}: {}{}", said.out, said.err);
        let place = match column {
            0 => format!("line {line}: "),
            c => format!("line {line}, column {c}: "),
        };
        let expected = format!("{path}: {place}{what}");
        assert!(said.err.contains(&expected), "{expected}\n{}", said.err);
        assert_eq!(said.out, "", "{name}");
        let json = check(&[&path, "--json"]);
        assert_eq!(json.code, 64);
        let error = &json.file()["error"];
        assert_eq!(error["line"], line, "{name}: {error:#}");
        assert_eq!(error["column"], column, "{name}: {error:#}");
        assert!(
            error["what"].as_str().expect("a text").contains(what),
            "{name}: {error:#}"
        );
    }
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let dir = folder();
    let path = dir.path().join("bytes.edn");
    std::fs::write(&path, b"[{:process 0\n \xff").expect("writable");
    let said = check(&[&text(&path)]);
    assert_eq!(said.code, 64);
    let what = "line 2, column 2: this byte is not UTF-8 text";
    assert!(said.err.contains(what), "{}", said.err);
}

#[test]
fn a_format_that_the_file_does_not_have_is_refused() {
    for (name, format) in [
        ("lost-write.jsonl", "edn"),
        ("lost-update.edn", "json"),
        ("stale-read.log", "kv"),
        ("set.json", "gameday"),
        ("texts.txt", "jepsen-log"),
    ] {
        let said = check(&[&history(name), "--format", format]);
        assert_eq!(said.code, 64, "{name}: {}", said.out);
        assert!(said.err.contains(": line 1"), "{name}: {}", said.err);
    }
}

#[test]
fn what_cannot_be_read_or_written_is_said() {
    let dir = folder();
    let at = text(dir.path());
    let missing = check(&[&format!("{at}/nothing.edn")]);
    assert_eq!(missing.code, 64);
    assert!(
        missing.err.contains("nothing.edn: No such file"),
        "{}",
        missing.err
    );
    let no_run = check(&[&at]);
    assert_eq!(no_run.code, 64);
    let what = "no run folder (there is no history.jsonl in it)";
    assert!(no_run.err.contains(what), "{}", no_run.err);
    let history = history("lost-update.edn");
    let nowhere = check(&[&history, "--edn", &format!("{at}/no/where.edn")]);
    assert_eq!(nowhere.code, 64);
    assert!(nowhere.err.contains("where.edn"), "{}", nowhere.err);
    let two = check(&[&history, &history, "--edn", &format!("{at}/out.edn")]);
    assert_eq!(two.code, 64);
    assert!(two.err.contains("--edn writes one file"), "{}", two.err);
}

/// The file to be written might be the only recording of something.
#[test]
fn edn_overwrites_nothing() {
    let dir = folder();
    let contents = std::fs::read_to_string(history("lost-update.edn")).expect("readable");
    let path = written(&dir, "history.edn", &contents);
    let said = check(&[&path, "--edn", &path]);
    assert_eq!(said.code, 64);
    assert!(said.err.contains("there is a file already"), "{}", said.err);
    assert_eq!(std::fs::read_to_string(&path).expect("readable"), contents);
}

#[test]
fn calls_of_different_models_are_not_one_history() {
    let dir = folder();
    let calls = |first: &str, second: &str| {
        format!("{{:process 0, :type :invoke, {first}}}\n {{:process 1, :type :invoke, {second}}}")
    };
    for (first, second, what) in [
        (
            ":f :append, :value \"a\"",
            ":f :cas, :value [1 2]",
            "line 2, column 2: the model kv-append has no :cas",
        ),
        (
            ":f :add, :value 1",
            ":f :cas, :value [1 2]",
            "line 2, column 2: the model counter has no :cas",
        ),
    ] {
        let path = written(&dir, "history.edn", &calls(first, second));
        let said = check(&[&path]);
        assert_eq!(said.code, 64, "{}", said.out);
        assert!(said.err.contains(what), "{}", said.err);
    }
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let history = history("lost-update.edn");
    for arguments in [
        vec!["--model", "queue"],
        vec!["--format", "xml"],
        vec!["--nil", "maybe"],
        vec!["--timeout", "soon"],
    ] {
        let mut all = vec![history.as_str()];
        all.extend(&arguments);
        assert_eq!(check(&all).code, 64, "{arguments:?}");
    }
    assert_eq!(check(&[]).code, 64, "no file");
}

/// What cannot be written leaves no file that would be taken for a history.
#[test]
fn a_history_that_edn_cannot_say_leaves_no_file() {
    let dir = folder();
    let recorded = std::fs::read_to_string(history("lost-write.jsonl")).expect("readable");
    // Process 1 calls while process 0, which is the same now, waits for its answer.
    let recorded = recorded
        .replace("\"process\":1", "\"process\":0")
        .replace("\"time\":2000000", "\"time\":3500000");
    let path = written(&dir, "history.jsonl", &recorded);
    let out = text(&dir.path().join("out.edn"));
    let said = check(&[&path, "--edn", &out]);
    assert_eq!(said.code, 64, "{}", said.out);
    let what = "process 0 has more than one call open at once, which EDN cannot say";
    assert!(said.err.contains(what), "{}", said.err);
    assert!(!std::path::Path::new(&out).exists());
}
