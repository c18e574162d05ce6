//! The rules in a network namespace of the test's own.

use super::*;
use nix::sched::{CloneFlags, unshare};
use std::io;
use std::net::{SocketAddr, UdpSocket};

/// Runs `test` on a thread in a new network namespace with loopback up, or says why it cannot.
pub(crate) fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let run = move || -> Result<(), String> {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|e| format!("no new network namespace: {e}"))?;
        loopback_up().map_err(|e| format!("loopback stays down: {e}"))?;
        test();
        Ok(())
    };
    let done = std::thread::spawn(run).join();
    match done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
        Ok(()) => {}
        Err(why) if std::env::var_os("GAMEDAY_REQUIRE_DOCKER").is_some_and(|v| v == "1") => {
            panic!("{why}")
        }
        Err(why) => println!("skipped: {why}"),
    }
}

/// Switches the loopback interface of this thread's network namespace on.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: `request` is a whole ifreq with a terminated name, alive during the calls.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
        match libc::ioctl(fd, libc::SIOCSIFFLAGS as _, &request) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

fn ip(text: &str) -> BTreeSet<IpAddr> {
    BTreeSet::from([text.parse().unwrap()])
}

/// Whether a datagram from one loopback address reaches another.
fn passes(from: &str, to: &str) -> bool {
    let receiver = UdpSocket::bind((to, 0)).unwrap();
    receiver
        .set_read_timeout(Some(Duration::from_millis(150)))
        .unwrap();
    let sender = UdpSocket::bind((from, 0)).unwrap();
    let target: SocketAddr = receiver.local_addr().unwrap();
    sender.send_to(b"x", target).unwrap();
    receiver.recv(&mut [0; 8]).is_ok()
}

const LONG: Duration = Duration::from_secs(600);

#[test]
fn what_is_dropped_is_what_comes_from_there() {
    in_namespace(|| {
        let mut filter = Filter::create("gameday_test", LONG).unwrap();
        assert!(passes("127.0.0.1", "127.0.0.2"));
        filter
            .replace(&Drops {
                from: ip("127.0.0.1"),
                ..Default::default()
            })
            .unwrap();
        assert!(!passes("127.0.0.1", "127.0.0.2"));
        assert!(passes("127.0.0.2", "127.0.0.1"));
        // Loopback is spared by silence; that everything else is not, containers show.
        filter
            .replace(&Drops {
                silent: true,
                ..Default::default()
            })
            .unwrap();
        assert!(passes("127.0.0.1", "127.0.0.2"));
        assert!(
            filter
                .renew(&Drops {
                    silent: true,
                    ..Default::default()
                })
                .unwrap()
        );
        filter.replace(&Drops::default()).unwrap();
        assert!(passes("127.0.0.2", "127.0.0.1"));
        filter.remove().unwrap();
        filter.remove().unwrap();
    });
}

#[test]
fn a_lease_holds_while_renewed_then_lapses_and_cannot_be_renewed() {
    in_namespace(|| {
        let drops = Drops {
            from: ip("127.0.0.1"),
            ..Default::default()
        };
        let mut filter = Filter::create("gameday_test", LONG).unwrap();
        filter.replace(&drops).unwrap();
        for _ in 0..20 {
            assert!(filter.renew(&drops).unwrap());
            assert!(!passes("127.0.0.1", "127.0.0.2"));
        }
        // The same name again: replaced, with a lease that is over soon.
        let mut filter = Filter::create("gameday_test", Duration::from_millis(300)).unwrap();
        assert!(passes("127.0.0.1", "127.0.0.2"));
        filter.replace(&drops).unwrap();
        assert!(
            (0..200).any(|_| passes("127.0.0.1", "127.0.0.2")),
            "the lease does not lapse"
        );
        assert!(!filter.renew(&drops).unwrap());
        assert!(passes("127.0.0.1", "127.0.0.2"));
    });
}

#[test]
fn a_refusal_names_the_message_and_the_reason() {
    in_namespace(|| {
        let mut filter = Filter::create("gameday_test", LONG).unwrap();
        filter.remove().unwrap();
        let error = filter.replace(&Drops::default()).unwrap_err();
        assert_eq!(error.errno, Some(libc::ENOENT));
        assert!(error.to_string().contains("empty set"), "{error}");
    });
}

#[test]
fn a_rejection_is_heard_even_where_both_ends_reject() {
    use std::net::{TcpListener, TcpStream};
    in_namespace(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        let mut filter = Filter::create("gameday_test", LONG).unwrap();
        let refused = |filter: &mut Filter, drops: Drops| {
            filter.replace(&drops).unwrap();
            TcpStream::connect_timeout(&target, Duration::from_secs(20))
                .is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
        };
        assert!(!refused(&mut filter, Drops::default()));
        // It is its own peer.
        let drops = Drops {
            reject: ip("127.0.0.1"),
            ..Drops::default()
        };
        assert!(refused(&mut filter, drops));
        assert!(!passes("127.0.0.1", "127.0.0.3"));
        assert!(!refused(&mut filter, Drops::default()));
        assert!(passes("127.0.0.1", "127.0.0.3"));
    });
}

/// Over IPv6 a namespace has one address of its own, which then is its own peer; none where the
/// kernel has no IPv6.
const SELF6: &str = "::1";

fn has_ipv6() -> bool {
    UdpSocket::bind((SELF6, 0)).is_ok()
}

#[test]
fn ipv6_is_cut_and_told_apart_from_ipv4() {
    in_namespace(|| {
        if !has_ipv6() {
            return println!("skipped: no IPv6 here");
        }
        let mut filter = Filter::create("gameday_test", LONG).unwrap();
        let cut = |peer: &str| Drops {
            from: ip(peer),
            ..Drops::default()
        };
        assert!(passes(SELF6, SELF6));
        filter.replace(&cut(SELF6)).unwrap();
        assert!(!passes(SELF6, SELF6));
        assert!(passes("127.0.0.1", "127.0.0.2"));
        assert!(filter.renew(&cut(SELF6)).unwrap());
        assert!(!passes(SELF6, SELF6));
        filter.replace(&cut("127.0.0.1")).unwrap();
        assert!(passes(SELF6, SELF6));
        assert!(!passes("127.0.0.1", "127.0.0.2"));
        let reject = Drops {
            reject: ip(SELF6),
            ..Drops::default()
        };
        filter.replace(&reject).unwrap();
        let listener = std::net::TcpListener::bind((SELF6, 0)).unwrap();
        let target = listener.local_addr().unwrap();
        let refused = std::net::TcpStream::connect_timeout(&target, Duration::from_secs(20));
        let kind = refused.unwrap_err().kind();
        assert_eq!(kind, io::ErrorKind::ConnectionRefused);
    });
}
