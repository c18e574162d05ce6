//! After the last revert: does every link carry, between all nodes and between
//! them and the instruments?
//!
//! The proofs that faults are gone look at the links that were cut. This looks
//! at all of them, so that a rule which no injection knows of is seen too.

use super::prove::{describe, until};
use super::shared::Shared;
use crate::runtime::{Link, LinkState, Runtime};
use gameday_record::timeline::Proof;
use gameday_record::{Node, TimelineEvent, Topology, Verdict};
use std::time::Duration;

/// Looked at again until then.
const REACH: Duration = Duration::from_secs(10);
/// Links probed at once.
const AT_ONCE: usize = 1000;
/// Links named in evidence, at most.
const NAMED: usize = 5;

/// Looks, and records what was seen. Without an injection there is nothing to
/// look for.
pub(super) async fn check(shared: &Shared) {
    let begun = shared.begun.lock().unwrap_or_else(|e| e.into_inner()).len();
    if begun == 0 {
        return;
    }
    let scene = &shared.scene;
    let mut links = all(&scene.topology, &scene.instruments);
    // Of a node that died by accident it is known already that it does not answer.
    let down = shared.accidents.down();
    links.retain(|link| scene.runtime.linked(&link.from, &link.to));
    links.retain(|link| !down.contains(&link.from) && !down.contains(&link.to));
    let look = || look(scene.runtime.as_ref(), &links);
    let proof = until(REACH, |v| v == Verdict::Pass, look).await;
    let said = describe(&proof);
    let verdict = proof.verdict;
    shared.write(TimelineEvent::Reachability { proof }).await;
    match verdict {
        Verdict::Pass => {}
        Verdict::Fail => shared.not_clean(format!(
            "not every link carries after the last revert: {said}"
        )),
        Verdict::Unknown => shared.unproven(format!(
            "it could not be seen whether every link carries after the last revert: {said}"
        )),
    }
}

/// Every ordered pair of nodes, and of a node and an instrument.
fn all(topology: &Topology, instruments: &[Node]) -> Vec<Link> {
    let nodes = || topology.nodes.iter().map(|n| &n.name);
    let names = || instruments.iter().map(|i| &i.name);
    let between = nodes().flat_map(|from| {
        let others = nodes().filter(move |to| *to != from);
        others.map(move |to| (from, to))
    });
    let beside =
        nodes().flat_map(|node| names().flat_map(move |other| [(node, other), (other, node)]));
    between
        .chain(beside)
        .map(|(from, to)| Link {
            from: from.clone(),
            to: to.clone(),
        })
        .collect()
}

async fn look(runtime: &dyn Runtime, links: &[Link]) -> Proof {
    let mut seen = Vec::new();
    for some in links.chunks(AT_ONCE) {
        match runtime.probe(some).await {
            Ok(states) if states.len() == some.len() => seen.extend(states),
            Ok(states) => {
                return unknown(format!(
                    "{} links probed, {} answers",
                    some.len(),
                    states.len()
                ));
            }
            Err(e) => return unknown(format!("links not probed: {e}")),
        }
    }
    judge(links, &seen)
}

fn unknown(why: String) -> Proof {
    Proof {
        verdict: Verdict::Unknown,
        evidence: vec![why],
    }
}

/// One silent link refutes it; one that could not be probed leaves it open.
fn judge(links: &[Link], seen: &[LinkState]) -> Proof {
    let mut silent = Vec::new();
    let mut blind = Vec::new();
    for (link, state) in links.iter().zip(seen) {
        let name = format!("{} → {}", link.from, link.to);
        match state {
            LinkState::Open => {}
            LinkState::Cut | LinkState::Rejected => silent.push(name),
            LinkState::Unknown(why) => blind.push(format!("{name} ({why})")),
        }
    }
    let total = links.len();
    let (verdict, what, names) = if !silent.is_empty() {
        (Verdict::Fail, "carry nothing", silent)
    } else if !blind.is_empty() {
        (Verdict::Unknown, "could not be probed", blind)
    } else {
        return Proof {
            verdict: Verdict::Pass,
            evidence: vec![format!("{total} of {total} links carry")],
        };
    };
    let more = match names.len().saturating_sub(NAMED) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let count = names.len();
    let named = names[..count.min(NAMED)].join(", ");
    Proof {
        verdict,
        evidence: vec![format!("{count} of {total} links {what}: {named}{more}")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ordered_pair_must_carry() {
        let node = |name: &str| Node {
            name: name.into(),
            az: "a".into(),
            role: "storage".into(),
        };
        let topology = Topology {
            azs: vec!["a".into()],
            nodes: ["n1", "n2", "n3"].map(node).to_vec(),
            ..Topology::default()
        };
        // Both ways between them and either canary; of two canaries none hears the other.
        let with = all(&topology, &["canary-a", "canary-b"].map(node));
        assert_eq!(with.len(), 6 + 12);
        let named = |name: &str| with.iter().any(|l| l.from == name || l.to == name);
        assert!(named("canary-a") && named("canary-b"));
        let links = all(&topology, &[]);
        assert_eq!(links.len(), 6);
        let mut seen = vec![LinkState::Open; 6];
        assert_eq!(judge(&links, &seen).verdict, Verdict::Pass);
        seen[4] = LinkState::Unknown("no agent".into());
        let proof = judge(&links, &seen);
        assert_eq!(proof.verdict, Verdict::Unknown);
        assert!(
            proof.evidence[0].contains("n3 → n1 (no agent)"),
            "{proof:?}"
        );
        seen[1] = LinkState::Cut;
        let proof = judge(&links, &seen);
        assert_eq!(proof.verdict, Verdict::Fail);
        assert!(proof.evidence[0].contains("1 of 6"), "{proof:?}");
        assert!(proof.evidence[0].contains("n1 → n3"), "{proof:?}");
    }
}
