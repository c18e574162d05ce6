//! How late messages come.

use super::sight::{
    SOON, Sight, Sighting, early, median_before, median_of, millis, most_early, named, quantile,
};
use crate::runtime::Link;
use crate::runtime::traffic::{Heard, Traffic};
use gameday_record::Verdict;
use std::time::Duration;

/// How much later than asked the median may be before the delay is not told from a busy machine.
const LATE: Duration = Duration::from_millis(60);

pub(super) fn delayed(asked: &Traffic, before: &Sight, paced: &[(&Link, &Heard)]) -> Sighting {
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
pub(super) fn varies(asked: &Traffic, paced: &[(&Link, &Heard)]) -> Sighting {
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

pub(super) fn undelayed(asked: &Traffic, before: &Sight, paced: &[(&Link, &Heard)]) -> Sighting {
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

#[cfg(test)]
mod tests {
    use super::super::sight::*;
    use super::super::tests::{MS, paced, sight, took, worst};
    use super::super::*;
    use super::*;
    use Verdict::{Fail, Pass, Unknown};

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
}
