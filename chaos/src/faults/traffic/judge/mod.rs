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
mod sight;

use self::share::Effect;
pub(super) use self::sight::{Seen, Sight};
use self::sight::{Sighting, heard};
use crate::runtime::Link;
use crate::runtime::traffic::{Heard, Traffic};

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

#[cfg(test)]
mod tests {
    use super::*;
    use gameday_record::Verdict;
    use std::time::Duration;

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
