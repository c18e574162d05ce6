//! Requests between nodes: frames over TCP, pipelined over few connections.
//!
//! A caller learns whether its request certainly never left ([`CallError::NotSent`]) or may
//! have arrived ([`CallError::Lost`]): the difference between a write that certainly had no
//! effect and one whose outcome is unknown.

pub mod client;
pub mod frame;
pub mod protocol;
pub mod server;
mod socket;

pub use client::{CallError, Link};
pub use server::{Handler, serve};
