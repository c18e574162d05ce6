//! The traffic of some links is made worse, as [`Traffic`] says; everything
//! else passes as before. Proven by messages of our own over every such link
//! and over those beside them, before, during and after: what became of them
//! is compared with what was asked.
//!
//! Instruments stand with the nodes of their AZ, as in a partition.

mod judge;
mod odds;

use self::judge::{Seen, Sight, absent, in_force};
use super::shape::{self, Links, Shape};
use super::{Fault, Scene, merge, without_lapses};
use crate::playbook::values::show;
use crate::runtime::traffic::{Sounding, Traffic};
use crate::runtime::{Fut, Link, RuntimeError};
use futures_util::future::BoxFuture;
use gameday_record::timeline::Proof;
use gameday_record::{Node, Topology, Verdict};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

/// Messages per link, if nothing asks for more.
const MESSAGES: u32 = 40;
/// Expected hits that tell a share from nothing, with room: e⁻²⁴ is the chance of none.
const HITS: f64 = 24.0;
/// Messages per link that are enough for that link by itself, if the share is not small.
const EACH: f64 = 200.0;
/// Bytes of a message that may be damaged: most of it is where damage can be told.
const DAMAGED: u32 = 512;
/// Bytes of headers around a message.
const HEADERS: u32 = 28;
/// How long messages are waited for beyond what the fault delays them.
const GRACE: Duration = Duration::from_millis(300);
/// Longest queue of a rate.
const QUEUE: Duration = Duration::from_millis(1200);
/// Links over which bursts are sent at the same time: more of them would be slowed down by a busy
/// machine and not by a rate.
const BURSTS: usize = 4;
/// Links over which bursts are sent at all, shaped ones and ones beside them.
const SAMPLED: [usize; 2] = [8, 4];

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
        shape::links(
            &self.shape,
            &self.sides,
            &scene.topology,
            &scene.instruments,
        )
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

/// The links over which bursts are sent: the same each time, spread over all.
fn sample(links: &Links) -> Vec<Link> {
    let spread = |links: &[Link], most: usize| -> Vec<Link> {
        let step = links.len().div_ceil(most).max(1);
        links.iter().step_by(step).cloned().collect()
    };
    let [shaped, beside] = SAMPLED;
    [spread(&links.cut, shaped), spread(&links.open, beside)].concat()
}

/// How long these links are usually measured each time.
///
/// # Errors
/// What is asked for is so rare that no measurement tells it from nothing.
fn looking(traffic: &Traffic, links: &Links) -> Result<Duration, String> {
    let shaped = links.cut.len();
    let needed = messages(least_share(traffic), shaped);
    if needed > f64::from(Sounding::MAX_MESSAGES) {
        return Err(format!(
            "it is so rare that {needed:.0} messages over each of {shaped} links would be needed \
             to tell it from nothing, and at most {} are sent",
            Sounding::MAX_MESSAGES
        ));
    }
    let (paced, burst) = soundings(traffic, shaped, shaped + links.open.len());
    let turns = sample(links).len().div_ceil(BURSTS) as u32;
    for sounding in [paced, burst].into_iter().flatten() {
        if sounding.takes() > Sounding::LONGEST {
            return Err(format!(
                "it takes {} to send {} messages over each of its links as slowly as they carry \
                 them, and links are measured for {} at most",
                show(Duration::from_secs(sounding.takes().as_secs())),
                sounding.messages,
                show(Sounding::LONGEST)
            ));
        }
    }
    // What may be lost is waited for to the end, everything else until it has come.
    let loses = !(traffic.loss.is_never() && traffic.corrupt.is_never());
    let comes = traffic.delay + traffic.jitter;
    let takes = |sounding: Option<Sounding>| {
        let usually = |s: Sounding| {
            let carried = match (s.gap.is_zero(), traffic.rate) {
                (true, Some(rate)) => {
                    Duration::from_secs_f64(f64::from(s.messages * s.bytes * 8) / rate as f64)
                }
                _ => s.gap * s.messages,
            };
            carried + if loses { s.wait } else { comes }
        };
        sounding.map_or(Duration::ZERO, usually)
    };
    Ok(takes(paced) + takes(burst) * turns)
}

/// Bytes of the messages that are sent one by one.
fn bytes(traffic: &Traffic) -> u32 {
    match traffic.corrupt.is_never() {
        true => Sounding::MIN_BYTES,
        false => DAMAGED,
    }
}

/// What is sent over each of so many links: messages one by one, and a burst. Of them so many are
/// `shaped`, over which hits are counted together.
fn soundings(
    traffic: &Traffic,
    shaped: usize,
    links: usize,
) -> (Option<Sounding>, Option<Sounding>) {
    let bytes = bytes(traffic);
    let least = least_share(traffic);
    let late = traffic.delay + traffic.jitter + GRACE;
    let queued = traffic.rate.map_or(Duration::ZERO, |_| QUEUE);
    let paced = (!traffic.delay.is_zero() || least.is_finite()).then(|| {
        let messages = messages(least, shaped).ceil() as u32;
        // Slow enough for a busy machine, and for a rate, of which they use a quarter.
        let busy = Duration::from_micros(250) * links as u32;
        let share = traffic.rate.map_or(Duration::ZERO, |rate| {
            Duration::from_secs_f64(f64::from((bytes + HEADERS) * 8 * 4) / rate as f64)
        });
        Sounding {
            messages: messages.clamp(MESSAGES, Sounding::MAX_MESSAGES),
            bytes,
            gap: Duration::from_millis(2)
                .max(busy)
                .max(share)
                // A stream that is late catches up between the messages.
                .max(traffic.jitter / 4)
                .min(Duration::from_millis(100)),
            wait: late + queued,
        }
    });
    let burst = traffic.rate.map(|rate| {
        let bytes = (rate / 32).clamp(14_000, 250_000);
        let takes = Duration::from_secs_f64(bytes as f64 * 8.0 / rate as f64);
        Sounding {
            messages: (bytes / u64::from(Sounding::MAX_BYTES)) as u32,
            bytes: Sounding::MAX_BYTES,
            gap: Duration::ZERO,
            wait: takes * 2 + late + queued,
        }
    });
    (paced, burst)
}

/// The smallest share of messages that is hit; infinite if none is.
fn least_share(traffic: &Traffic) -> f64 {
    let shares = [
        traffic.loss.ratio(),
        traffic.duplicate.ratio(),
        traffic.corrupt.ratio() * Sounding::tells_damage(bytes(traffic)),
        traffic.reorder.ratio(),
    ];
    let hits = shares.into_iter().filter(|share| *share > 0.0);
    hits.fold(f64::INFINITY, f64::min)
}

/// Messages over each of so many shaped links that tell such a share from nothing.
fn messages(share: f64, shaped: usize) -> f64 {
    let each = (HITS / share).min(EACH);
    each.max(HITS / share / shaped.max(1) as f64)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::traffic::Share;

    #[test]
    fn what_is_asked_for_decides_what_is_sent() {
        let none = Traffic::default();
        let loss = |ratio| Traffic {
            loss: Share::of(ratio),
            ..none
        };
        let messages = |t: &Traffic, links| soundings(t, links, links).0.map(|s| s.messages);
        assert_eq!(messages(&loss(0.2), 16), Some(120));
        // Rare: so many that all links together tell.
        assert_eq!(messages(&loss(0.01), 1), Some(2400));
        assert_eq!(messages(&loss(0.01), 16), Some(200));
        // Links beside those that are hit tell nothing of how many are.
        assert_eq!(soundings(&loss(0.01), 1, 16).0.unwrap().messages, 2400);
        let delay = Traffic {
            delay: Duration::from_millis(50),
            ..none
        };
        assert_eq!(messages(&delay, 16), Some(MESSAGES));
        let rate = Traffic {
            rate: Some(1_000_000),
            ..none
        };
        let (paced, burst) = soundings(&rate, 16, 16);
        // 30 800 bytes: a quarter of a second of it.
        assert_eq!((paced, burst.unwrap().messages), (None, 22));
        let slowest = Traffic {
            rate: Some(64_000),
            ..delay
        };
        let (paced, burst) = soundings(&slowest, 1, 1);
        for sounding in [paced, burst].into_iter().flatten() {
            sounding.check().unwrap();
        }
    }

    #[test]
    fn how_long_a_look_takes_follows_from_links_rate_and_share() {
        let link = |i: usize| Link {
            from: format!("f{i}"),
            to: "t".into(),
        };
        let links = |shaped: usize, beside: usize| Links {
            cut: (0..shaped).map(link).collect(),
            open: (shaped..shaped + beside).map(link).collect(),
        };
        let loss = |ratio| Traffic {
            loss: Share::of(ratio),
            ..Traffic::default()
        };
        let secs = |t: &Traffic, links: &Links| looking(t, links).map(|d| d.as_secs_f64());
        // 120 messages, 2 ms apart; among 400 links a tenth of a second apart.
        assert_eq!(secs(&loss(0.2), &links(2, 4)), Ok(0.24 + 0.3));
        assert_eq!(secs(&loss(0.2), &links(324, 126)), Ok(12.0 + 0.3));
        // Bursts over four links at a time, a quarter of a second each.
        let rate = Traffic {
            rate: Some(1_000_000),
            ..Traffic::default()
        };
        let takes = secs(&rate, &links(20, 20)).unwrap();
        assert!((0.7..0.8).contains(&takes), "{takes}");
        // What nobody could measure is told, and not tried.
        let slow = Traffic {
            rate: Some(64_000),
            ..loss(0.01)
        };
        let why = secs(&slow, &links(1, 11)).unwrap_err();
        assert!(why.contains("2400 messages"), "{why}");
        let why = secs(&loss(0.001), &links(2, 0)).unwrap_err();
        assert!(why.contains("12000 messages over each of 2 links"), "{why}");
    }
}
