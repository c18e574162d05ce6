//! Links are cut in a [`Shape`]; everything else still passes. That is proven
//! by messages over every link that should be cut, and over those beside them
//! that should not.
//!
//! Instruments (canaries) stand with the nodes of their AZ if all of those are
//! on one side, else with nobody: when an AZ is cut off as a whole, its canary
//! is in it. Where clients are cut off, they are the clients.

use super::shape::{self, Links, Shape};
use super::{Fault, How, Scene, merge, without_lapses};
use crate::runtime::{Fut, Link, LinkState};
use futures_util::future::BoxFuture;
use gameday_record::Verdict;
use gameday_record::timeline::Proof;
use std::collections::BTreeSet;

/// Links named in evidence, at most.
const NAMED: usize = 5;

pub(super) struct Partition {
    shape: Shape,
    sides: Vec<Vec<String>>,
    how: How,
}

impl Partition {
    pub(super) fn new(shape: Shape, sides: Vec<Vec<String>>, how: How) -> Self {
        Partition { shape, sides, how }
    }

    fn links(&self, scene: &Scene) -> Links {
        shape::links_in(&self.shape, &self.sides, scene)
    }
}

/// Judges one group of links, of which all are expected in one state.
pub(super) fn judge(links: &[Link], seen: &[LinkState], expected: &LinkState) -> (Verdict, String) {
    let word = match expected {
        LinkState::Cut => "cut",
        LinkState::Rejected => "rejecting",
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

/// Probes the links and judges them: those across the border are expected to be
/// `across`, those that the shape leaves alone open.
async fn look(links: Links, scene: &Scene, away: &BTreeSet<String>, across: LinkState) -> Proof {
    let all = links.cut.len() + links.open.len();
    let present = |l: &Link| !away.contains(&l.from) && !away.contains(&l.to);
    let cut: Vec<Link> = links.cut.into_iter().filter(present).collect();
    let open: Vec<Link> = links.open.into_iter().filter(present).collect();
    let asked: Vec<Link> = cut.iter().chain(&open).cloned().collect();
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
    if !open.is_empty() {
        let (verdict, text) = judge(&open, &seen[cut.len()..], &LinkState::Open);
        all_seen.push((verdict, format!("beside it: {text}")));
    }
    let skipped = all - asked.len();
    let mut proof = merge(all_seen);
    if skipped > 0 {
        proof.evidence.push(format!(
            "{skipped} links not looked at: their nodes are hurt by another step"
        ));
    }
    proof
}

impl Fault for Partition {
    fn undo(&self) -> String {
        format!(
            "open every link {}",
            shape::describe(&self.shape, &self.sides)
        )
    }

    fn inject<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async {
            let links = self.links(scene).cut;
            match self.how {
                How::Drop => scene.runtime.cut(&links).await,
                How::Reject => scene.runtime.reject(&links).await,
            }
        })
    }

    fn is_at(&self, scene: &Scene, unit: &str) -> bool {
        let mut held = self.links(scene).cut.into_iter();
        held.any(|link| link.from == unit || link.to == unit)
    }

    fn prove_injected<'a>(
        &'a self,
        scene: &'a Scene,
        away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            let wanted = match self.how {
                How::Drop => LinkState::Cut,
                How::Reject => LinkState::Rejected,
            };
            let proof = look(self.links(scene), scene, away, wanted).await;
            without_lapses(proof, scene.runtime.as_ref())
        })
    }

    fn revert<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async { scene.runtime.open(&self.links(scene).cut).await })
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
        // Silence is no rejection.
        assert_eq!(judge(&links, &seen, &LinkState::Rejected).0, Verdict::Fail);
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
