//! Bounds of containers, by the engine's control groups.

use crate::runtime::limits::{Limits, Usage};
use bollard::Docker;
use bollard::models::{ContainerUpdateBody, HostConfig};
use bollard::query_parameters::{InspectContainerOptions, StatsOptions};
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
    let found = docker.inspect_container(container, None::<InspectContainerOptions>);
    let found = found.await.map_err(|e| e.to_string())?;
    let cpu_percent = found.host_config.as_ref().and_then(bound);
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
        cpu_percent,
        cpu_ns: cpu.cpu_usage.and_then(|u| u.total_usage).unwrap_or(0),
        periods: throttling.periods.unwrap_or(0),
        throttled: throttling.throttled_periods.unwrap_or(0),
        waited_ns: throttling.throttled_time.unwrap_or(0),
        memory_limit: memory.limit.unwrap_or(0),
        memory: memory.usage.unwrap_or(0),
        memory_refused: memory.failcnt,
    })
}

/// The bound on the processor that the engine has for a container, in hundredths of one.
fn bound(host: &HostConfig) -> Option<u32> {
    let quota = host.cpu_quota.filter(|quota| *quota > 0);
    let of_quota = quota.map(|quota| {
        let period = host.cpu_period.filter(|period| *period > 0);
        quota.saturating_mul(100) / period.unwrap_or(PERIOD)
    });
    let nano = host.nano_cpus.filter(|nano| *nano > 0);
    let percent = of_quota.or(nano.map(|nano| nano / 10_000_000))?;
    u32::try_from(percent).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_read_as_it_was_set_and_no_bound_is_none() {
        let of = |cpu_period, cpu_quota, nano_cpus| {
            bound(&HostConfig {
                cpu_period,
                cpu_quota,
                nano_cpus,
                ..HostConfig::default()
            })
        };
        assert_eq!(of(Some(PERIOD), Some(2_000), None), Some(2));
        assert_eq!(of(Some(50_000), Some(100_000), Some(0)), Some(200));
        assert_eq!(of(None, None, Some(500_000_000)), Some(50));
        // As the engine writes that there is none.
        assert_eq!(of(Some(PERIOD), Some(-1), Some(0)), None);
        assert_eq!(of(Some(0), Some(0), Some(0)), None);
    }
}
