//! What a step says about faults on what a node has.

use super::fields::{Fields, Mistakes, only};
use super::values;
use crate::faults::{FaultKind, Resources};
use crate::runtime::damage::WhichFile;
use gameday_record::conditions::{ClockCondition, DiskOperation, Full};
use std::time::Duration;

/// Longest delay of a sync: the proof waits for one.
const MAX_SYNC_DELAY: Duration = Duration::from_secs(1);

pub(super) fn read(
    f: &Fields<'_, '_>,
    fault: Option<FaultKind>,
    m: &mut Mistakes<'_>,
) -> Resources {
    let mut out = Resources::default();
    let refuses = [("growth", Full::Growth), ("writes", Full::Writes)];
    if only(f, "refuses", &[FaultKind::DiskFull], fault, m)
        && let Some(refuses) = f.word("refuses", &refuses, m)
    {
        out.refuses = refuses;
    }
    let limits = Duration::from_millis(1)..=MAX_SYNC_DELAY;
    if only(f, "sync_delay", &[FaultKind::DiskSlow], fault, m)
        && let Some(delay) = f.duration("sync_delay", limits, m)
    {
        out.sync_delay = delay;
    }
    let operations = [
        DiskOperation::Sync,
        DiskOperation::Write,
        DiskOperation::Read,
    ];
    if only(f, "operation", &[FaultKind::DiskError], fault, m)
        && let Some(operation) = f.word("operation", &operations.map(|o| (o.name(), o)), m)
    {
        out.operation = operation;
    }
    let files = [("any", WhichFile::Any), ("latest", WhichFile::Latest)];
    let damages = [FaultKind::BitFlip, FaultKind::Truncate];
    out.clock = clock(f, fault, m);
    if only(f, "cpus", &[FaultKind::CpuLimit], fault, m)
        && let Some(cpus) = f.number("cpus", 0.01..=64.0, m)
    {
        out.cpu_percent = (cpus * 100.0).round() as u32;
    }
    if only(f, "memory_mib", &[FaultKind::MemoryLimit], fault, m)
        && let Some(mib) = f.whole("memory_mib", 6..=1 << 20, m)
    {
        out.memory = mib << 20;
    }
    if only(f, "file", &damages, fault, m)
        && let Some(file) = f.word("file", &files, m)
    {
        out.file = file;
    }
    out
}

/// `jump = "-1h"`, `drift = "5%"`; at least one of them.
fn clock(f: &Fields<'_, '_>, fault: Option<FaultKind>, m: &mut Mistakes<'_>) -> ClockCondition {
    let mut clock = ClockCondition::default();
    let known = [
        only(f, "jump", &[FaultKind::ClockSkew], fault, m),
        only(f, "drift", &[FaultKind::ClockSkew], fault, m),
    ];
    if fault != Some(FaultKind::ClockSkew) || known != [true; 2] {
        return clock;
    }
    if f.get("jump").is_none() && f.get("drift").is_none() {
        m.missing(
            f.span.clone(),
            "the step does not say how wrong the clock is",
            "jump = \"1h\" (of the wall clock), or drift = \"5%\" (of the monotonic clock)",
        );
    }
    let read = |text: &str| -> Result<i64, String> {
        let (sign, size) = signed(text);
        let ms = i64::try_from(values::duration(size)?.as_millis()).map_err(|e| e.to_string())?;
        match ms {
            0..1000 => Err("a jump is at least 1s, forward or back: \"-30s\"".into()),
            ms => Ok(sign * ms),
        }
    };
    if let Some(ms) = value(f, "jump", read, m) {
        clock.jump_ms = ms;
    }
    let read = |text: &str| -> Result<i64, String> {
        let (sign, size) = signed(text);
        let ppm = (values::percent(size)? * 1e6).round() as i64;
        match ppm {
            10_000..=500_000 => Ok(sign * ppm),
            _ => Err("a drift is from 1% to 50%, fast or slow: \"-5%\"".into()),
        }
    };
    if let Some(ppm) = value(f, "drift", read, m) {
        // In range: it was checked.
        clock.drift_ppm = ppm as i32;
    }
    clock
}

fn signed(text: &str) -> (i64, &str) {
    match text.strip_prefix('-') {
        Some(size) => (-1, size),
        None => (1, text),
    }
}

fn value(
    f: &Fields<'_, '_>,
    key: &str,
    read: impl Fn(&str) -> Result<i64, String>,
    m: &mut Mistakes<'_>,
) -> Option<i64> {
    let span = f.get(key)?.span();
    match read(&f.text(key, 40, m)?) {
        Ok(value) => Some(value),
        Err(e) => {
            m.wrong(span, e);
            None
        }
    }
}
