//! What a canary that runs for months leaves behind, with bounded state:
//! [`metrics`] for Prometheus, latency logs for HdrHistogram tools ([`hlog`]),
//! and a history in segments ([`segments`]), each of which can be judged alone.
//!
//! All of it is fed with what the [`protocol`](crate::protocol) brings; nothing
//! here measures, and nothing here knows the time.

pub mod budget;
mod carry;
pub mod hlog;
pub mod metrics;
pub mod rotate;
pub mod segments;
