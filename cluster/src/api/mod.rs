//! The DynamoDB JSON protocol: values, expressions, requests, errors, HTTP.

mod body;
mod capacity;
pub mod error;
pub mod expr;
pub mod http;
pub mod json;
pub mod key;
mod memory;
pub mod number;
mod ops;
pub(crate) mod params;
pub mod value;
pub mod write;
