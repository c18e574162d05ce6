//! Packet filter rules of one network namespace, written to the kernel over
//! netlink, so that an image without any tool can do it.
//!
//! One table of our own holds two chains before connection tracking
//! (priority -300), so that established connections stop as well, and three
//! sets whose elements expire: the lease. What is in `from` is dropped on its
//! way in, what is in `to` on its way out, and while `silent` holds its only
//! element everything is dropped but loopback. Renewing deletes and adds in
//! one transaction: it leaves no gap, and fails if the lease has lapsed.

mod message;
mod socket;

use self::message::{APPEND, Attributes, Batch, CREATE, EXCLUSIVE, Rule};
use self::socket::Socket;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
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
/// The loopback interface is the first of every network namespace.
const LOOPBACK: u32 = 1;
/// What `silent` holds.
const SILENT_KEY: [u8; 4] = [0, 0, 0, 1];
/// Names of the sets.
const FROM: &str = "from";
const TO: &str = "to";
const SILENT: &str = "silent";

/// What is dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// Senders whose packets are dropped on their way in.
    pub from: BTreeSet<Ipv4Addr>,
    /// Receivers to whom packets are dropped on their way out.
    pub to: BTreeSet<Ipv4Addr>,
    /// Whether everything is dropped but loopback.
    pub silent: bool,
}

impl Drops {
    /// Whether nothing is dropped.
    pub fn is_empty(&self) -> bool {
        self.from.is_empty() && self.to.is_empty() && !self.silent
    }

    fn sets(&self) -> [(&'static str, Vec<[u8; 4]>); 3] {
        let octets = |ips: &BTreeSet<Ipv4Addr>| ips.iter().map(Ipv4Addr::octets).collect();
        let silent = if self.silent {
            vec![SILENT_KEY]
        } else {
            Vec::new()
        };
        [
            (FROM, octets(&self.from)),
            (TO, octets(&self.to)),
            (SILENT, silent),
        ]
    }
}

/// Our table in this thread's network namespace. It stays when this is dropped; its elements
/// expire.
pub struct Filter {
    socket: Socket,
    table: String,
    lease: Duration,
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
        for (id, set) in [(1, FROM), (2, TO), (3, SILENT)] {
            batch.message(NEWSET, CREATE, "set", filter.set(set, id));
        }
        for (chain, expressions) in rules() {
            // NFTA_RULE_TABLE, _CHAIN, _EXPRESSIONS
            let rule = filter.named().text(2, chain).nest(4, expressions);
            batch.message(NEWRULE, CREATE | APPEND, "rule", rule);
        }
        filter.socket.commit(batch)?;
        Ok(filter)
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

    fn set(&self, name: &str, id: u32) -> Attributes {
        const TIMEOUT_FLAG: u32 = 0x10;
        const IPV4_ADDR: u32 = 7;
        // NFTA_SET_NAME, _FLAGS, _KEY_TYPE, _KEY_LEN, _ID, _TIMEOUT
        let set = self
            .named()
            .text(2, name)
            .u32(3, TIMEOUT_FLAG)
            .u32(4, IPV4_ADDR)
            .u32(5, 4);
        set.u32(10, id).u64(11, millis(self.lease))
    }

    fn elements(&self, set: &str, keys: &[[u8; 4]], timeout: bool) -> Attributes {
        let mut list = Attributes::new();
        for key in keys {
            // NFTA_SET_ELEM_KEY, _TIMEOUT; NFTA_DATA_VALUE
            let mut element = Attributes::new().nest(1, Attributes::new().bytes(1, key));
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
        let mut batch = self.socket.batch();
        for set in [FROM, TO, SILENT] {
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

/// The four rules, by chain.
fn rules() -> [(&'static str, Attributes); 4] {
    // NFT_META_IIF, NFT_META_OIF, NFT_META_NFPROTO
    const IN: u32 = 4;
    const OUT: u32 = 5;
    const PROTOCOL: u32 = 15;
    const NFPROTO_IPV4: u8 = 2;
    // Offsets of the addresses in the IPv4 header.
    const SENDER: u32 = 12;
    const RECEIVER: u32 = 16;
    let all = |interface| {
        let rule = Rule::new()
            .load_meta(interface)
            .compare(false, &LOOPBACK.to_ne_bytes());
        rule.load_constant(&SILENT_KEY)
            .lookup(SILENT)
            .count()
            .drop_packet()
    };
    let some = |address, set| {
        let rule = Rule::new()
            .load_meta(PROTOCOL)
            .compare(true, &[NFPROTO_IPV4]);
        rule.load_network_header(address, 4)
            .lookup(set)
            .count()
            .drop_packet()
    };
    [
        ("input", all(IN)),
        ("input", some(SENDER, FROM)),
        ("output", all(OUT)),
        ("output", some(RECEIVER, TO)),
    ]
}

#[cfg(test)]
pub(crate) mod tests;
