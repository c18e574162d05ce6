//! The pods of a run in containers, asked without its runner.

use super::Seen;
use crate::support::engine::{address, ask, docker_lines};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers of messages, far from those that a runner uses.
static NUMBER: AtomicU64 = AtomicU64::new(1 << 50);

/// Sends messages over every link, each way by itself.
pub(super) fn look(run: &str) -> Option<Vec<Seen>> {
    let agents = agents(run);
    if agents.len() < 2 {
        return None;
    }
    // What each sends to each of the others, in the order of `agents`.
    let mut sent = vec![Vec::new(); agents.len()];
    let mut expected = vec![Vec::new(); agents.len()];
    for (from, sent) in sent.iter_mut().enumerate() {
        for (to, agent) in agents.iter().enumerate().filter(|(to, _)| *to != from) {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            sent.push(json!([agent.ip, number]));
            expected[to].push((from, number));
        }
    }
    let every = |requests: Vec<Value>| -> Vec<Option<Value>> {
        std::thread::scope(|scope| {
            let asked: Vec<_> = agents
                .iter()
                .zip(requests)
                .map(|(agent, request)| scope.spawn(move || ask(&agent.container, &request)))
                .collect();
            let asked = asked.into_iter();
            asked.map(|a| a.join().expect("asked")).collect()
        })
    };
    let send = |messages| json!({ "send": { "messages": Value::Array(messages), "times": 4, "gap_ms": 25 } });
    every(sent.into_iter().map(send).collect());
    let numbers = |of: &Vec<(usize, u64)>| of.iter().map(|(_, n)| *n).collect::<Vec<u64>>();
    let seen = every(
        expected
            .iter()
            .map(|of| json!({ "seen": numbers(of) }))
            .collect(),
    );
    let mut links = Vec::new();
    for ((to, of), answer) in expected.iter().enumerate().zip(seen) {
        let all = answer.as_ref().and_then(|a| a["answer"]["seen"].as_array());
        for (i, (from, _)) in of.iter().enumerate() {
            links.push(Seen {
                from: agents[*from].unit.clone(),
                to: agents[to].unit.clone(),
                carries: all.is_some_and(|all| all.get(i) == Some(&Value::Bool(true))),
            });
        }
    }
    Some(links)
}

struct Agent {
    container: String,
    unit: String,
    ip: String,
}

/// Agents that run. The engine may still be at what it was asked before a watchdog died: then
/// they go one after the other.
fn agents(run: &str) -> Vec<Agent> {
    let filter = format!("label=gameday.run={run}");
    let names = docker_lines(&["ps", "--filter", &filter, "--format", "{{.Names}}"]);
    let agent = |container: String| {
        let unit = container.strip_suffix("-agent")?;
        let unit = unit.strip_prefix(&format!("gameday-{run}-"))?.to_string();
        let ip = address(&container)?;
        Some(Agent {
            container,
            unit,
            ip,
        })
    };
    names.into_iter().filter_map(agent).collect()
}
