//! Where every unit is: its addresses, by network. They may change when a
//! container that is not ours is started anew.

use crate::runtime::control::lock;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Mutex;

/// An address in a network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The network's name.
    pub network: String,
    /// The address there.
    pub ip: IpAddr,
}

/// Addresses of all units at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Addresses(pub HashMap<String, BTreeSet<Place>>);

impl Addresses {
    /// All in the one network.
    pub fn in_one_network<I: Into<IpAddr>>(ips: impl IntoIterator<Item = (String, I)>) -> Self {
        let place = |ip: I| Place {
            network: String::new(),
            ip: ip.into(),
        };
        let units = ips.into_iter();
        Addresses(units.map(|(unit, ip)| (unit, [place(ip)].into())).collect())
    }

    /// All addresses of a unit.
    ///
    /// # Errors
    /// There is no such unit.
    pub fn of(&self, unit: &str) -> Result<BTreeSet<IpAddr>, String> {
        let places = self.0.get(unit);
        let places = places.ok_or_else(|| format!("there is no unit {unit}"))?;
        Ok(places.iter().map(|place| place.ip).collect())
    }

    /// Where `from` reaches `to`: its addresses in networks that both are in.
    ///
    /// # Errors
    /// There is no such unit, or no such network.
    pub fn reached(&self, from: &str, to: &str) -> Result<BTreeSet<IpAddr>, String> {
        let of = |unit: &str| {
            self.0
                .get(unit)
                .ok_or_else(|| format!("there is no unit {unit}"))
        };
        let (from_places, to_places) = (of(from)?, of(to)?);
        let is_shared = |place: &&Place| {
            let is_there = |other: &Place| {
                other.network == place.network && other.ip.is_ipv4() == place.ip.is_ipv4()
            };
            from_places.iter().any(is_there)
        };
        let shared: BTreeSet<_> = to_places.iter().filter(is_shared).map(|p| p.ip).collect();
        match shared.is_empty() {
            true => Err(format!("{from} and {to} are in no network together")),
            false => Ok(shared),
        }
    }
}

/// The same, as it is now.
#[derive(Default)]
pub(super) struct Peers(Mutex<Addresses>);

impl Peers {
    /// These units, there.
    pub fn new(addresses: Addresses) -> Self {
        Peers(Mutex::new(addresses))
    }

    /// As it is now.
    pub fn now(&self) -> Addresses {
        lock(&self.0).clone()
    }

    /// A unit is there from now on. One that is nowhere, because it does not run, is still looked
    /// for where it was.
    pub fn moved(&self, unit: &str, to: BTreeSet<Place>) {
        if !to.is_empty() {
            lock(&self.0).0.insert(unit.into(), to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(all: &[(&str, &str)]) -> BTreeSet<Place> {
        let all = all.iter().map(|(network, ip)| Place {
            network: network.to_string(),
            ip: ip.parse().unwrap(),
        });
        all.collect()
    }

    #[test]
    fn units_reach_each_other_in_networks_that_both_are_in() {
        let peers = Peers::default();
        peers.moved(
            "web",
            places(&[("front", "10.0.0.2"), ("back", "10.1.0.2")]),
        );
        peers.moved("db", places(&[("back", "10.1.0.3"), ("back", "fd00::3")]));
        peers.moved("proxy", places(&[("front", "10.0.0.4")]));
        let now = peers.now();
        let ips = |all: &[&str]| all.iter().map(|ip| ip.parse().unwrap()).collect();
        // By IPv4 only: the other one has no address of the other family there.
        assert_eq!(now.reached("web", "db"), Ok(ips(&["10.1.0.3"])));
        assert_eq!(now.reached("db", "web"), Ok(ips(&["10.1.0.2"])));
        assert_eq!(now.of("db"), Ok(ips(&["10.1.0.3", "fd00::3"])));
        let never = now.reached("db", "proxy").unwrap_err();
        assert!(never.contains("no network together"), "{never}");
        assert!(now.reached("db", "nobody").is_err() && now.of("nobody").is_err());
        // One that does not run has no address.
        peers.moved("db", BTreeSet::new());
        assert_eq!(peers.now(), now);
    }
}
