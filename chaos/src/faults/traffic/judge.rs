//! From what was heard of the links to verdicts. Pure.
//!
//! Shares are judged over all links together, and over each link, by the exact
//! binomial distribution: what was counted must be within what the share asked
//! for gives but for a chance of one in a million. Less than that refutes the
//! fault; more leaves it open, because something else may have added to it. A
//! delay is refuted by messages that come too soon, which nothing else can
//! cause; lateness leaves it open.

use super::odds::interval;
use crate::runtime::Link;
use crate::runtime::traffic::{Heard, Share, Sounding, Traffic};
use gameday_record::Verdict;
use std::collections::BTreeMap;
use std::time::Duration;

/// The chance that a verdict on a share is wrong by bad luck.
const LUCK: f64 = 1e-6;
/// How much sooner than asked a message may seem to come: clocks are read before sending.
const SOON: Duration = Duration::from_millis(1);
/// How much later than asked the median may be before the delay is not told from a busy machine.
const LATE: Duration = Duration::from_millis(60);
/// How much later than asked the median may be before those that overtake are late as well.
const BUSY: Duration = Duration::from_millis(10);
/// By how much a measured rate may exceed what was asked: technique by technique headers count or
/// not.
const RATE_SLACK: f64 = 1.1;
/// How much faster than asked a link is that no such rate slows.
const UNLIMITED: f64 = 1.5;
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
        all.push(delayed(asked, before, &paced));
    }
    if !asked.jitter.is_zero() {
        all.push(varies(asked, &paced));
    }
    for effect in Effect::ALL {
        let share = effect.share(asked);
        if !share.is_never() {
            all.push(effect.is_so(asked, &paced));
        }
    }
    if let Some(rate) = asked.rate {
        all.push(limited(asked, rate, before, now));
    }
    all
}

/// Whether nothing of it is in the traffic of these links.
pub(super) fn absent(asked: &Traffic, before: &Sight, now: &Sight) -> Vec<Sighting> {
    let paced = heard(now, |s| s.paced.as_ref());
    let mut all = Vec::new();
    if !asked.delay.is_zero() {
        all.push(undelayed(asked, before, &paced));
    }
    for effect in Effect::ALL {
        // Who overtakes without a delay is not told from who does not.
        if !effect.share(asked).is_never() && effect != Effect::Reorder {
            all.push(effect.is_gone(asked, &paced));
        }
    }
    if let Some(rate) = asked.rate {
        all.push(unlimited(rate, before, now));
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

fn delayed(asked: &Traffic, before: &Sight, paced: &[(&Link, &Heard)]) -> Sighting {
    let (mut soon, mut late, mut silent) = (Vec::new(), Vec::new(), Vec::new());
    for (link, heard) in paced {
        let Some(median) = quantile(&heard.delays_us, 0.5) else {
            silent.push(*link);
            continue;
        };
        let most = most_early(asked, heard, paced.len());
        let latest = median_before(before, link) + asked.delay + asked.jitter + LATE;
        if early(asked, heard) > most {
            soon.push(*link);
        } else if median > latest && asked.rate.is_none() {
            late.push(*link);
        }
    }
    let median = median_of(paced).map_or("none".into(), millis);
    let said = format!("delay: median {median}, asked {}", asked_delay(asked));
    let total = paced.len();
    if !soon.is_empty() {
        let text = format!(
            "{said}; sooner over {} of {total} links: {}",
            soon.len(),
            named(&soon)
        );
        (Verdict::Fail, text)
    } else if !silent.is_empty() || total == 0 {
        let text = format!(
            "{said}; nothing arrived over {} of {total} links: {}",
            silent.len(),
            named(&silent)
        );
        (Verdict::Unknown, text)
    } else if !late.is_empty() {
        let text = format!(
            "{said}; far later over {} of {total} links: {}",
            late.len(),
            named(&late)
        );
        (Verdict::Unknown, text)
    } else {
        (Verdict::Pass, format!("{said}, over {total} links"))
    }
}

fn asked_delay(asked: &Traffic) -> String {
    let only = Traffic {
        delay: asked.delay,
        jitter: asked.jitter,
        ..Traffic::default()
    };
    only.to_string().replacen("delay ", "", 1)
}

/// A delay that varies is now and then shorter than what was asked, which a constant one never
/// is. In a stream a late message holds up those behind it, so that short ones are rarer there.
fn varies(asked: &Traffic, paced: &[(&Link, &Heard)]) -> Sighting {
    let mut all: Vec<u64> = paced
        .iter()
        .flat_map(|(_, h)| h.delays_us.clone())
        .collect();
    all.sort_unstable();
    let below = asked.delay - asked.jitter / 10;
    let least = asked.delay.saturating_sub(asked.jitter + SOON);
    let within = |us: &&u64| {
        let d = Duration::from_micros(**us);
        d >= least && d < below
    };
    let short = all.iter().filter(within).count();
    let (Some(low), Some(high)) = (quantile(&all, 0.1), quantile(&all, 0.9)) else {
        return (Verdict::Unknown, "jitter: nothing arrived".into());
    };
    let said = format!(
        "jitter: {short} of {} messages came sooner than {}, eight of ten within {}",
        all.len(),
        millis(below),
        millis(high - low)
    );
    if short > 0 && high - low >= asked.jitter / 4 {
        (Verdict::Pass, said)
    } else {
        (Verdict::Unknown, said)
    }
}

/// Whether messages came as the fault would have them: those that overtake about as before, in at
/// most `usual`, the others no sooner than it lets them. A link that a busy machine is slow to
/// look at has some between the two.
fn as_asked(asked: &Traffic, usual: Duration, heard: &Heard, links: usize) -> bool {
    let early = early(asked, heard);
    let usual = usual.as_micros() as u64;
    let overtaking = heard.delays_us.iter().take_while(|us| **us <= usual);
    early <= most_early(asked, heard, links) && overtaking.count() >= early as usize
}

fn undelayed(asked: &Traffic, before: &Sight, paced: &[(&Link, &Heard)]) -> Sighting {
    let room = (asked.delay / 3).max(Duration::from_millis(5));
    let (mut still, mut unsure) = (Vec::new(), Vec::new());
    for (link, heard) in paced {
        let usual = median_before(before, link) + room;
        match quantile(&heard.delays_us, 0.5) {
            Some(median) if median <= usual => {}
            Some(_) if as_asked(asked, usual, heard, paced.len()) => still.push(*link),
            _ => unsure.push(*link),
        }
    }
    let median = median_of(paced).map_or("none".into(), millis);
    let said = format!("delay: median {median}");
    let total = paced.len();
    if !still.is_empty() {
        let text = format!(
            "{said}; as long as asked over {} of {total} links: {}",
            still.len(),
            named(&still)
        );
        (Verdict::Fail, text)
    } else if !unsure.is_empty() || total == 0 {
        let text = format!(
            "{said}; longer than before over {} of {total} links: {}",
            unsure.len(),
            named(&unsure)
        );
        (Verdict::Unknown, text)
    } else {
        (Verdict::Pass, format!("{said}, over {total} links"))
    }
}

/// What happens to a share of the messages.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Loss,
    Duplicate,
    Corrupt,
    Reorder,
}

impl Effect {
    const ALL: [Effect; 4] = [
        Effect::Loss,
        Effect::Duplicate,
        Effect::Corrupt,
        Effect::Reorder,
    ];

    fn share(self, of: &Traffic) -> Share {
        match self {
            Effect::Loss => of.loss,
            Effect::Duplicate => of.duplicate,
            Effect::Corrupt => of.corrupt,
            Effect::Reorder => of.reorder,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Effect::Loss => "loss",
            Effect::Duplicate => "duplicate",
            Effect::Corrupt => "corrupt",
            Effect::Reorder => "reorder",
        }
    }

    /// How many were hit, of how many that could have been.
    fn count(self, asked: &Traffic, heard: &Heard) -> (u32, u32) {
        match self {
            Effect::Loss => (heard.sent - heard.arrived.min(heard.sent), heard.sent),
            Effect::Duplicate => (heard.again, heard.arrived),
            Effect::Corrupt => (heard.damaged, heard.arrived + heard.again),
            Effect::Reorder => (early(asked, heard), heard.arrived),
        }
    }

    /// The least and the most that the share gives. Where copies are made first, as netem does, a
    /// lost packet that had a copy is not missed, nor is the copy counted. Of what is damaged,
    /// some may not arrive.
    fn expected(self, asked: &Traffic, of: u32, alpha: f64) -> (u32, u32) {
        let share = self.share(asked).ratio();
        let told = Sounding::tells_damage(super::bytes(asked));
        let arrives = 1.0 - asked.corrupt.ratio() * (1.0 - told);
        let (least, most) = match self {
            Effect::Loss => (
                share * (1.0 - asked.duplicate.ratio()),
                1.0 - (1.0 - share) * arrives,
            ),
            Effect::Duplicate => (
                share * (1.0 - asked.loss.ratio()) * arrives * arrives,
                share,
            ),
            Effect::Corrupt => (share * told, share),
            Effect::Reorder => (share, share),
        };
        (interval(of, least, alpha).0, interval(of, most, alpha).1)
    }

    fn is_so(self, asked: &Traffic, paced: &[(&Link, &Heard)]) -> Sighting {
        let (hit, of) = self.total(asked, paced);
        let (least, most) = self.expected(asked, of, LUCK);
        let said = format!(
            "{}: {hit} of {of} messages, asked {} ({least} to {most})",
            self.name(),
            self.share(asked)
        );
        let alpha = LUCK / paced.len().max(1) as f64;
        let spared = paced.iter().filter(|(_, heard)| {
            let (hit, of) = self.count(asked, heard);
            hit < self.expected(asked, of, alpha).0
        });
        let spared: Vec<&Link> = spared.map(|(link, _)| *link).collect();
        // Who overtakes is known by coming soon, and on a busy machine nobody does.
        let all_late = self == Effect::Reorder
            && median_of(paced).is_some_and(|m| m > asked.delay + asked.jitter + BUSY);
        if least == 0 {
            (Verdict::Unknown, format!("{said}; too few to tell"))
        } else if all_late && hit <= most {
            (
                Verdict::Unknown,
                format!("{said}; all came too late to tell"),
            )
        } else if hit < least {
            (Verdict::Fail, format!("{said}: too few"))
        } else if !spared.is_empty() {
            let n = spared.len();
            (
                Verdict::Fail,
                format!("{said}; too few over {n} links: {}", named(&spared)),
            )
        } else if self == Effect::Reorder && paced.iter().all(|(_, h)| h.overtaken == 0) {
            (Verdict::Fail, format!("{said}, but none overtook another"))
        } else if hit > most && asked.rate.is_none() {
            (
                Verdict::Unknown,
                format!("{said}: more than the fault explains"),
            )
        } else {
            (Verdict::Pass, said)
        }
    }

    fn is_gone(self, asked: &Traffic, paced: &[(&Link, &Heard)]) -> Sighting {
        let (hit, of) = self.total(asked, paced);
        let (least, _) = self.expected(asked, of, LUCK);
        let said = format!("{}: {hit} of {of} messages", self.name());
        let alpha = LUCK / paced.len().max(1) as f64;
        let still = paced.iter().filter(|(_, heard)| {
            let (hit, of) = self.count(asked, heard);
            let (least, _) = self.expected(asked, of, alpha);
            least > 0 && hit >= least
        });
        let still: Vec<&Link> = still.map(|(link, _)| *link).collect();
        if least == 0 {
            (Verdict::Unknown, format!("{said}; too few to tell"))
        } else if !still.is_empty() {
            let n = still.len();
            (
                Verdict::Fail,
                format!("{said}; as many as asked over {n} links: {}", named(&still)),
            )
        } else if hit >= least {
            (Verdict::Fail, said)
        } else {
            (Verdict::Pass, said)
        }
    }

    fn total(self, asked: &Traffic, paced: &[(&Link, &Heard)]) -> (u32, u32) {
        let counts = paced.iter().map(|(_, heard)| self.count(asked, heard));
        counts.fold((0, 0), |sum, n| (sum.0 + n.0, sum.1 + n.1))
    }
}

/// Bits per second of a burst that was delayed so long at least; `None` of nothing.
fn rate_of(burst: &Heard, delayed: Duration) -> Option<f64> {
    let took = burst.span.saturating_sub(delayed).as_secs_f64();
    (burst.bytes > 0).then(|| burst.bytes as f64 * 8.0 / took.max(1e-6))
}

fn mbit(bits: f64) -> String {
    format!("{:.2} mbit/s", bits / 1e6)
}

fn limited(asked: &Traffic, rate: u64, before: &Sight, now: &Sight) -> Sighting {
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
fn unlimited(rate: u64, before: &Sight, now: &Sight) -> Sighting {
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
    use super::*;
    use Verdict::{Fail, Pass, Unknown};

    const MS: Duration = Duration::from_millis(1);

    fn link(i: usize) -> Link {
        Link {
            from: format!("f{i}"),
            to: "t".into(),
        }
    }

    /// Four links of which the same was heard.
    fn sight(seen: impl Fn(usize) -> Seen) -> Sight {
        (0..4).map(|i| (link(i), seen(i))).collect()
    }

    fn paced(heard: Heard) -> Seen {
        Seen {
            paced: Some(heard),
            burst: None,
        }
    }

    /// 100 messages that all took so long.
    fn took(ms: u64) -> Heard {
        Heard {
            sent: 100,
            arrived: 100,
            delays_us: vec![ms * 1000; 100],
            ..Heard::default()
        }
    }

    fn worst(all: Vec<Sighting>) -> Verdict {
        assert!(!all.is_empty());
        all.into_iter()
            .map(|(v, _)| v)
            .reduce(Verdict::and)
            .unwrap()
    }

    #[test]
    fn a_delay_is_judged_by_its_soonest_and_its_median() {
        let asked = Traffic {
            delay: MS * 50,
            ..Traffic::default()
        };
        let before = sight(|_| paced(took(1)));
        for (now, so, gone) in [
            (took(50), Pass, Fail),
            (took(52), Pass, Fail),
            (took(1), Fail, Pass),
            (took(48), Fail, Unknown),
            (took(300), Unknown, Fail),
            (
                Heard {
                    sent: 100,
                    ..Heard::default()
                },
                Unknown,
                Unknown,
            ),
        ] {
            let sight = sight(|_| paced(now.clone()));
            let text = format!("{now:?}");
            assert_eq!(worst(in_force(&asked, &before, &sight)), so, "{text}");
            assert_eq!(worst(absent(&asked, &before, &sight)), gone, "{text}");
        }
        // One link that is spared refutes it for all.
        let one = sight(|i| paced(took(if i == 2 { 1 } else { 50 })));
        let all = in_force(&asked, &before, &one);
        assert!(all[0].1.contains("f2 → t"), "{all:?}");
        assert_eq!(worst(all), Fail);
        assert_eq!(worst(in_force(&asked, &before, &Sight::new())), Unknown);
    }

    #[test]
    fn a_jitter_must_be_seen_to_shorten_delays_too() {
        let asked = Traffic {
            delay: MS * 50,
            jitter: MS * 20,
            ..Traffic::default()
        };
        let before = sight(|_| paced(took(1)));
        let spread = Heard {
            delays_us: (0..100).map(|i| 30_000 + i * 400).collect(),
            ..took(0)
        };
        let varied = sight(|_| paced(spread.clone()));
        assert_eq!(worst(in_force(&asked, &before, &varied)), Pass);
        let constant = sight(|_| paced(took(50)));
        assert_eq!(worst(in_force(&asked, &before, &constant)), Unknown);
    }

    #[test]
    fn a_share_is_judged_by_the_binomial_distribution() {
        let fifth = Share::of(0.2);
        let none = Traffic::default();
        let nothing = Sight::new();
        let lost = |n: u32| Heard {
            arrived: 100 - n,
            delays_us: vec![1000; 100 - n as usize],
            ..took(1)
        };
        let loss = Traffic {
            loss: fifth,
            ..none
        };
        for (n, so, gone) in [
            (20, Pass, Fail),
            (0, Fail, Pass),
            (2, Fail, Pass),
            (60, Unknown, Fail),
        ] {
            let now = sight(|_| paced(lost(n)));
            assert_eq!(worst(in_force(&loss, &nothing, &now)), so, "{n}");
            assert_eq!(worst(absent(&loss, &nothing, &now)), gone, "{n}");
        }
        // All together as asked, but one link loses nothing.
        let uneven = sight(|i| paced(lost(if i == 0 { 0 } else { 26 })));
        let all = in_force(&loss, &nothing, &uneven);
        assert!(all[0].1.contains("f0 → t"), "{all:?}");
        assert_eq!(worst(all), Fail);
        // One that still loses is not hidden by the others.
        let one = sight(|i| paced(lost(if i == 0 { 20 } else { 0 })));
        assert_eq!(worst(absent(&loss, &nothing, &one)), Fail);
        let few = sight(|_| {
            paced(Heard {
                sent: 5,
                arrived: 4,
                ..Heard::default()
            })
        });
        assert_eq!(worst(in_force(&loss, &nothing, &few)), Unknown);
        assert_eq!(worst(absent(&loss, &nothing, &few)), Unknown);

        let again = sight(|_| {
            paced(Heard {
                again: 20,
                ..took(1)
            })
        });
        let twice = Traffic {
            duplicate: fifth,
            ..none
        };
        assert_eq!(worst(in_force(&twice, &nothing, &again)), Pass);
        assert_eq!(worst(absent(&twice, &nothing, &again)), Fail);
        let damaged = sight(|_| {
            paced(Heard {
                damaged: 20,
                ..took(1)
            })
        });
        let corrupt = Traffic {
            corrupt: fifth,
            ..none
        };
        assert_eq!(worst(in_force(&corrupt, &nothing, &damaged)), Pass);
        // Some damaged messages are not heard of, which is then no loss that was not asked for.
        let some = sight(|_| {
            paced(Heard {
                damaged: 17,
                ..lost(4)
            })
        });
        assert_eq!(worst(in_force(&corrupt, &nothing, &some)), Pass);
        let both = Traffic {
            loss: Share::of(0.01),
            corrupt: Share::of(0.5),
            ..none
        };
        let many = sight(|_| {
            paced(Heard {
                damaged: 40,
                ..lost(9)
            })
        });
        let all = in_force(&both, &nothing, &many);
        assert!(!all[0].1.contains("more than"), "{all:?}");
        assert_eq!(worst(in_force(&corrupt, &nothing, &again)), Fail);
        assert_eq!(worst(absent(&corrupt, &nothing, &again)), Pass);
    }

    #[test]
    fn reordering_must_be_seen_as_an_overtaking() {
        let asked = Traffic {
            delay: MS * 50,
            reorder: Share::of(0.2),
            ..Traffic::default()
        };
        let before = sight(|_| paced(took(1)));
        let mut delays = vec![1000; 20];
        delays.extend(vec![50_000; 80]);
        let heard = |overtaken| Heard {
            delays_us: delays.clone(),
            overtaken,
            ..took(0)
        };
        let turned = sight(|_| paced(heard(30)));
        assert_eq!(worst(in_force(&asked, &before, &turned)), Pass);
        let in_order = sight(|_| paced(heard(0)));
        assert_eq!(worst(in_force(&asked, &before, &in_order)), Fail);
        let none = sight(|_| paced(took(50)));
        assert_eq!(worst(in_force(&asked, &before, &none)), Fail);
        // A busy machine is late with all of them.
        let late = sight(|_| paced(took(70)));
        assert_eq!(worst(in_force(&asked, &before, &late)), Unknown);
        // It is there still if some overtake and the others come as late as asked, not if a busy
        // machine looked at some links after a while: their messages waited for that, some long.
        assert_eq!(worst(absent(&asked, &before, &turned)), Fail);
        let waited = Heard {
            delays_us: (0..100).map(|i| 30_000 + i * 1000).collect(),
            ..took(0)
        };
        let looked_late = sight(|i| paced(if i < 2 { waited.clone() } else { took(1) }));
        assert_eq!(worst(absent(&asked, &before, &looked_late)), Unknown);
    }

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
