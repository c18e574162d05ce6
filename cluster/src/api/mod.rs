//! The DynamoDB JSON protocol: values, expressions, requests, errors, HTTP.

pub mod expr;
pub mod number;
pub mod value;
pub mod write;
