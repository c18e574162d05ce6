//! Probes of links between pods: datagrams with a number of their own, and a
//! connection, to tell being rejected from being dropped. A link is probed at
//! every address by which it leads to its receiver.

use super::peers::Addresses;
use super::pod::Pod;
use crate::runtime::LinkState;
use crate::runtime::agent::{AgentAnswer, AgentRequest};
use futures_util::future::join_all;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Messages per way.
const TIMES: u32 = 12;
/// Milliseconds between them; 300 ms altogether.
const GAP_MS: u64 = 25;

/// One address by which a link leads to its receiver.
struct Way<'a> {
    from: &'a Pod,
    to: &'a Pod,
    ip: IpAddr,
    number: u64,
}

/// Probes links (sender, receiver), all at once.
pub(super) async fn probe(links: &[(Arc<Pod>, Arc<Pod>)], addresses: &Addresses) -> Vec<LinkState> {
    let reached = links
        .iter()
        .map(|(from, to)| addresses.reached(&from.unit, &to.unit));
    let reached: Vec<Result<_, String>> = reached.collect();
    let ways = links
        .iter()
        .zip(&reached)
        .flat_map(|((from, to), reached)| {
            let ips = reached.iter().flatten().copied();
            ips.map(|ip| Way {
                from,
                to,
                ip,
                number: rand::random(),
            })
        });
    let ways: Vec<Way<'_>> = ways.collect();
    let mut states = probe_ways(&ways).await.into_iter();
    let all = reached.into_iter().map(|reached| match reached {
        Ok(ips) => together(ips.into_iter().zip(states.by_ref())),
        Err(why) => LinkState::Unknown(why),
    });
    all.collect()
}

/// What is said of a link of whose ways this is known: they all have to be in one state.
fn together(ways: impl Iterator<Item = (IpAddr, LinkState)>) -> LinkState {
    let ways: Vec<_> = ways.collect();
    let unknown = |(_, state): &&(IpAddr, LinkState)| matches!(state, LinkState::Unknown(_));
    if let Some((_, state)) = ways.iter().find(unknown) {
        return state.clone();
    }
    match ways.as_slice() {
        [(_, first), rest @ ..] if rest.iter().all(|(_, state)| state == first) => first.clone(),
        ways => {
            let each = ways.iter().map(|(ip, state)| format!("{state:?} by {ip}"));
            LinkState::Unknown(each.collect::<Vec<_>>().join(", ").to_lowercase())
        }
    }
}

/// What one agent has to send, and what to look for at one agent.
#[derive(Default)]
struct Task {
    send: Vec<(SocketAddr, u64)>,
    dial: Vec<SocketAddr>,
    expect: Vec<u64>,
}

/// Probes ways, all at once.
async fn probe_ways(ways: &[Way<'_>]) -> Vec<LinkState> {
    let mut failed: HashMap<&str, String> = HashMap::new();
    let mut pods: HashMap<&str, &Pod> = HashMap::new();
    let mut tasks: HashMap<&str, Task> = HashMap::new();
    for way in ways {
        pods.insert(&way.from.unit, way.from);
        pods.insert(&way.to.unit, way.to);
        let Some(ports) = way.to.agent.ports() else {
            failed.insert(&way.to.unit, "it has not said where it listens".into());
            continue;
        };
        let task = tasks.entry(&way.from.unit).or_default();
        let to = |port| SocketAddr::from((way.ip, port));
        task.send.push((to(ports.probe), way.number));
        task.dial.push(to(ports.dial));
        let task = tasks.entry(&way.to.unit).or_default();
        task.expect.push(way.number);
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
                    to: task.dial.clone(),
                    deadline_ms: all.as_millis() as u64,
                };
                let agent = &pods[unit].agent;
                async move { (*unit, task, agent.ask(&request, all).await) }
            }),
    );
    let (sent, dialled) = tokio::join!(sent, dialled);
    failed.extend(sent.into_iter().flatten());
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
    let states = ways.iter().map(|way| {
        let failure = [&way.from.unit, &way.to.unit].into_iter().find_map(|unit| {
            failed
                .get(unit.as_str())
                .map(|why| format!("agent of {unit}: {why}"))
        });
        let refused = refused.get(&way.number).copied().unwrap_or(false);
        judge(seen.get(&way.number).copied(), refused, failure)
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
    fn a_link_is_what_all_its_ways_are() {
        use LinkState::{Cut, Open, Unknown};
        let said = |states: &[LinkState]| {
            let ips = ["10.0.0.2", "fd00::2"].map(|ip| ip.parse().unwrap());
            together(ips.into_iter().zip(states.iter().cloned()))
        };
        assert_eq!(said(&[Cut]), Cut);
        assert_eq!(said(&[Open, Open]), Open);
        // A cut that leaks is none.
        let leaks = Unknown("cut by 10.0.0.2, open by fd00::2".into());
        assert_eq!(said(&[Cut, Open]), leaks);
        let why = Unknown("x".into());
        assert_eq!(said(&[Open, why.clone()]), why);
    }

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
