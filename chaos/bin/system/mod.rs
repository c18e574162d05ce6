//! What is hurt and measured: one implementation for each kind of system.

pub mod adopted;
pub mod canaries;
mod leaders;
pub mod life;
pub mod place;
pub mod store;

pub use leaders::follow;

use canaries::Task;
use futures_util::future::BoxFuture;
use gameday_chaos::runner::Roles;
use gameday_chaos::runtime::{Launch, Runtime};
use gameday_record::{AppliedWrites, PartitionDigests, RunClock, Topology};
use std::sync::Arc;

/// Most writes of unknown outcome that a system is asked about; what became of the others stays open.
pub const MOST_ASKED: usize = 20_000;

/// What a system says of itself at the end, where canaries cannot look. What it does not offer is
/// not there, and is no reason to doubt it.
#[derive(Debug, Default)]
pub struct Evidence {
    /// What its replicas hold.
    pub replicas: Option<Vec<PartitionDigests>>,
    /// What became of writes of unknown outcome.
    pub applied: Option<AppliedWrites>,
}

/// A system: whoever runs it knows its nodes, and neither which store it is nor who started it.
pub trait System: Send + Sync {
    /// Its nodes, where they stand, and what they are for.
    fn topology(&self) -> &Topology;

    /// Where its nodes run, and what can be done to them there.
    fn runtime(&self) -> Arc<dyn Runtime>;

    /// Makes its nodes run, unless they do.
    fn launch(&self) -> BoxFuture<'_, Result<(), String>>;

    /// Waits until it serves, and makes what canaries use. Bounded in time.
    fn serve(&self) -> BoxFuture<'_, Result<(), String>>;

    /// How the canaries are started, one in each AZ.
    ///
    /// # Errors
    /// A canary has no way to an endpoint.
    fn canaries(&self, task: &Task<'_>) -> Result<Vec<Launch>, String>;

    /// Who leads what.
    fn roles(&self) -> Arc<dyn Roles>;

    /// What it says of itself at the end; `unknown`: keys and values of writes of unknown outcome.
    fn evidence<'a>(
        &'a self,
        clock: RunClock,
        unknown: &'a [(String, i64)],
    ) -> BoxFuture<'a, Evidence>;

    /// Ends what was started, puts back what was adopted, and makes sure of it. Bounded in time.
    ///
    /// # Errors
    /// What is left, or not as it was.
    fn release(&self) -> BoxFuture<'_, Result<(), String>>;
}
