//! The pods of a run in containers, asked without its runner.

use crate::support::engine::{address, ask, docker_lines};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Waits until messages pass between all pods; how many links there are. `None` if there are no
/// two pods.
pub fn until_all_links_carry(run: &str, limit: Duration) -> Option<usize> {
    let began = Instant::now();
    let mut number = 1u64 << 50;
    loop {
        let agents = agents(run);
        if agents.len() < 2 {
            return None;
        }
        // What each sends to each of the others, in the order of `agents`.
        let mut sent = vec![Vec::new(); agents.len()];
        let mut expected = vec![Vec::new(); agents.len()];
        for (from, sent) in sent.iter_mut().enumerate() {
            for (to, (_, ip)) in agents.iter().enumerate().filter(|(to, _)| *to != from) {
                number += 1;
                sent.push(json!([ip, number]));
                expected[to].push(number);
            }
        }
        let every = |requests: Vec<Value>| -> Vec<Option<Value>> {
            std::thread::scope(|scope| {
                let asked: Vec<_> = agents
                    .iter()
                    .zip(requests)
                    .map(|((agent, _), request)| scope.spawn(move || ask(agent, &request)))
                    .collect();
                asked
                    .into_iter()
                    .map(|a| a.join().expect("asked"))
                    .collect()
            })
        };
        let send = |messages: Vec<Value>| json!({ "send": { "messages": messages, "times": 4, "gap_ms": 25 } });
        every(sent.into_iter().map(send).collect());
        let links = expected.iter().map(Vec::len).sum();
        let seen = every(expected.into_iter().map(|e| json!({ "seen": e })).collect());
        let arrived = |answer: &Option<Value>| {
            let all = answer.as_ref().and_then(|a| a["answer"]["seen"].as_array());
            all.is_some_and(|all| all.iter().all(|seen| seen == true))
        };
        if seen.iter().all(arrived) {
            return Some(links);
        }
        assert!(began.elapsed() < limit, "{run}: links stay cut: {seen:?}");
    }
}

/// Agents that run, and their addresses. The engine may still be at what it was asked before a
/// watchdog died: then they go one after the other.
fn agents(run: &str) -> Vec<(String, String)> {
    let filter = format!("label=gameday.run={run}");
    let names = docker_lines(&["ps", "--filter", &filter, "--format", "{{.Names}}"]);
    let agents = names.into_iter().filter(|n| n.ends_with("-agent"));
    agents
        .filter_map(|name| address(&name).map(|ip| (name, ip)))
        .collect()
}
