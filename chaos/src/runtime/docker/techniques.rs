//! What the traffic of links is made worse with in containers: the kernel's
//! netem where it has it, else its queue of packets for a program (NFQUEUE).

use crate::abilities::{Ability, Offer};
use crate::runtime::facilities::{Facilities, Facility, Seen};
use crate::runtime::traffic::Traffic;

/// One of both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Technique {
    /// The kernel's queueing discipline, at the sender.
    Netem,
    /// A queue that the pod's agent decides about, at the receiver.
    Nfqueue,
}

impl Technique {
    fn facility(self) -> Facility {
        match self {
            Technique::Netem => Facility::Netem,
            Technique::Nfqueue => Facility::Nfqueue,
        }
    }
}

/// What is used for what, by a whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Techniques {
    /// Where messages are doubled, with whatever else is done to them.
    doubling: Technique,
    /// For all other traffic.
    others: Technique,
}

/// Of a cluster to whose traffic nothing is done.
impl Default for Techniques {
    fn default() -> Self {
        Techniques {
            doubling: Technique::Nfqueue,
            others: Technique::Nfqueue,
        }
    }
}

impl Techniques {
    /// Those that are `wanted`, there or not, or else those that are there. Kernels of 2025 and
    /// later let a netem that doubles be on an interface only alone, so that two links of a node
    /// could not be treated: what doubles goes through the queue, where there is one.
    pub(crate) fn choose(found: &Facilities, wanted: Option<Technique>) -> Self {
        let there = |technique: Technique| found.seen(technique.facility()) == Seen::Yes;
        let others = match wanted {
            Some(wanted) => wanted,
            None if there(Technique::Netem) => Technique::Netem,
            None => Technique::Nfqueue,
        };
        let doubling = match wanted {
            None if there(Technique::Nfqueue) => Technique::Nfqueue,
            _ => others,
        };
        Techniques { doubling, others }
    }

    /// What this is done with.
    pub(super) fn of(&self, traffic: &Traffic) -> Technique {
        match traffic.duplicate.is_never() {
            true => self.others,
            false => self.doubling,
        }
    }

    /// What can be done to traffic with them.
    pub(super) fn offers(&self, found: &Facilities) -> [(Ability, Offer); 3] {
        let offer = |technique: Technique| found.offer(technique.facility());
        [
            (Ability::SlowLinks, offer(self.others)),
            (Ability::SpoiltMessages, offer(self.others)),
            (Ability::DoubledMessages, offer(self.doubling)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::traffic::Share;

    fn found(netem: bool, nfqueue: bool) -> Facilities {
        let seen = |is: bool| match is {
            true => Seen::Yes,
            false => Seen::No("not built".into()),
        };
        let all = [
            (Facility::Netem, seen(netem)),
            (Facility::Nfqueue, seen(nfqueue)),
        ];
        Facilities(all.into())
    }

    #[test]
    fn netem_is_used_where_it_is_and_the_queue_for_what_it_cannot() {
        use Technique::{Netem, Nfqueue};
        for (netem, nfqueue, wanted, others, doubling) in [
            (true, true, None, Netem, Nfqueue),
            (true, false, None, Netem, Netem),
            (false, true, None, Nfqueue, Nfqueue),
            (false, false, None, Nfqueue, Nfqueue),
            (true, true, Some(Netem), Netem, Netem),
            (true, true, Some(Nfqueue), Nfqueue, Nfqueue),
            (false, true, Some(Netem), Netem, Netem),
        ] {
            let found = found(netem, nfqueue);
            let chosen = Techniques::choose(&found, wanted);
            let expected = Techniques { doubling, others };
            assert_eq!(chosen, expected, "{found:?} {wanted:?}");
        }
    }

    #[test]
    fn what_is_offered_is_what_is_used() {
        let found = found(true, true);
        let chosen = Techniques::choose(&found, None);
        let twice = Traffic {
            duplicate: Share::of(0.1),
            ..Traffic::default()
        };
        assert_eq!(chosen.of(&twice), Technique::Nfqueue);
        assert_eq!(chosen.of(&Traffic::default()), Technique::Netem);
        let offers = chosen.offers(&found).map(|(_, offer)| offer);
        let by = |name: &str| Offer::By(name.into());
        assert_eq!(offers, [by("netem"), by("netem"), by("NFQUEUE")]);
        // What is asked for and is not there is refused, and not done otherwise.
        let found = self::found(false, true);
        let forced = Techniques::choose(&found, Some(Technique::Netem));
        for (_, offer) in forced.offers(&found) {
            assert!(matches!(offer, Offer::Not { .. }), "{offer:?}");
        }
    }
}
