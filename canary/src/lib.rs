//! Small clients that call every endpoint from every AZ at a fixed pace.
//!
//! One canary is one process in one AZ. [`run`] speaks the [`protocol`] over
//! its standard input and output: it is told to start, to read everything a
//! last time and to stop, and it streams every invocation and completion.
//!
//! The load is an open loop. A [`schedule`] is fixed before the load begins; a
//! kernel timer that is set to absolute times keeps it ([`pacer`]), because the
//! timer of an async runtime is a millisecond late. Calls ([`call`]) are made on
//! a thread of their own: one attempt each, on an idle or a fresh connection, so
//! a server that hangs delays nothing but its own answers. What is said, and what
//! came of a call by its answer, are pure functions of the [`service`] that is called;
//! what it means if no answer came is one for all of them, [`classify::without_answer`].
//!
//! A canary does not know what is done to the service that it calls.

#![warn(missing_docs)]
// What is said, the binary says: a library that prints can be ended by whoever reads.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod blame;
pub mod call;
mod choice;
pub mod classify;
pub mod config;
pub mod connect;
pub mod credentials;
mod dice;
mod engine;
mod exchange;
mod finale;
mod inserts;
pub mod names;
mod outbox;
pub mod pacer;
mod processes;
pub mod protocol;
pub mod publish;
mod retry;
mod run;
pub mod schedule;
pub mod service;
pub mod sign;
pub mod sigv4;
mod vitals;
mod waiting;
pub mod workload;

pub use config::{Attributes, CanaryConfig, Endpoint};
pub use finale::deadline as final_reads_within;
pub use inserts::{most_keys, spread as spread_inserts};
pub use protocol::{Command, Line, Notice};
pub use run::run;
pub use service::ServiceSpec;
pub use workload::Workload;

/// How a canary speaks to what it calls.
#[derive(Clone, Debug)]
pub struct Wire {
    /// Opens its connections.
    pub connector: connect::Connector,
    /// Signs its requests.
    pub signer: std::sync::Arc<dyn sign::Sign>,
}

impl Default for Wire {
    /// Plain TCP and a dummy signature.
    fn default() -> Self {
        Wire {
            connector: connect::Connector::default(),
            signer: std::sync::Arc::new(sign::Dummy),
        }
    }
}

impl Wire {
    /// What the endpoints of `config` need: `names`, if they have some, and TLS, trusting public
    /// authorities, if any of them speaks it. Requests are signed with a dummy.
    ///
    /// # Errors
    /// TLS cannot be had.
    pub fn of(config: &CanaryConfig, names: names::Names) -> Result<Self, CanaryError> {
        let mut endpoints = config.endpoints.iter();
        if !endpoints.any(|e| e.tls || e.host.is_some()) {
            return Ok(Wire::default());
        }
        let connector = connect::Connector::new(names, None).map_err(CanaryError::Config)?;
        Ok(Wire {
            connector,
            ..Wire::default()
        })
    }
}

/// Why a canary ended without finishing.
#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
    /// Its configuration makes no sense.
    #[error("canary configuration: {0}")]
    Config(String),
    /// A command that it does not know, or that does not fit now.
    #[error("canary command: {0}")]
    Command(String),
    /// Commands cannot be read.
    #[error("reading commands: {0}")]
    Input(#[source] std::io::Error),
    /// Lines cannot be written: nobody reads them any more, or too slowly.
    #[error("writing lines: {0}")]
    Output(#[source] std::io::Error),
    /// A thread or a runtime of it could not start, or it died.
    #[error("canary: {0}")]
    Internal(String),
}
