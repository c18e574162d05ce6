//! From what was heard of the links to verdicts. Pure.
//!
//! Shares are judged over all links together, and over each link, by the exact
//! binomial distribution: what was counted must be within what the share asked
//! for gives but for a chance of one in a million. Less than that refutes the
//! fault; more leaves it open, because something else may have added to it. A
//! delay is refuted by messages that come too soon, which nothing else can
//! cause; lateness leaves it open.

mod delay;
mod rate;
mod share;

use self::share::Effect;
use super::odds::interval;
use crate::runtime::Link;
use crate::runtime::traffic::{Heard, Traffic};
use gameday_record::Verdict;
use std::collections::BTreeMap;
use std::time::Duration;

/// The chance that a verdict on a share is wrong by bad luck.
const LUCK: f64 = 1e-6;
/// How much sooner than asked a message may seem to come: clocks are read before sending.
const SOON: Duration = Duration::from_millis(1);
/// Links named in evidence, at most.
const NAMED: usize = 4;

/// What was heard of one link.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seen {
    /// Of messages one by one.
    pub(super) paced: Option<Heard>,
    /// Of a burst.
    pub(super) burst: Option<Heard>,
}

/// What was heard of all links.
pub(super) type Sight = BTreeMap<Link, Seen>;

type Sighting = (Verdict, String);

/// Whether the traffic of these links is as asked.
pub(super) fn in_force(asked: &Traffic, before: &Sight, now: &Sight) -> Vec<Sighting> {
    let paced: Vec<(&Link, &Heard)> = heard(now, |s| s.paced.as_ref());
    let mut all = Vec::new();
    if !asked.delay.is_zero() {
        all.push(delay::delayed(asked, before, &paced));
    }
    if !asked.jitter.is_zero() {
        all.push(delay::varies(asked, &paced));
    }
    for effect in Effect::ALL {
        let share = effect.share(asked);
        if !share.is_never() {
            all.push(effect.is_so(asked, &paced));
        }
    }
    if let Some(rate) = asked.rate {
        all.push(rate::limited(asked, rate, before, now));
    }
    all
}

/// Whether nothing of it is in the traffic of these links.
pub(super) fn absent(asked: &Traffic, before: &Sight, now: &Sight) -> Vec<Sighting> {
    let paced = heard(now, |s| s.paced.as_ref());
    let mut all = Vec::new();
    if !asked.delay.is_zero() {
        all.push(delay::undelayed(asked, before, &paced));
    }
    for effect in Effect::ALL {
        // Who overtakes without a delay is not told from who does not.
        if !effect.share(asked).is_never() && effect != Effect::Reorder {
            all.push(effect.is_gone(asked, &paced));
        }
    }
    if let Some(rate) = asked.rate {
        all.push(rate::unlimited(rate, before, now));
    }
    all
}

fn heard(sight: &Sight, of: impl Fn(&Seen) -> Option<&Heard>) -> Vec<(&Link, &Heard)> {
    let all = sight
        .iter()
        .filter_map(|(link, seen)| Some((link, of(seen)?)));
    all.collect()
}

fn named(links: &[&Link]) -> String {
    let all: Vec<String> = links
        .iter()
        .take(NAMED)
        .map(|l| format!("{} → {}", l.from, l.to))
        .collect();
    match links.len().saturating_sub(NAMED) {
        0 => all.join(", "),
        more => format!("{} and {more} more", all.join(", ")),
    }
}

/// The q-quantile of ascending numbers, the nearest rank.
fn quantile(ascending: &[u64], q: f64) -> Option<Duration> {
    let rank = (ascending.len() as f64 * q).ceil().max(1.0) as usize;
    ascending.get(rank - 1).map(|us| Duration::from_micros(*us))
}

fn millis(d: Duration) -> String {
    format!("{:.1} ms", d.as_secs_f64() * 1000.0)
}

fn median_of(paced: &[(&Link, &Heard)]) -> Option<Duration> {
    let mut all: Vec<u64> = paced
        .iter()
        .flat_map(|(_, h)| h.delays_us.clone())
        .collect();
    all.sort_unstable();
    quantile(&all, 0.5)
}

/// How many messages came sooner than any delay allows.
fn early(asked: &Traffic, heard: &Heard) -> u32 {
    let least = asked.delay.saturating_sub(asked.jitter + SOON);
    let least = least.as_micros() as u64;
    heard.delays_us.iter().take_while(|us| **us < least).count() as u32
}

/// How many may, if some are to overtake others; one of so many links.
fn most_early(asked: &Traffic, heard: &Heard, links: usize) -> u32 {
    let alpha = LUCK / links.max(1) as f64;
    interval(heard.arrived, asked.reorder.ratio(), alpha).1
}

/// Median before, or nothing if that was not measured.
fn median_before(before: &Sight, link: &Link) -> Duration {
    let heard = before.get(link).and_then(|s| s.paced.as_ref());
    heard
        .and_then(|h| quantile(&h.delays_us, 0.5))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const MS: Duration = Duration::from_millis(1);

    fn link(i: usize) -> Link {
        Link {
            from: format!("f{i}"),
            to: "t".into(),
        }
    }

    /// Four links of which the same was heard.
    pub(super) fn sight(seen: impl Fn(usize) -> Seen) -> Sight {
        (0..4).map(|i| (link(i), seen(i))).collect()
    }

    pub(super) fn paced(heard: Heard) -> Seen {
        Seen {
            paced: Some(heard),
            burst: None,
        }
    }

    /// 100 messages that all took so long.
    pub(super) fn took(ms: u64) -> Heard {
        Heard {
            sent: 100,
            arrived: 100,
            delays_us: vec![ms * 1000; 100],
            ..Heard::default()
        }
    }

    pub(super) fn worst(all: Vec<Sighting>) -> Verdict {
        assert!(!all.is_empty());
        all.into_iter()
            .map(|(v, _)| v)
            .reduce(Verdict::and)
            .unwrap()
    }
}
