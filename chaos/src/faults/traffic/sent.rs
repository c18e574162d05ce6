//! What is sent over links to measure them: so much that what was asked for is told from nothing,
//! and no more.

use super::super::shape::Links;
use crate::playbook::values::show;
use crate::runtime::Link;
use crate::runtime::traffic::{Sounding, Traffic};
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
pub(super) const BURSTS: usize = 4;
/// Links over which bursts are sent at all, shaped ones and ones beside them.
const SAMPLED: [usize; 2] = [8, 4];

/// The links over which bursts are sent: the same each time, spread over all.
pub(super) fn sample(links: &Links) -> Vec<Link> {
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
pub(super) fn looking(traffic: &Traffic, links: &Links) -> Result<Duration, String> {
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
pub(super) fn bytes(traffic: &Traffic) -> u32 {
    match traffic.corrupt.is_never() {
        true => Sounding::MIN_BYTES,
        false => DAMAGED,
    }
}

/// What is sent over each of so many links: messages one by one, and a burst. Of them so many are
/// `shaped`, over which hits are counted together.
pub(super) fn soundings(
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
