//! When each step may be in force, and which steps wait for which: in one pass
//! over the steps, so that a night of thousands of faults is planned at once.

use super::planned::{PlannedStart, PlannedStep, PlannedTarget};
use std::time::Duration;

/// How long a revert and its proof usually take at most. Planning counts a
/// step as in force for so much longer than its hold, so that a plan whose
/// steps would collide on a slow day is refused before the run. (The runner
/// checks again, on what is really in force.)
pub const REVERT_ALLOWANCE: Duration = Duration::from_secs(5);

/// When a step may be in force, from the start of the steps phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// Earliest start.
    pub(super) first: Duration,
    /// Latest end, revert included.
    pub(super) last: Duration,
}

/// How long a step is in force: at least, if its revert is instant, and at most.
pub(super) fn lasts(step: &PlannedStep) -> (Duration, Duration) {
    let nodes = match &step.target {
        PlannedTarget::Nodes(sides) => sides.concat().len(),
        // Each AZ has one of a group's replicas.
        PlannedTarget::Later { most_azs, .. } => *most_azs,
    };
    let (least, most) = step.fault.rollout(&step.params, nodes);
    (least + step.hold, most * 2 + step.hold + REVERT_ALLOWANCE)
}

/// The steps as trees: each stands below the step that it comes after.
pub(super) struct Schedule {
    windows: Vec<Window>,
    /// When a walk through the trees comes to each step and when it leaves it: a step stands
    /// below another if its visit is within the other's.
    visits: Vec<(usize, usize)>,
}

impl Schedule {
    /// Of steps whose chains of `after` end, as the parser made sure.
    pub(super) fn of(steps: &[PlannedStep]) -> Self {
        let mut below = vec![Vec::new(); steps.len()];
        let mut open = Vec::new();
        for (i, step) in steps.iter().enumerate() {
            match step.start {
                PlannedStart::At(at) => open.push((i, at, at)),
                PlannedStart::After(before, delay) => below[before].push((i, delay)),
            }
        }
        let mut schedule = Schedule {
            windows: vec![Window::default(); steps.len()],
            visits: vec![(0, 0); steps.len()],
        };
        let mut clock = 0;
        // Steps that were come to and are left when everything below them is.
        let mut path: Vec<(usize, usize)> = Vec::new();
        while let Some((i, first, latest)) = open.pop() {
            while let Some((left, _)) = path.pop_if(|(_, waiting)| open.len() < *waiting) {
                schedule.visits[left].1 = clock;
            }
            let (least, most) = lasts(&steps[i]);
            schedule.windows[i] = Window {
                first,
                last: latest + most,
            };
            schedule.visits[i].0 = clock;
            clock += 1;
            path.push((i, open.len()));
            let next = below[i].iter();
            open.extend(
                next.map(|(j, delay)| (*j, first + least + *delay, latest + most + *delay)),
            );
        }
        for (left, _) in path {
            schedule.visits[left].1 = clock;
        }
        schedule
    }

    /// The window of every step.
    pub(super) fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// Whether `later` waits, directly or not, for `earlier`.
    fn waits_for(&self, later: usize, earlier: usize) -> bool {
        let (from, to) = self.visits[earlier];
        (from + 1..to).contains(&self.visits[later].0)
    }

    /// Whether two steps may be in force at the same time.
    pub(super) fn overlap(&self, i: usize, j: usize) -> bool {
        self.windows[i].first < self.windows[j].last
            && self.windows[j].first < self.windows[i].last
            && !self.waits_for(i, j)
            && !self.waits_for(j, i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{FaultKind, Params};
    use crate::plan::Origin;

    fn steps(starts: &[PlannedStart]) -> Vec<PlannedStep> {
        let step = |start: &PlannedStart| PlannedStep {
            name: String::new(),
            fault: FaultKind::Kill,
            params: Params::default(),
            selector: String::new(),
            target: PlannedTarget::Nodes(vec![vec!["a".into()]]),
            start: *start,
            hold: Duration::from_secs(10),
            until: None,
            stream: 0,
            origin: Origin::Step(0),
        };
        starts.iter().map(step).collect()
    }

    /// The plain way: along the chain.
    fn waits(steps: &[PlannedStep], later: usize, earlier: usize) -> bool {
        let mut at = later;
        while let PlannedStart::After(before, _) = steps[at].start {
            if before == earlier {
                return true;
            }
            at = before;
        }
        false
    }

    #[test]
    fn who_waits_for_whom_is_what_the_chains_say() {
        use PlannedStart::{After, At};
        let s = Duration::from_secs;
        // Two trees, one of them with branches, and steps that come before what they follow.
        let starts = [
            After(3, s(1)),
            At(s(0)),
            After(1, s(2)),
            After(1, s(3)),
            At(s(5)),
            After(0, s(1)),
            After(4, s(0)),
            After(2, s(0)),
            After(3, s(0)),
        ];
        let steps = steps(&starts);
        let schedule = Schedule::of(&steps);
        for later in 0..steps.len() {
            for earlier in 0..steps.len() {
                let expected = waits(&steps, later, earlier);
                let told = schedule.waits_for(later, earlier);
                assert_eq!(told, expected, "{later} after {earlier}");
            }
        }
        let window = |first: u64, last: u64| Window {
            first: s(first),
            last: s(last),
        };
        assert_eq!(schedule.windows()[1], window(0, 15));
        assert_eq!(schedule.windows()[3], window(13, 33));
        assert_eq!(schedule.windows()[0], window(24, 49));
        assert!(schedule.overlap(1, 4) && !schedule.overlap(1, 0));
    }
}
