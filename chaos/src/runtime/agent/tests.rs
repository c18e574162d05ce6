//! Two agents in network namespaces of the test's own, which a veth pair joins:
//! what becomes of traffic, measured by themselves.

use super::*;
use crate::runtime::control::Control;
use crate::runtime::netlink;
use crate::runtime::nft::message::Attributes;
use crate::runtime::nft::tests::loopback_up;
use crate::runtime::traffic::{Heard, Sounding};
use crate::runtime::traffic::{Share, Traffic};
use crate::runtime::wanted::Setting;
use nix::sched::{CloneFlags, unshare};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::mpsc;
use tokio::io::DuplexStream;

const MS: Duration = Duration::from_millis(1);
/// Addresses of the two.
const IPS: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 18, 0, 1), Ipv4Addr::new(198, 18, 0, 2)];
/// What the interfaces are called.
const INTERFACE: &str = "pair";
/// Messages of a sounding.
const MANY: u32 = 200;
const PACED: Sounding = Sounding {
    messages: MANY,
    bytes: 512,
    gap: Duration::from_millis(2),
    wait: Duration::from_millis(1500),
};
/// 50 000 bytes.
const BURST: Sounding = Sounding {
    messages: 40,
    bytes: 1250,
    gap: Duration::ZERO,
    wait: Duration::from_secs(10),
};

/// What traffic is made worse with.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Netem,
    Nfqueue,
}

/// A `struct ifreq` for the interface, its union as it is given.
fn interface(set: impl FnOnce(&mut libc::ifreq)) -> libc::ifreq {
    // SAFETY: zeroes are a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(INTERFACE.bytes()) {
        *to = from as libc::c_char;
    }
    set(&mut request);
    request
}

/// Gives the interface an address and switches it on.
fn up(ip: Ipv4Addr) -> io::Result<()> {
    let address = |ip: Ipv4Addr| {
        interface(|request| {
            let in4 = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: 0,
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(ip.octets()),
                },
                sin_zero: [0; 8],
            };
            let place = (&raw mut request.ifr_ifru).cast::<libc::sockaddr_in>();
            // SAFETY: the union holds socket addresses, of which this is one.
            unsafe { place.write(in4) };
        })
    };
    let on = interface(|request| request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short);
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    for (what, request) in [
        (libc::SIOCSIFADDR, address(ip)),
        (
            libc::SIOCSIFNETMASK,
            address(Ipv4Addr::new(255, 255, 255, 0)),
        ),
        (libc::SIOCSIFFLAGS, on),
    ] {
        // SAFETY: `request` is a whole ifreq, alive during the call.
        if unsafe { libc::ioctl(socket.as_raw_fd(), what as _, &request) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Makes a pair of interfaces, one here, one in the namespace of that descriptor.
fn pair(there: &std::fs::File) -> io::Result<()> {
    // RTM_NEWLINK; struct ifinfomsg; IFLA_IFNAME, _LINKINFO, _NET_NS_FD; IFLA_INFO_KIND, _DATA;
    // VETH_INFO_PEER.
    const IFINFO: [u8; 16] = [0; 16];
    let fd = (there.as_raw_fd() as u32).to_ne_bytes();
    let other = Attributes::new().text(3, INTERFACE).bytes(28, &fd);
    let other = [&IFINFO[..], other.as_bytes()].concat();
    let data = Attributes::new().bytes(1, &other);
    let link = Attributes::new().text(1, "veth").bytes(2, data.as_bytes());
    let all = Attributes::new()
        .text(3, INTERFACE)
        .bytes(18, link.as_bytes());
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let length = 32 + all.as_bytes().len() as u32;
    let mut ask = length.to_ne_bytes().to_vec();
    ask.extend(libc::RTM_NEWLINK.to_ne_bytes());
    ask.extend((flags as u16).to_ne_bytes());
    ask.extend([0; 8]);
    ask.extend(IFINFO);
    ask.extend(all.as_bytes());
    let socket = netlink::open(libc::NETLINK_ROUTE, Duration::from_secs(5))?;
    netlink::send(&socket, &ask)?;
    let mut answer = vec![0; 4096];
    netlink::receive(&socket, &mut answer)?;
    match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(-code)),
    }
}

/// An agent's streams, and whether it is ready or why not.
struct Started {
    stdin: DuplexStream,
    stdout: DuplexStream,
    joined: mpsc::Receiver<Result<(), String>>,
}

/// Starts an agent in a network namespace of its own, which `join` makes ready.
fn start(lease: Duration, join: impl FnOnce() -> Result<(), String> + Send + 'static) -> Started {
    let (ours, stdin) = tokio::io::duplex(1 << 20);
    let (stdout, answers) = tokio::io::duplex(1 << 20);
    let (say, joined) = mpsc::channel();
    std::thread::spawn(move || {
        let fresh = unshare(CloneFlags::CLONE_NEWNET);
        let fresh = fresh.map_err(|e| format!("no new network namespace: {e}"));
        // Doubled packets come over the loopback interface.
        let ready = fresh.and_then(|()| loopback_up().map_err(|e| format!("loopback: {e}")));
        let ready = ready.and_then(|()| join());
        let failed = ready.is_err();
        say.send(ready).unwrap();
        if failed {
            return;
        }
        let config = AgentConfig {
            table: "gameday_test".into(),
            lease_ms: lease.as_millis() as u64,
            folder: None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        // It goes on as long as the test does.
        let never = std::future::pending();
        let ended = runtime.unwrap().block_on(run(stdin, stdout, config, never));
        panic!("the agent ended: {ended:?}");
    });
    Started {
        stdin: ours,
        stdout: answers,
        joined,
    }
}

/// Two agents that reach each other.
fn agents(lease: Duration) -> Result<[Control; 2], String> {
    let say = |what: &'static str| move |e: io::Error| format!("{what}: {e}");
    let gone = |_| "the other one did not start".to_string();
    let (to_first, from_second) = mpsc::channel();
    let (to_second, from_first) = mpsc::channel();
    let first = start(lease, move || {
        let there = from_second.recv().map_err(gone)?;
        pair(&there).map_err(say("veth"))?;
        to_second.send(()).map_err(|e| e.to_string())?;
        up(IPS[0]).map_err(say("address"))
    });
    let second = start(lease, move || {
        let own = std::fs::File::open("/proc/thread-self/ns/net").map_err(say("namespace"))?;
        to_first.send(own).map_err(|e| e.to_string())?;
        from_first.recv().map_err(gone)?;
        up(IPS[1]).map_err(say("address"))
    });
    for agent in [&first, &second] {
        agent.joined.recv().map_err(|e| e.to_string())??;
    }
    Ok([first, second].map(|agent| Control::new(agent.stdin, agent.stdout, 1)))
}

/// The two, and what is done to the way from the first to the second.
struct Place {
    agents: [Control; 2],
    by: By,
    next: u64,
}

impl Place {
    async fn ask(&self, agent: usize, request: AgentRequest) -> Result<AgentAnswer, String> {
        let answer = self.agents[agent].call(&request, Duration::from_secs(40));
        answer.await.map_err(|e| e.to_string())
    }

    async fn set(&self, traffic: Traffic) -> Result<AgentAnswer, String> {
        let mut orders = Orders::default();
        let agent = match self.by {
            By::Netem => {
                orders.netem = [(IPS[1].into(), traffic)].into();
                0
            }
            By::Nfqueue => {
                let setting = Setting {
                    traffic,
                    ..Setting::default()
                };
                orders.from = [(IPS[0].into(), setting)].into();
                1
            }
        };
        self.ask(agent, AgentRequest::Set(orders)).await
    }

    async fn unset(&self) {
        for agent in [0, 1] {
            let nothing = AgentRequest::Set(Orders::default());
            self.ask(agent, nothing).await.unwrap();
        }
    }

    /// What the second hears of the first, or the other way.
    async fn heard(&mut self, sounding: Sounding, back: bool) -> Heard {
        self.next += 1;
        let stream = self.next;
        let (from, to) = if back { (1, 0) } else { (0, 1) };
        let listen = AgentRequest::Listen(vec![stream], sounding);
        self.ask(to, listen).await.unwrap();
        let port = match self.ask(to, AgentRequest::Renew).await {
            Ok(AgentAnswer::Done { ports, .. }) => ports.measure,
            other => panic!("{other:?}"),
        };
        let receiver = SocketAddr::from((IPS[to], port));
        let sound = AgentRequest::Sound(vec![(receiver, stream)], sounding);
        self.ask(from, sound).await.unwrap();
        let wait = sounding.wait.as_millis() as u64;
        let heard = self.ask(to, AgentRequest::Heard(vec![stream], wait)).await;
        match heard {
            Ok(AgentAnswer::Heard(mut all)) if all.len() == 1 => all.remove(0),
            other => panic!("{other:?}"),
        }
    }

    /// Nothing is wrong with the way.
    async fn is_free(&mut self) {
        let heard = self.heard(PACED, false).await;
        assert!(heard.arrived > MANY - 5, "{heard:?}");
        assert_eq!((heard.again, heard.damaged), (0, 0), "{heard:?}");
        assert!(soonest(&heard) < MS * 99, "{heard:?}");
    }
}

/// However busy the machine is, one of many is not held up.
fn soonest(heard: &Heard) -> Duration {
    Duration::from_micros(heard.delays_us[0])
}

fn median(heard: &Heard) -> Duration {
    Duration::from_micros(heard.delays_us[heard.delays_us.len() / 2])
}

/// A share of the messages, but for a chance of one in a million: at 200 and a half.
fn about_half(n: u32, heard: &Heard) {
    assert!((MANY / 2 - 35..=MANY / 2 + 35).contains(&n), "{heard:?}");
}

/// Every effect: made, on no other way, and gone.
async fn each_effect(place: &mut Place) {
    let none = Traffic::default();
    let half = Share::of(0.5);
    place.is_free().await;
    for traffic in [
        Traffic {
            delay: MS * 200,
            jitter: MS * 50,
            ..none
        },
        Traffic { loss: half, ..none },
        Traffic {
            duplicate: half,
            ..none
        },
        Traffic {
            corrupt: half,
            ..none
        },
        Traffic {
            delay: MS * 100,
            reorder: half,
            ..none
        },
        Traffic {
            delay: MS * 100,
            jitter: MS * 100,
            loss: Share::of(0.2),
            duplicate: half,
            corrupt: Share::of(0.1),
            ..none
        },
    ] {
        place.set(traffic).await.unwrap();
        let heard = place.heard(PACED, false).await;
        println!(
            "{traffic}: {} of {MANY} arrived, {} again, {} damaged, {} overtaken, median {:?}, \
             from {:?} to {:?}",
            heard.arrived,
            heard.again,
            heard.damaged,
            heard.overtaken,
            median(&heard),
            soonest(&heard),
            Duration::from_micros(heard.delays_us[heard.delays_us.len() - 1]),
        );
        let several = !traffic.loss.is_never() && !traffic.duplicate.is_never();
        if several {
            assert!(
                heard.arrived < MANY && heard.again > 0 && heard.damaged > 0,
                "{heard:?}"
            );
            assert!(heard.overtaken > 0, "{heard:?}");
        } else if !traffic.loss.is_never() {
            about_half(heard.arrived, &heard);
        } else if !traffic.duplicate.is_never() {
            about_half(heard.again, &heard);
        } else if !traffic.corrupt.is_never() {
            // Those whose damage is not in their payload do not arrive.
            about_half(heard.damaged + MANY - heard.arrived, &heard);
            assert!(heard.damaged > MANY - heard.arrived, "{heard:?}");
        } else if !traffic.reorder.is_never() {
            let late = heard.delays_us.iter().filter(|us| **us >= 99_000).count() as u32;
            assert!(late >= MANY / 2 - 35, "{heard:?}");
            assert!(
                soonest(&heard) < MS * 99 && heard.overtaken > 0,
                "{heard:?}"
            );
        } else {
            assert!(soonest(&heard) >= MS * 149, "{heard:?}");
            // It varies, and so messages overtake each other.
            assert!(median(&heard) - MS * 149 > MS * 10, "{heard:?}");
            assert!(heard.overtaken > 0, "{heard:?}");
        }
        let back = place.heard(PACED, true).await;
        assert_eq!((back.again, back.damaged), (0, 0), "{back:?}");
        assert!(soonest(&back) < MS * 99, "{back:?}");
        place.unset().await;
        place.is_free().await;
    }
    let rate = Traffic {
        rate: Some(1_000_000),
        ..none
    };
    place.set(rate).await.unwrap();
    let heard = place.heard(BURST, false).await;
    println!("{rate}: {} bytes within {:?}", heard.bytes, heard.span);
    assert!(heard.span >= MS * 399, "{heard:?}");
    place.unset().await;
    let heard = place.heard(BURST, false).await;
    assert!(heard.span < MS * 399, "{heard:?}");
}

/// Runs a test with two agents, or says why it cannot.
fn with_agents<F: Future<Output = ()>>(by: By, lease: Duration, test: impl FnOnce(Place) -> F) {
    let required = |name: &str| std::env::var_os(name).is_some_and(|v| v == "1");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let agents = match agents(lease) {
            Ok(agents) => agents,
            Err(why) => {
                assert!(!required("GAMEDAY_REQUIRE_DOCKER"), "{why}");
                return println!("skipped: {why}");
            }
        };
        let place = Place {
            agents,
            by,
            next: 0,
        };
        let tried = place
            .set(Traffic {
                delay: MS,
                ..Traffic::default()
            })
            .await;
        match tried {
            Ok(_) => place.unset().await,
            Err(why) => {
                assert!(
                    by == By::Netem && !required("GAMEDAY_REQUIRE_NETEM"),
                    "{why}"
                );
                return println!("skipped: {why}");
            }
        }
        test(place).await;
    });
}

const LONG: Duration = Duration::from_secs(600);

#[test]
fn the_queue_does_what_is_asked() {
    with_agents(By::Nfqueue, LONG, |mut place| async move {
        each_effect(&mut place).await;
    });
}

#[test]
fn netem_does_what_is_asked() {
    with_agents(By::Netem, LONG, |mut place| async move {
        each_effect(&mut place).await;
    });
}

/// A lease that nobody keeps ends what is done, whoever did it.
async fn lapses(mut place: Place) {
    let slow = Traffic {
        delay: MS * 400,
        ..Traffic::default()
    };
    let one = Sounding {
        messages: 1,
        gap: Duration::ZERO,
        ..PACED
    };
    place.set(slow).await.unwrap();
    let heard = place.heard(one, false).await;
    assert!(heard.delays_us.first() >= Some(&399_000), "{heard:?}");
    tokio::time::sleep(MS * 2500).await;
    place.is_free().await;
    let agent = if place.by == By::Netem { 0 } else { 1 };
    let renewed = place.ask(agent, AgentRequest::Renew).await;
    assert!(
        matches!(renewed, Ok(AgentAnswer::Done { lapses: 1, .. })),
        "{renewed:?}"
    );
    place.is_free().await;
}

#[test]
fn the_lease_of_the_queue_lapses() {
    with_agents(By::Nfqueue, MS * 2000, lapses);
}

#[test]
fn the_lease_of_netem_lapses() {
    with_agents(By::Netem, MS * 2000, lapses);
}
