//! Consensus: openraft behind our own [`group::Group`]. Nothing else in this crate but
//! `rpc::protocol`, which carries its messages, knows openraft.

#[cfg(feature = "seeded-bugs")]
mod bugs;
pub mod census;
pub mod group;
pub mod lease;
pub(crate) mod log;
pub mod machine;
pub mod network;
pub mod recent;
#[cfg(test)]
pub(crate) mod sabotage;
mod snapshot;
pub mod types;
