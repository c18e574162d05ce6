//! What an agent is told, and what it answers.

use super::datagrams::Ports;
use crate::runtime::files::{FilesAnswer, FilesRequest};
use crate::runtime::traffic::{Heard, Sounding, Traffic};
use crate::runtime::wanted::Setting;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// What an agent is told at its start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AgentConfig {
    /// Name of the packet filter table.
    pub table: String,
    /// Milliseconds after which rules lapse that are not renewed.
    pub lease_ms: u64,
    /// Where the unit's data folder is for the agent, if it has one.
    pub folder: Option<PathBuf>,
}

/// A request to an agent. Each can be repeated without harm.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AgentRequest {
    /// Exactly this is wrong, from now on.
    Set(Orders),
    /// Keeps the lease.
    Renew,
    /// For how long nobody has kept it, asked by somebody who does not want to keep it.
    Idle,
    /// Where it listens, asked by somebody who does not want to keep the lease.
    Ports,
    /// Sends each number to its address, several times.
    Send {
        /// Address and number.
        messages: Vec<(SocketAddr, u64)>,
        /// How many times.
        times: u32,
        /// Milliseconds between.
        gap_ms: u64,
    },
    /// Which of these numbers have arrived.
    Seen(Vec<u64>),
    /// In the node's data folder.
    Files(FilesRequest),
    /// Whether these refuse a connection.
    Dial {
        /// Whom.
        to: Vec<SocketAddr>,
        /// Milliseconds.
        deadline_ms: u64,
    },
    /// Whether one of these takes a connection.
    Connect {
        /// Whom.
        to: Vec<SocketAddr>,
        /// Milliseconds.
        deadline_ms: u64,
    },
    /// These measurements begin.
    Listen(Vec<u64>, Sounding),
    /// Sends a measurement to each address.
    Sound(Vec<(SocketAddr, u64)>, Sounding),
    /// What was heard of these measurements, once they are complete or after some milliseconds.
    Heard(Vec<u64>, u64),
    /// `GET` on loopback.
    Get {
        /// Port.
        port: u16,
        /// Path.
        path: String,
        /// Milliseconds.
        deadline_ms: u64,
    },
}

/// An agent's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AgentAnswer {
    /// To `Set` and `Renew`.
    Done {
        /// Random number of this start of the agent: with another one, it knows nothing of what
        /// it was told before, in a namespace without rules.
        birth: u64,
        /// How many leases lapsed since the start.
        lapses: u64,
        /// Where this start of it listens.
        ports: Ports,
    },
    /// To `Ports`.
    Ports(Ports),
    /// To `Idle`, in milliseconds.
    Idle(u64),
    /// To `Send`, `Connect`, `Listen` and `Sound`.
    Sent,
    /// To `Dial`.
    Refused(Vec<bool>),
    /// To `Heard`.
    Heard(Vec<Heard>),
    /// To `Seen`.
    Seen(Vec<bool>),
    /// To `Files`.
    Files(FilesAnswer),
    /// To `Get`.
    Body(String),
}

/// How the links that end in a pod should be; those not named are as they were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Orders {
    /// By sender.
    pub from: BTreeMap<IpAddr, Setting>,
    /// By receiver: what netem does to what is sent there. The traffic of the others is for the
    /// queue.
    pub netem: BTreeMap<IpAddr, Traffic>,
    /// Everything is dropped.
    pub silent: bool,
}
