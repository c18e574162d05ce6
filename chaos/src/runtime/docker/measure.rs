//! Measurements of links between pods: the receivers' agents are told, the
//! senders' send, the receivers' say what they heard.

use super::peers::Addresses;
use super::pod::{Agent, Pod};
use crate::runtime::agent::{AgentAnswer, AgentRequest};
use crate::runtime::traffic::{Heard, Sounding};
use futures_util::future::join_all;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Whom to send to, and the number of the measurement.
type Task = (SocketAddr, u64);

/// One link and the number of its measurement.
struct Stream<'a> {
    from: &'a Pod,
    to: &'a Pod,
    number: u64,
}

/// Measures links (sender, receiver), all at once, each by the first of the addresses by which it
/// leads to its receiver: the same is done to all of them.
pub(super) async fn measure(
    links: &[(Arc<Pod>, Arc<Pod>)],
    addresses: &Addresses,
    sounding: Sounding,
) -> Vec<Result<Heard, String>> {
    let streams = links.iter().map(|(from, to)| Stream {
        from,
        to,
        number: rand::random(),
    });
    let streams: Vec<Stream<'_>> = streams.collect();
    let mut receivers: HashMap<&str, (&Agent, Vec<u64>)> = HashMap::new();
    let mut senders: HashMap<&str, (&Agent, Vec<Task>)> = HashMap::new();
    let mut unreached: HashMap<u64, String> = HashMap::new();
    for s in &streams {
        let receiver = receivers.entry(&s.to.unit).or_insert((&s.to.agent, vec![]));
        receiver.1.push(s.number);
        let sender = senders
            .entry(&s.from.unit)
            .or_insert((&s.from.agent, vec![]));
        match receiver_of(s, addresses) {
            Ok(to) => sender.1.push((to, s.number)),
            Err(why) => drop(unreached.insert(s.number, why)),
        }
    }
    let mut failed: HashMap<&str, String> = HashMap::new();
    let listening = join_all(receivers.iter().map(|(unit, (agent, numbers))| async move {
        let request = AgentRequest::Listen(numbers.clone(), sounding);
        (*unit, done(agent, &request, Duration::ZERO).await)
    }));
    failed.extend(errors(listening.await));
    let sending = join_all(senders.iter().map(|(unit, (agent, to))| async move {
        let request = AgentRequest::Sound(to.clone(), sounding);
        (*unit, done(agent, &request, sounding.takes() * 2).await)
    }));
    failed.extend(errors(sending.await));
    let hearing = join_all(receivers.iter().map(|(unit, (agent, numbers))| async move {
        let wait_ms = sounding.wait.as_millis() as u64;
        let request = AgentRequest::Heard(numbers.clone(), wait_ms);
        (*unit, numbers, agent.ask(&request, sounding.wait).await)
    }));
    let mut heard: HashMap<u64, Heard> = HashMap::new();
    for (unit, numbers, answer) in hearing.await {
        match answer {
            Ok(AgentAnswer::Heard(all)) => heard.extend(numbers.iter().copied().zip(all)),
            Ok(other) => drop(failed.insert(unit, format!("unexpected answer {other:?}"))),
            Err(e) => drop(failed.insert(unit, e.to_string())),
        }
    }
    let results = streams.iter().map(|s| {
        if let Some(why) = unreached.remove(&s.number) {
            return Err(why);
        }
        let ends = [&s.from.unit, &s.to.unit];
        for unit in ends {
            if let Some(why) = failed.get(unit.as_str()) {
                return Err(format!("agent of {unit}: {why}"));
            }
        }
        let heard = heard.remove(&s.number);
        heard.ok_or_else(|| "no answer about it".to_string())
    });
    results.collect()
}

/// Where a measurement is sent.
fn receiver_of(stream: &Stream<'_>, addresses: &Addresses) -> Result<SocketAddr, String> {
    let (from, to) = (&stream.from.unit, &stream.to.unit);
    let ips = addresses.reached(from, to)?;
    let ip = ips.first().ok_or_else(|| format!("{to} has no address"))?;
    let ports = stream.to.agent.ports();
    let ports = ports.ok_or_else(|| format!("the agent of {to} has not said where it listens"))?;
    Ok(SocketAddr::from((*ip, ports.measure)))
}

async fn done(agent: &Agent, request: &AgentRequest, wait: Duration) -> Result<(), String> {
    match agent.ask(request, wait).await {
        Ok(AgentAnswer::Sent) => Ok(()),
        Ok(other) => Err(format!("unexpected answer {other:?}")),
        Err(e) => Err(e.to_string()),
    }
}

fn errors(answers: Vec<(&str, Result<(), String>)>) -> impl Iterator<Item = (&str, String)> {
    let failed = answers.into_iter();
    failed.filter_map(|(unit, answer)| Some((unit, answer.err()?)))
}
