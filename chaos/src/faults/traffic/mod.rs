//! The traffic of some links is made worse, as [`Traffic`] says; everything
//! else passes as before. Proven by messages of our own over every such link
//! and over those beside them, before, during and after: what became of them
//! is compared with what was asked.
//!
//! Instruments stand with the nodes of their AZ, as in a partition.

mod judge;
mod odds;
mod sent;

use self::judge::{Seen, Sight, absent, in_force};
use self::sent::{BURSTS, looking, sample, soundings};
use super::shape::{self, Links, Shape};
use super::{Fault, Scene, merge, without_lapses};
use crate::runtime::traffic::{Sounding, Traffic};
use crate::runtime::{Fut, Link, RuntimeError};
use futures_util::future::BoxFuture;
use gameday_record::timeline::Proof;
use gameday_record::{Node, Topology, Verdict};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

pub(super) struct Shaped {
    shape: Shape,
    sides: Vec<Vec<String>>,
    traffic: Traffic,
    /// How the links were before.
    before: Mutex<Sight>,
}

impl Shaped {
    pub(super) fn new(shape: Shape, sides: Vec<Vec<String>>, traffic: Traffic) -> Self {
        Shaped {
            shape,
            sides,
            traffic,
            before: Mutex::default(),
        }
    }

    fn links(&self, scene: &Scene) -> Links {
        shape::links_in(&self.shape, &self.sides, scene)
    }

    fn before(&self) -> Sight {
        let before = self.before.lock().unwrap_or_else(|e| e.into_inner());
        before.clone()
    }

    /// Measures and judges those links whose ends are not `away`: the shaped ones by `judge`,
    /// those beside them must be as before.
    async fn look(
        &self,
        scene: &Scene,
        away: &BTreeSet<String>,
        judge: fn(&Traffic, &Sight, &Sight) -> Vec<(Verdict, String)>,
    ) -> Proof {
        let links = self.links(scene);
        let all = links.cut.len() + links.open.len();
        let sample = sample(&links);
        let present = |l: &Link| !away.contains(&l.from) && !away.contains(&l.to);
        let shaped: Vec<Link> = links.cut.into_iter().filter(present).collect();
        let beside: Vec<Link> = links.open.into_iter().filter(present).collect();
        if shaped.is_empty() {
            let text = "none of the links could be measured".to_string();
            return merge(vec![(Verdict::Unknown, text)]);
        }
        let asked = shaped.len() + beside.len();
        let bursts: Vec<Link> = sample.into_iter().filter(present).collect();
        let measured = measure(scene, (&shaped, &beside), &bursts, &self.traffic).await;
        let (mut now, blind) = match measured {
            Ok(seen) => seen,
            Err(e) => {
                let text = format!("links not measured: {e}");
                return merge(vec![(Verdict::Unknown, text)]);
            }
        };
        let before = self.before();
        let others: Sight = beside
            .iter()
            .filter_map(|link| Some((link.clone(), now.remove(link)?)))
            .collect();
        let mut seen = judge(&self.traffic, &before, &now);
        if !others.is_empty() {
            let spared = absent(&self.traffic, &before, &others).into_iter();
            seen.extend(spared.map(|(v, text)| (v, format!("beside it: {text}"))));
        }
        if let Some(why) = blind.first() {
            let text = format!("{} links could not be measured: {why}", blind.len());
            seen.push((Verdict::Unknown, text));
        }
        let mut proof = merge(seen);
        if self.traffic.rate.is_some() && bursts.len() < asked {
            proof.evidence.push(format!(
                "bursts were sent over {} of {asked} links",
                bursts.len()
            ));
        }
        if all > asked {
            proof.evidence.push(format!(
                "{} links not looked at: their nodes are hurt by another step",
                all - asked
            ));
        }
        proof
    }
}

/// What was heard over each link, and over some of them of bursts; and why of some nothing was.
async fn measure(
    scene: &Scene,
    (shaped, beside): (&[Link], &[Link]),
    bursts: &[Link],
    traffic: &Traffic,
) -> Result<(Sight, Vec<String>), RuntimeError> {
    let links = [shaped, beside].concat();
    let (paced, burst) = soundings(traffic, shaped.len(), links.len());
    let mut sight = Sight::new();
    let mut blind = Vec::new();
    let mut turns: Vec<(&[Link], Sounding)> = Vec::new();
    turns.extend(paced.map(|sounding| (links.as_slice(), sounding)));
    if let Some(sounding) = burst {
        turns.extend(bursts.chunks(BURSTS).map(|some| (some, sounding)));
    }
    for (links, sounding) in turns {
        let heard = scene.runtime.measure(links, sounding).await?;
        if heard.len() != links.len() {
            let text = format!("{} links measured, {} answers", links.len(), heard.len());
            return Err(RuntimeError(text));
        }
        for (link, heard) in links.iter().zip(heard) {
            match heard {
                Ok(heard) => {
                    let seen: &mut Seen = sight.entry(link.clone()).or_default();
                    let place = if sounding.gap.is_zero() {
                        &mut seen.burst
                    } else {
                        &mut seen.paced
                    };
                    *place = Some(heard);
                }
                Err(why) => blind.push(format!("{} → {}: {why}", link.from, link.to)),
            }
        }
    }
    Ok((sight, blind))
}

impl Fault for Shaped {
    fn undo(&self) -> String {
        let which = shape::describe(&self.shape, &self.sides);
        format!("end this on every link {which}: {}", self.traffic)
    }

    fn looking(&self, topology: &Topology, instruments: &[Node]) -> Result<Duration, String> {
        let links = shape::links(&self.shape, &self.sides, topology, instruments);
        looking(&self.traffic, &links)
    }

    fn inject<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async {
            let links = self.links(scene);
            // Of what cannot be measured now nothing will be proven either.
            let bursts = sample(&links);
            let measured = (links.cut.as_slice(), links.open.as_slice());
            let (before, _) = measure(scene, measured, &bursts, &self.traffic).await?;
            *self.before.lock().unwrap_or_else(|e| e.into_inner()) = before;
            scene.runtime.shape(&links.cut, self.traffic).await
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
            let proof = self.look(scene, away, in_force).await;
            without_lapses(proof, scene.runtime.as_ref())
        })
    }

    fn revert<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async { scene.runtime.unshape(&self.links(scene).cut).await })
    }

    fn prove_reverted<'a>(
        &'a self,
        scene: &'a Scene,
        away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        Box::pin(self.look(scene, away, absent))
    }
}
