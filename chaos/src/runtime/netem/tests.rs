//! Classes and the leased rule that packets go into them by, in a network
//! namespace of the test's own; netem where the kernel has it.

use super::*;
use crate::runtime::netlink;
use crate::runtime::nft::Drops;
use crate::runtime::nft::tests::in_namespace;
use std::net::UdpSocket;

const LOOPBACK: u32 = 1;
const LONG: Duration = Duration::from_secs(600);
const TO: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

/// Packets that have gone through a class, by asking for all (`RTM_GETTCLASS`).
fn packets(class: u16) -> u32 {
    // TCA_STATS2, TCA_STATS_BASIC: bytes as a u64, packets.
    const STATS: u16 = 7;
    const BASIC: u16 = 1;
    let fd = netlink::open(libc::NETLINK_ROUTE, Duration::from_secs(5)).unwrap();
    let mut ask = 36u32.to_ne_bytes().to_vec();
    ask.extend(libc::RTM_GETTCLASS.to_ne_bytes());
    ask.extend(((libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16).to_ne_bytes());
    ask.extend([0; 12]);
    ask.extend(LOOPBACK.to_ne_bytes());
    ask.resize(36, 0);
    netlink::send(&fd, &ask).unwrap();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let n = netlink::receive(&fd, &mut buffer).unwrap();
        let mut rest = &buffer[..n];
        while rest.len() >= 16 {
            let length = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
            let kind = u16::from_ne_bytes(rest[4..6].try_into().unwrap());
            assert_eq!(kind, libc::RTM_NEWTCLASS, "class {class} is not there");
            if rest[24..28] == message::class_id(class).to_ne_bytes() {
                let stats = attribute(&rest[36..length], STATS);
                return u32::from_ne_bytes(attribute(stats, BASIC)[8..12].try_into().unwrap());
            }
            rest = &rest[length.next_multiple_of(4)..];
        }
    }
}

fn attribute(mut all: &[u8], kind: u16) -> &[u8] {
    loop {
        let length = usize::from(u16::from_ne_bytes(all[..2].try_into().unwrap()));
        if all[2..4] == kind.to_ne_bytes() {
            return &all[4..length];
        }
        all = &all[length.next_multiple_of(4)..];
    }
}

/// Sends one datagram.
fn send(to: IpAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"x", (to, 9)).unwrap();
}

/// A root with a class that has no netem, as far as every kernel goes.
fn with_class() -> Shaper {
    let mut shaper = Shaper::open(LOOPBACK).unwrap();
    shaper.root().unwrap();
    shaper.socket.ask(message::add_class(LOOPBACK, 2)).unwrap();
    shaper
}

fn into_class(to: IpAddr) -> Drops {
    Drops {
        class_to: [(to, message::class_id(2))].into(),
        ..Drops::default()
    }
}

#[test]
fn packets_go_into_their_class_while_the_lease_holds() {
    in_namespace(|| {
        let mut shaper = with_class();
        let mut filter = Filter::create("gameday_test", LONG).unwrap();
        send(TO);
        assert_eq!(packets(2), 0);
        filter.replace(&into_class(TO)).unwrap();
        for n in 1..=20 {
            assert!(filter.renew(&into_class(TO)).unwrap());
            send(TO);
            send(OTHER);
            assert_eq!(packets(2), n);
        }
        // The same name again, with a lease that is over soon.
        let mut filter = Filter::create("gameday_test", Duration::from_millis(100)).unwrap();
        filter.replace(&into_class(TO)).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        send(TO);
        assert_eq!(packets(2), 20);
        assert!(!filter.renew(&into_class(TO)).unwrap());
        shaper.remove().unwrap();
        shaper.remove().unwrap();
        send(TO);
    });
}

#[test]
fn packets_are_put_into_another_class_or_none() {
    in_namespace(|| {
        let mut shaper = with_class();
        shaper.socket.ask(message::add_class(LOOPBACK, 3)).unwrap();
        let mut filter = Filter::create("gameday_test", LONG).unwrap();
        filter.replace(&into_class(TO)).unwrap();
        send(TO);
        let other = Drops {
            class_to: [(TO, message::class_id(3))].into(),
            ..Drops::default()
        };
        filter.replace(&other).unwrap();
        send(TO);
        filter.replace(&Drops::default()).unwrap();
        send(TO);
        assert_eq!((packets(2), packets(3)), (1, 1));
    });
}

#[test]
fn a_class_without_netem_does_not_stay() {
    in_namespace(|| {
        let mut shaper = Shaper::open(LOOPBACK).unwrap();
        let slow = Traffic {
            delay: Duration::from_millis(1),
            ..Traffic::default()
        };
        let wanted = [(TO, slow)].into();
        match shaper.prepare(&wanted) {
            Ok(classes) => {
                assert_eq!(classes, [(TO, message::class_id(2))].into());
                assert_eq!(packets(2), 0);
            }
            Err(e) => {
                let text = e.to_string();
                assert!(text.starts_with("traffic control: netem: "), "{text}");
                assert!(shaper.tree.is_empty());
                // Another takes its number.
                let free = message::add_class(LOOPBACK, 2);
                shaper.socket.ask(free).unwrap();
                println!("no netem here: {text}");
            }
        }
        // What is kept goes when it is empty, and the root with it.
        shaper.keep(&BTreeMap::new(), Instant::now());
        shaper.sweep(Instant::now() + LONG).unwrap();
        assert!(!shaper.rooted);
        shaper.root().unwrap();
    });
}

#[test]
fn a_refusal_says_what_and_why() {
    in_namespace(|| {
        let mut shaper = with_class();
        let again = shaper.socket.ask(message::add_root(LOOPBACK));
        let text = again.unwrap_err().to_string();
        assert!(text.starts_with("traffic control: htb: "), "{text}");
        let nowhere = Shaper::open(9999).unwrap().root();
        let text = nowhere.unwrap_err().to_string();
        assert!(text.starts_with("traffic control: htb: "), "{text}");
    });
}

#[test]
fn an_interface_that_leads_nowhere_is_none() {
    in_namespace(|| {
        let none = outward(TO).unwrap_err();
        assert!(none.contains("no network interface"), "{none}");
    });
}

#[test]
fn an_address_is_in_the_network_of_its_own_family_only() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    for (own, mask, other, expected) in [
        ("172.20.0.3", "255.255.0.0", "172.20.9.9", true),
        ("172.20.0.3", "255.255.0.0", "172.21.0.3", false),
        ("fd00::3", "ffff:ffff::", "fd00::9", true),
        ("fd00::3", "ffff:ffff::", "fd00:1::9", false),
        ("172.20.0.3", "255.255.0.0", "fd00::9", false),
    ] {
        assert_eq!(
            holds(ip(own), ip(mask), ip(other)),
            expected,
            "{own} {other}"
        );
    }
}
