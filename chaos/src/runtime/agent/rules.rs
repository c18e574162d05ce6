//! What is wrong with the pod's links: packet filter rules, and the queue or
//! netem that they lead into, with one lease.

use super::datagrams::Ports;
use super::protocol::{AgentAnswer, Orders};
use crate::runtime::netem::{self, Shaper};
use crate::runtime::nft::{Drops, Filter};
use crate::runtime::queue::{Queue, Shaping};
use crate::runtime::traffic::Traffic;
use crate::runtime::wanted::{Gate, Setting};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

impl Orders {
    /// `class_to`: what classes the receivers' packets go into for netem.
    fn drops(&self, class_to: BTreeMap<IpAddr, u32>) -> Drops {
        let of = |is: fn(&Setting) -> bool| {
            let some = self.from.iter().filter(|(_, setting)| is(setting));
            some.map(|(peer, _)| *peer).collect()
        };
        Drops {
            from: of(|s| s.gate == Gate::Cut),
            silent: self.silent,
            reject: of(|s| s.gate == Gate::Reject),
            queued: of(|s| !s.traffic.is_nothing()),
            class_to,
        }
    }

    fn shaping(&self) -> Shaping {
        let shaped = self.from.iter().filter(|(_, s)| !s.traffic.is_nothing());
        shaped.map(|(peer, s)| (*peer, s.traffic)).collect()
    }
}

/// The rules and their lease.
pub(super) struct Rules {
    filter: Filter,
    /// Made when it is needed first.
    queue: Option<Queue>,
    /// By interface, each made when it is needed first.
    shapers: BTreeMap<u32, Shaper>,
    lease: Duration,
    current: Drops,
    renewed: Instant,
    /// When somebody last set or renewed anything.
    heard: Instant,
    birth: u64,
    lapses: u64,
    ports: Ports,
}

impl Rules {
    /// Nothing is wrong yet. `ports` are told with every answer.
    ///
    /// # Errors
    /// No right to filter packets.
    pub fn new(table: &str, lease: Duration, ports: Ports) -> Result<Self, String> {
        Ok(Rules {
            filter: Filter::create(table, lease).map_err(|e| e.to_string())?,
            queue: None,
            shapers: BTreeMap::new(),
            lease,
            current: Drops::default(),
            renewed: Instant::now(),
            heard: Instant::now(),
            birth: rand::random(),
            lapses: 0,
            ports,
        })
    }

    /// Exactly this is wrong from now on.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn replace(&mut self, orders: &Orders) -> Result<AgentAnswer, String> {
        self.heard = Instant::now();
        // Nobody asked in time: what was wrong until now has not been for a while.
        if !self.current.is_empty() && self.renewed.elapsed() >= self.lease {
            self.lapses += 1;
        }
        let shaping = orders.shaping();
        if self.queue.is_none() && !shaping.is_empty() {
            self.queue = Some(Queue::open()?);
        }
        // Who listens at the queue must know what to do before it gets packets.
        if let Some(queue) = &self.queue {
            queue.set(shaping, self.lease)?;
        }
        // So must the classes be there that packets are put into.
        let drops = orders.drops(self.prepare(&orders.netem)?);
        self.filter.replace(&drops).map_err(|e| e.to_string())?;
        self.keep(&orders.netem);
        self.current = drops;
        self.renewed = Instant::now();
        Ok(self.done())
    }

    fn done(&self) -> AgentAnswer {
        AgentAnswer::Done {
            birth: self.birth,
            lapses: self.lapses,
            ports: self.ports,
        }
    }

    /// For how long nobody has set or renewed anything.
    pub fn idle(&self) -> AgentAnswer {
        let idle = self.heard.elapsed().as_millis();
        AgentAnswer::Idle(u64::try_from(idle).unwrap_or(u64::MAX))
    }

    /// What netem has to do on each interface, by receiver.
    fn by_interface(
        wanted: &BTreeMap<IpAddr, Traffic>,
    ) -> Result<BTreeMap<u32, BTreeMap<IpAddr, Traffic>>, String> {
        let mut all: BTreeMap<u32, BTreeMap<IpAddr, Traffic>> = BTreeMap::new();
        for (to, traffic) in wanted {
            let interface = netem::outward(*to)?;
            all.entry(interface).or_default().insert(*to, *traffic);
        }
        Ok(all)
    }

    fn prepare(
        &mut self,
        wanted: &BTreeMap<IpAddr, Traffic>,
    ) -> Result<BTreeMap<IpAddr, u32>, String> {
        let wanted = Self::by_interface(wanted)?;
        for interface in wanted.keys() {
            if !self.shapers.contains_key(interface) {
                let shaper = Shaper::open(*interface).map_err(|e| e.to_string())?;
                self.shapers.insert(*interface, shaper);
            }
        }
        let mut classes = BTreeMap::new();
        for (interface, shaper) in &mut self.shapers {
            let none = BTreeMap::new();
            let here = wanted.get(interface).unwrap_or(&none);
            classes.extend(shaper.prepare(here).map_err(|e| e.to_string())?);
        }
        Ok(classes)
    }

    fn keep(&mut self, wanted: &BTreeMap<IpAddr, Traffic>) {
        for shaper in self.shapers.values_mut() {
            shaper.keep(wanted, Instant::now().into_std());
        }
    }

    /// Takes away what no packet waits in any more; to be called now and then.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn sweep(&mut self) -> Result<(), String> {
        for shaper in self.shapers.values_mut() {
            let swept = shaper.sweep(Instant::now().into_std());
            swept.map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// Takes away all that was made here, with what waits in it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn leave(&mut self) -> Result<(), String> {
        self.queue = None;
        for shaper in self.shapers.values_mut() {
            shaper.remove().map_err(|e| e.to_string())?;
        }
        self.filter.remove().map_err(|e| e.to_string())
    }

    /// Keeps the lease.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn renew(&mut self) -> Result<AgentAnswer, String> {
        self.heard = Instant::now();
        if !self.current.is_empty() {
            let kept = self.filter.renew(&self.current);
            if kept.map_err(|e| e.to_string())? {
                self.renewed = Instant::now();
                if let Some(queue) = &self.queue {
                    queue.renew(self.lease)?;
                }
            } else {
                self.lapses += 1;
                self.current = Drops::default();
                if let Some(queue) = &self.queue {
                    queue.set(Shaping::default(), self.lease)?;
                }
                // Other elements may have a moment left.
                self.filter
                    .replace(&self.current)
                    .map_err(|e| e.to_string())?;
                self.keep(&BTreeMap::new());
            }
        }
        Ok(self.done())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::nft::tests::in_namespace;

    fn rules(lease: Duration) -> Rules {
        Rules::new("gameday_test", lease, Ports::default()).unwrap()
    }

    fn silent() -> Orders {
        Orders {
            silent: true,
            ..Orders::default()
        }
    }

    fn lapses(done: Result<AgentAnswer, String>) -> u64 {
        match done {
            Ok(AgentAnswer::Done { lapses, .. }) => lapses,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_setting_becomes_its_own_rule() {
        use crate::runtime::traffic::Traffic;
        let peer = |n| IpAddr::from([198, 18, 0, n]);
        let gate = |gate| Setting {
            gate,
            ..Setting::default()
        };
        let slow = Setting {
            traffic: Traffic {
                delay: Duration::from_millis(50),
                ..Traffic::default()
            },
            ..Setting::default()
        };
        let from = [
            (peer(1), gate(Gate::Cut)),
            (peer(2), slow),
            (peer(3), gate(Gate::Reject)),
        ];
        let orders = Orders {
            from: from.into(),
            netem: [(peer(5), slow.traffic)].into(),
            silent: false,
        };
        let classes: BTreeMap<_, _> = [(peer(5), 0x1_0002)].into();
        let expected = Drops {
            from: [peer(1)].into(),
            reject: [peer(3)].into(),
            queued: [peer(2)].into(),
            silent: false,
            class_to: classes.clone(),
        };
        assert_eq!(orders.drops(classes), expected);
        assert_eq!(orders.shaping(), [(peer(2), slow.traffic)].into());
    }

    #[test]
    fn whoever_leaves_takes_the_table_along() {
        in_namespace(|| {
            let mut rules = rules(Duration::from_secs(600));
            rules.replace(&silent()).unwrap();
            rules.leave().unwrap();
            let gone = rules.replace(&silent()).unwrap_err();
            assert!(gone.contains("empty set"), "{gone}");
            rules.leave().unwrap();
        });
    }

    #[test]
    fn a_lease_that_lapsed_is_counted_once_and_not_taken_up_again() {
        in_namespace(|| {
            let mut rules = rules(Duration::from_millis(100));
            assert_eq!(lapses(rules.replace(&silent())), 0);
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(lapses(rules.renew()), 1);
            assert!(rules.current.is_empty());
            assert_eq!(lapses(rules.renew()), 1);
        });
    }

    #[test]
    fn a_change_after_a_lapse_does_not_hide_it() {
        in_namespace(|| {
            let mut rules = rules(Duration::from_millis(100));
            assert_eq!(lapses(rules.replace(&silent())), 0);
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(lapses(rules.replace(&Orders::default())), 1);
        });
    }

    #[test]
    fn whoever_asks_how_long_nobody_was_there_is_not_counted() {
        in_namespace(|| {
            let mut rules = rules(Duration::from_secs(600));
            rules.heard -= Duration::from_secs(60);
            for _ in 0..2 {
                assert!(matches!(rules.idle(), AgentAnswer::Idle(60_000..)));
            }
            rules.renew().unwrap();
            assert!(matches!(rules.idle(), AgentAnswer::Idle(..60_000)));
            rules.heard -= Duration::from_secs(60);
            rules.replace(&Orders::default()).unwrap();
            assert!(matches!(rules.idle(), AgentAnswer::Idle(..60_000)));
        });
    }

    #[test]
    fn a_lease_that_is_kept_does_not_lapse() {
        in_namespace(|| {
            let mut rules = rules(Duration::from_secs(600));
            assert_eq!(lapses(rules.renew()), 0);
            assert_eq!(lapses(rules.replace(&silent())), 0);
            assert_eq!(lapses(rules.renew()), 0);
            assert_eq!(rules.current, silent().drops(BTreeMap::new()));
        });
    }
}
