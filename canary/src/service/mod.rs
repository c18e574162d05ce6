//! The services that a canary can call: what it says to each, and what it makes of the
//! answers.
//!
//! A [`Service`] is a protocol without I/O: bytes of a request for a drawn call, and from
//! the bytes that came back what came of it. The engine has the clock, the sockets and the
//! deadlines, makes each call in one attempt on its one thread, and decides what it means
//! if no answer comes ([`crate::classify`]). Only two things speak by themselves: opening a
//! connection, which is part of the call that waits for it, and what is prepared before
//! anything is measured.

mod any;
pub mod dynamodb;
pub mod etcd;
pub mod http;
mod once;
pub mod postgres;
pub mod redis;
mod secret;
mod spec;
pub mod url;

use crate::classify::NoAnswer;
use crate::config::Endpoint;
use crate::connect::{Connector, Stream};
use crate::workload::Drawn;
use gameday_record::{Call, Outcome};
use std::fmt::Debug;
use std::pin::Pin;

pub use secret::Secret;
pub use spec::ServiceSpec;

/// A future of this module's trait.
pub type Fut<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Kinds of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// A write of a register.
    Write,
    /// A write of a key that nobody else writes.
    Insert,
    /// A compare-and-set of a register.
    Cas,
    /// An addition to a counter.
    Add,
    /// A strongly consistent read.
    StrongRead,
    /// An eventually consistent read.
    EventualRead,
}

impl CallKind {
    /// All of them.
    pub const ALL: [CallKind; 6] = [
        CallKind::Write,
        CallKind::Insert,
        CallKind::Cas,
        CallKind::Add,
        CallKind::StrongRead,
        CallKind::EventualRead,
    ];

    /// What its share of a workload is called.
    pub fn share_name(self) -> &'static str {
        match self {
            CallKind::Write => "writes",
            CallKind::Insert => "inserts",
            CallKind::Cas => "cas",
            CallKind::Add => "adds",
            CallKind::StrongRead => "strong_reads",
            CallKind::EventualRead => "eventual_reads",
        }
    }
}

/// What is in the bytes that came so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// The answer is not whole.
    Partial {
        /// Bytes that are missing at least; 1 if that is not known.
        more: usize,
    },
    /// The answer.
    Done {
        /// Bytes of it.
        used: usize,
        /// True if the connection can carry another call.
        keep: bool,
        /// What it says.
        what: T,
    },
    /// No answer, or one that is too long: nothing that follows can be understood.
    Garbled(String),
}

impl<T> Answer<T> {
    /// The same with what `f` makes of it.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Answer<U> {
        match self {
            Answer::Partial { more } => Answer::Partial { more },
            Answer::Garbled(why) => Answer::Garbled(why),
            Answer::Done { used, keep, what } => Answer::Done {
                used,
                keep,
                what: f(what),
            },
        }
    }
}

/// Why there is no answer in the bytes that came so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// At least so many bytes are missing.
    Partial(usize),
    /// See [`Answer::Garbled`].
    Garbled(String),
}

impl<T> From<Stop> for Answer<T> {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Partial(more) => Answer::Partial { more },
            Stop::Garbled(why) => Answer::Garbled(why),
        }
    }
}

/// What a canary calls.
pub trait Service: Debug + Send + Sync {
    /// A connection to `endpoint` that a request can be written to: whoever asks is known
    /// there by then. The caller sets the deadline. Whatever goes wrong, the call that waits
    /// for it has certainly had no effect.
    ///
    /// # Errors
    /// What prevented it.
    fn open<'a>(
        &'a self,
        connector: &'a Connector,
        endpoint: &'a Endpoint,
    ) -> Fut<'a, Result<Box<dyn Stream>, NoAnswer>> {
        Box::pin(connector.open(endpoint))
    }

    /// The request of `drawn` to the endpoint with this number, as it is written. Runs
    /// between a due time and its write: no formatting that can be done before.
    fn request(&self, drawn: &Drawn, endpoint: usize) -> Vec<u8>;

    /// What came of `call`, by all bytes that came after its request; `closed` if nothing
    /// more will come. It bounds what it waits for.
    fn answer(&self, call: &Call, bytes: &[u8], closed: bool) -> Answer<Outcome>;

    /// Makes sure that there is a place for the table's items; makes it if `create`. True
    /// if it was made, and so is empty.
    ///
    /// # Errors
    /// Why it cannot be used, and what can be done about it.
    fn prepare<'a>(&'a self, at: Place<'a>, create: bool) -> Fut<'a, Result<bool, String>>;

    /// Deletes items, so that the history begins with nothing there.
    ///
    /// # Errors
    /// The first that could not be deleted.
    fn clear<'a>(&'a self, at: Place<'a>, keys: Vec<String>) -> Fut<'a, Result<(), String>>;
}

/// Where something is prepared.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Opens connections.
    pub connector: &'a Connector,
    /// Through which endpoint.
    pub endpoint: &'a Endpoint,
    /// Which table, or what stands for one.
    pub table: &'a str,
}
