//! The links of a run of processes.

use super::Seen;
use crate::support::marked::marked;
use gameday_chaos::runtime::links::{CONFIG_VAR, LinksConfig};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Something that no port here understands: it is answered or hung up on.
const NONSENSE: &[u8] = b"GET / HTTP/9.9\r\n\r\n";
/// A look at a link; most answer in a millisecond.
const LOOK: Duration = Duration::from_millis(400);

/// Says something over every link to a node that is not frozen.
pub(super) fn look(run: &str) -> Option<Vec<Seen>> {
    let processes = marked(run);
    let config = processes.iter().find_map(|p| p.var(CONFIG_VAR))?;
    let config: LinksConfig = serde_json::from_str(&config).expect("the links' configuration");
    let frozen: BTreeSet<&str> = processes
        .iter()
        .filter(|p| p.is_frozen())
        .map(|p| p.unit.as_str())
        .collect();
    let name = |unit: usize| config.plan.units[unit].name.as_str();
    let links = config.plan.links();
    let links: Vec<_> = links
        .filter(|(_, to, _, _)| !frozen.contains(name(*to)))
        .collect();
    let seen = std::thread::scope(|scope| {
        let looks: Vec<_> = links
            .iter()
            .map(|(_, _, addr, _)| scope.spawn(move || carries(*addr)))
            .collect();
        let seen = links
            .iter()
            .zip(looks)
            .map(|((from, to, _, _), look)| Seen {
                from: name(*from).to_string(),
                to: name(*to).to_string(),
                carries: look.join().expect("a look"),
            });
        seen.collect()
    });
    Some(seen)
}

/// Whether the other end reacts in any way: an answer, an end, a reset. Nothing passes a cut
/// link, not even those.
fn carries(addr: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&addr, LOOK) else {
        // Nobody listens: not even a proxy that could hold anything back.
        return true;
    };
    stream.set_read_timeout(Some(LOOK)).expect("a socket");
    if stream.write_all(NONSENSE).is_err() {
        return true;
    }
    let silent = |e: &std::io::Error| {
        matches!(
            e.kind(),
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
        )
    };
    // An end is an `UnexpectedEof`.
    !stream.read_exact(&mut [0; 1]).is_err_and(|e| silent(&e))
}
