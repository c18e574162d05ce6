//! SLO arithmetic, report assembly and renderers.
//!
//! This crate reads a run folder and nothing else, so that an old run can be
//! rendered again by a newer binary. The way through it:
//!
//! [`fold`] counts operations, the same for the live view, the baseline gate
//! and the report; [`formulas`] and [`recovery`] are the arithmetic, pure and
//! with their sources; [`assemble()`] turns a folder into a [`Report`], the one
//! document that every renderer in [`render`] reads.

#![warn(missing_docs)]
// What is said, the binary says: a library that prints can be ended by whoever reads.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod alarms;
pub mod assemble;
pub mod baseline;
pub mod burn;
pub mod fold;
pub mod formulas;
pub mod load;
pub mod mcr;
pub mod numbers;
pub mod overall;
pub mod proof;
pub mod recovery;
pub mod render;
pub mod report;
pub mod uptime;

pub use alarms::{Change, Watch};
pub use assemble::assemble;
pub use baseline::BaselineRule;
pub use fold::{Counts, Fold, Kind, Patience};
pub use render::{render_all, terminal};
pub use report::Report;
