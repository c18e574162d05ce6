//! Operations of one kind fail with an I/O error. A store that was refused a
//! sync cannot know what it has on disk, and should end rather than go on.

use super::disk::{OnDisk, Probed, met};
use super::resources::Resources;
use gameday_record::Verdict;
use gameday_record::conditions::{DiskCondition, DiskOperation, Ended};

pub(super) fn fault(nodes: Vec<String>, params: &Resources) -> OnDisk {
    let condition = DiskCondition {
        fails: Some(params.operation),
        ..DiskCondition::default()
    };
    let what = match params.operation {
        DiskOperation::Read => "fails reads",
        DiskOperation::Write => "fails writes",
        DiskOperation::Sync => "fails syncs",
    };
    OnDisk::new(nodes, condition, what, in_force).not_trusted_after()
}

fn in_force(condition: &DiskCondition, seen: &Probed) -> (Verdict, String) {
    let failing = condition.fails.unwrap_or_default();
    let probe = match &seen.probe {
        Ok(probe) => probe,
        Err(_) => return met(seen, |effects| effects.failed, "failed"),
    };
    let tried = match failing {
        DiskOperation::Read => probe.read.as_ref(),
        DiskOperation::Write => Some(&probe.write),
        DiskOperation::Sync => probe.sync.as_ref(),
    };
    let name = failing.name();
    match tried {
        Some(tried) if tried.ended == Ended::Failed => {
            let text = format!("the node says that a {name} failed ({})", tried.error);
            (Verdict::Pass, text)
        }
        Some(_) => (Verdict::Fail, format!("a {name} was done")),
        None => (Verdict::Unknown, format!("no {name} could be tried")),
    }
}
