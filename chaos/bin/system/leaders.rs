//! Changes of leaders, for the timeline.

use gameday_chaos::runner::{Roles, Timeline};
use gameday_record::TimelineEvent;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often leaders are looked for. What happens faster is not on the timeline.
const FOLLOW: Duration = Duration::from_millis(1000);

/// Puts every change of leader on the timeline, until the task is aborted.
pub async fn follow(roles: Arc<dyn Roles>, timeline: Timeline) {
    let mut known: BTreeMap<String, (String, Option<u64>)> = BTreeMap::new();
    let mut tick = tokio::time::interval(FOLLOW);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        // Whoever asks for a leader is told why there is no answer.
        for group in roles.groups().await.unwrap_or_default() {
            let Some(leader) = group.leader else { continue };
            let now = (leader.clone(), group.term);
            if known.get(&group.name) == Some(&now) {
                continue;
            }
            let mut detail = format!("{leader} leads {}", group.name);
            if let Some(term) = group.term {
                detail += &format!(" in term {term}");
            }
            let before = known.insert(group.name, now).map(|(before, _)| before);
            if let Some(before) = before.filter(|before| *before != leader) {
                detail += &format!(", after {before}");
            }
            let event = TimelineEvent::Cluster {
                node: leader,
                kind: "leader".into(),
                detail,
            };
            // The runner's own writes notice a timeline that cannot be written.
            let _ = timeline.append(event).await;
        }
    }
}
