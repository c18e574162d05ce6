//! Probes of links between pods: datagrams with a number of their own.

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
    let mut failed: HashMap<&str, String> = sent.await.into_iter().flatten().collect();
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
        judge(seen.get(number).copied(), failure)
    });
    states.collect()
}

/// An arrival is proof whatever failed besides; silence is one only if nothing failed.
fn judge(seen: Option<bool>, failure: Option<String>) -> LinkState {
    match (seen, failure) {
        (Some(true), _) => LinkState::Open,
        (_, Some(why)) => LinkState::Unknown(why),
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
        assert_eq!(judge(Some(true), None), LinkState::Open);
        assert_eq!(judge(Some(true), why()), LinkState::Open);
        assert_eq!(judge(Some(false), None), LinkState::Cut);
        assert_eq!(judge(Some(false), why()), LinkState::Unknown("x".into()));
        assert!(matches!(judge(None, None), LinkState::Unknown(_)));
    }
}
