//! The kernel's own way to make the traffic of links worse: queueing
//! disciplines on the interface of this network namespace, asked for over
//! rtnetlink by ourselves, because an image FROM scratch has no `tc`.
//!
//! The root (htb) passes what has no class on at once. Every way to a receiver
//! has a class with a netem of its own, and packets go there only while a
//! leased element of our packet filter says so ([`Filter`]): when the lease is
//! over, they pass as before, though the disciplines are still there. A class
//! that is no longer wanted is taken away when what it holds has gone.
//!
//! Of what netem does, four things differ from our own queue. It damages any
//! bit of a frame, so that some damaged messages never arrive; at a rate with
//! jitter it keeps the order; large segments that the host has not cut up yet
//! are one packet to it; and a netem that doubles packets has to be the only
//! one on its interface, on kernels of 2025 and later.
//!
//! [`Filter`]: crate::runtime::nft::Filter

mod message;
mod socket;
mod tree;

pub(crate) use self::socket::TcError;

use self::socket::Socket;
use self::tree::{Line, Tree};
use crate::runtime::nft::Filter;
use crate::runtime::traffic::Traffic;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::SockaddrStorage;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

/// The disciplines of one interface. They stay when this is dropped; packets go into them no
/// longer than a lease.
pub(crate) struct Shaper {
    socket: Socket,
    interface: u32,
    /// Whether the root is there.
    rooted: bool,
    tree: Tree,
}

impl Shaper {
    /// Of an interface in the network namespace of this thread; nothing is changed yet.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open(interface: u32) -> Result<Self, TcError> {
        Ok(Shaper {
            socket: Socket::open()?,
            interface,
            rooted: false,
            tree: Tree::default(),
        })
    }

    /// Makes what is missing of what should be done to packets to these receivers. It returns
    /// what classes these have to be put into for it to be done.
    ///
    /// # Errors
    /// What the kernel says: most often that it has no netem.
    pub fn prepare(
        &mut self,
        wanted: &BTreeMap<IpAddr, Traffic>,
    ) -> Result<BTreeMap<IpAddr, u32>, TcError> {
        self.delete(self.tree.in_the_way(wanted))?;
        for line in self.tree.missing(wanted) {
            self.root()?;
            self.make(&line)?;
            self.tree.add(line);
        }
        Ok(self.tree.classes(wanted))
    }

    /// From now on only packets to these receivers go into classes.
    pub fn keep(&mut self, wanted: &BTreeMap<IpAddr, Traffic>, now: Instant) {
        self.tree.keep(wanted, now);
    }

    /// Takes away what holds nothing any more; the root with the last of it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn sweep(&mut self, now: Instant) -> Result<(), TcError> {
        self.delete(self.tree.emptied(now))?;
        if self.tree.is_empty() {
            self.remove()
        } else {
            Ok(())
        }
    }

    /// Takes everything away, with what it holds.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn remove(&mut self) -> Result<(), TcError> {
        if self.rooted {
            self.socket.ask(message::delete_root(self.interface))?;
            self.rooted = false;
            self.tree = Tree::default();
        }
        Ok(())
    }

    fn delete(&mut self, classes: Vec<u16>) -> Result<(), TcError> {
        for class in classes {
            self.socket
                .ask(message::delete_class(self.interface, class))?;
            self.tree.remove(class);
        }
        Ok(())
    }

    fn root(&mut self) -> Result<(), TcError> {
        if !self.rooted {
            self.socket.ask(message::add_root(self.interface))?;
            self.rooted = true;
        }
        Ok(())
    }

    fn make(&mut self, line: &Line) -> Result<(), TcError> {
        let (interface, class) = (self.interface, line.class);
        self.socket.ask(message::add_class(interface, class))?;
        let netem = message::add_netem(interface, class, &line.traffic);
        let made = self.socket.ask(netem);
        if made.is_err() {
            // A class without its netem would pass for one that does something.
            self.socket.ask(message::delete_class(interface, class))?;
        }
        made
    }
}

/// The interface of this thread's network namespace whose network this receiver is in.
///
/// # Errors
/// There is none.
pub(crate) fn outward(to: IpAddr) -> Result<u32, String> {
    let all = getifaddrs().map_err(|e| format!("network interfaces: {e}"))?;
    let networks = all.filter_map(|i| {
        let leads = i.flags.contains(InterfaceFlags::IFF_UP)
            && !i.flags.contains(InterfaceFlags::IFF_LOOPBACK);
        let ip = |of: Option<SockaddrStorage>| {
            let of = of?;
            let ipv4 = of.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            ipv4.or_else(|| of.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
        };
        let (own, mask) = (ip(i.address)?, ip(i.netmask)?);
        leads.then_some((i.interface_name, own, mask))
    });
    let networks: Vec<_> = networks.collect();
    let Some((name, ..)) = networks
        .iter()
        .find(|(_, own, mask)| holds(*own, *mask, to))
    else {
        let names: BTreeSet<&str> = networks.iter().map(|(name, ..)| name.as_str()).collect();
        return Err(match names.is_empty() {
            true => "no network interface leads to others".into(),
            false => format!(
                "{to} is in the network of no interface here ({})",
                names.into_iter().collect::<Vec<_>>().join(", ")
            ),
        });
    };
    if_nametoindex(name.as_str()).map_err(|e| format!("interface {name}: {e}"))
}

/// Whether an address is in the network of another one.
fn holds(own: IpAddr, mask: IpAddr, other: IpAddr) -> bool {
    match (own, mask, other) {
        (IpAddr::V4(own), IpAddr::V4(mask), IpAddr::V4(other)) => own & mask == other & mask,
        (IpAddr::V6(own), IpAddr::V6(mask), IpAddr::V6(other)) => own & mask == other & mask,
        _ => false,
    }
}

/// Whether all that is needed is there: tried on the loopback interface, and taken away again.
///
/// # Errors
/// What is missing.
pub(crate) fn probe(filter: &mut Filter) -> Result<(), String> {
    /// Index of the loopback interface of every network namespace.
    const LOOPBACK: u32 = 1;
    let slow = Traffic {
        delay: Duration::from_millis(1),
        ..Traffic::default()
    };
    let wanted = [(IpAddr::V4(Ipv4Addr::LOCALHOST), slow)].into();
    filter.enable_classes().map_err(|e| e.to_string())?;
    let mut shaper = Shaper::open(LOOPBACK).map_err(|e| e.to_string())?;
    let made = shaper.prepare(&wanted);
    let removed = shaper.remove();
    made.and(removed).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests;
