//! What `[random]` draws: the same for the same seed.

use super::schedule::REVERT_ALLOWANCE;
use super::target::below;
use crate::playbook::{Random, Weighted};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// Most faults that are drawn in one run.
pub(super) const MOST: usize = 5000;

/// A fault that was drawn.
pub(super) struct Drawn<'a> {
    /// Which.
    pub(super) of: &'a Weighted,
    /// Its index among those that may be drawn.
    pub(super) index: usize,
    /// How long nothing happens before it.
    pub(super) pause: Duration,
    /// How long it is held.
    pub(super) hold: Duration,
}

/// Draws until the next would not end in time; at least one fits or there is none. A rollout is
/// taken to be over all `nodes`.
pub(super) fn draw<'a>(random: &'a Random, nodes: usize, rng: &mut ChaCha8Rng) -> Vec<Drawn<'a>> {
    let weights: u64 = random.faults.iter().map(|f| u64::from(f.weight)).sum();
    let mut drawn = Vec::new();
    let mut spent = Duration::ZERO;
    while drawn.len() <= MOST {
        let pause = between(random.pause, rng);
        let mut at = below(rng, weights);
        let chosen = random.faults.iter().enumerate().find(|(_, f)| {
            let here = at < u64::from(f.weight);
            at = at.saturating_sub(u64::from(f.weight));
            here
        });
        let Some((index, of)) = chosen else { break };
        let hold = between((of.step.hold, of.longest), rng);
        let (_, rollout) = of.step.fault.rollout(&of.step.params, nodes);
        spent += pause + rollout * 2 + hold + REVERT_ALLOWANCE;
        if spent > random.lasting {
            break;
        }
        drawn.push(Drawn {
            of,
            index,
            pause,
            hold,
        });
    }
    drawn
}

/// A duration of a range, in steps of a tenth of a second from its lower end.
fn between((from, to): (Duration, Duration), rng: &mut ChaCha8Rng) -> Duration {
    let tenths = ((to - from).as_millis() / 100) as u64;
    from + Duration::from_millis(100 * below(rng, tenths + 1))
}
