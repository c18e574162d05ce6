//! The queue with its rules, in a network namespace of the test's own.

use super::*;
use crate::runtime::nft::tests::in_namespace;
use crate::runtime::nft::{Drops, Filter};
use crate::runtime::traffic::{Share, Traffic};
use std::net::{Ipv4Addr, UdpSocket};

const LONG: Duration = Duration::from_secs(600);
const PEER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);

struct Place {
    filter: Filter,
    queue: Queue,
    sender: UdpSocket,
    receiver: UdpSocket,
}

impl Place {
    fn new() -> Self {
        let receiver = UdpSocket::bind("127.0.0.2:0").unwrap();
        receiver
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let sender = UdpSocket::bind((PEER, 0)).unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        // Without a checksum, so that damage arrives.
        // SAFETY: an int and its size.
        let set = unsafe {
            let on: libc::c_int = 1;
            libc::setsockopt(
                sender.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_NO_CHECK,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        assert_eq!(set, 0);
        Place {
            filter: Filter::create("gameday_test", LONG).unwrap(),
            queue: Queue::open().unwrap(),
            sender,
            receiver,
        }
    }

    /// What comes from the peer is treated so.
    fn set(&mut self, traffic: Traffic, lease: Duration) {
        let shaping = Shaping::from([(PEER.into(), traffic)]);
        self.queue.set(shaping, lease).unwrap();
        let drops = Drops {
            queued: [PEER.into()].into(),
            ..Drops::default()
        };
        self.filter.replace(&drops).unwrap();
    }

    fn send(&self, numbers: std::ops::Range<u16>) {
        for number in numbers {
            let mut message = vec![0; 64];
            message[..2].copy_from_slice(&number.to_be_bytes());
            self.sender.send(&message).unwrap();
        }
    }

    /// A message but the last ones.
    fn receive(&self) -> (u16, bool) {
        loop {
            match self.receive_any() {
                (LAST, _) => {}
                other => return other,
            }
        }
    }

    fn receive_any(&self) -> (u16, bool) {
        let mut message = [0; 64];
        assert_eq!(self.receiver.recv(&mut message).unwrap(), 64);
        let whole = message[2..].iter().all(|b| *b == 0);
        (u16::from_be_bytes([message[0], message[1]]), whole)
    }

    /// Everything that is not delayed: what is sent last, so often that some of it arrives, comes
    /// behind it.
    fn receive_all(&mut self) -> Vec<(u16, bool)> {
        for _ in 0..60 {
            self.send(LAST..LAST + 1);
        }
        let mut all = Vec::new();
        loop {
            match self.receive_any() {
                (LAST, _) => return all,
                other => all.push(other),
            }
        }
    }
}

/// Number of the last messages.
const LAST: u16 = 9999;

#[test]
fn a_packet_is_delayed_and_then_it_is_not() {
    in_namespace(|| {
        let mut place = Place::new();
        let delay = Traffic {
            delay: Duration::from_millis(200),
            ..Traffic::default()
        };
        place.set(delay, LONG);
        let sent = Instant::now();
        place.send(0..3);
        for number in 0..3 {
            assert_eq!(place.receive(), (number, true));
        }
        assert!(sent.elapsed() >= Duration::from_millis(200));
        // What is held when it ends goes on at once.
        let hour = Traffic {
            delay: Duration::from_secs(3600),
            ..Traffic::default()
        };
        place.set(hour, LONG);
        place.send(3..5);
        place.receiver.set_nonblocking(true).unwrap();
        assert!(place.receiver.recv(&mut [0; 64]).is_err());
        place.receiver.set_nonblocking(false).unwrap();
        place.queue.set(Shaping::default(), LONG).unwrap();
        assert_eq!(place.receive(), (3, true));
        assert_eq!(place.receive(), (4, true));
    });
}

#[test]
fn packets_are_lost_doubled_and_damaged() {
    in_namespace(|| {
        let mut place = Place::new();
        let none = Traffic::default();
        let half = Traffic {
            loss: Share::of(0.5),
            ..none
        };
        place.set(half, LONG);
        place.send(0..200);
        let arrived = place.receive_all().len();
        // Beyond these with a chance of one in a million.
        assert!((66..=134).contains(&arrived), "{arrived}");

        let always = Share::of(1.0);
        let twice = Traffic {
            duplicate: always,
            ..none
        };
        place.set(twice, LONG);
        place.send(0..20);
        let mut all: Vec<u16> = (0..40).map(|_| place.receive().0).collect();
        all.sort_unstable();
        let expected: Vec<u16> = (0..20).flat_map(|n| [n, n]).collect();
        assert_eq!(all, expected);

        let damaged = Traffic {
            corrupt: always,
            ..none
        };
        place.set(damaged, LONG);
        place.send(0..20);
        for number in 0..20 {
            assert_eq!(place.receive(), (number, false));
        }
    });
}

#[test]
fn a_lease_that_nobody_keeps_frees_what_is_held() {
    in_namespace(|| {
        let mut place = Place::new();
        let hour = Traffic {
            delay: Duration::from_secs(3600),
            ..Traffic::default()
        };
        place.set(hour, Duration::from_millis(300));
        place.send(0..1);
        assert_eq!(place.receive(), (0, true));
        // Too late: it is not taken up again.
        place.queue.renew(LONG).unwrap();
        place.send(1..2);
        assert_eq!(place.receive(), (1, true));
    });
}

#[test]
fn without_a_listener_packets_pass() {
    in_namespace(|| {
        let mut place = Place::new();
        let hour = Traffic {
            delay: Duration::from_secs(3600),
            ..Traffic::default()
        };
        place.set(hour, LONG);
        let Place {
            filter: _filter,
            queue,
            sender,
            receiver,
        } = place;
        drop(queue);
        // Its thread needs a moment to see that.
        let mut message = [0; 1];
        receiver
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let passes = (0..200).any(|_| {
            sender.send(b"x").unwrap();
            receiver.recv(&mut message).is_ok()
        });
        assert!(passes);
    });
}

#[test]
fn a_verdict_that_the_kernel_had_no_room_for_is_given_again() {
    let refuse = |errno, times: &mut u32| match *times {
        0 => Ok(()),
        _ => {
            *times -= 1;
            Err(io::Error::from_raw_os_error(errno))
        }
    };
    let mut times = 3;
    persist(|| refuse(libc::ENOBUFS, &mut times)).unwrap();
    assert_eq!(times, 0, "it got through");
    let mut times = 3;
    persist(|| refuse(libc::EPERM, &mut times)).unwrap_err();
    assert_eq!(times, 2, "that will not pass");
    let mut times = u32::MAX;
    let never = persist(|| refuse(libc::ENOBUFS, &mut times)).unwrap_err();
    assert_eq!(never.raw_os_error(), Some(libc::ENOBUFS));
}

/// The namespace's own address is its own peer.
#[test]
fn a_packet_of_ipv6_is_delayed_and_doubled() {
    in_namespace(|| {
        let own = std::net::Ipv6Addr::LOCALHOST;
        let Ok(receiver) = UdpSocket::bind((own, 0)) else {
            return println!("skipped: no IPv6 here");
        };
        let patience = Some(Duration::from_secs(20));
        receiver.set_read_timeout(patience).unwrap();
        let sender = UdpSocket::bind((own, 0)).unwrap();
        let mut filter = Filter::create("gameday_test", LONG).unwrap();
        let queue = Queue::open().unwrap();
        let traffic = Traffic {
            delay: Duration::from_millis(200),
            duplicate: Share::of(1.0),
            ..Traffic::default()
        };
        queue
            .set(Shaping::from([(own.into(), traffic)]), LONG)
            .unwrap();
        let drops = Drops {
            queued: [own.into()].into(),
            ..Drops::default()
        };
        filter.replace(&drops).unwrap();
        let sent = Instant::now();
        sender
            .send_to(b"x", receiver.local_addr().unwrap())
            .unwrap();
        for _ in 0..2 {
            assert_eq!(receiver.recv(&mut [0; 8]).unwrap(), 1);
            assert!(sent.elapsed() >= Duration::from_millis(199));
        }
    });
}
