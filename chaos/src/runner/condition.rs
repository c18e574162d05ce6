//! Waiting for what a step is held until.

use super::shared::Shared;
use crate::playbook::Until;
use crate::quorum::Group;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// One question to the store.
const ASK: Duration = Duration::from_secs(5);
/// Between two.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What has to be known before the injection, to see that something changed.
pub(super) async fn before(shared: &Shared, until: Option<&Until>) -> Vec<Group> {
    match until {
        Some(Until::LeaderChange) => groups(shared).await.unwrap_or_default(),
        Some(Until::Alarm(_)) | None => Vec::new(),
    }
}

/// Resolves with what was seen, once it has come.
pub(super) async fn comes(shared: &Shared, until: &Until, mut before: Vec<Group>) -> String {
    match until {
        Until::Alarm(name) => shared.alarms.fires(name).await,
        Until::LeaderChange => loop {
            if let Some(now) = groups(shared).await {
                if let Some(seen) = changed(&before, &now) {
                    return seen;
                }
                learn(&mut before, now);
            }
            sleep(ASK_AGAIN).await;
        },
    }
}

/// The groups as they are; `None` if nobody can say, which is asked again.
async fn groups(shared: &Shared) -> Option<Vec<Group>> {
    timeout(ASK, shared.roles.groups()).await.ok()?.ok()
}

/// The first group that has another leader than it had.
fn changed(before: &[Group], now: &[Group]) -> Option<String> {
    now.iter().find_map(|group| {
        let old = before.iter().find(|b| b.name == group.name)?;
        let (old, new) = (old.leader.as_ref()?, group.leader.as_ref()?);
        (old != new).then(|| format!("{new} leads {} instead of {old}", group.name))
    })
}

/// Of a group whose leader was not known, the first one that is.
fn learn(before: &mut Vec<Group>, now: Vec<Group>) {
    for group in now {
        match before.iter_mut().find(|b| b.name == group.name) {
            Some(known) if known.leader.is_none() => *known = group,
            Some(_) => {}
            None => before.push(group),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, leader: Option<&str>) -> Group {
        Group {
            name: name.into(),
            leader: leader.map(String::from),
            term: None,
            members: Vec::new(),
        }
    }

    #[test]
    fn a_leader_that_is_lost_is_no_change_until_there_is_another() {
        let mut known = vec![group("t/0", Some("a1")), group("t/1", None)];
        assert_eq!(changed(&known, &[group("t/0", None)]), None);
        assert_eq!(changed(&known, &[group("t/1", Some("b1"))]), None);
        let seen = changed(&known, &[group("t/0", Some("c1"))]);
        assert_eq!(seen.as_deref(), Some("c1 leads t/0 instead of a1"));
        learn(
            &mut known,
            vec![group("t/0", None), group("t/1", Some("b1"))],
        );
        assert_eq!(known[0].leader.as_deref(), Some("a1"));
        let seen = changed(&known, &[group("t/1", Some("c1"))]);
        assert_eq!(seen.as_deref(), Some("c1 leads t/1 instead of b1"));
    }
}
