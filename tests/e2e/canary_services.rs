//! `gameday canary` against servers of others on loopback, where they are installed.

use crate::support::canary::*;
use crate::support::servers::{self, redis_says};
use crate::support::*;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A canary of one of these options that runs for so long.
fn measuring(dir: &Path, option: &str, url: &str, seconds: &str) -> Command {
    let mut c = canary(dir);
    c.env_remove("REDISCLI_AUTH").env_remove("PGPASSWORD");
    c.args([
        option, url, "--rate", "200", "--keys", "20", "--for", seconds,
    ]);
    c
}

/// The names of a verdict's checks, each of which must be a pass.
fn passed(folder: &Path, said: &str) -> Vec<String> {
    let verdict = json(&folder.join("verdict.json"));
    let checks = verdict["checks"].as_array().expect("checks");
    let name = |c: &serde_json::Value| {
        assert_eq!(c["verdict"], "pass", "{c}\n{said}");
        c["name"].as_str().expect("a name").to_string()
    };
    checks.iter().map(name).collect()
}

/// Writes and compare-and-sets that ended well.
fn answered(folder: &Path) -> (usize, usize) {
    let history = std::fs::read_to_string(folder.join("history.jsonl")).expect("a history");
    let ok = |kind: &str| {
        let lines = history.lines();
        lines
            .filter(|l| l.contains("\"type\":\"ok\"") && l.contains(kind))
            .count()
    };
    (ok("\"write\""), ok("\"cas\""))
}

pub fn redis_is_measured_and_judged() {
    let Some(server) = servers::redis(&["--requirepass", "open sesame"]) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let url = format!("redis://:open%20sesame@127.0.0.1:{}/1", server.port);
    let done = finish(
        measuring(dir.path(), "--redis", &url, "3s").args(["--mix", ALL_KINDS]),
        LIMIT,
    );
    let said = text(&done);
    assert_eq!(done.status.code(), Some(0), "{said}");
    let folder = folder(dir.path());
    let checks = passed(&folder, &said);
    for name in [
        "lost-writes",
        "session-guarantees",
        "durable-set",
        "counters",
    ] {
        assert!(checks.iter().any(|c| c == name), "{name}: {checks:?}");
    }
    // What it does not promise is left out, and said.
    assert!(!checks.iter().any(|c| c == "linearizability"), "{checks:?}");
    let report = json(&folder.join("report.json"));
    let limits = report["limits"].to_string();
    assert!(
        limits.contains("'linearizability' was not checked: Redis"),
        "{limits}"
    );
    let run = std::fs::read_to_string(folder.join("run.json")).unwrap();
    assert!(run.contains("redis://:***@127.0.0.1"), "{run}");
    assert!(!run.contains("sesame"), "{run}");
    // It is judged alike when it is judged again.
    let checked = finish(gameday().args(["check", "--json"]).arg(&folder), LIMIT);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked));
    assert!(
        !text(&checked).contains("linearizability"),
        "{}",
        text(&checked)
    );

    // Whoever asks for it gets it, and what was there before is gone.
    let again = tempfile::tempdir().unwrap();
    let done = finish(
        measuring(again.path(), "--redis", &url, "1s").args([
            "--mix",
            ALL_KINDS,
            "--linearizability",
        ]),
        LIMIT,
    );
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    let checks = passed(&crate::support::canary::folder(again.path()), &text(&done));
    assert!(checks.iter().any(|c| c == "linearizability"), "{checks:?}");

    let wrong = format!("redis://:guess@127.0.0.1:{}", server.port);
    let dir = tempfile::tempdir().unwrap();
    let done = finish(&mut measuring(dir.path(), "--redis", &wrong, "1s"), LIMIT);
    assert_eq!(done.status.code(), Some(64), "{}", text(&done));
    assert!(text(&done).contains("WRONGPASS"), "{}", text(&done));
}

pub fn a_redis_that_forgets_is_found() {
    let Some(server) = servers::redis(&[]) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let url = format!("redis://127.0.0.1:{}", server.port);
    let (child, metrics, said) = started(&mut measuring(dir.path(), "--redis", &url, "4s"));
    wait_for_answers(&metrics, 150.0);
    assert_eq!(redis_says(server.port, "FLUSHALL").trim(), "+OK");
    let done = wait(child, LIMIT);
    let said = said.join().unwrap() + &text(&done);
    assert_eq!(done.status.code(), Some(1), "{said}");
    let found = anomalies(&folder(dir.path()));
    assert!(
        found.iter().any(|name| name.contains("lost")),
        "{found:?}\n{said}"
    );
}

pub fn the_primary_that_sentinels_name_is_followed() {
    let Some(mut primary) = servers::redis(&[]) else {
        return;
    };
    let of = ["--replicaof", "127.0.0.1", &primary.port.to_string()].map(String::from);
    let of: Vec<&str> = of.iter().map(String::as_str).collect();
    let replica = servers::redis(&of).expect("a second one");
    until("the replica follows", LIMIT, || {
        redis_says(primary.port, "WAIT 1 1000")
            .starts_with(":1")
            .then_some(())
    });
    let sentinel = servers::sentinel(primary.port).expect("a Sentinel");
    until("the Sentinel knows the replica", LIMIT, || {
        let known = redis_says(sentinel.port, "SENTINEL replicas main");
        known.starts_with("*1").then_some(())
    });
    let dir = tempfile::tempdir().unwrap();
    // Nobody is at the first one.
    let url = format!(
        "redis+sentinel://127.0.0.1:1,127.0.0.1:{}/main",
        sentinel.port
    );
    let (child, metrics, said) = started(&mut measuring(dir.path(), "--redis", &url, "2m"));
    wait_for_answers(&metrics, 150.0);
    primary.kill();
    until("the replica is the primary", LIMIT, || {
        let set = redis_says(replica.port, "SET gameday-test 1");
        set.starts_with("+OK").then_some(())
    });
    // Calls are answered again, by the other one.
    let answers = sum(
        &scrape(&metrics),
        "gameday_canary_requests_total{",
        "outcome=\"ok\"",
    );
    wait_for_answers(&metrics, answers + 150.0);
    let done = terminate(child);
    let said = said.join().unwrap() + &text(&done);
    // Whether acknowledged writes were lost is Redis' affair; that it was judged is ours.
    assert!(matches!(done.status.code(), Some(0 | 1)), "{said}");
    let (writes, cas) = answered(&folder(dir.path()));
    assert!(writes > 0 && cas > 0, "{writes} {cas}");
    let keys = redis_says(replica.port, "DBSIZE");
    assert!(
        keys.trim().trim_start_matches(':').parse::<u64>().unwrap() > 10,
        "{keys}"
    );
}

pub fn etcd_is_measured_and_judged() {
    let Some(server) = servers::etcd() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let url = format!("http://127.0.0.1:{}", server.port);
    let done = finish(&mut measuring(dir.path(), "--etcd", &url, "3s"), LIMIT);
    let said = text(&done);
    assert_eq!(done.status.code(), Some(0), "{said}");
    let checks = passed(&folder(dir.path()), &said);
    for name in [
        "lost-writes",
        "linearizability",
        "eventual-reads",
        "durable-set",
    ] {
        assert!(checks.iter().any(|c| c == name), "{name}: {checks:?}");
    }
    let (writes, cas) = answered(&folder(dir.path()));
    assert!(writes > 0 && cas > 0, "{writes} {cas}");
    // What it has not is refused before anything is called.
    let refused = tempfile::tempdir().unwrap();
    let done = finish(
        measuring(refused.path(), "--etcd", &url, "1s").args(["--mix", "adds=1"]),
        LIMIT,
    );
    assert_eq!(done.status.code(), Some(64), "{}", text(&done));
    assert!(
        text(&done).contains("etcd has no addition"),
        "{}",
        text(&done)
    );
    assert!(!refused.path().join("runs").exists());
}

pub fn postgres_is_measured_and_judged() {
    let Some(server) = servers::postgres(&[]) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let missing = format!("postgres://canary@127.0.0.1:{}/postgres", server.port);
    let mut command = measuring(dir.path(), "--postgres", &missing, "3s");
    command.env("PGPASSWORD", "open sesame");
    let done = finish(&mut command, LIMIT);
    assert_eq!(done.status.code(), Some(64), "{}", text(&done));
    assert!(
        text(&done).contains("--create-table makes it"),
        "{}",
        text(&done)
    );
    // Of several hosts, the first that serves; nobody is at the first.
    let hosts = format!("127.0.0.1:1,127.0.0.1:{}", server.port);
    let url =
        format!("postgres://canary:open%20sesame@{hosts}/postgres?target_session_attrs=read-write");
    // The second time the table is there, and is cleared.
    for create in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = measuring(dir.path(), "--postgres", &url, "3s");
        command.args(["--mix", ALL_KINDS, "--fresh-connections", "0.01"]);
        if create {
            command.arg("--create-table");
        }
        let done = finish(&mut command, LIMIT);
        let said = text(&done);
        assert_eq!(done.status.code(), Some(0), "{said}");
        let checks = passed(&folder(dir.path()), &said);
        for name in ["lost-writes", "linearizability", "durable-set", "counters"] {
            assert!(checks.iter().any(|c| c == name), "{name}: {checks:?}");
        }
        let (writes, cas) = answered(&folder(dir.path()));
        assert!(writes > 0 && cas > 0, "{writes} {cas}");
        let run = std::fs::read_to_string(folder(dir.path()).join("run.json")).unwrap();
        assert!(!run.contains("sesame"), "{run}");
    }
    let dir = tempfile::tempdir().unwrap();
    let wrong = url.replace("open%20sesame", "guess");
    let done = finish(
        &mut measuring(dir.path(), "--postgres", &wrong, "1s"),
        LIMIT,
    );
    assert_eq!(done.status.code(), Some(64), "{}", text(&done));
    assert!(text(&done).contains("28P01"), "{}", text(&done));
}

pub fn a_commit_that_waits_for_a_standby_in_vain_is_unknown() {
    // Nobody is that standby, so every commit waits until somebody gives the wait up.
    let Some(server) = servers::postgres(&["synchronous_standby_names=nobody"]) else {
        return;
    };
    let at = format!("canary:open%20sesame@127.0.0.1:{}/postgres", server.port);
    let dir = tempfile::tempdir().unwrap();
    let mut command = measuring(dir.path(), "--postgres", &format!("postgres://{at}"), "3s");
    command.args(["--create-table", "--mix", "writes=0.5,strong_reads=0.5"]);
    let ended = AtomicBool::new(false);
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                servers::psql(
                    &server,
                    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
                );
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let done = finish(&mut command, LIMIT);
        ended.store(true, Ordering::Relaxed);
        done
    });
    let said = text(&done);
    let history = std::fs::read_to_string(folder(dir.path()).join("history.jsonl")).unwrap();
    let lines = |what: &str| history.lines().filter(|l| l.contains(what)).count();
    assert!(
        lines("canceling wait for synchronous replication") > 0,
        "{said}"
    );
    // None of them is taken for a success or for a failure.
    let ended = history.lines().filter(|l| l.contains("\"write\""));
    let ended: Vec<&str> = ended
        .filter(|l| !l.contains("\"type\":\"invoke\""))
        .collect();
    assert!(
        ended.iter().all(|l| l.contains("\"type\":\"info\"")),
        "{ended:?}"
    );
    // They took effect here all the same, which reads show and the checker allows. That none was
    // acknowledged is no pass.
    let verdict = json(&folder(dir.path()).join("verdict.json"));
    let checks = verdict["checks"].as_array().expect("checks");
    let of = |name: &str| {
        let check = checks.iter().find(|c| c["name"] == name);
        check.map(|c| c["verdict"].as_str().unwrap_or_default())
    };
    assert_eq!(of("linearizability"), Some("pass"), "{verdict}\n{said}");
    assert_eq!(of("lost-writes"), Some("unknown"), "{verdict}\n{said}");
    assert_ne!(verdict["resolution"]["seen"], 0, "{verdict}");
}

pub fn http_is_measured_and_judged() {
    let Some(server) = servers::items() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let url = format!("http://127.0.0.1:{}/items/{{key}}", server.port);
    let mut command = measuring(dir.path(), "--http", &url, "3s");
    command
        .args(["--http-write", "PUT", "--http-value", "/item/v"])
        .args([
            "--http-body",
            "{\"item\": {\"v\": {value}}, \"pad\": \"{pad}\"}",
        ])
        .args(["--http-header", "x-key: secret"]);
    let done = finish(&mut command, LIMIT);
    let said = text(&done);
    assert_eq!(done.status.code(), Some(0), "{said}");
    assert!(
        said.contains("left out of the mix, because HTTP has no such calls: cas"),
        "{said}"
    );
    let checks = passed(&folder(dir.path()), &said);
    for name in ["lost-writes", "durable-set", "eventual-reads"] {
        assert!(checks.iter().any(|c| c == name), "{name}: {checks:?}");
    }
    assert!(!checks.iter().any(|c| c == "linearizability"), "{checks:?}");
    let run = std::fs::read_to_string(folder(dir.path()).join("run.json")).unwrap();
    assert!(
        run.contains("x-key: ***") && !run.contains("secret"),
        "{run}"
    );

    // Only read, without the key: what counts as success is said.
    let url = format!("http://127.0.0.1:{}/", server.port);
    let dir = tempfile::tempdir().unwrap();
    let mut command = measuring(dir.path(), "--http", &url, "2s");
    command.args([
        "--http-success",
        "200-299,403",
        "--read-availability",
        "99%",
    ]);
    let done = finish(&mut command, LIMIT);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    let report = json(&folder(dir.path()).join("report.json"));
    let limits = report["limits"].to_string();
    let expected = "'lost-writes' was not checked: The service is only read";
    assert!(limits.contains(expected), "{limits}");
}
