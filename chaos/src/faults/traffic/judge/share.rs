//! How many messages are lost, come twice, are damaged, or overtake others.

use super::super::odds::interval;
use super::sight::{LUCK, Sighting, early, median_of, named};
use crate::runtime::Link;
use crate::runtime::traffic::{Heard, Share, Sounding, Traffic};
use gameday_record::Verdict;
use std::time::Duration;

/// How much later than asked the median may be before those that overtake are late as well.
const BUSY: Duration = Duration::from_millis(10);

/// What happens to a share of the messages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Loss,
    Duplicate,
    Corrupt,
    Reorder,
}

impl Effect {
    pub(super) const ALL: [Effect; 4] = [
        Effect::Loss,
        Effect::Duplicate,
        Effect::Corrupt,
        Effect::Reorder,
    ];

    pub(super) fn share(self, of: &Traffic) -> Share {
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
        let told = Sounding::tells_damage(super::super::sent::bytes(asked));
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

    pub(super) fn is_so(self, asked: &Traffic, paced: &[(&Link, &Heard)]) -> Sighting {
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

    pub(super) fn is_gone(self, asked: &Traffic, paced: &[(&Link, &Heard)]) -> Sighting {
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

#[cfg(test)]
mod tests {
    use super::super::sight::*;
    use super::super::tests::{MS, paced, sight, took, worst};
    use super::super::*;
    use super::*;
    use Verdict::{Fail, Pass, Unknown};

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
}
