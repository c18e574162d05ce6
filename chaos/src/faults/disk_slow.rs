//! Every sync of the disk takes longer: a drive that is busy, or dying.

use super::disk::{OnDisk, Probed, millis};
use super::resources::Resources;
use gameday_record::Verdict;
use gameday_record::conditions::{DiskCondition, Ended};
use std::time::Duration;

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
            let text = format!(
                "a sync took {:.1} ms, and the node's answer {:.1} ms",
                sync.micros as f64 / 1e3,
                millis(seen.took)
            );
            // It cannot have synced in less time than it took to answer.
            let said = Duration::from_micros(sync.micros).min(seen.took);
            let slow = said >= Duration::from_millis(condition.sync_delay_ms);
            (if slow { Verdict::Pass } else { Verdict::Fail }, text)
        }
        _ => (Verdict::Unknown, "nothing could be synced".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::ProcessState;
    use gameday_record::conditions::{DiskEffects, DiskProbe, Tried};

    #[test]
    fn a_node_that_says_more_than_it_had_time_for_is_not_believed() {
        let condition = DiskCondition {
            sync_delay_ms: 200,
            ..DiskCondition::default()
        };
        let tried = |micros| Tried {
            micros,
            ended: Ended::Done,
            error: String::new(),
        };
        let seen = |said_ms: u64, took_ms| {
            let seen = Probed {
                state: Ok(ProcessState::Running {
                    identity: "1".into(),
                }),
                probe: Ok(DiskProbe {
                    write: tried(10),
                    sync: Some(tried(said_ms * 1000)),
                    read: None,
                }),
                took: Duration::from_millis(took_ms),
                effects: Ok(DiskEffects::default()),
            };
            in_force(&condition, &seen).0
        };
        assert_eq!(seen(201, 203), Verdict::Pass);
        assert_eq!(seen(5, 6), Verdict::Fail);
        assert_eq!(seen(201, 6), Verdict::Fail, "in 6 ms nothing took 200");
        assert_eq!(
            seen(5, 300),
            Verdict::Fail,
            "a busy machine is no slow disk"
        );
    }
}
