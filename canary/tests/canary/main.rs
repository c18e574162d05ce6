//! A whole canary against a stub of the service.

#[path = "../../../reports/tests/synthetic/common/mod.rs"]
mod common;
mod engine;
mod report;
mod support;
