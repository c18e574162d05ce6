//! How fast bursts come.

use super::sight::{Sight, Sighting, heard, named};
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
            Some(_) if earlier.is_some_and(|e| e >= rate * UNLIMITED) => still.push(*link),
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
    use super::super::sight::*;
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
        let burst = |kbit: u64| {
            sight(|_| Seen {
                paced: None,
                burst: Some(Heard {
                    bytes: kbit * 125,
                    span: Duration::from_secs(1),
                    ..Heard::default()
                }),
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
    }
}
