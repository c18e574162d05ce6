//! `--model`, `--nil`, `--initial`, `--timeout`: each changes what is judged.

use super::{anomalies, check, folder, history, written};

/// Calls one after the other, each of a process of its own:
/// what was asked and what was answered.
fn calls(list: &[(&str, &str, &str)]) -> String {
    let mut out = String::new();
    for (process, (f, asked, answered)) in list.iter().enumerate() {
        for (kind, value) in [("invoke", asked), ("ok", answered)] {
            out += &format!("{{:process {process}, :type :{kind}, :f :{f}, :value {value}}}\n");
        }
    }
    out
}

/// The only anomaly of a history under a model.
#[track_caller]
fn violation(model: &str, list: &[(&str, &str, &str)]) -> (String, String) {
    let dir = folder();
    let path = written(&dir, "history.edn", &calls(list));
    let said = check(&[&path, "--model", model, "--json"]);
    let file = said.file();
    assert_eq!(said.code, 1, "{file:#}");
    assert_eq!(file["model"], model);
    let found = anomalies(&file);
    assert_eq!(found.len(), 1, "{file:#}");
    found[0].clone()
}

#[track_caller]
fn pair(found: (String, String), check: &str, anomaly: &str) {
    assert_eq!((found.0.as_str(), found.1.as_str()), (check, anomaly));
}

#[test]
fn a_violation_is_found_under_every_model() {
    let w1 = ("write", "1", "1");
    let w2 = ("write", "2", "2");
    pair(
        violation("register", &[w1, w2, ("read", "nil", "1")]),
        "linearizability",
        "stale read",
    );
    pair(
        violation("register", &[w1, ("read", "nil", "7")]),
        "linearizability",
        "phantom read",
    );
    pair(
        violation("cas-register", &[w1, w2, ("cas", "[1 3]", "[1 3]")]),
        "linearizability",
        "lost update",
    );
    pair(
        violation(
            "kv-append",
            &[
                ("write", "\"a\"", "\"a\""),
                ("append", "\"b\"", "\"b\""),
                ("read", "nil", "\"ba\""),
            ],
        ),
        "linearizability",
        "not linearizable",
    );
    let add = |v| ("add", v, v);
    pair(
        violation("counter", &[add("2"), ("read", "nil", "3")]),
        "counters",
        "duplicate",
    );
    pair(
        violation("counter", &[add("2"), add("-1"), ("read", "nil", "2")]),
        "counters",
        "duplicate",
    );
    pair(
        violation("counter", &[add("2"), ("read", "nil", "0")]),
        "counters",
        "stale read",
    );
    pair(
        violation("set", &[add("1"), ("read", "nil", "[1 9]")]),
        "durable-set",
        "phantom read",
    );
    pair(
        violation("set", &[add("1"), ("read", "nil", "[1 1]")]),
        "durable-set",
        "duplicate",
    );
}

/// What a register's read may find is no text: the model decides.
#[test]
fn the_model_decides_what_the_same_calls_mean() {
    let dir = folder();
    let same = calls(&[("write", "\"a\"", "\"a\""), ("read", "nil", "\"a\"")]);
    let path = written(&dir, "history.edn", &same);
    for model in ["register", "cas-register", "kv-append"] {
        let said = check(&[&path, "--model", model, "--json"]);
        assert_eq!(said.code, 0, "{}", said.out);
        assert_eq!(said.file()["model"], model);
    }
    // Of additions, only what reads find tells whether they make a sum or a set.
    let same = calls(&[("add", "1", "1"), ("read", "nil", "()")]);
    let path = written(&dir, "sum.edn", &same);
    assert_eq!(check(&[&path, "--model", "set"]).code, 1);
    assert_eq!(check(&[&path, "--model", "counter"]).code, 64);
}

#[test]
fn a_call_that_the_model_has_not_is_refused_with_its_place() {
    for (model, history, what) in [
        (
            "register",
            super::history("lost-update.edn"),
            "line 3, column 1: the model register has no :cas (it is a call of cas-register)",
        ),
        (
            "set",
            super::history("lost-write.jsonl"),
            "line 2: the model set has no 'write'",
        ),
        (
            "kv-append",
            super::history("lost-write.jsonl"),
            "line 2: the model kv-append has no 'write'",
        ),
    ] {
        let said = check(&[&history, "--model", model]);
        assert_eq!(said.code, 64, "{}", said.out);
        assert!(said.err.contains(what), "{}", said.err);
    }
}

#[test]
fn a_nil_read_finds_anything_or_nothing() {
    let dir = folder();
    let text = calls(&[("write", "1", "1"), ("read", "nil", "nil")]);
    let edn = written(&dir, "history.edn", &text);
    // Knossos' meaning; and what says nothing is no pass.
    assert_eq!(check(&[&edn]).code, 2);
    let said = check(&[&edn, "--nil", "anything"]);
    assert_eq!(said.code, 2);
    assert!(said.out.contains("with --nil absent"), "{}", said.out);
    let absent = check(&[&edn, "--nil", "absent", "--json"]);
    assert_eq!(absent.code, 1);
    pair(
        anomalies(&absent.file()).remove(0),
        "linearizability",
        "stale read",
    );
    let log = written(
        &dir,
        "history.log",
        "INFO  jepsen.util - 0\t:invoke\t:write\t1\nINFO  jepsen.util - 0\t:ok\t:write\t1\n\
         INFO  jepsen.util - 1\t:invoke\t:read\tnil\nINFO  jepsen.util - 1\t:ok\t:read\tnil\n",
    );
    assert_eq!(check(&[&log]).code, 1, "in these logs nil is absence");
    assert_eq!(
        check(&[&log, "--nil", "anything"]).code,
        2,
        "nothing is said"
    );
    let lost = history("lost-write.jsonl");
    assert_eq!(
        check(&[&lost, "--nil", "anything"]).code,
        1,
        "a value is no nil"
    );
}

#[test]
fn the_initial_value_is_what_the_first_reads_may_find() {
    let dir = folder();
    let zero = calls(&[("read", "nil", "0"), ("write", "1", "1")]);
    let zero = written(&dir, "zero.edn", &zero);
    assert_eq!(check(&[&zero]).code, 1, "nobody wrote 0");
    assert_eq!(check(&[&zero, "--initial", "0"]).code, 0);
    assert_eq!(check(&[&zero, "--initial", "absent"]).code, 1);
    assert_eq!(check(&[&zero, "--initial", "-1"]).code, 1);
    let named = calls(&[("read", "nil", ":a"), ("write", "1", "1")]);
    let named = written(&dir, "named.edn", &named);
    assert_eq!(check(&[&named, "--initial", ":a"]).code, 0);
    assert_eq!(check(&[&named, "--initial", "\"a\""]).code, 1);
    let sum = calls(&[("add", "1", "1"), ("read", "nil", "11")]);
    let sum = written(&dir, "sum.edn", &sum);
    assert_eq!(check(&[&sum]).code, 1);
    assert_eq!(check(&[&sum, "--initial", "10"]).code, 0);
    let bad = check(&[&zero, "--initial", "1 2"]);
    assert_eq!(bad.code, 64);
    let what = "the initial value '1 2' is no EDN value";
    assert!(bad.err.contains(what), "{}", bad.err);
}

/// Changes that all overlap, from each of six values to another and as often
/// back: many trails take all of them, and each ends where it began. Then a
/// read that found something else: every set of the changes has to be tried.
fn trails() -> String {
    let mut text = String::new();
    let mut call = |process: i64, kind, f, value: &str| {
        text += &format!("{{:process {process}, :type :{kind}, :f :{f}, :value {value}}}\n");
    };
    for kind in ["invoke", "ok"] {
        call(0, kind, "write", "0");
    }
    for kind in ["invoke", "ok"] {
        for i in 0..60 {
            let (from, by) = (i % 6, 1 + i / 6 % 3);
            let change = format!("[{from} {}]", (from + by) % 6);
            call(1 + i, kind, "cas", &change);
        }
    }
    call(0, "invoke", "read", "nil");
    call(0, "ok", "read", "1");
    text
}

#[test]
fn too_little_time_gives_unknown_and_says_where_it_ended() {
    let dir = folder();
    let easy = written(
        &dir,
        "easy.edn",
        &calls(&[("write", "5", "5"), ("read", "nil", "5")]),
    );
    assert_eq!(check(&[&easy]).code, 0);
    // No time at all, and a history whose search takes longer than anybody has.
    let hard = written(&dir, "hard.edn", &trails());
    for (path, limit, why) in [
        (&easy, "0s", "not even sorted: 0ns were not enough"),
        (
            &hard,
            "20ms",
            "the search for an order gave up after 61 operations, at operation",
        ),
        (&hard, "20ms", ": 20ms were not enough"),
    ] {
        let said = check(&[path, "--timeout", limit, "--json"]);
        assert_eq!(said.code, 2, "{}{}", said.out, said.err);
        let file = said.file();
        assert_eq!(file["verdict"], "unknown");
        assert_eq!(file["checks"][0]["name"], "linearizability");
        let detail = file["checks"][0]["detail"].as_str().expect("a text");
        assert!(detail.contains(why), "{detail}");
    }
}

/// Queues: whether the order counts is nothing that calls tell.
#[test]
fn a_queue_is_judged_with_its_order_or_without() {
    let dir = folder();
    let enqueue = |v| ("enqueue", v, v);
    let take = |v| ("dequeue", "nil", v);
    let in_order = calls(&[
        enqueue("1"),
        enqueue("2"),
        take("1"),
        ("drain", "nil", "[2]"),
    ]);
    let swapped = calls(&[
        enqueue("1"),
        enqueue("2"),
        take("2"),
        ("drain", "nil", "[1]"),
    ]);
    let lost = calls(&[enqueue("1"), enqueue("2"), take("1"), take("nil")]);
    let twice = calls(&[enqueue("1"), take("1"), take("1"), take("nil")]);
    let strange = calls(&[enqueue("1"), take("1"), take("7"), take("nil")]);
    let left = calls(&[enqueue("1"), enqueue("2"), take("1")]);
    for (name, text, fifo, total) in [
        ("in order", in_order, 0, 0),
        ("swapped", swapped, 1, 0),
        ("lost", lost, 1, 1),
        ("twice", twice, 1, 1),
        ("strange", strange, 1, 1),
        ("left", left, 2, 2),
    ] {
        let path = written(&dir, "queue.edn", &text);
        for (model, code) in [("queue", fifo), ("total-queue", total)] {
            let said = check(&[&path, "--model", model]);
            assert_eq!(said.code, code, "{name}, {model}: {}", said.out);
        }
    }
    let said = check(&[&written(&dir, "queue.edn", &calls(&[enqueue("1")]))]);
    assert_eq!(said.code, 64);
    let hint = "it is a call of queue, total-queue";
    assert!(said.err.contains(hint), "{}", said.err);
}

#[test]
fn pairs_are_values_where_keys_are_not_independent() {
    let dir = folder();
    let text = calls(&[("write", "[1 2]", "[1 2]"), ("read", "nil", "[1 2]")]);
    let path = written(&dir, "pairs.edn", &text);
    assert_eq!(check(&[&path]).code, 64);
    assert_eq!(check(&[&path, "--independent", "no"]).code, 0);
}
