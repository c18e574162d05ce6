//! History to verdict: did a store lose an acknowledged write, or answer a
//! read wrongly?
//!
//! Pure: no I/O, nothing asynchronous. Keys are judged on several threads that
//! end before [`check`] returns, within a [`Budget`] of time and memory.
//!
//! - [`check`] judges a [`Log`], a recorded history in little memory;
//!   [`check_history`] one in full; [`resolve`] says what became of writes of
//!   unknown outcome; [`replicas_equal`] judges the digests of replicas.
//! - [`zones`] decides linearizability of one key with unique values in
//!   O(n log n), with writes of unknown outcome and conditional writes.
//! - [`frontier`] searches, within a [`Budget`], where values repeat.
//! - [`read`] makes a [`Log`] of recorded files (our own, Jepsen's EDN and JSON,
//!   logs of older tests); [`write`](mod@write) makes EDN of a [`Log`].
//! - `generate`, behind the feature of that name, makes legal histories from a
//!   seed, to test checkers with.
//!
//! `examples/explain.rs` reads a file, judges it and explains what is wrong;
//! `examples/speed.rs` measures.
//!
//! Verdicts have three values. What was not judged is not a pass, and what
//! cannot be judged is not a fail.

#![warn(missing_docs)]
// What is said, the binary says: a library that prints can be ended by whoever reads.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod frontier;
#[cfg(feature = "generate")]
pub mod generate;
pub mod log;
pub mod read;
pub mod register;
pub mod write;
pub mod zones;

mod budget;
mod chains;
mod check;
mod counters;
mod durable;
mod eventual;
mod explain;
mod findings;
mod intake;
mod intern;
mod judge;
mod lost;
mod measure;
mod parallel;
mod queues;
mod replicas;
mod resolution;
mod say;
mod screens;
mod sessions;
mod sets;
mod sort;
mod violation;

pub use budget::{Budget, Exhausted};
pub use check::{Options, check, check_history};
pub use findings::LISTED;
pub use log::Log;
pub use replicas::replicas_equal;
pub use resolution::resolve;
pub use violation::{Kind, Violation, Violations};
