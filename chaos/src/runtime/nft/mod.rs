//! Packet filter rules of one network namespace, written to the kernel over
//! netlink, so that an image without any tool can do it.
//!
//! One table of our own holds two chains before connection tracking
//! (priority -300), so that established connections stop as well, and sets
//! whose elements expire: the lease. Each set is there twice, for IPv4 and for
//! IPv6; how neighbours find each other is spared, which IPv4 does outside IP. Packets of those in `from` are dropped on
//! their way in, and while `silent` holds its only element everything is dropped
//! both ways but loopback. Two more sets hold whose packets are rejected, and
//! whose are handed to a queue in user space, and a map says to whom packets are
//! put into which class of the traffic control; their rules are made when they
//! are needed first, since not every kernel has what they are made of. Renewing
//! deletes and adds in one transaction: it leaves no gap, and fails if the lease
//! has lapsed.

pub(in crate::runtime) mod message;
mod names;
mod rules;
mod socket;

use self::message::{APPEND, Attributes, Batch, CREATE, EXCLUSIVE};
use self::names::{CLASS_TO, FAMILIES, FROM, Family, QUEUED, REJECT, SETS, SILENT, SILENT_KEY};
pub(in crate::runtime) use self::names::{QUEUE, QUEUED_MARK};
use self::socket::Socket;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

pub use self::socket::NftError;

// `enum nf_tables_msg_types`
const NEWTABLE: u8 = 0;
const DELTABLE: u8 = 2;
const NEWCHAIN: u8 = 3;
const NEWRULE: u8 = 6;
const NEWSET: u8 = 9;
const NEWSETELEM: u8 = 12;
const DELSETELEM: u8 = 14;

/// Before connection tracking and anybody's filter.
const PRIORITY: i32 = -300;
/// What is dropped, and what else is not let through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// Senders whose packets are dropped.
    pub from: BTreeSet<IpAddr>,
    /// Whether everything is dropped but loopback.
    pub silent: bool,
    /// Senders whose packets are rejected.
    pub reject: BTreeSet<IpAddr>,
    /// Senders whose packets go through the queue.
    pub queued: BTreeSet<IpAddr>,
    /// Receivers to whom packets are put into a class of the traffic control, as their priority.
    pub class_to: BTreeMap<IpAddr, u32>,
}

/// Of a set, or of a map with what the key stands for.
type Element = (Vec<u8>, Option<[u8; 4]>);

impl Drops {
    /// Whether nothing is dropped.
    pub fn is_empty(&self) -> bool {
        *self == Drops::default()
    }

    fn sets(&self) -> Vec<(&'static str, Vec<Element>)> {
        let mut sets = Vec::new();
        if self.silent {
            sets.push((SILENT, vec![(SILENT_KEY.to_vec(), None)]));
        }
        for (at, family) in FAMILIES.into_iter().enumerate() {
            let keys = |ips: &BTreeSet<IpAddr>| -> Vec<Element> {
                let of = ips.iter().filter_map(|ip| family.key(ip));
                of.map(|key| (key, None)).collect()
            };
            let classes = self
                .class_to
                .iter()
                .filter_map(|(ip, class)| Some((family.key(ip)?, Some(class.to_ne_bytes()))));
            sets.extend([
                (FROM[at], keys(&self.from)),
                (REJECT[at], keys(&self.reject)),
                (QUEUED[at], keys(&self.queued)),
                (CLASS_TO[at], classes.collect()),
            ]);
        }
        sets
    }
}

impl Family {
    /// Bytes of an address of this family.
    fn key(self, ip: &IpAddr) -> Option<Vec<u8>> {
        match (self, ip) {
            (Family::V4, IpAddr::V4(ip)) => Some(ip.octets().to_vec()),
            (Family::V6, IpAddr::V6(ip)) => Some(ip.octets().to_vec()),
            (Family::V4 | Family::V6, _) => None,
        }
    }
}

/// Our table in this thread's network namespace. It stays when this is dropped; its elements
/// expire.
pub struct Filter {
    socket: Socket,
    table: String,
    lease: Duration,
    rejects: bool,
    queues: bool,
    classes: bool,
}

impl Filter {
    /// Makes the table, replacing one of the same name.
    ///
    /// # Errors
    /// What the kernel says: most often that the capability NET_ADMIN is missing.
    pub fn create(table: &str, lease: Duration) -> Result<Self, NftError> {
        let mut filter = Filter {
            socket: Socket::open()?,
            table: table.to_string(),
            lease,
            rejects: false,
            queues: false,
            classes: false,
        };
        filter.remove()?;
        let mut batch = filter.socket.batch();
        batch.message(
            NEWTABLE,
            CREATE | EXCLUSIVE,
            "table",
            Attributes::new().text(1, table),
        );
        // NF_INET_LOCAL_IN, NF_INET_LOCAL_OUT
        for (name, hook) in [("input", 1), ("output", 3)] {
            batch.message(NEWCHAIN, CREATE, "chain", filter.chain(name, hook));
        }
        for (id, (set, family)) in (1..).zip(SETS) {
            batch.message(NEWSET, CREATE, "set", filter.set(set, family, id));
        }
        filter.rules(&mut batch, "neighbours", rules::neighbours());
        filter.rules(&mut batch, "rule", rules::drops());
        filter.socket.commit(batch)?;
        Ok(filter)
    }

    fn rules(&self, batch: &mut Batch, what: &'static str, rules: Vec<rules::Ruled>) {
        for (chain, expressions) in rules {
            // NFTA_RULE_TABLE, _CHAIN, _EXPRESSIONS
            let rule = self.named().text(2, chain).nest(4, expressions);
            batch.message(NEWRULE, CREATE | APPEND, what, rule);
        }
    }

    /// Makes the rules that reject, unless they are there.
    ///
    /// # Errors
    /// The kernel has no `reject`.
    pub fn enable_rejects(&mut self) -> Result<(), NftError> {
        if !self.rejects {
            let mut batch = self.socket.batch();
            self.rules(&mut batch, "reject rule", rules::rejects());
            self.socket.commit(batch)?;
            self.rejects = true;
        }
        Ok(())
    }

    /// Makes the rules that hand packets to the queue, unless they are there.
    ///
    /// # Errors
    /// The kernel has no such queue.
    pub fn enable_queue(&mut self) -> Result<(), NftError> {
        for by_target in [false, true] {
            if self.queues {
                break;
            }
            let mut batch = self.socket.batch();
            self.rules(&mut batch, "queue rule", rules::queue(by_target));
            match self.socket.commit(batch) {
                Ok(()) => self.queues = true,
                Err(e) if by_target => return Err(e),
                // An older kernel, or one built without the expression.
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Makes the rule that puts packets into classes, unless it is there.
    ///
    /// # Errors
    /// The kernel cannot set the priority of packets.
    pub fn enable_classes(&mut self) -> Result<(), NftError> {
        if !self.classes {
            let mut batch = self.socket.batch();
            self.rules(&mut batch, "class rule", rules::classes());
            self.socket.commit(batch)?;
            self.classes = true;
        }
        Ok(())
    }

    fn named(&self) -> Attributes {
        Attributes::new().text(1, &self.table)
    }

    fn chain(&self, name: &str, hook: u32) -> Attributes {
        const NF_ACCEPT: u32 = 1;
        // NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY
        let hook = Attributes::new().u32(1, hook).u32(2, PRIORITY as u32);
        // NFTA_CHAIN_NAME, _HOOK, _POLICY, _TYPE
        self.named()
            .text(3, name)
            .nest(4, hook)
            .u32(5, NF_ACCEPT)
            .text(7, "filter")
    }

    fn set(&self, name: &str, family: Family, id: u32) -> Attributes {
        const MAP_FLAG: u32 = 0x8;
        const TIMEOUT_FLAG: u32 = 0x10;
        // Numbers that only tools look at: ipv4_addr, ipv6_addr, classid.
        const IPV4_ADDR: u32 = 7;
        const IPV6_ADDR: u32 = 8;
        const CLASS_ID: u32 = 23;
        let (key, length) = match family {
            Family::V4 => (IPV4_ADDR, 4),
            Family::V6 => (IPV6_ADDR, 16),
        };
        let map = CLASS_TO.contains(&name);
        let flags = TIMEOUT_FLAG | if map { MAP_FLAG } else { 0 };
        // NFTA_SET_NAME, _FLAGS, _KEY_TYPE, _KEY_LEN
        let mut set = self.named().text(2, name).u32(3, flags);
        set = set.u32(4, key).u32(5, length);
        if map {
            // NFTA_SET_DATA_TYPE, _DATA_LEN
            set = set.u32(6, CLASS_ID).u32(7, 4);
        }
        // NFTA_SET_ID, _TIMEOUT
        set.u32(10, id).u64(11, millis(self.lease))
    }

    fn elements(&self, set: &str, elements: &[Element], timeout: bool) -> Attributes {
        let mut list = Attributes::new();
        for (key, data) in elements {
            // NFTA_SET_ELEM_KEY, _DATA, _TIMEOUT; NFTA_DATA_VALUE
            let mut element = Attributes::new().nest(1, Attributes::new().bytes(1, key));
            if let Some(data) = data {
                element = element.nest(2, Attributes::new().bytes(1, data));
            }
            if timeout {
                element = element.u64(4, millis(self.lease));
            }
            list = list.nest(1, element);
        }
        // NFTA_SET_ELEM_LIST_TABLE, _SET, _ELEMENTS
        self.named().text(2, set).nest(3, list)
    }

    fn add(&self, batch: &mut Batch, drops: &Drops) {
        for (set, keys) in drops.sets() {
            if !keys.is_empty() {
                batch.message(
                    NEWSETELEM,
                    CREATE,
                    "add elements",
                    self.elements(set, &keys, true),
                );
            }
        }
    }

    /// Drops exactly this, for one lease.
    ///
    /// # Errors
    /// What the kernel says; then nothing has changed.
    pub fn replace(&mut self, drops: &Drops) -> Result<(), NftError> {
        if !drops.reject.is_empty() {
            self.enable_rejects()?;
        }
        if !drops.queued.is_empty() {
            self.enable_queue()?;
        }
        if !drops.class_to.is_empty() {
            self.enable_classes()?;
        }
        let mut batch = self.socket.batch();
        for (set, _) in SETS {
            // Without elements it empties the set.
            batch.message(DELSETELEM, 0, "empty set", self.named().text(2, set));
        }
        self.add(&mut batch, drops);
        self.socket.commit(batch)
    }

    /// Begins the lease of `drops` anew; `false` if it has lapsed: then nothing was added.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn renew(&mut self, drops: &Drops) -> Result<bool, NftError> {
        let mut batch = self.socket.batch();
        for (set, keys) in drops.sets() {
            if !keys.is_empty() {
                let elements = self.elements(set, &keys, false);
                batch.message(DELSETELEM, 0, "delete elements", elements);
            }
        }
        self.add(&mut batch, drops);
        match self.socket.commit(batch) {
            Ok(()) => Ok(true),
            Err(e) if e.errno == Some(libc::ENOENT) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Removes the table; fine if it is not there.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn remove(&mut self) -> Result<(), NftError> {
        let mut batch = self.socket.batch();
        batch.message(DELTABLE, 0, "delete table", self.named());
        match self.socket.commit(batch) {
            Err(e) if e.errno == Some(libc::ENOENT) => Ok(()),
            done => done,
        }
    }
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
