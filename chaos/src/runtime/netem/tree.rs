//! Which classes there are, and which of them packets still go into. Pure: what
//! has become of the kernel's side is told afterwards.

use super::message::class_id;
use crate::runtime::traffic::Traffic;
use crate::runtime::traffic::line::longest_queue;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Lowest number of a class: 1 is that of the root.
const FIRST: u16 = 2;

/// What is done to the way to a receiver, in a class of its own, so that each way has its own
/// rate. It stays as it was made: netem keeps what a change does not name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Receiver.
    pub to: IpAddr,
    /// What is done.
    pub traffic: Traffic,
    /// Number of its class.
    pub class: u16,
    /// When everything that it holds will have gone, if nothing is put in any more.
    empty: Option<Instant>,
}

/// All lines that there are.
#[derive(Debug, Default)]
pub(super) struct Tree(Vec<Line>);

impl Tree {
    /// The lines that are still to be made for this to be so.
    pub fn missing(&self, wanted: &BTreeMap<IpAddr, Traffic>) -> Vec<Line> {
        let mut taken: Vec<u16> = self.0.iter().map(|line| line.class).collect();
        let mut missing = Vec::new();
        for (to, traffic) in wanted {
            if self.find(to, traffic).is_some() {
                continue;
            }
            let Some(class) = (FIRST..u16::MAX).find(|n| !taken.contains(n)) else {
                break;
            };
            taken.push(class);
            missing.push(Line {
                to: *to,
                traffic: *traffic,
                class,
                empty: None,
            });
        }
        missing
    }

    /// A line was made.
    pub fn add(&mut self, line: Line) {
        self.0.push(line);
    }

    /// The classes that packets to these receivers go into.
    pub fn classes(&self, wanted: &BTreeMap<IpAddr, Traffic>) -> BTreeMap<IpAddr, u32> {
        let found = wanted
            .iter()
            .filter_map(|(to, traffic)| Some((*to, class_id(self.find(to, traffic)?.class))));
        found.collect()
    }

    /// From now on packets go into these lines only: the others empty themselves.
    pub fn keep(&mut self, wanted: &BTreeMap<IpAddr, Traffic>, now: Instant) {
        for line in &mut self.0 {
            if wanted.get(&line.to) == Some(&line.traffic) {
                line.empty = None;
            } else if line.empty.is_none() {
                line.empty = Some(now + holds(&line.traffic));
            }
        }
    }

    /// Lines that hold nothing any more.
    pub fn emptied(&self, now: Instant) -> Vec<u16> {
        let emptied = |line: &&Line| line.empty.is_some_and(|at| at <= now);
        self.0.iter().filter(emptied).map(|l| l.class).collect()
    }

    /// Lines that are only kept for what they hold, and that kernels would not let be beside those
    /// that are still to be made: one that doubles packets has to be alone.
    pub fn in_the_way(&self, wanted: &BTreeMap<IpAddr, Traffic>) -> Vec<u16> {
        let doubles = |line: &Line| !line.traffic.duplicate.is_never();
        let missing = self.missing(wanted);
        let leaves =
            |line: &&Line| line.empty.is_some() && wanted.get(&line.to) != Some(&line.traffic);
        let met =
            |line: &&Line| !missing.is_empty() && (doubles(line) || missing.iter().any(doubles));
        let all = self.0.iter().filter(leaves).filter(met);
        all.map(|line| line.class).collect()
    }

    /// A line is gone.
    pub fn remove(&mut self, class: u16) {
        self.0.retain(|line| line.class != class);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, to: &IpAddr, traffic: &Traffic) -> Option<&Line> {
        let is = |line: &&Line| line.to == *to && line.traffic == *traffic;
        self.0.iter().find(is)
    }
}

/// How long it keeps a packet at most.
fn holds(traffic: &Traffic) -> Duration {
    /// For timers that are late.
    const ROOM: Duration = Duration::from_millis(200);
    let queued = traffic.rate.map_or(Duration::ZERO, longest_queue);
    traffic.delay + traffic.jitter + queued + ROOM
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::traffic::Share;

    fn peer(n: u8) -> IpAddr {
        IpAddr::from([198, 18, 0, n])
    }

    fn delay(ms: u64) -> Traffic {
        Traffic {
            delay: Duration::from_millis(ms),
            ..Traffic::default()
        }
    }

    fn make(tree: &mut Tree, wanted: &BTreeMap<IpAddr, Traffic>) -> usize {
        let missing = tree.missing(wanted);
        let n = missing.len();
        missing.into_iter().for_each(|line| tree.add(line));
        n
    }

    #[test]
    fn each_way_has_a_class_and_keeps_it() {
        let mut tree = Tree::default();
        let two = [(peer(1), delay(5)), (peer(2), delay(5))].into();
        assert_eq!(make(&mut tree, &two), 2);
        assert_eq!(make(&mut tree, &two), 0);
        let classes = [(peer(1), 0x1_0002), (peer(2), 0x1_0003)].into();
        assert_eq!(tree.classes(&two), classes);
        // What is done otherwise takes another class, and the old one empties itself.
        let other = [(peer(1), delay(5)), (peer(2), delay(7))].into();
        assert_eq!(tree.classes(&other).len(), 1);
        assert_eq!(make(&mut tree, &other), 1);
        assert_eq!(tree.classes(&other)[&peer(2)], 0x1_0004);
        let now = Instant::now();
        tree.keep(&other, now);
        assert!(tree.emptied(now).is_empty());
        assert_eq!(tree.emptied(now + Duration::from_secs(1)), [3]);
        tree.remove(3);
        // Its number is free again.
        let third = [(peer(3), delay(5))].into();
        assert_eq!(tree.missing(&third)[0].class, 3);
    }

    #[test]
    fn what_doubles_does_not_wait_for_what_leaves_nor_that_for_it() {
        let twice = Traffic {
            duplicate: Share::of(0.1),
            ..Traffic::default()
        };
        let slow: BTreeMap<_, _> = [(peer(1), delay(5))].into();
        let other = [(peer(2), delay(5))].into();
        let doubled = [(peer(1), twice)].into();
        let mut tree = Tree::default();
        make(&mut tree, &slow);
        assert!(tree.in_the_way(&doubled).is_empty(), "it is in force");
        tree.keep(&BTreeMap::new(), Instant::now());
        assert!(tree.in_the_way(&other).is_empty());
        assert!(tree.in_the_way(&slow).is_empty());
        assert_eq!(tree.in_the_way(&doubled), [2]);
        tree.remove(2);
        make(&mut tree, &doubled);
        tree.keep(&BTreeMap::new(), Instant::now());
        assert!(tree.in_the_way(&doubled).is_empty());
        assert!(tree.in_the_way(&BTreeMap::new()).is_empty());
        assert_eq!(tree.in_the_way(&slow), [2]);
    }

    #[test]
    fn a_line_is_emptied_when_the_last_packet_has_gone() {
        let slow = Traffic {
            rate: Some(64_000),
            ..delay(5000)
        };
        let mut tree = Tree::default();
        let wanted = [(peer(1), slow)].into();
        make(&mut tree, &wanted);
        let now = Instant::now();
        tree.keep(&BTreeMap::new(), now);
        // It is not put off by looking again.
        tree.keep(&BTreeMap::new(), now + Duration::from_secs(8));
        assert!(tree.emptied(now + Duration::from_secs(8)).is_empty());
        assert_eq!(tree.emptied(now + Duration::from_secs(9)), [2]);
        // It is taken up again as it is.
        assert_eq!(tree.missing(&wanted), []);
        tree.keep(&wanted, now);
        assert!(tree.emptied(now + Duration::from_secs(60)).is_empty());
        tree.remove(2);
        assert!(tree.is_empty());
    }
}
