//! Bounds on processor and memory of containers that are somebody else's: set in
//! the way in which the container was configured, for the engine refuses the
//! other one, and put back as they were, as far as the engine can. Pure.

use super::found::Bounds;
use crate::runtime::limits::Limits;
use bollard::models::ContainerUpdateBody;

/// Microseconds of a period, where none is configured: the kernel's own.
const PERIOD: i64 = 100_000;
/// Billionths of a processor in a hundredth of one.
const NANO: i64 = 10_000_000;
/// "No bound", for a container that has one: to the engine 0 means "as it is". More than any
/// machine has.
pub(super) const NO_MEMORY_BOUND: i64 = 1 << 50;
/// The same, of the processor.
pub(super) const NO_QUOTA: i64 = -1;

impl Bounds {
    /// Hundredths of a processor that it may use, if that is bounded.
    pub fn cpu_percent(&self) -> Option<i64> {
        match self {
            Bounds {
                nano_cpus: nano @ 1..,
                ..
            } => Some(nano / NANO),
            Bounds {
                cpu_quota: quota @ 1..,
                cpu_period,
                ..
            } => {
                let period = if *cpu_period > 0 { *cpu_period } else { PERIOD };
                Some(quota.saturating_mul(100) / period)
            }
            _ => None,
        }
    }

    /// Bytes that it may use, if that is bounded.
    pub fn most_memory(&self) -> Option<i64> {
        Some(self.memory).filter(|bytes| (1..NO_MEMORY_BOUND).contains(bytes))
    }
}

/// What the engine is to be told so that a container, which is configured as in `before`, has
/// these bounds, and those that it had where none is asked for.
///
/// # Errors
/// It has a closer one already.
pub(super) fn narrowed(before: &Bounds, limits: Limits) -> Result<ContainerUpdateBody, String> {
    let mut body = original(before);
    if let Some(percent) = limits.cpu_percent {
        let percent = i64::from(percent);
        if let Some(had) = before.cpu_percent().filter(|had| *had < percent) {
            return Err(format!(
                "it may use {had} % of a processor as it is, which is less than {percent} %"
            ));
        }
        if before.nano_cpus > 0 {
            body.nano_cpus = Some(percent * NANO);
        } else {
            let period = if before.cpu_period > 0 {
                before.cpu_period
            } else {
                PERIOD
            };
            body.cpu_quota = Some(percent * period / 100);
        }
    }
    if let Some(bytes) = limits.memory {
        let bytes = i64::try_from(bytes).map_err(|e| e.to_string())?;
        if let Some(had) = before.most_memory().filter(|had| *had < bytes) {
            return Err(format!(
                "it may use {had} bytes of memory as it is, which is less than {bytes}"
            ));
        }
        body.memory = Some(bytes);
        // No swap beside it.
        body.memory_swap = Some(bytes);
    }
    Ok(body)
}

/// What the engine is to be told so that a container is bounded as it was; none if it is. What
/// it can be told only by a word that means the same stays at that word.
pub(super) fn back(before: &Bounds, now: &Bounds) -> Option<ContainerUpdateBody> {
    let is_back = now == before
        || (now.nano_cpus == before.nano_cpus
            && now.cpu_period == before.cpu_period
            && same_quota(before.cpu_quota, now.cpu_quota)
            && same_memory(before.memory, now.memory)
            && same_memory(before.memory_swap, now.memory_swap));
    (!is_back).then(|| original(before))
}

/// Whether both quotas mean the same.
pub(super) fn same_quota(before: i64, now: i64) -> bool {
    before == now || (before <= 0 && now <= 0)
}

/// Whether both bounds on memory, or on memory and swap, mean the same.
pub(super) fn same_memory(before: i64, now: i64) -> bool {
    let is_none = |bytes: i64| bytes <= 0 || bytes >= NO_MEMORY_BOUND;
    before == now || (is_none(before) && is_none(now))
}

/// Everything as it was, said so that it replaces whatever is there.
fn original(before: &Bounds) -> ContainerUpdateBody {
    let memory = if before.memory > 0 {
        before.memory
    } else {
        NO_MEMORY_BOUND
    };
    let swap = match before.memory_swap {
        // As much as there is.
        swap @ ..=-1 => swap,
        0 => memory,
        swap => swap,
    };
    let mut body = ContainerUpdateBody {
        memory: Some(memory),
        memory_swap: Some(swap),
        ..ContainerUpdateBody::default()
    };
    if before.nano_cpus > 0 {
        body.nano_cpus = Some(before.nano_cpus);
    } else {
        let quota = if before.cpu_quota > 0 {
            before.cpu_quota
        } else {
            NO_QUOTA
        };
        body.cpu_quota = Some(quota);
        body.cpu_period = Some(before.cpu_period).filter(|period| *period > 0);
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Bounds = Bounds {
        nano_cpus: 0,
        cpu_period: 0,
        cpu_quota: 0,
        memory: 0,
        memory_swap: 0,
    };

    fn limits(cpu_percent: Option<u32>, memory: Option<u64>) -> Limits {
        Limits {
            cpu_percent,
            memory,
        }
    }

    /// What an engine makes of it: 0 and what is not said leave things as they are.
    fn told(now: Bounds, body: &ContainerUpdateBody) -> Bounds {
        let of = |said: Option<i64>, now| said.filter(|value| *value != 0).unwrap_or(now);
        assert!(
            body.nano_cpus.is_none() || now.cpu_quota <= 0 && now.cpu_period == 0,
            "the engine refuses both"
        );
        assert!(
            body.cpu_quota.is_none_or(|q| q <= 0) || now.nano_cpus == 0,
            "the engine refuses both"
        );
        Bounds {
            nano_cpus: of(body.nano_cpus, now.nano_cpus),
            cpu_period: of(body.cpu_period, now.cpu_period),
            cpu_quota: of(body.cpu_quota, now.cpu_quota),
            memory: of(body.memory, now.memory),
            memory_swap: of(body.memory_swap, now.memory_swap),
        }
    }

    #[test]
    fn a_bound_is_set_as_the_container_was_configured_and_goes_again() {
        let nano = Bounds {
            nano_cpus: 1_500_000_000,
            ..NONE
        };
        let quota = Bounds {
            cpu_quota: 100_000,
            cpu_period: 50_000,
            ..NONE
        };
        let only_period = Bounds {
            cpu_period: 50_000,
            ..NONE
        };
        let memory = Bounds {
            memory: 1 << 30,
            memory_swap: 1 << 31,
            ..NONE
        };
        let endless_swap = Bounds {
            memory: 1 << 30,
            memory_swap: -1,
            ..NONE
        };
        for before in [NONE, nano, quota, only_period, memory, endless_swap] {
            for limits in [
                limits(Some(20), None),
                limits(None, Some(64 << 20)),
                limits(Some(20), Some(64 << 20)),
            ] {
                let hurt = told(before, &narrowed(&before, limits).unwrap());
                let cpu = limits.cpu_percent.map(i64::from);
                assert_eq!(
                    hurt.cpu_percent(),
                    cpu.or(before.cpu_percent()),
                    "{before:?}"
                );
                let most = limits.memory.map(|bytes| bytes as i64);
                assert_eq!(
                    hurt.most_memory(),
                    most.or(before.most_memory()),
                    "{before:?}"
                );
                let after = told(hurt, &back(&before, &hurt).expect("something to do"));
                assert_eq!(back(&before, &after), None, "{before:?} {after:?}");
                assert_eq!(after.cpu_percent(), before.cpu_percent());
                assert_eq!(after.most_memory(), before.most_memory());
                // Where there was a bound, the very same is there again.
                if before.nano_cpus > 0 || before.cpu_quota > 0 {
                    let cpu = |b: &Bounds| (b.nano_cpus, b.cpu_quota, b.cpu_period);
                    assert_eq!(cpu(&after), cpu(&before));
                }
                if before.memory > 0 {
                    let of = |b: &Bounds| (b.memory, b.memory_swap);
                    assert_eq!(of(&after), of(&before));
                }
            }
        }
    }

    #[test]
    fn a_bound_that_would_be_wider_than_the_containers_own_is_refused() {
        let before = Bounds {
            nano_cpus: 500_000_000,
            memory: 32 << 20,
            ..NONE
        };
        let cpu = narrowed(&before, limits(Some(60), None)).unwrap_err();
        assert!(cpu.contains("50 %"), "{cpu}");
        let memory = narrowed(&before, limits(None, Some(64 << 20))).unwrap_err();
        assert!(memory.contains("33554432"), "{memory}");
        assert!(narrowed(&before, limits(Some(50), Some(32 << 20))).is_ok());
    }

    #[test]
    fn what_is_as_it_was_is_left_alone() {
        let unbounded = Bounds {
            cpu_quota: NO_QUOTA,
            memory: NO_MEMORY_BOUND,
            memory_swap: NO_MEMORY_BOUND,
            ..NONE
        };
        assert_eq!(back(&NONE, &NONE), None);
        assert_eq!(back(&NONE, &unbounded), None);
        assert!(
            back(
                &unbounded,
                &Bounds {
                    memory: 1 << 20,
                    ..NONE
                }
            )
            .is_some()
        );
    }
}
