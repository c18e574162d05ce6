//! The pods of a run in containers, asked without its runner.

use super::Seen;
use crate::support::engine::{Attached, docker_lines};
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::sync::Barrier;
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
    let numbers = |of: &Vec<(usize, u64)>| of.iter().map(|(_, n)| *n).collect::<Vec<u64>>();
    let all_have_sent = Barrier::new(agents.len());
    let (sent, numbers) = (sent.into_iter(), expected.iter().map(numbers));
    let seen: Vec<Option<Value>> = std::thread::scope(|scope| {
        let asked: Vec<_> = agents
            .iter()
            .zip(sent.zip(numbers))
            .map(|(agent, (messages, numbers))| {
                let all_have_sent = &all_have_sent;
                scope.spawn(move || {
                    let mut attached = Attached::to(&agent.container);
                    let send = json!({ "messages": messages, "times": 4, "gap_ms": 25 });
                    let sent = attached.ask(&json!({ "send": send }));
                    all_have_sent.wait();
                    sent.and_then(|_| attached.ask(&json!({ "seen": numbers })))
                })
            })
            .collect();
        let asked = asked.into_iter();
        asked.map(|a| a.join().expect("asked")).collect()
    });
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

/// Agents that run; one may go while it is asked about.
fn agents(run: &str) -> Vec<Agent> {
    let filter = format!("label=gameday.run={run}");
    let all = docker_lines(&["ps", "-q", "--filter", &filter]);
    if all.is_empty() {
        return Vec::new();
    }
    let format = "{{.Name}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let out = Command::new("docker")
        .args(["inspect", "--format", format])
        .args(all)
        .stdin(Stdio::null())
        .output()
        .expect("the docker command runs");
    let agent = |line: &str| {
        let (container, ip) = line.trim_start_matches('/').split_once(' ')?;
        let unit = container.strip_suffix("-agent")?;
        let unit = unit.strip_prefix(&format!("gameday-{run}-"))?.to_string();
        (!ip.is_empty()).then(|| Agent {
            container: container.to_string(),
            unit,
            ip: ip.to_string(),
        })
    };
    let said = String::from_utf8_lossy(&out.stdout);
    said.lines().filter_map(agent).collect()
}
