//! The DynamoDB JSON protocol: values, expressions, requests, errors, HTTP.

pub mod value;
pub mod write;
