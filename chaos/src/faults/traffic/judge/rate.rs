//! How fast bursts come.

use super::{Sight, Sighting, heard, named};
use crate::runtime::traffic::{Heard, Traffic};
use gameday_record::Verdict;
use std::time::Duration;

/// By how much a measured rate may exceed what was asked: technique by technique headers count or
/// not.
const RATE_SLACK: f64 = 1.1;
/// How much faster than asked a link is that no such rate slows.
const UNLIMITED: f64 = 1.5;

/// Bits per second of a burst that was delayed so long at least; `None` of nothing.
fn rate_of(burst: &Heard, delayed: Duration) -> Option<f64> {
    let took = burst.span.saturating_sub(delayed).as_secs_f64();
    (burst.bytes > 0).then(|| burst.bytes as f64 * 8.0 / took.max(1e-6))
}

fn mbit(bits: f64) -> String {
    format!("{:.2} mbit/s", bits / 1e6)
}

pub(super) fn limited(asked: &Traffic, rate: u64, before: &Sight, now: &Sight) -> Sighting {
    let delayed = asked.delay.saturating_sub(asked.jitter);
    let rate = rate as f64;
    let bursts = heard(now, |s| s.burst.as_ref());
    let (mut over, mut silent, mut slow_before) = (Vec::new(), Vec::new(), Vec::new());
    let mut fastest = 0.0f64;
    for (link, burst) in &bursts {
        let Some(measured) = rate_of(burst, delayed) else {
            silent.push(*link);
            continue;
        };
        fastest = fastest.max(measured);
        let earlier = before.get(link).and_then(|s| s.burst.as_ref());
        let earlier = earlier.and_then(|b| rate_of(b, Duration::ZERO));
        if measured > rate * RATE_SLACK {
            over.push(*link);
        } else if earlier.is_none_or(|e| e < rate * UNLIMITED) {
            slow_before.push(*link);
        }
    }
    let total = bursts.len();
    let said = format!("rate: at most {}, asked {}", mbit(fastest), mbit(rate));
    if !over.is_empty() {
        (
            Verdict::Fail,
            format!(
                "{said}; above it over {} of {total} links: {}",
                over.len(),
                named(&over)
            ),
        )
    } else if !silent.is_empty() || total == 0 {
        (
            Verdict::Unknown,
            format!(
                "{said}; nothing arrived over {} of {total} links: {}",
                silent.len(),
                named(&silent)
            ),
        )
    } else if !slow_before.is_empty() {
        (
            Verdict::Unknown,
            format!(
                "{said}; {} of {total} links were no faster before: {}",
                slow_before.len(),
                named(&slow_before)
            ),
        )
    } else {
        (
            Verdict::Pass,
            format!("{said}, over {total} links that were faster before"),
        )
    }
}

/// Whether the messages of a burst came one after the other, none faster than a rate lets them:
/// those of a link that a busy machine was slow to look at come together. The later half is
/// judged, because what limits a rate may let some pass at first.
fn in_turn(burst: &Heard, rate: f64) -> bool {
    let delays = &burst.delays_us;
    let (Some(middle), Some(last)) = (delays.get(delays.len() / 2), delays.last()) else {
        return false;
    };
    let later = delays.len() - 1 - delays.len() / 2;
    let bits = burst.bytes as f64 * 8.0 * later as f64 / delays.len() as f64;
    let took = Duration::from_micros(last - middle).as_secs_f64();
    later > 0 && bits <= rate * UNLIMITED * took
}

/// Slower than asked shows a rate only where it was faster before.
pub(super) fn unlimited(rate: u64, before: &Sight, now: &Sight) -> Sighting {
    let rate = rate as f64;
    let bursts = heard(now, |s| s.burst.as_ref());
    let (mut still, mut unsure) = (Vec::new(), Vec::new());
    let mut least = f64::INFINITY;
    for (link, burst) in &bursts {
        let measured = rate_of(burst, Duration::ZERO);
        least = least.min(measured.unwrap_or(0.0));
        let earlier = before.get(link).and_then(|s| s.burst.as_ref());
        let earlier = earlier.and_then(|b| rate_of(b, Duration::ZERO));
        match measured {
            Some(measured) if measured > rate * RATE_SLACK => {}
            Some(_) if earlier.is_some_and(|e| e >= rate * UNLIMITED) && in_turn(burst, rate) => {
                still.push(*link)
            }
            _ => unsure.push(*link),
        }
    }
    let total = bursts.len();
    let said = format!(
        "rate: at least {}",
        mbit(if total == 0 { 0.0 } else { least })
    );
    if !still.is_empty() {
        let n = still.len();
        (
            Verdict::Fail,
            format!(
                "{said}; as asked over {n} of {total} links: {}",
                named(&still)
            ),
        )
    } else if !unsure.is_empty() || total == 0 {
        let n = unsure.len();
        (
            Verdict::Unknown,
            format!(
                "{said}; too slow to tell over {n} of {total} links: {}",
                named(&unsure)
            ),
        )
    } else {
        (Verdict::Pass, format!("{said} over {total} links"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{sight, worst};
    use super::super::*;
    use super::*;
    use Verdict::{Fail, Pass, Unknown};

    #[test]
    fn a_rate_must_be_lower_than_before_and_higher_after() {
        let asked = Traffic {
            rate: Some(1_000_000),
            ..Traffic::default()
        };
        let heard = |kbit: u64| Heard {
            bytes: kbit * 125,
            delays_us: (0..100).map(|i| i * 10_000).collect(),
            span: Duration::from_secs(1),
            ..Heard::default()
        };
        let burst = |kbit| {
            sight(|_| Seen {
                paced: None,
                burst: Some(heard(kbit)),
            })
        };
        for (before, now, so, gone) in [
            (50_000, 1_000, Pass, Fail),
            (50_000, 700, Pass, Fail),
            (50_000, 40_000, Fail, Pass),
            (1_100, 1_000, Unknown, Unknown),
            (50_000, 0, Unknown, Unknown),
        ] {
            let all = in_force(&asked, &burst(before), &burst(now));
            assert_eq!(worst(all), so, "{before} {now}");
            assert_eq!(
                worst(absent(&asked, &burst(before), &burst(now))),
                gone,
                "{now}"
            );
        }
        // Nothing for a second and then all of it: a busy machine, or another rate.
        let together = sight(|_| Seen {
            paced: None,
            burst: Some(Heard {
                delays_us: vec![1_000_000; 100],
                ..heard(1_000)
            }),
        });
        let all = absent(&asked, &burst(50_000), &together);
        assert_eq!(worst(all), Unknown);
    }
}
