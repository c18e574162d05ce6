//! What `gameday canary` calls and how: kinds of calls, connections, retries,
//! names; with the real binary, against a store in this process.

use crate::support::canary::*;
use crate::support::stub::Stub;
use crate::support::*;
use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

pub fn a_store_that_forgets_writes_is_found() {
    let stub = Stub::start();
    let forgetful = &stub.forgetful;
    forgetful.store(true, Relaxed);
    let dir = tempfile::tempdir().unwrap();
    let done = finish(
        canary(dir.path())
            .args(["--endpoint", &format!("http://{}", stub.addr), "--az", "a"])
            .args([
                "--create-table",
                "--rate",
                "100",
                "--keys",
                "5",
                "--for",
                "3s",
            ]),
        LIMIT,
    );
    assert_eq!(done.status.code(), Some(1), "{}", text(&done));
    let verdict = json(&folder(dir.path()).join("verdict.json"));
    assert_eq!(verdict["verdict"], "fail", "{verdict}");
}

pub fn a_table_that_is_used_again_begins_empty() {
    let stub = Stub::start();
    let endpoint = format!("http://{}", stub.addr);
    for create in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = canary(dir.path());
        command
            .args([
                "--endpoint",
                &endpoint,
                "--az",
                "a",
                "--rate",
                "100",
                "--keys",
                "5",
            ])
            .args(["--mix", "writes=0.5,strong_reads=0.5", "--for", "1s"]);
        if create {
            command.arg("--create-table");
        }
        let done = finish(&mut command, LIMIT);
        assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    }
    assert!(stub.asked("DeleteItem") >= 5);
}

fn check<'a>(verdict: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let checks = verdict["checks"].as_array().unwrap();
    let found = checks.iter().find(|c| c["name"] == name);
    found.unwrap_or_else(|| panic!("no check {name} in {verdict}"))
}

pub fn counters_and_inserts_are_judged_and_a_table_can_be_used_again() {
    let stub = Stub::start();
    // The second time with the same seed: the same keys would be there.
    for create in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = canary(dir.path());
        command
            .args(["--endpoint", &format!("http://{}", stub.addr), "--az", "a"])
            .args([
                "--rate", "200", "--keys", "10", "--for", "4s", "--seed", "5",
            ])
            .args(["--mix", ALL_KINDS]);
        if create {
            command.arg("--create-table");
        }
        let done = finish(&mut command, LIMIT);
        assert_eq!(done.status.code(), Some(0), "{}", text(&done));
        let verdict = json(&folder(dir.path()).join("verdict.json"));
        for name in [
            "counters",
            "durable-set",
            "lost-writes",
            "linearizability",
            "eventual-reads",
        ] {
            assert_eq!(check(&verdict, name)["verdict"], "pass", "{verdict}");
        }
    }
    assert!(stub.asked("UpdateItem") > 50);
}

pub fn a_store_that_forgets_additions_is_found() {
    let stub = Stub::start();
    let forgetful = &stub.forgetful;
    forgetful.store(true, Relaxed);
    let dir = tempfile::tempdir().unwrap();
    let done = finish(
        canary(dir.path())
            .args(["--endpoint", &format!("http://{}", stub.addr), "--az", "a"])
            .args(["--create-table", "--rate", "100", "--for", "3s"])
            .args(["--mix", "adds=0.5,strong_reads=0.5"]),
        LIMIT,
    );
    assert_eq!(done.status.code(), Some(1), "{}", text(&done));
    let verdict = json(&folder(dir.path()).join("verdict.json"));
    assert_eq!(check(&verdict, "counters")["verdict"], "fail", "{verdict}");
}

pub fn fresh_connections_are_opened_for_one_call_each() {
    for (share, fresh) in [("1", true), ("0", false)] {
        let stub = Stub::start();
        let dir = tempfile::tempdir().unwrap();
        let done = finish(
            canary(dir.path())
                .args(["--endpoint", &format!("http://{}", stub.addr), "--az", "a"])
                .args(["--create-table", "--rate", "50", "--keys", "5"])
                .args(["--for", "2s", "--fresh-connections", share]),
            LIMIT,
        );
        assert_eq!(done.status.code(), Some(0), "{}", text(&done));
        let report = json(&folder(dir.path()).join("report.json"));
        let operations = report["measured"]["operations"].as_u64().unwrap();
        let opened = stub.connections.load(Relaxed);
        assert!(operations > 50, "{operations}");
        // Kept ones are for the calls in flight, and for what is asked beside.
        let expected = match fresh {
            true => opened >= operations,
            false => opened < operations / 2,
        };
        assert!(expected, "{opened} connections for {operations} operations");
    }
}

pub fn retries_answer_requests_whose_first_attempt_failed() {
    let stub = Stub::start();
    let failing = &stub.failing;
    failing.store(3, Relaxed);
    let dir = tempfile::tempdir().unwrap();
    let done = finish(
        canary(dir.path())
            .args(["--endpoint", &format!("http://{}", stub.addr), "--az", "a"])
            .args(["--create-table", "--rate", "50", "--keys", "5"])
            .args(["--for", "4s", "--attempts", "3", "--timeout", "2s"]),
        LIMIT,
    );
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    let report = json(&folder(dir.path()).join("report.json"));
    let retries = report["measured"]["retries"].as_u64().unwrap();
    assert!(retries > 10, "{}", report["measured"]);
    let overall = report["sli"].as_array().unwrap().iter();
    let (mut first, mut requests) = (0, 0);
    for row in overall.filter(|row| row["group"] == "overall") {
        first += row["first_attempts"]["all"]["answered"].as_u64().unwrap();
        requests += row["requests"]["all"]["answered"].as_u64().unwrap();
    }
    let operations = report["measured"]["operations"].as_u64().unwrap();
    // A third of the first attempts failed; a few retries found no answer either.
    assert!(first < operations * 3 / 4, "{first} of {operations}");
    assert!(
        requests > first + (operations - first) / 2,
        "{requests} of {operations}"
    );
}

/// A name service of its own is what a mount namespace gives a process: its
/// own `/etc/hosts`. Needs root.
pub fn a_name_that_gets_another_address_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let able = Command::new("unshare").args(["-m", "true"]).output();
    if !able.is_ok_and(|done| done.status.success()) {
        eprintln!("skipped: this process may not make a mount namespace");
        return;
    }
    let before = Stub::start();
    let port = before.addr.port();
    let after = Stub::start_at(&format!("127.0.0.2:{port}"), before.store.clone());
    let hosts = dir.path().join("hosts");
    let of = |address: &str| format!("127.0.0.1 localhost\n{address} store.test\n");
    std::fs::write(&hosts, of("127.0.0.1")).unwrap();
    let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(&hosts);
    let measured = format!("http://store.test:{port}");
    let plain = canary(dir.path());
    command.arg(plain.get_program()).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
        .args(["--endpoint", &measured, "--az", "a", "--create-table"])
        .args(["--rate", "50", "--keys", "5", "--fresh-connections", "0.5"]);
    let (child, url, said) = started(&mut command);
    wait_for_answers(&url, 20.0);
    let opened = |stub: &Stub| stub.connections.load(Relaxed);
    assert!(opened(&before) > 0 && opened(&after) == 0);
    std::fs::write(&hosts, of("127.0.0.2")).unwrap();
    let began = Instant::now();
    while opened(&after) < 5 {
        assert!(began.elapsed() < LIMIT, "nobody came to the new address");
        std::thread::sleep(Duration::from_millis(200));
    }
    let done = terminate(child);
    let said = said.join().unwrap() + &text(&done);
    assert_eq!(done.status.code(), Some(0), "{said}");
    let news = format!("store.test:{port} has new addresses: 127.0.0.2:{port}");
    assert!(said.contains(&news), "{said}");
}
