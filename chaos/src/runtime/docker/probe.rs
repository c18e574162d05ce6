//! Probes of links between pods: datagrams with a number of their own, and a
//! connection, to tell being rejected from being dropped.

use super::pod::Pod;
use crate::runtime::LinkState;
use crate::runtime::agent::{AgentAnswer, AgentRequest};
use futures_util::future::join_all;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// Messages per link.
const TIMES: u32 = 12;
/// Milliseconds between them; 300 ms altogether.
const GAP_MS: u64 = 25;

/// What one agent has to send, and what to look for at one agent.
#[derive(Default)]
struct Task {
    send: Vec<(Ipv4Addr, u64)>,
    expect: Vec<u64>,
}

/// Probes links (sender, receiver), all at once; `ips` knows every unit.
pub(super) async fn probe(
    links: &[(Arc<Pod>, Arc<Pod>)],
    ips: &HashMap<String, Ipv4Addr>,
) -> Vec<LinkState> {
    let numbers: Vec<u64> = links.iter().map(|_| rand::random()).collect();
    let mut pods: HashMap<&str, &Pod> = HashMap::new();
    let mut tasks: HashMap<&str, Task> = HashMap::new();
    for ((from, to), number) in links.iter().zip(&numbers) {
        pods.insert(&from.unit, from);
        pods.insert(&to.unit, to);
        tasks
            .entry(&from.unit)
            .or_default()
            .send
            .push((ips[&to.unit], *number));
        tasks.entry(&to.unit).or_default().expect.push(*number);
    }
    let all = Duration::from_millis(u64::from(TIMES) * GAP_MS);
    let sent = join_all(
        tasks
            .iter()
            .filter(|(_, t)| !t.send.is_empty())
            .map(|(unit, task)| {
                let request = AgentRequest::Send {
                    messages: task.send.clone(),
                    times: TIMES,
                    gap_ms: GAP_MS,
                };
                let agent = &pods[unit].agent;
                async move {
                    agent
                        .ask(&request, all)
                        .await
                        .err()
                        .map(|e| (*unit, e.to_string()))
                }
            }),
    );
    let dialled = join_all(
        tasks
            .iter()
            .filter(|(_, t)| !t.send.is_empty())
            .map(|(unit, task)| {
                let request = AgentRequest::Dial {
                    to: task.send.iter().map(|(ip, _)| *ip).collect(),
                    deadline_ms: all.as_millis() as u64,
                };
                let agent = &pods[unit].agent;
                async move { (*unit, task, agent.ask(&request, all).await) }
            }),
    );
    let (sent, dialled) = tokio::join!(sent, dialled);
    let mut failed: HashMap<&str, String> = sent.into_iter().flatten().collect();
    let mut refused: HashMap<u64, bool> = HashMap::new();
    for (unit, task, answer) in dialled {
        match answer {
            Ok(AgentAnswer::Refused(all)) => {
                let numbers = task.send.iter().map(|(_, number)| *number);
                refused.extend(numbers.zip(all));
            }
            Ok(other) => drop(failed.insert(unit, format!("unexpected answer {other:?}"))),
            Err(e) => drop(failed.insert(unit, e.to_string())),
        }
    }
    let asked = join_all(
        tasks
            .iter()
            .filter(|(_, t)| !t.expect.is_empty())
            .map(|(unit, task)| {
                let request = AgentRequest::Seen(task.expect.clone());
                let agent = &pods[unit].agent;
                async move {
                    (
                        *unit,
                        &task.expect,
                        agent.ask(&request, Duration::ZERO).await,
                    )
                }
            }),
    );
    let mut seen: HashMap<u64, bool> = HashMap::new();
    for (unit, numbers, answer) in asked.await {
        match answer {
            Ok(AgentAnswer::Seen(found)) => seen.extend(numbers.iter().copied().zip(found)),
            Ok(other) => drop(failed.insert(unit, format!("unexpected answer {other:?}"))),
            Err(e) => drop(failed.insert(unit, e.to_string())),
        }
    }
    let states = links.iter().zip(&numbers).map(|((from, to), number)| {
        let failure = [&from.unit, &to.unit].into_iter().find_map(|unit| {
            failed
                .get(unit.as_str())
                .map(|why| format!("agent of {unit}: {why}"))
        });
        let refused = refused.get(number).copied().unwrap_or(false);
        judge(seen.get(number).copied(), refused, failure)
    });
    states.collect()
}

/// An arrival is proof whatever failed besides; silence is one only if nothing failed.
fn judge(seen: Option<bool>, refused: bool, failure: Option<String>) -> LinkState {
    match (seen, failure) {
        (Some(true), _) => LinkState::Open,
        (_, Some(why)) => LinkState::Unknown(why),
        (Some(false), None) if refused => LinkState::Rejected,
        (Some(false), None) => LinkState::Cut,
        (None, None) => LinkState::Unknown("no answer about it".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_proves_a_cut_only_if_the_probe_itself_worked() {
        let why = || Some("x".to_string());
        for refused in [false, true] {
            assert_eq!(judge(Some(true), refused, None), LinkState::Open);
            assert_eq!(judge(Some(true), refused, why()), LinkState::Open);
            let unknown = judge(Some(false), refused, why());
            assert_eq!(unknown, LinkState::Unknown("x".into()));
            assert!(matches!(judge(None, refused, None), LinkState::Unknown(_)));
        }
        assert_eq!(judge(Some(false), false, None), LinkState::Cut);
        assert_eq!(judge(Some(false), true, None), LinkState::Rejected);
    }
}
