//! The links of a run of processes, looked at without its runner.

use super::marked;
use gameday_chaos::runtime::links::{CONFIG_VAR, LinksConfig};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Something that no port here understands: it is answered or hung up on.
const NONSENSE: &[u8] = b"GET / HTTP/9.9\r\n\r\n";
/// A look at a link; most answer in a millisecond.
const LOOK: Duration = Duration::from_millis(400);

/// Waits until every link to a node that is not frozen carries; how many there are. `None` if
/// the links were not started yet.
pub fn until_all_links_carry(run: &str, limit: Duration) -> Option<usize> {
    let began = Instant::now();
    loop {
        let processes = marked(run);
        let config = processes.iter().find_map(|p| p.var(CONFIG_VAR))?;
        let config: LinksConfig = serde_json::from_str(&config).expect("the links' configuration");
        let frozen: BTreeSet<&str> = processes
            .iter()
            .filter(|p| is_frozen(p.pid))
            .map(|p| p.unit.as_str())
            .collect();
        let links: Vec<_> = config
            .plan
            .links()
            .filter(|(_, to, _, _)| !frozen.contains(config.plan.units[*to].name.as_str()))
            .collect();
        let carries = std::thread::scope(|scope| {
            let looks: Vec<_> = links
                .iter()
                .map(|(_, _, addr, _)| scope.spawn(move || carries(*addr)))
                .collect();
            looks.into_iter().all(|look| look.join().expect("a look"))
        });
        if carries {
            return Some(links.len());
        }
        assert!(began.elapsed() < limit, "{run}: links stay cut");
    }
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

fn is_frozen(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit(')').next().unwrap_or_default();
    rest.split_whitespace().next() == Some("T")
}
