//! What of this host's own network a run's network must fit in with.

use super::subnet::Subnet;
use nix::ifaddrs::getifaddrs;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};

/// Which interface of this host leads to addresses of the subnet already, and to which.
///
/// Where the kernel does not say, nothing is known to be in the way.
pub(super) fn holder(subnet: Subnet) -> Option<(String, Subnet)> {
    let text = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let found = routes(&text).into_iter();
    found.rev().find(|(_, route)| route.overlaps(subnet))
}

/// Interface and destination of every route but those that lead anywhere, as in
/// `/proc/net/route`.
fn routes(text: &str) -> Vec<(String, Subnet)> {
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        // The bytes are those of the address, the number is as this machine reads them.
        let number = |at: usize| {
            let number = u32::from_str_radix(fields.get(at)?, 16).ok()?;
            Some(u32::from_be(number))
        };
        let (to, mask) = (number(1)?, number(7)?);
        let subnet = Subnet::new(Ipv4Addr::from(to), mask.leading_ones());
        (mask != 0).then(|| (fields[0].to_string(), subnet))
    };
    text.lines().skip(1).filter_map(parse).collect()
}

/// Whether an interface of this host has this address.
///
/// # Errors
/// The kernel does not say.
pub(super) fn has_address(ip: Ipv4Addr) -> Result<bool, String> {
    let mut all = getifaddrs().map_err(|e| format!("this host's addresses: {}", e.desc()))?;
    let of =
        |address: nix::ifaddrs::InterfaceAddress| Some(address.address?.as_sockaddr_in()?.ip());
    Ok(all.any(|address| of(address).map(IpAddr::V4) == Some(IpAddr::V4(ip))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_but_those_that_lead_anywhere() {
        // As a little-endian machine writes them.
        let text = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
wg0\t070112C6\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0
broken\tx
";
        if cfg!(target_endian = "big") {
            return;
        }
        let found = routes(text);
        let said: Vec<String> = found.iter().map(|(i, s)| format!("{i} {s}")).collect();
        assert_eq!(said, ["docker0 172.17.0.0/16", "wg0 198.18.1.7/32"]);
        assert!(routes("").is_empty());
    }

    #[test]
    fn this_host_has_its_loopback_and_not_the_address_of_a_test_network() {
        assert_eq!(has_address(Ipv4Addr::LOCALHOST), Ok(true));
        assert_eq!(has_address(Ipv4Addr::new(192, 0, 2, 77)), Ok(false));
    }
}
