//! Clients of other AZs do not reach an AZ's endpoint, while all nodes reach
//! each other: seen by the proofs, and by the canaries, who are those clients.

use crate::support::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(180);

pub fn of_processes_do_not_reach_an_endpoint() {
    do_not_reach_an_endpoint("process");
}

pub fn of_containers_do_not_reach_an_endpoint() {
    do_not_reach_an_endpoint("docker");
}

fn do_not_reach_an_endpoint(runtime: &'static str) {
    let step = step("clients", "{ az = \"b\" }", 8) + "\nfrom = [\"a\", \"c\"]";
    let day = Short::new(runtime, &step);
    let done = finish(&mut day.command(), LIMIT);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    let (folder, _) = day.folder();
    // Two clients, two nodes, both ways; beside them nodes, and b's own client.
    for (side, told) in [
        ("injected", "8 links probed cut"),
        ("held", "beside it: 22 links probed open"),
        ("reverted", "8 links probed open"),
    ] {
        let (pass, evidence) = proofs(&folder, side);
        assert!(pass && evidence.contains(told), "{side}: {evidence}");
    }
    // Who lost most of what was asked while it was in force.
    let report = json(&folder.join("report.json"));
    let pairs = &report["injections"][0]["impact"]["pairs"];
    let lost = |p: &&Value| {
        let count = |what: &str| p[what].as_u64().expect("a count");
        2 * (count("failed") + count("unknown")) > count("attempts")
    };
    let of = |p: &Value| ["az", "endpoint"].map(|end| p[end].as_str().expect("an AZ").to_string());
    let pairs = pairs.as_array().expect("pairs");
    let lost: BTreeSet<[String; 2]> = pairs.iter().filter(lost).map(of).collect();
    let expected = [["a", "b"], ["c", "b"]].map(|pair| pair.map(String::from));
    assert_eq!(lost, expected.into(), "{pairs:#?}");
}
