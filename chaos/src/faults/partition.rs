//! The targets and everybody outside the target set cannot reach each other,
//! in both directions; within the set everybody still can.
//!
//! Instruments (canaries) are outside, unless every node of their AZ is in the
//! set: then the AZ as a whole is isolated, with its canary in it.

use super::{Fault, Scene, merge};
use crate::runtime::{Fut, Link, LinkState};
use futures_util::future::BoxFuture;
use gameday_record::timeline::Proof;
use gameday_record::{Node, Topology, Verdict};
use std::collections::BTreeSet;

/// Links named in evidence, at most.
const NAMED: usize = 5;

pub(super) struct Partition {
    nodes: Vec<String>,
}

/// The links of a partition, by what is expected of them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Links {
    /// Cut, between nodes.
    cut: Vec<Link>,
    /// Cut, from or to an instrument: cannot be probed.
    blind: Vec<Link>,
    /// Not cut: between nodes of the target set.
    within: Vec<Link>,
}

impl Partition {
    pub(super) fn new(nodes: Vec<String>) -> Self {
        Partition { nodes }
    }

    fn links(&self, scene: &Scene) -> Links {
        links(&self.nodes, &scene.topology, &scene.instruments)
    }
}

/// Every ordered pair of units that the partition of `targets` is about.
fn links(targets: &[String], topology: &Topology, instruments: &[Node]) -> Links {
    let is_target = |n: &Node| targets.contains(&n.name);
    let whole_az = |az: &str| {
        let mut nodes = topology.in_az(az).peekable();
        nodes.peek().is_some() && nodes.all(is_target)
    };
    let units = topology
        .nodes
        .iter()
        .map(|n| (n, true, is_target(n)))
        .chain(instruments.iter().map(|i| (i, false, whole_az(&i.az))));
    let units: Vec<_> = units.collect();
    let mut out = Links::default();
    for (from, from_node, from_inside) in &units {
        for (to, to_node, to_inside) in &units {
            let nodes = *from_node && *to_node;
            if from.name == to.name || !(*from_node || *to_node) {
                continue;
            }
            let link = Link {
                from: from.name.clone(),
                to: to.name.clone(),
            };
            match (from_inside != to_inside, nodes) {
                (true, true) => out.cut.push(link),
                (true, false) => out.blind.push(link),
                (false, true) if *from_inside => out.within.push(link),
                (false, _) => {}
            }
        }
    }
    out
}

/// Judges one group of links, of which all are expected in one state.
fn judge(links: &[Link], seen: &[LinkState], expected: &LinkState) -> (Verdict, String) {
    let word = match expected {
        LinkState::Cut => "cut",
        _ => "open",
    };
    let mut wrong = Vec::new();
    let mut blind = Vec::new();
    for (link, state) in links.iter().zip(seen) {
        match state {
            s if s == expected => {}
            LinkState::Unknown(why) => blind.push(format!("{} → {} ({why})", link.from, link.to)),
            _ => wrong.push(format!("{} → {}", link.from, link.to)),
        }
    }
    let name = |mut all: Vec<String>| {
        let more = all.len().saturating_sub(NAMED);
        all.truncate(NAMED);
        let mut text = all.join(", ");
        if more > 0 {
            text.push_str(&format!(" and {more} more"));
        }
        text
    };
    let total = links.len();
    if !wrong.is_empty() {
        let n = wrong.len();
        (
            Verdict::Fail,
            format!("{n} of {total} links are not {word}: {}", name(wrong)),
        )
    } else if !blind.is_empty() {
        let n = blind.len();
        (
            Verdict::Unknown,
            format!("{n} of {total} links could not be probed: {}", name(blind)),
        )
    } else {
        (Verdict::Pass, format!("{total} links probed {word}"))
    }
}

/// Probes the links between nodes and judges them: those across the border
/// are expected to be `across`, those within the set open.
async fn look(links: Links, scene: &Scene, away: &BTreeSet<String>, across: LinkState) -> Proof {
    let all = links.cut.len() + links.within.len();
    let present = |l: &Link| !away.contains(&l.from) && !away.contains(&l.to);
    let cut: Vec<Link> = links.cut.into_iter().filter(present).collect();
    let within: Vec<Link> = links.within.into_iter().filter(present).collect();
    let asked: Vec<Link> = cut.iter().chain(&within).cloned().collect();
    if cut.is_empty() {
        return merge(vec![(
            Verdict::Unknown,
            "no link across the border could be probed".into(),
        )]);
    }
    let seen = match scene.runtime.probe(&asked).await {
        Ok(seen) if seen.len() == asked.len() => seen,
        Ok(seen) => {
            let text = format!("{} links probed, {} answers", asked.len(), seen.len());
            return merge(vec![(Verdict::Unknown, text)]);
        }
        Err(e) => return merge(vec![(Verdict::Unknown, format!("links not probed: {e}"))]),
    };
    let (verdict, text) = judge(&cut, &seen[..cut.len()], &across);
    let mut all_seen = vec![(verdict, format!("across the border: {text}"))];
    if !within.is_empty() {
        let (verdict, text) = judge(&within, &seen[cut.len()..], &LinkState::Open);
        all_seen.push((verdict, format!("within the target: {text}")));
    }
    let skipped = all - asked.len();
    let mut proof = merge(all_seen);
    if skipped > 0 {
        proof.evidence.push(format!(
            "{skipped} links not looked at: their nodes are hurt by another step"
        ));
    }
    if !links.blind.is_empty() {
        proof.evidence.push(format!(
            "{} links of canaries not looked at: canaries cannot be probed",
            links.blind.len()
        ));
    }
    proof
}

impl Fault for Partition {
    fn undo(&self) -> String {
        format!(
            "open every link between {} and everybody else",
            self.nodes.join(", ")
        )
    }

    fn inject<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async {
            let links = self.links(scene);
            let all: Vec<Link> = links.cut.into_iter().chain(links.blind).collect();
            scene.runtime.cut(&all).await
        })
    }

    fn prove_injected<'a>(
        &'a self,
        scene: &'a Scene,
        away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            let mut proof = look(self.links(scene), scene, away, LinkState::Cut).await;
            // The links may be cut again by now, but they were not all the time.
            let lapses = scene.runtime.lapses();
            if !lapses.is_empty() {
                proof.verdict = proof.verdict.and(Verdict::Unknown);
                proof.evidence.extend(lapses);
            }
            proof
        })
    }

    fn revert<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async {
            let links = self.links(scene);
            let all: Vec<Link> = links.cut.into_iter().chain(links.blind).collect();
            scene.runtime.open(&all).await
        })
    }

    fn prove_reverted<'a>(
        &'a self,
        scene: &'a Scene,
        away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        Box::pin(look(self.links(scene), scene, away, LinkState::Open))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(name: &str, az: &str) -> Node {
        Node {
            name: name.into(),
            az: az.into(),
            role: String::new(),
        }
    }

    fn small() -> (Topology, Vec<Node>) {
        let azs = ["a", "b", "c"];
        let topology = Topology {
            azs: azs.map(String::from).to_vec(),
            nodes: azs
                .iter()
                .flat_map(|az| [unit(&format!("s-{az}"), az), unit(&format!("r-{az}"), az)])
                .collect(),
            ..Topology::default()
        };
        let canaries = azs.iter().map(|az| unit(&format!("canary-{az}"), az));
        (topology, canaries.collect())
    }

    fn has(links: &[Link], from: &str, to: &str) -> bool {
        links.iter().any(|l| l.from == from && l.to == to)
    }

    #[test]
    fn an_az_is_cut_off_with_its_canary() {
        let (topology, canaries) = small();
        let l = links(&["s-b".into(), "r-b".into()], &topology, &canaries);
        // 2 inside × 4 outside, both ways.
        assert_eq!(l.cut.len(), 16);
        assert!(has(&l.cut, "s-b", "r-a") && has(&l.cut, "r-a", "s-b"));
        assert_eq!(l.within.len(), 2);
        // 2 nodes × 2 foreign canaries and 1 canary × 4 foreign nodes, both ways.
        assert_eq!(l.blind.len(), 16);
        assert!(has(&l.blind, "canary-a", "r-b") && has(&l.blind, "canary-b", "r-a"));
        assert!(!has(&l.blind, "canary-b", "r-b"));
    }

    #[test]
    fn a_single_node_is_cut_off_from_its_own_az_too() {
        let (topology, canaries) = small();
        let l = links(&["s-b".into()], &topology, &canaries);
        assert_eq!((l.cut.len(), l.within.len(), l.blind.len()), (10, 0, 6));
        assert!(has(&l.cut, "s-b", "r-b") && has(&l.blind, "canary-b", "s-b"));
    }

    #[test]
    fn one_link_that_carries_refutes_and_one_unseen_link_leaves_it_open() {
        let link = |i: usize| Link {
            from: format!("f{i}"),
            to: "t".into(),
        };
        let links: Vec<Link> = (0..8).map(link).collect();
        let unknown = LinkState::Unknown("agent gone".into());
        let mut seen = vec![LinkState::Cut; 8];
        assert_eq!(judge(&links, &seen, &LinkState::Cut).0, Verdict::Pass);
        seen[3] = unknown.clone();
        let (verdict, text) = judge(&links, &seen, &LinkState::Cut);
        assert_eq!(verdict, Verdict::Unknown);
        assert!(text.contains("f3 → t (agent gone)"), "{text}");
        seen[5] = LinkState::Open;
        let (verdict, text) = judge(&links, &seen, &LinkState::Cut);
        assert_eq!(verdict, Verdict::Fail);
        assert!(text.contains("1 of 8") && text.contains("f5 → t"), "{text}");
        let (_, text) = judge(&links, &vec![LinkState::Open; 8], &LinkState::Cut);
        assert!(text.ends_with("and 3 more"), "{text}");
    }
}
