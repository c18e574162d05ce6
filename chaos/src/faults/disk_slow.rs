//! Every sync of the disk takes longer: a drive that is busy, or dying.

use super::disk::{OnDisk, Probed};
use super::resources::Resources;
use gameday_record::Verdict;
use gameday_record::conditions::{DiskCondition, Ended};

pub(super) fn fault(nodes: Vec<String>, params: &Resources) -> OnDisk {
    let condition = DiskCondition {
        sync_delay_ms: u64::try_from(params.sync_delay.as_millis()).unwrap_or(u64::MAX),
        ..DiskCondition::default()
    };
    OnDisk::new(nodes, condition, "syncs slowly", in_force)
}

fn in_force(condition: &DiskCondition, seen: &Probed) -> (Verdict, String) {
    let sync = match &seen.probe {
        Ok(probe) => probe.sync.as_ref(),
        Err(why) => return (Verdict::Unknown, format!("its disk was not tried: {why}")),
    };
    match sync {
        Some(sync) if sync.ended == Ended::Done => {
            let text = format!("a sync took {:.1} ms", sync.micros as f64 / 1e3);
            let slow = sync.micros >= condition.sync_delay_ms.saturating_mul(1000);
            (if slow { Verdict::Pass } else { Verdict::Fail }, text)
        }
        _ => (Verdict::Unknown, "nothing could be synced".into()),
    }
}
