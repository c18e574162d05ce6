//! What a kernel lets faults be made of, found out by doing it, never by
//! reading a version. A short-lived program of our own (`internal probe`) tries
//! each in a network namespace that nobody else uses, and says what came of it
//! in one line of JSON.

mod host;

use super::netem;
use super::nft::Filter;
use super::queue::Queue;
use crate::abilities::Offer;
use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

pub use host::{cgroup_version, of_host};

/// Environment variable that says where the probe tries: [`HERE`] or [`OWN`].
pub const CONFIG_VAR: &str = "GAMEDAY_PROBE";
/// In the namespaces that it was started in, which are nobody else's.
pub const HERE: &str = "here";
/// In new user and network namespaces, which an unprivileged user may be allowed to make.
pub const OWN: &str = "own";
/// Most bytes of the probe's answer.
pub(crate) const MAX_ANSWER: u64 = 64 << 10;

/// Something that a kernel or an engine may have or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Facility {
    /// The capability to change one's own network namespace.
    NetAdmin,
    /// Packet filter rules of the `inet` family.
    Nftables,
    /// Such rules that tell the sender.
    Reject,
    /// The queueing discipline that delays and loses packets, and htb to put them there.
    Netem,
    /// Queues of packets that a program decides about.
    Nfqueue,
    /// New user and network namespaces without privileges.
    UserNamespaces,
    /// Files as block devices.
    LoopDevices,
    /// File systems served by a program.
    Fuse,
    /// Virtual block devices.
    DeviceMapper,
}

/// Tries something; why it was refused.
type Attempt = fn() -> Result<(), String>;

impl Facility {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Facility::NetAdmin => "CAP_NET_ADMIN",
            Facility::Nftables => "nftables",
            Facility::Reject => "nftables reject",
            Facility::Netem => "netem",
            Facility::Nfqueue => "NFQUEUE",
            Facility::UserNamespaces => "user namespaces",
            Facility::LoopDevices => "loop devices",
            Facility::Fuse => "FUSE",
            Facility::DeviceMapper => "device mapper",
        }
    }

    /// What would make it available where it is not.
    pub fn remedy(self) -> &'static str {
        match self {
            Facility::NetAdmin => {
                "an engine that grants the capability NET_ADMIN by name; --privileged is not needed"
            }
            Facility::Nftables => "a kernel with nf_tables and its family inet (NF_TABLES_INET)",
            Facility::Reject => "a kernel with nft_reject_inet (NFT_REJECT_INET)",
            Facility::Netem => {
                "the kernel modules sch_netem and sch_htb; Fedora and RHEL have sch_netem in \
                 kernel-modules-extra"
            }
            Facility::Nfqueue => {
                "a kernel with nfnetlink_queue (NETFILTER_NETLINK_QUEUE) and nft_queue or \
                 xt_NFQUEUE with nft_compat, and the capabilities NET_ADMIN and NET_RAW"
            }
            Facility::UserNamespaces => {
                "user namespaces for unprivileged users: sysctl user.max_user_namespaces, or \
                 kernel.apparmor_restrict_unprivileged_userns=0"
            }
            Facility::LoopDevices => "the kernel module loop, and the right to use it",
            Facility::Fuse => "the kernel module fuse, and the right to open /dev/fuse",
            Facility::DeviceMapper => "the kernel module dm-mod, and root",
        }
    }

    /// Those of the namespace that the probe runs in.
    const OF_NAMESPACE: [(Facility, Attempt); 5] = [
        (Facility::NetAdmin, net_admin),
        (Facility::Nftables, || with_rules(|_| Ok(()))),
        (Facility::Reject, || {
            with_rules(|f| f.enable_rejects().map_err(|e| e.to_string()))
        }),
        (Facility::Netem, || with_rules(netem::probe)),
        (Facility::Nfqueue, nfqueue),
    ];
}

/// What came of trying.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// It worked.
    Yes,
    /// It was refused, and how.
    No(String),
    /// It could not be tried, and why.
    Unknown(String),
}

/// What was found out in one place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facilities(pub BTreeMap<Facility, Seen>);

impl Facilities {
    /// Of all that the probe tries it is unknown whether they are there.
    pub fn unknown(why: &str) -> Self {
        let all = Facility::OF_NAMESPACE.map(|(f, _)| (f, Seen::Unknown(why.into())));
        Facilities(all.into())
    }

    /// What was seen of one; what was not tried is unknown.
    pub fn seen(&self, facility: Facility) -> Seen {
        let untried = || Seen::Unknown("it was not tried".into());
        self.0.get(&facility).cloned().unwrap_or_else(untried)
    }

    /// As an offer to make faults by this facility.
    pub fn offer(&self, facility: Facility) -> Offer {
        match self.seen(facility) {
            Seen::Yes => Offer::By(facility.name().into()),
            Seen::No(why) => Offer::Not {
                why: format!("no {}: {why}", facility.name()),
                instead: Some(facility.remedy().into()),
            },
            Seen::Unknown(why) => Offer::Not {
                why: format!("whether there is {} is not known: {why}", facility.name()),
                instead: None,
            },
        }
    }
}

/// The program: tries everything, prints one line of JSON, ends.
///
/// # Errors
/// Nobody said where to try.
pub fn main() -> Result<(), String> {
    let place = std::env::var(CONFIG_VAR).map_err(|e| format!("{CONFIG_VAR}: {e}"))?;
    let found = match place.as_str() {
        HERE => try_all(),
        OWN => own(),
        other => return Err(format!("{CONFIG_VAR} is {other:?}: neither here nor own")),
    };
    let line = serde_json::to_string(&found).map_err(|e| e.to_string())?;
    // What it found is all that it is for.
    writeln!(std::io::stdout(), "{line}").map_err(|e| format!("nobody listens: {e}"))
}

fn try_all() -> Facilities {
    let tried = Facility::OF_NAMESPACE.map(|(facility, attempt)| {
        let seen = match attempt() {
            Ok(()) => Seen::Yes,
            Err(why) => Seen::No(why),
        };
        (facility, seen)
    });
    Facilities(tried.into())
}

/// Must run before this process has a second thread: the kernel refuses it then.
fn own() -> Facilities {
    match unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET) {
        Ok(()) => {
            let mut found = try_all();
            found.0.insert(Facility::UserNamespaces, Seen::Yes);
            found
        }
        Err(e) => {
            let why = e.desc().to_string();
            let mut found = Facilities::unknown("there is no namespace to try it in");
            found.0.insert(Facility::UserNamespaces, Seen::No(why));
            found
        }
    }
}

fn net_admin() -> Result<(), String> {
    const NET_ADMIN: u32 = 12;
    let path = "/proc/self/status";
    let status = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    match effective(&status) {
        Some(set) if set >> NET_ADMIN & 1 == 1 => Ok(()),
        Some(_) => Err("it is not among the effective capabilities".into()),
        None => Err(format!("{path} does not name the effective capabilities")),
    }
}

/// The effective capabilities in `/proc/<pid>/status`, a bit for each.
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Makes rules and takes them away again.
fn with_rules(more: fn(&mut Filter) -> Result<(), String>) -> Result<(), String> {
    let filter = Filter::create("gameday_probe", Duration::from_secs(1));
    let mut filter = filter.map_err(|e| e.to_string())?;
    let made = more(&mut filter);
    let removed = filter.remove().map_err(|e| e.to_string());
    made.and(removed)
}

/// Rules that lead into a queue, and somebody who listens there.
fn nfqueue() -> Result<(), String> {
    with_rules(|f| f.enable_queue().map_err(|e| e.to_string()))?;
    Queue::open().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_becomes_an_offer_or_the_reason_against_it() {
        let mut found = Facilities::unknown("no answer");
        found.0.insert(Facility::Nftables, Seen::Yes);
        found
            .0
            .insert(Facility::Netem, Seen::No("no such qdisc".into()));
        assert_eq!(
            found.offer(Facility::Nftables),
            Offer::By("nftables".into())
        );
        let Offer::Not { why, instead } = found.offer(Facility::Netem) else {
            panic!("offered without netem");
        };
        assert!(why.contains("no such qdisc"), "{why}");
        assert!(instead.unwrap().contains("sch_netem"));
        for unknown in [Facility::Nfqueue, Facility::Fuse] {
            let Offer::Not { why, instead } = found.offer(unknown) else {
                panic!("offered without knowing");
            };
            assert!(why.contains("not known"), "{why}");
            assert_eq!(instead, None);
        }
    }

    #[test]
    fn an_answer_survives_its_line() {
        let mut found = Facilities::unknown("x");
        found.0.insert(Facility::NetAdmin, Seen::Yes);
        let line = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Facilities>(&line).unwrap(), found);
    }

    #[test]
    fn capabilities_are_read_from_the_status() {
        let status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t0000000000001000\n";
        assert_eq!(effective(status), Some(1 << 12));
        assert_eq!(effective("CapEff:\tzz\n"), None);
        assert_eq!(effective(""), None);
    }
}
