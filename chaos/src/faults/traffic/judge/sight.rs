//! What was heard of links, and what can be said of it whatever was asked for.

use super::super::odds::interval;
use crate::runtime::Link;
use crate::runtime::traffic::{Heard, Traffic};
use gameday_record::Verdict;
use std::collections::BTreeMap;
use std::time::Duration;

/// The chance that a verdict on a share is wrong by bad luck.
pub(super) const LUCK: f64 = 1e-6;
/// How much sooner than asked a message may seem to come: clocks are read before sending.
pub(super) const SOON: Duration = Duration::from_millis(1);
/// Links named in evidence, at most.
const NAMED: usize = 4;

/// What was heard of one link.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in super::super) struct Seen {
    /// Of messages one by one.
    pub(in super::super) paced: Option<Heard>,
    /// Of a burst.
    pub(in super::super) burst: Option<Heard>,
}

/// What was heard of all links.
pub(in super::super) type Sight = BTreeMap<Link, Seen>;

pub(super) type Sighting = (Verdict, String);

pub(super) fn heard(sight: &Sight, of: impl Fn(&Seen) -> Option<&Heard>) -> Vec<(&Link, &Heard)> {
    let all = sight
        .iter()
        .filter_map(|(link, seen)| Some((link, of(seen)?)));
    all.collect()
}

pub(super) fn named(links: &[&Link]) -> String {
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
pub(super) fn quantile(ascending: &[u64], q: f64) -> Option<Duration> {
    let rank = (ascending.len() as f64 * q).ceil().max(1.0) as usize;
    ascending.get(rank - 1).map(|us| Duration::from_micros(*us))
}

pub(super) fn millis(d: Duration) -> String {
    format!("{:.1} ms", d.as_secs_f64() * 1000.0)
}

pub(super) fn median_of(paced: &[(&Link, &Heard)]) -> Option<Duration> {
    let mut all: Vec<u64> = paced
        .iter()
        .flat_map(|(_, h)| h.delays_us.clone())
        .collect();
    all.sort_unstable();
    quantile(&all, 0.5)
}

/// How many messages came sooner than any delay allows.
pub(super) fn early(asked: &Traffic, heard: &Heard) -> u32 {
    let least = asked.delay.saturating_sub(asked.jitter + SOON);
    let least = least.as_micros() as u64;
    heard.delays_us.iter().take_while(|us| **us < least).count() as u32
}

/// How many may, if some are to overtake others; one of so many links.
pub(super) fn most_early(asked: &Traffic, heard: &Heard, links: usize) -> u32 {
    let alpha = LUCK / links.max(1) as f64;
    interval(heard.arrived, asked.reorder.ratio(), alpha).1
}

/// Median before, or nothing if that was not measured.
pub(super) fn median_before(before: &Sight, link: &Link) -> Duration {
    let heard = before.get(link).and_then(|s| s.paced.as_ref());
    heard
        .and_then(|h| quantile(&h.delays_us, 0.5))
        .unwrap_or_default()
}
