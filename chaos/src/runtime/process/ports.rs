//! Ports that somebody else listens on at every address of this host: no loopback
//! network has them free, so that others are used instead.

use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// From one port that is tried instead of another to the next.
const STEP: u16 = 1000;
/// Below the ports that the kernel gives to whoever asks for any.
const END: u16 = 32_000;

/// A port that another one is used for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// The port.
    pub port: u16,
    /// What is used for it.
    pub instead: u16,
    /// Who holds it, as far as can be seen: `nginx (process 12)`.
    pub holder: Option<String>,
}

/// What each of these ports is on this host.
///
/// # Errors
/// All that could be used for one of them are held too; by whom.
pub(super) fn choose(
    ports: &BTreeSet<u16>,
    is_held: impl Fn(u16) -> bool,
) -> Result<BTreeMap<u16, u16>, String> {
    let mut chosen = BTreeMap::new();
    let mut moved = BTreeSet::new();
    for port in ports {
        let others = (1..).map_while(|n: u16| port.checked_add(STEP.checked_mul(n)?));
        let others = others.take_while(|other| *other < END);
        let mut all = [*port].into_iter().chain(others);
        let free = all.find(|other| {
            let is_others = other != port && (ports.contains(other) || moved.contains(other));
            !is_others && !is_held(*other)
        });
        let free = free.ok_or_else(|| {
            let holder = holder(*port).unwrap_or_else(|| "somebody".into());
            format!("port {port} is held by {holder} on every address, and so are all others")
        })?;
        moved.insert(free);
        chosen.insert(*port, free);
    }
    Ok(chosen)
}

/// Whether somebody listens on it at every address.
pub(super) fn is_held(port: u16) -> bool {
    // An address that nobody else uses: of a network that runs do not take.
    let [x, y] = rand::random::<[u8; 2]>().map(|n| n.clamp(1, 254));
    let address = SocketAddr::from((Ipv4Addr::new(127, 255, x, y), port));
    TcpListener::bind(address).is_err_and(|e| e.kind() == io::ErrorKind::AddrInUse)
}

/// Those that are not themselves, and who holds them.
pub(super) fn moved(chosen: &BTreeMap<u16, u16>) -> Vec<Moved> {
    let moved = chosen.iter().filter(|(port, instead)| port != instead);
    let each = moved.map(|(port, instead)| Moved {
        port: *port,
        instead: *instead,
        holder: holder(*port),
    });
    each.collect()
}

/// Who listens on it at every address, if that can be seen.
fn holder(port: u16) -> Option<String> {
    let sockets: BTreeSet<u64> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .flat_map(|path| listeners(&fs::read_to_string(path).unwrap_or_default(), port))
        .collect();
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let holds = |pid: &u32| {
        // Those of others cannot be seen without their rights.
        let files = fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten();
        let mut links = files.flatten().filter_map(|f| fs::read_link(f.path()).ok());
        links.any(|link| {
            let inode = link
                .to_str()
                .and_then(|l| l.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            inode.is_some_and(|inode| sockets.contains(&inode))
        })
    };
    let pid = pids.into_iter().find(holds)?;
    let program = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("{} (process {pid})", program.trim()))
}

/// Inodes of the sockets that listen on a port at every address, as in `/proc/net/tcp` and
/// `/proc/net/tcp6`.
fn listeners(text: &str, port: u16) -> Vec<u64> {
    const LISTENS: &str = "0A";
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (address, its_port) = fields.get(1)?.split_once(':')?;
        let matches = address.bytes().all(|b| b == b'0')
            && u16::from_str_radix(its_port, 16) == Ok(port)
            && fields.get(3) == Some(&LISTENS);
        matches.then(|| fields.get(9)?.parse().ok())?
    };
    text.lines().skip(1).filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_held_is_another_one_and_no_two_are_the_same() {
        let ports = BTreeSet::from([7000, 7100, 8000]);
        let held = |held: &'static [u16]| move |port: u16| held.contains(&port);
        let of = |chosen: BTreeMap<u16, u16>| chosen.into_values().collect::<Vec<_>>();
        assert_eq!(of(choose(&ports, held(&[])).unwrap()), [7000, 7100, 8000]);
        // 8000 is one of the ports itself.
        assert_eq!(
            of(choose(&ports, held(&[7000, 8000])).unwrap()),
            [9000, 7100, 10_000]
        );
        let all = choose(&ports, |_| true).unwrap_err();
        assert!(all.contains("port 7000 is held"), "{all}");
        let high = BTreeSet::from([65_535]);
        assert_eq!(of(choose(&high, |_| false).unwrap()), [65_535]);
        choose(&high, |_| true).unwrap_err();
    }

    #[test]
    fn who_listens_at_every_address_is_found() {
        for any in ["0.0.0.0:0", "[::]:0"] {
            let listener = TcpListener::bind(any).unwrap();
            let port = listener.local_addr().unwrap().port();
            assert!(is_held(port), "{any}");
            let said = holder(port).unwrap();
            let me = format!("(process {})", std::process::id());
            assert!(said.ends_with(&me), "{any}: {said}");
            drop(listener);
            assert!(!is_held(port), "{any}");
        }
        let one = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = one.local_addr().unwrap().port();
        assert!(!is_held(port));
        assert_eq!(holder(port), None);
    }

    #[test]
    fn tables_of_sockets_are_read_and_broken_lines_are_not() {
        let text = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1
   1: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1
   2: 00000000:1F40 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 4713 1
   3: 00000000:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4714 1
   4: 00000000000000000000000000000000:1F40 x 0A x x x x x 4715 1
   5: 00000000:1F40
";
        assert_eq!(listeners(text, 8000), [4711, 4715]);
    }
}
