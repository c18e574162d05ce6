//! What wrong clocks do to the store, seen by its clients: a wall clock that has
//! jumped is told to them, and one that goes wrong by more than the margin of
//! the leases lets a stale read through, which is found.

use crate::support::engine::ip_of;
use crate::support::marked::marked;
use crate::support::*;
use gameday_cluster::backend::TableSpec;
use gameday_cluster::client::Client;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const LIMIT: Duration = Duration::from_secs(150);
/// One call to the store.
const CALL: Duration = Duration::from_secs(10);
/// Seeds tried before a stale read counts as missed: with half of them one is found.
const SEEDS: u64 = 12;

/// Where AZ a's clients reach the store.
fn endpoint(runtime: &str, run: &str) -> String {
    const ROUTER: &str = "router-a";
    if runtime == "docker" {
        let ip = ip_of(&format!("gameday-{run}-{ROUTER}-agent"));
        return format!("http://{ip}:8000");
    }
    let mut all = marked(run).into_iter();
    let router = all.find(|p| p.unit == ROUTER).expect("it runs");
    let config = router.var("GAMEDAY_NODE").expect("its configuration");
    let config: Value = serde_json::from_str(&config).expect("JSON");
    let addr = config["router"]["public_bind"].as_str();
    format!("http://{}", addr.expect("an address"))
}

/// How many seconds ago a new table was created, as the store tells.
fn age_of_a_new_table(endpoint: &str, name: &str) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let told = runtime.block_on(async {
        let client = Client::new(endpoint, CALL).expect("a client");
        let spec = TableSpec::of_strings(name);
        client.create_table(&spec).await.expect("a table");
        let asked = json!({ "TableName": name });
        client.call("DescribeTable", &asked).await.expect("told")
    });
    let told: Value = serde_json::from_slice(&told).expect("JSON");
    let created = told["Table"]["CreationDateTime"].as_f64();
    let created = created.unwrap_or_else(|| panic!("no time in {told}"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("later than 1970").as_secs_f64() - created
}

/// All wall clocks jump, because any node may be the one that creates tables.
fn a_jump_is_told_to_clients(runtime: &'static str) {
    let jump = step("clock-skew", "{ role = \"storage\" }", 6) + "\njump = \"-2h\"";
    let day = Short::new(runtime, &jump);
    let child = day.hurt();
    let (folder, run) = day.folder();
    let endpoint = endpoint(runtime, &run);
    let during = age_of_a_new_table(&endpoint, "during");
    until("gone", LIMIT, || {
        timeline(&folder)
            .contains("\"side\":\"reverted\"")
            .then_some(())
    });
    let after = age_of_a_new_table(&endpoint, "after");
    let done = wait(child, LIMIT);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    let (two_hours, slack) = (7200.0, 600.0);
    assert!((during - two_hours).abs() < slack, "{during} s ago");
    assert!(after.abs() < slack, "{after} s ago");
}

pub fn a_jump_is_told_to_clients_of_processes() {
    a_jump_is_told_to_clients("process");
}

pub fn a_jump_is_told_to_clients_of_containers() {
    a_jump_is_told_to_clients("docker");
}

/// AZ a's storage node is cut off while its clock is slow and those of the others are fast by so
/// many percent: it believes in its leases for longer than they do. The router of its AZ still
/// reaches it; the others are told at once to look for other leaders.
fn unequal_clocks(percent: u32) -> String {
    format!(
        r#"[playbook]
title = "unequal clocks"
allow_quorum_loss = true

[cluster]
storage_nodes_per_az = 1
partitions = 12

[workload]
rate = 200
keys = 24
writes = 0.4
inserts = 0
cas = 0
strong_reads = 0.6
eventual_reads = 0

[baseline]
for = "3s"

[[step]]
name = "slow"
fault = "clock-skew"
target = {{ node = "storage-a1" }}
drift = "-{percent}%"
at = "0s"
for = "8s"

[[step]]
name = "fast"
fault = "clock-skew"
target = [{{ node = "storage-b1" }}, {{ node = "storage-c1" }}]
drift = "{percent}%"
at = "0s"
for = "8s"

[[step]]
fault = "split"
groups = [
    {{ node = "storage-a1" }},
    [{{ node = "storage-b1" }}, {{ node = "storage-c1" }}, {{ node = "router-b" }}, {{ node = "router-c" }}],
]
how = "reject"
at = "2s"
for = "3s"

[cooldown]
for = "5s"
"#
    )
}

/// The exit code, and the names of all anomalies.
fn with_unequal_clocks(percent: u32, seed: u64) -> (Option<i32>, Vec<String>, String) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let book = dir.path().join("clocks.toml");
    std::fs::write(&book, unequal_clocks(percent)).expect("the folder is writable");
    let out = dir.path().join("runs");
    let _ends = EndsRuns(out.clone());
    let mut command = gameday();
    command.arg("run").arg(&book).args(["--runtime", "process"]);
    command.args(["--plain", "--seed", &seed.to_string(), "--out"]);
    let done = finish(command.arg(&out), LIMIT);
    assert_ne!(done.status.code(), Some(64), "{}", text(&done));
    let anomalies = anomalies(&run_folder(&out));
    (done.status.code(), anomalies, text(&done))
}

/// The margin is a tenth: two clocks that differ by less change nothing.
pub fn leases_hold_within_their_margin_and_beyond_it_a_stale_read_is_found() {
    let (code, anomalies, said) = with_unequal_clocks(4, 1);
    assert_eq!((code, anomalies), (Some(0), Vec::new()), "{said}");

    let mut tried = String::new();
    for seed in 1..=SEEDS {
        let (code, anomalies, said) = with_unequal_clocks(50, seed);
        if code == Some(1) {
            assert!(anomalies.iter().any(|n| n == "stale read"), "{anomalies:?}");
            assert!(!anomalies.iter().any(|n| n == "lost write"), "{said}");
            println!("clocks that differ by 50 % each way: a stale read with seed {seed}");
            return;
        }
        tried.push_str(&format!("seed {seed}: exit {code:?}\n{said}\n"));
    }
    panic!("no stale read in {SEEDS} seeds:\n{tried}");
}
