//! Playbook to plan to runner: faults, their proofs and reverts, and the
//! runtimes they run on. Knows no store, no canary and no report.

pub mod runtime;
