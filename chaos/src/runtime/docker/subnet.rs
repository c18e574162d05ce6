//! Addresses of the docker runtime: one IPv4 network, a /24 of it per AZ.

use crate::runtime::UnitSpec;
use std::collections::HashMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Smallest network that is accepted.
const LONGEST_PREFIX: u32 = 16;
/// Largest.
const SHORTEST_PREFIX: u32 = 8;
/// First host number of units in an AZ's /24, and the last.
const HOSTS: [u32; 2] = [11, 250];

/// An IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subnet {
    base: u32,
    prefix: u32,
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let bad = || format!("{s:?} is not an IPv4 network such as 198.18.0.0/16");
        let (ip, prefix) = s.split_once('/').ok_or_else(bad)?;
        let base = u32::from(ip.parse::<Ipv4Addr>().map_err(|_| bad())?);
        let prefix: u32 = prefix.parse().map_err(|_| bad())?;
        if prefix > 32 {
            return Err(bad());
        }
        let subnet = Subnet { base, prefix };
        if base & !subnet.mask() != 0 {
            let base = Ipv4Addr::from(base & subnet.mask());
            return Err(format!(
                "{s} has host bits set: did you mean {base}/{prefix}?"
            ));
        }
        Ok(subnet)
    }
}

/// Whether a run can have this network: an IPv4 network of /8 to /16, by its first address.
///
/// # Errors
/// What is wrong with it.
pub fn check_subnet(text: &str) -> Result<(), String> {
    Subnet::for_run(text).map(drop)
}

impl Subnet {
    /// The network of this prefix, at most 32, that the address is in.
    pub fn new(ip: Ipv4Addr, prefix: u32) -> Self {
        let subnet = Subnet {
            base: u32::from(ip),
            prefix: prefix.min(32),
        };
        let base = subnet.base & subnet.mask();
        Subnet { base, ..subnet }
    }

    /// A network to place units in.
    ///
    /// # Errors
    /// Malformed, too small, or not for hosts.
    pub fn for_run(text: &str) -> Result<Self, String> {
        let subnet: Subnet = text.parse()?;
        if !(SHORTEST_PREFIX..=LONGEST_PREFIX).contains(&subnet.prefix) {
            return Err(format!(
                "{text}: the network must be a /{LONGEST_PREFIX} or larger (at most a \
                 /{SHORTEST_PREFIX}): every AZ gets a /24 of it"
            ));
        }
        let ip = Ipv4Addr::from(subnet.base);
        if ip.is_loopback() || ip.is_multicast() || ip.octets()[0] == 0 || ip.octets()[0] >= 224 {
            return Err(format!("{text} is not a network for hosts"));
        }
        Ok(subnet)
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - self.prefix).unwrap_or(0)
    }

    /// Whether the two share an address.
    pub fn overlaps(self, other: Subnet) -> bool {
        let mask = self.mask() & other.mask();
        self.base & mask == other.base & mask
    }

    /// The bridge's address.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(self.base + 1)
    }

    /// Gives every unit an address: AZ `i` (in order of appearance) is the network's /24 number
    /// `i + 1`.
    ///
    /// # Errors
    /// More than fit.
    pub fn place(self, units: &[UnitSpec]) -> Result<HashMap<String, Ipv4Addr>, String> {
        let mut azs: Vec<(&str, u32)> = Vec::new();
        let mut placed = HashMap::new();
        for unit in units {
            let i = azs
                .iter()
                .position(|(az, _)| *az == unit.az)
                .unwrap_or_else(|| {
                    azs.push((&unit.az, HOSTS[0]));
                    azs.len() - 1
                });
            let host = azs[i].1;
            azs[i].1 += 1;
            if i > 253 || host > HOSTS[1] {
                return Err(format!(
                    "{}: no address left for AZ {} in {self}",
                    unit.name, unit.az
                ));
            }
            let ip = Ipv4Addr::from(self.base + ((i as u32 + 1) << 8) + host);
            if placed.insert(unit.name.clone(), ip).is_some() {
                return Err(format!("two units are named {}", unit.name));
            }
        }
        Ok(placed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_that_cannot_hold_a_cluster_are_refused_with_a_reason() {
        for bad in [
            "",
            "198.18.0.0",
            "198.18.0.0/33",
            "198.18.0.0/24",
            "198.18.1.0/16",
            "300.1.0.0/16",
            "127.0.0.0/16",
            "224.0.0.0/16",
            "240.0.0.0/8",
            "0.0.0.0/8",
            "10.0.0.0/7",
            "x/16",
        ] {
            assert!(Subnet::for_run(bad).is_err(), "{bad}");
        }
        let hint = Subnet::for_run("198.18.1.0/16").unwrap_err();
        assert!(hint.contains("198.18.0.0/16"), "{hint}");
        assert_eq!(
            Subnet::for_run("10.0.0.0/8").unwrap().to_string(),
            "10.0.0.0/8"
        );
    }

    #[test]
    fn every_az_has_its_24() {
        let unit = |name: &str, az: &str| UnitSpec {
            name: name.into(),
            az: az.into(),
            role: String::new(),
            node: true,
            ports: vec![],
        };
        let subnet = Subnet::for_run("198.18.0.0/16").unwrap();
        let units = [unit("a1", "a"), unit("a2", "a"), unit("b1", "b")];
        let placed = subnet.place(&units).unwrap();
        assert_eq!(placed["a1"].to_string(), "198.18.1.11");
        assert_eq!(placed["a2"].to_string(), "198.18.1.12");
        assert_eq!(placed["b1"].to_string(), "198.18.2.11");
        assert_eq!(subnet.gateway().to_string(), "198.18.0.1");
        assert!(subnet.place(&[unit("x", "a"), unit("x", "b")]).is_err());
        let many: Vec<_> = (0..241).map(|i| unit(&format!("n{i}"), "a")).collect();
        assert!(subnet.place(&many).is_err());
    }

    #[test]
    fn overlaps_are_seen_both_ways() {
        let net = |s: &str| s.parse::<Subnet>().unwrap();
        assert!(net("198.18.0.0/16").overlaps(net("198.18.7.0/24")));
        assert!(net("198.18.7.0/24").overlaps(net("198.18.0.0/15")));
        assert!(!net("198.18.0.0/16").overlaps(net("198.19.0.0/16")));
        assert!(net("0.0.0.0/0").overlaps(net("198.19.0.0/16")));
    }
}
