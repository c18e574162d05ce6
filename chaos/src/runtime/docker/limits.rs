//! Bounds of containers, by the engine's control groups.

use crate::runtime::limits::{Limits, Usage};
use bollard::Docker;
use bollard::models::ContainerUpdateBody;
use bollard::query_parameters::StatsOptions;
use futures_util::StreamExt;

/// Microseconds of one period of the processor's bound.
const PERIOD: i64 = 100_000;
/// The engine takes no word for "no bound" on a container that had one; this is more than any
/// machine has.
const NO_BOUND: i64 = 1 << 50;

/// Gives a container these bounds and no others.
pub(super) async fn set(docker: &Docker, container: &str, limits: Limits) -> Result<(), String> {
    let quota = limits.cpu_percent.map(|p| i64::from(p) * PERIOD / 100);
    let memory = match limits.memory {
        Some(bytes) => i64::try_from(bytes).map_err(|e| e.to_string())?,
        None => NO_BOUND,
    };
    let body = ContainerUpdateBody {
        cpu_period: Some(PERIOD),
        cpu_quota: Some(quota.unwrap_or(-1)),
        memory: Some(memory),
        // No swap beside it.
        memory_swap: Some(memory),
        ..Default::default()
    };
    docker
        .update_container(container, body)
        .await
        .map_err(|e| e.to_string())
}

/// What the kernel says of them.
pub(super) async fn usage(docker: &Docker, container: &str) -> Result<Usage, String> {
    let options = StatsOptions {
        stream: false,
        one_shot: true,
    };
    let mut stats = Box::pin(docker.stats(container, Some(options)));
    let stats = stats.next().await.ok_or("the engine says nothing")?;
    let stats = stats.map_err(|e| e.to_string())?;
    let cpu = stats.cpu_stats.unwrap_or_default();
    let throttling = cpu.throttling_data.unwrap_or_default();
    let memory = stats.memory_stats.unwrap_or_default();
    Ok(Usage {
        cpu_ns: cpu.cpu_usage.and_then(|u| u.total_usage).unwrap_or(0),
        periods: throttling.periods.unwrap_or(0),
        throttled: throttling.throttled_periods.unwrap_or(0),
        waited_ns: throttling.throttled_time.unwrap_or(0),
        memory_limit: memory.limit.unwrap_or(0),
        memory: memory.usage.unwrap_or(0),
        memory_refused: memory.failcnt,
    })
}
