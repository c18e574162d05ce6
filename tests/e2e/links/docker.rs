//! The pods of a run in containers, asked without its runner.

use super::Seen;
use crate::support::engine::{Attached, docker_lines};
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};

/// Numbers of messages, far from those that a runner uses.
static NUMBER: AtomicU64 = AtomicU64::new(1 << 50);

/// Sends messages over every link, each way by itself.
pub(super) fn look(run: &str) -> Option<Vec<Seen>> {
    let agents = agents(run);
    if agents.len() < 2 {
        return None;
    }
    // The number that each sends to each of the others, in the order of `agents`.
    let number =
        |from: usize, to: usize| (from != to).then(|| NUMBER.fetch_add(1, Ordering::Relaxed));
    let all = 0..agents.len();
    let numbers: Vec<Vec<Option<u64>>> = all
        .clone()
        .map(|from| all.clone().map(|to| number(from, to)).collect())
        .collect();
    let addresses: Mutex<Vec<Option<String>>> = Mutex::new(vec![None; agents.len()]);
    let (told, sent) = (Barrier::new(agents.len()), Barrier::new(agents.len()));
    let seen: Vec<Option<Value>> = std::thread::scope(|scope| {
        let (numbers, addresses, told, sent) = (&numbers, &addresses, &told, &sent);
        let asked: Vec<_> = agents
            .iter()
            .enumerate()
            .map(|(own, agent)| {
                scope.spawn(move || {
                    let mut attached = Attached::to(&agent.container);
                    let ports = attached.ask(&json!("ports"));
                    let port = ports.and_then(|a| a["answer"]["ports"]["probe"].as_u64());
                    let address = port.map(|port| format!("{}:{port}", agent.ip));
                    addresses.lock().expect("addresses")[own] = address;
                    told.wait();
                    let addresses = addresses.lock().expect("addresses").clone();
                    let to = addresses.iter().zip(&numbers[own]);
                    let messages: Vec<Value> = to
                        .filter_map(|(address, number)| {
                            Some(json!([address.as_ref()?, (*number)?]))
                        })
                        .collect();
                    let send = json!({ "messages": messages, "times": 4, "gap_ms": 25 });
                    let done = attached.ask(&json!({ "send": send }));
                    sent.wait();
                    let of_me: Vec<u64> = numbers.iter().filter_map(|from| from[own]).collect();
                    done.and_then(|_| attached.ask(&json!({ "seen": of_me })))
                })
            })
            .collect();
        let asked = asked.into_iter();
        asked.map(|a| a.join().expect("asked")).collect()
    });
    let mut links = Vec::new();
    for (to, answer) in seen.iter().enumerate() {
        let heard = answer.as_ref().and_then(|a| a["answer"]["seen"].as_array());
        let senders = all.clone().filter(|from| *from != to);
        for (i, from) in senders.enumerate() {
            links.push(Seen {
                from: agents[from].unit.clone(),
                to: agents[to].unit.clone(),
                carries: heard.is_some_and(|heard| heard.get(i) == Some(&Value::Bool(true))),
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
