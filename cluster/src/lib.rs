//! A minimal replicated key-value store after DynamoDB's published
//! architecture. There is no chaos in it: it is hurt from outside.
#![warn(missing_docs)]
// What is said, the binary says: a library that prints can be ended by whoever reads.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod api;
pub mod backend;
pub mod client;
pub mod clock;
pub mod config;
pub mod consensus;
pub mod disk;
pub mod engine;
pub mod load;
pub mod meta;
pub mod node;
mod outside;
pub mod router;
pub mod rpc;
pub mod wal;
