//! History to verdict: did a store lose an acknowledged write, or answer a
//! read wrongly?
//!
//! Pure: no I/O, no threads, no clock except for the [`Budget`] of a search.
//!
//! - [`check`] judges a recorded [`History`](gameday_record::history::History);
//!   [`replicas_equal`] judges the digests of replicas.
//! - [`zones`] decides linearizability of one key with unique values in
//!   O(n log n), with writes of unknown outcome and conditional writes.
//! - [`frontier`] searches, within a [`Budget`], where values repeat.
//! - [`generate`] makes legal histories from a seed, to test checkers with.
//!
//! Verdicts have three values. What was not judged is not a pass, and what
//! cannot be judged is not a fail.

#![warn(missing_docs)]

pub mod frontier;
pub mod generate;
pub mod log;
pub mod register;
pub mod zones;

mod budget;
mod check;
mod eventual;
mod explain;
mod intake;
mod intern;
mod lost;
mod measure;
mod parallel;
mod replicas;
mod say;
mod screens;
mod sessions;
mod sort;
mod tally;
mod violation;

pub use budget::{Budget, Exhausted};
pub use check::{Options, check, check_history};
pub use log::Log;
pub use replicas::replicas_equal;
pub use tally::LISTED;
pub use violation::{Kind, Violation, Violations};
