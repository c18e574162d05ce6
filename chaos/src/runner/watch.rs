//! What is watched and recorded through a whole run, beside its steps: nodes that die by accident,
//! and gaps in what is done to links.

use super::accidents::{EVERY, with_gaps};
use super::gaps::Noticed;
use super::seams::Update;
use super::shared::Shared;
use crate::runtime::GapState;
use gameday_record::TimelineEvent;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::sleep;

/// How often the runtime is asked for gaps.
const LOOK: Duration = Duration::from_millis(200);

/// Records gaps and tells of them, until it is dropped.
pub(super) async fn gaps(shared: &Shared) -> Infallible {
    loop {
        for (place, gap) in shared.scene.runtime.gaps().into_iter().enumerate() {
            let known = shared.gaps.borrow().get(place).cloned();
            let (mut noticed, is_new) = match known {
                Some(known) if known.gap.state != GapState::Open => continue,
                Some(known) => (known, false),
                None => (Noticed::new(gap.clone()), true),
            };
            let concerned = shared.admission.held_at(&shared.scene, &gap.units);
            noticed.update(gap, concerned);
            if noticed.gap.state != GapState::Open {
                record(shared, &noticed).await;
            } else if !is_new {
                continue;
            }
            shared.gaps.send_modify(|all| match all.get_mut(place) {
                Some(known) => *known = noticed,
                None => all.push(noticed),
            });
        }
        sleep(LOOK).await;
    }
}

/// Tells of those that are still open at the end.
pub(super) async fn gaps_at_end(shared: &Shared) {
    let all = shared.gaps.borrow().clone();
    for mut noticed in all {
        if noticed.gap.state == GapState::Open {
            noticed.gap.text += "; it was not brought back to the end of the run";
            record(shared, &noticed).await;
        }
    }
}

async fn record(shared: &Shared, noticed: &Noticed) {
    let gap = &noticed.gap;
    let text = format!("a gap: {}", gap.text);
    shared.observer.observe(&Update::Note { text });
    let event = TimelineEvent::Gap {
        units: gap.units.clone(),
        since: shared.timeline.time_of(gap.since),
        injections: noticed.injections.iter().copied().collect(),
        text: gap.text.clone(),
    };
    shared.write(event).await;
}

/// Watches over the nodes and records accidents, until it is dropped.
pub(super) async fn nodes(shared: &Shared) -> Infallible {
    loop {
        look(shared).await;
        sleep(EVERY).await;
    }
}

/// Looks at the nodes a last time: whoever could not be seen then may be gone as well.
pub(super) async fn nodes_at_end(shared: &Shared) {
    look(shared).await;
    let unseen = shared.accidents.unseen();
    if !unseen.is_empty() {
        shared.unproven(format!(
            "it could not be seen whether every node still runs: {}",
            unseen.join(", ")
        ));
    }
}

async fn look(shared: &Shared) {
    let runtime = shared.scene.runtime.as_ref();
    let excuse = |node: &str| with_gaps(shared.admission.excuse(node), &runtime.gaps(), node);
    for accident in shared.accidents.look(runtime, excuse).await {
        let text = accident.to_string();
        let note = Update::Note { text: text.clone() };
        shared.observer.observe(&note);
        let event = TimelineEvent::Cluster {
            node: accident.node,
            kind: accident.kind.into(),
            detail: format!("{}; no fault in force explains it", accident.detail),
        };
        shared.write(event).await;
        // Last: it may end the phase, and with it this watch.
        shared.accident(text);
    }
}
