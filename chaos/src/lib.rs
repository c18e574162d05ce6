//! Playbook to plan to runner: faults, their proofs and reverts, and the
//! runtimes they run on. Knows no store, no canary and no report.
//!
//! A playbook line becomes a fault in four readings: the text
//! ([`playbook`]), what it means on a topology ([`plan`]), what is done and
//! proven ([`faults`], [`runner`]), and how it is done in one place
//! ([`runtime`]).

#![warn(missing_docs)]
// What is said, the binary says: a library that prints can be ended by whoever reads.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod abilities;
pub mod faults;
pub mod plan;
pub mod playbook;
pub mod quorum;
pub mod runner;
pub mod runtime;
