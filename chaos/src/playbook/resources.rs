//! What a step says about faults on what a node has.

use super::fields::{Fields, Mistakes};
use super::steps::only;
use crate::faults::{FaultKind, Resources};
use crate::runtime::damage::WhichFile;
use gameday_record::conditions::{DiskOperation, Full};
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
    if only(f, "file", &damages, fault, m)
        && let Some(file) = f.word("file", &files, m)
    {
        out.file = file;
    }
    out
}
