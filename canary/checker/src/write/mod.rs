//! A [`Log`](crate::log::Log) in the formats of other tools, so that they can
//! check what we checked.

mod edn;

pub use edn::{Unwritable, Written, edn};
