//! A minimal replicated key-value store after DynamoDB's published
//! architecture. There is no chaos in it: it is hurt from outside.

pub mod api;
pub mod backend;
pub mod disk;
pub mod engine;
pub mod wal;
