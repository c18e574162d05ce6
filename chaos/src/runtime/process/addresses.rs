//! Loopback addresses of one run: every unit has an IP of its own, every
//! ordered pair of units has one for the proxied link between them, and ports
//! are the same everywhere.

use super::ports::{self, Moved};
use crate::runtime::UnitSpec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Most units of one run.
const MAX_UNITS: usize = 150;
/// Third octet of the links' addresses: this plus the index of the sender.
const LINKS: u8 = 100;
/// Port of the two locks on `127.X.255.254`: held by the runtime, held by the links.
const LOCKS: [u16; 2] = [7198, 7199];
/// Port that never crosses a link.
const ADMIN: &str = "admin";

/// A unit and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Name of the unit.
    pub name: String,
    /// Its own IP.
    pub ip: Ipv4Addr,
    /// Whether faults may target it.
    pub node: bool,
    /// Its TCP ports by name.
    pub ports: Vec<(String, u16)>,
}

/// All addresses of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressPlan {
    /// `X` of `127.X.0.0/16`.
    net: u8,
    /// Units in the order given.
    pub units: Vec<Placed>,
    /// Ports of the two locks.
    locks: [u16; 2],
}

impl AddressPlan {
    /// Places units in `127.<net>.0.0/16`: unit `n` of AZ `i` is `127.<net>.<i+1>.<n+1>`.
    ///
    /// # Errors
    /// Too many units or AZs.
    pub fn new(net: u8, specs: &[UnitSpec]) -> Result<Self, String> {
        if specs.len() > MAX_UNITS {
            return Err(format!(
                "{} units; at most {MAX_UNITS} fit on loopback",
                specs.len()
            ));
        }
        let mut azs: Vec<(&str, u8)> = Vec::new();
        let mut units = Vec::new();
        for spec in specs {
            let i = azs
                .iter()
                .position(|(az, _)| *az == spec.az)
                .unwrap_or_else(|| {
                    azs.push((&spec.az, 0));
                    azs.len() - 1
                });
            if i + 1 >= LINKS as usize {
                return Err(format!("more than {} AZs", LINKS - 1));
            }
            azs[i].1 += 1;
            units.push(Placed {
                name: spec.name.clone(),
                ip: Ipv4Addr::new(127, net, i as u8 + 1, azs[i].1),
                node: spec.node,
                ports: spec.ports.clone(),
            });
        }
        Ok(AddressPlan {
            net,
            units,
            locks: LOCKS,
        })
    }

    /// Finds a `127.X.0.0/16` in which every port is free, and locks it until the listener is
    /// dropped. `first` is where to begin looking, so that runs that start together rarely meet.
    /// Ports that somebody listens on at every address are others.
    ///
    /// # Errors
    /// None is free, or too many units.
    pub fn find_free(specs: &[UnitSpec], first: u32) -> Result<(Self, TcpListener), String> {
        let chosen = chosen_ports(specs)?;
        const NETS: std::ops::RangeInclusive<u8> = 16..=250;
        let count = u32::from(NETS.end() - NETS.start()) + 1;
        let mut last = String::new();
        for i in 0..count {
            let net = NETS.start() + ((first.wrapping_add(i)) % count) as u8;
            let plan = Self::new(net, specs)?.with_ports(&chosen);
            match plan.claim() {
                Ok(lock) => return Ok((plan, lock)),
                Err(e) => last = e,
            }
        }
        Err(format!(
            "no free loopback network among 127.16.0.0/16 to 127.250.0.0/16: {last}"
        ))
    }

    /// With other ports.
    fn with_ports(mut self, chosen: &BTreeMap<u16, u16>) -> Self {
        let of_units = self.units.iter_mut().flat_map(|unit| &mut unit.ports);
        let all = of_units.map(|(_, port)| port).chain(&mut self.locks);
        for port in all {
            *port = chosen.get(port).copied().unwrap_or(*port);
        }
        self
    }

    fn claim(&self) -> Result<TcpListener, String> {
        let bind = |addr: SocketAddr| TcpListener::bind(addr).map_err(|e| format!("{addr}: {e}"));
        let [ours, links] = self
            .locks
            .map(|port| SocketAddr::from((self.lock_ip(), port)));
        let lock = bind(ours)?;
        bind(links)?;
        for unit in &self.units {
            for (_, port) in &unit.ports {
                bind(SocketAddr::from((unit.ip, *port)))?;
            }
        }
        Ok(lock)
    }

    fn lock_ip(&self) -> Ipv4Addr {
        Ipv4Addr::new(127, self.net, 255, 254)
    }

    /// What the links process holds for as long as it lives.
    pub fn links_lock(&self) -> SocketAddr {
        SocketAddr::from((self.lock_ip(), self.locks[1]))
    }

    /// Index of a unit.
    pub fn index(&self, unit: &str) -> Option<usize> {
        self.units.iter().position(|u| u.name == unit)
    }

    /// Where a unit listens.
    pub fn own(&self, unit: &str, port: &str) -> Option<SocketAddr> {
        let unit = &self.units[self.index(unit)?];
        let (_, port) = unit.ports.iter().find(|(name, _)| name == port)?;
        Some(SocketAddr::from((unit.ip, *port)))
    }

    /// What `from` dials to reach `to`: the link between them; itself directly.
    pub fn reach(&self, from: &str, to: &str, port: &str) -> Option<SocketAddr> {
        let own = self.own(to, port)?;
        if from == to || port == ADMIN {
            return Some(own);
        }
        let ip = self.link_ip(self.index(from)?, self.index(to)?);
        Some(SocketAddr::from((ip, own.port())))
    }

    fn link_ip(&self, from: usize, to: usize) -> Ipv4Addr {
        Ipv4Addr::new(127, self.net, LINKS + from as u8, to as u8 + 1)
    }

    /// Whether anything crosses the link: connections to who listens there, or the answers to them.
    pub fn carries(&self, from: usize, to: usize) -> bool {
        let listens = |unit: &usize| {
            let unit = &self.units[*unit];
            unit.node && unit.ports.iter().any(|(name, _)| name != ADMIN)
        };
        from != to && [from, to].iter().any(listens)
    }

    /// Every proxied port: sender's and receiver's index, where it listens, whom it dials.
    pub fn links(&self) -> impl Iterator<Item = (usize, usize, SocketAddr, SocketAddr)> + '_ {
        let pairs = (0..self.units.len()).flat_map(|f| (0..self.units.len()).map(move |t| (f, t)));
        pairs
            .filter(|(f, t)| f != t && self.units[*t].node)
            .flat_map(move |(from, to)| {
                let ports = self.units[to]
                    .ports
                    .iter()
                    .filter(|(name, _)| name != ADMIN);
                ports.map(move |(_, port)| {
                    let listen = SocketAddr::from((self.link_ip(from, to), *port));
                    let target = SocketAddr::from((self.units[to].ip, *port));
                    (from, to, listen, target)
                })
            })
    }
}

/// What the ports of these units, and of the locks, are on this host just now.
fn chosen_ports(specs: &[UnitSpec]) -> Result<BTreeMap<u16, u16>, String> {
    let of_units = specs.iter().flat_map(|spec| &spec.ports);
    let all = of_units.map(|(_, port)| *port).chain(LOCKS).collect();
    ports::choose(&all, ports::is_held)
}

/// Which ports of these units others are used for, because somebody listens on them at every
/// address of this host.
///
/// # Errors
/// None is free for one of them.
pub fn moved_ports(specs: &[UnitSpec]) -> Result<Vec<Moved>, String> {
    chosen_ports(specs).map(|chosen| ports::moved(&chosen))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_port_that_somebody_holds_at_every_address_is_another_one() {
        let bind = |port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).ok();
        let mut free = (20_000..30_000).filter_map(|port| Some((port, bind(port)?)));
        let (port, _held) = free.next().unwrap();
        let mut specs = specs();
        specs[0].ports[0].1 = port;
        let (plan, _lock) = AddressPlan::find_free(&specs, 7).unwrap();
        let own = plan.own("a1", "peer").unwrap().port();
        assert_ne!(own, port);
        assert_eq!(plan.reach("b1", "a1", "peer").unwrap().port(), own);
        let moved = moved_ports(&specs).unwrap();
        let moved = moved.iter().find(|m| m.port == port).unwrap();
        assert_eq!(moved.instead, own);
        assert!(moved.holder.is_some(), "{moved:?}");
    }

    fn specs() -> Vec<UnitSpec> {
        let node = |name: &str, az: &str| UnitSpec {
            name: name.into(),
            az: az.into(),
            role: "storage".into(),
            node: true,
            ports: vec![("peer".into(), 7000), ("admin".into(), 7100)],
        };
        let mut specs = vec![node("a1", "a"), node("a2", "a"), node("b1", "b")];
        specs.push(UnitSpec {
            node: false,
            ports: vec![],
            ..node("canary-b", "b")
        });
        specs
    }

    #[test]
    fn addresses_name_the_az_and_never_collide() {
        let plan = AddressPlan::new(33, &specs()).unwrap();
        assert_eq!(
            plan.own("a2", "peer").unwrap().to_string(),
            "127.33.1.2:7000"
        );
        assert_eq!(
            plan.own("b1", "admin").unwrap().to_string(),
            "127.33.2.1:7100"
        );
        assert_eq!(
            plan.reach("canary-b", "a1", "peer").unwrap().to_string(),
            "127.33.103.1:7000"
        );
        assert_eq!(plan.reach("a1", "a1", "peer"), plan.own("a1", "peer"));
        assert_eq!(plan.reach("a1", "b1", "admin"), plan.own("b1", "admin"));
        assert_eq!(plan.reach("a1", "b1", "public"), None);
        assert_eq!(plan.own("nobody", "peer"), None);

        let links: Vec<_> = plan.links().collect();
        // Three nodes can be dialled by the three other units each; admin crosses no link.
        assert_eq!(links.len(), 9);
        let listen: BTreeSet<_> = links.iter().map(|l| l.2).collect();
        assert_eq!(listen.len(), 9);
        assert!(links.iter().all(|l| l.3.port() == 7000));
    }

    #[test]
    fn a_link_carries_what_is_sent_to_who_listens_and_what_is_answered() {
        let mut specs = specs();
        let canary = UnitSpec {
            name: "canary-a".into(),
            ..specs[3].clone()
        };
        specs.push(canary);
        let plan = AddressPlan::new(33, &specs).unwrap();
        assert!(plan.carries(0, 1) && plan.carries(3, 0) && plan.carries(0, 3));
        // No canary listens.
        assert!(!plan.carries(3, 4) && !plan.carries(0, 0));
        // What a proxy listens for is among them, and its answers are the rest.
        for (from, to, ..) in plan.links() {
            assert!(plan.carries(from, to) && plan.carries(to, from));
        }
    }

    #[test]
    fn two_runs_at_once_get_different_networks() {
        let (one, _lock) = AddressPlan::find_free(&specs(), 7).unwrap();
        let (two, _lock2) = AddressPlan::find_free(&specs(), 7).unwrap();
        assert_ne!(one.net, two.net);
    }

    #[test]
    fn more_units_than_addresses_are_refused() {
        let many: Vec<_> = (0..151).map(|_| specs()[0].clone()).collect();
        assert!(AddressPlan::new(16, &many).is_err());
    }
}
