//! The disk has no room left: what would make a file longer is refused, or
//! every write, as on a file system that never writes in place.

use super::disk::{OnDisk, Probed, met};
use super::resources::Resources;
use gameday_record::Verdict;
use gameday_record::conditions::{DiskCondition, Ended, Full};

pub(super) fn fault(nodes: Vec<String>, params: &Resources) -> OnDisk {
    let condition = DiskCondition {
        full: Some(params.refuses),
        ..DiskCondition::default()
    };
    let what = match params.refuses {
        Full::Growth => "has no room for longer files",
        Full::Writes => "has no room for any write",
    };
    OnDisk::new(nodes, condition, what, in_force)
}

fn in_force(_: &DiskCondition, seen: &Probed) -> (Verdict, String) {
    match &seen.probe {
        Ok(probe) if probe.write.ended == Ended::Full => (
            Verdict::Pass,
            format!(
                "the node says that a block found no room ({})",
                probe.write.error
            ),
        ),
        Ok(_) => (Verdict::Fail, "a block could be written".into()),
        Err(_) => met(seen, |effects| effects.refused, "found no room"),
    }
}
