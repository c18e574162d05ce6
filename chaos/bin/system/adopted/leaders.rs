//! Who leads an adopted system, asked as its owner says.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use gameday_chaos::runner::{Group, Roles};
use gameday_chaos::runtime::docker::adopted::Adopted;
use gameday_chaos::runtime::docker::adopted::leader::LeaderProbe;
use std::sync::Arc;
use std::time::Duration;

/// Time within which a container must say whether it leads.
const ASK: Duration = Duration::from_secs(3);

/// One group: a role, and how its leader is known.
#[derive(Clone, Debug)]
pub struct Led {
    /// Name of the role, and of the group.
    pub name: String,
    /// Its units.
    pub members: Vec<String>,
    /// How each is asked; nobody is known to lead where that is not said.
    pub probe: Option<LeaderProbe>,
}

/// Asks containers.
pub struct Leaders {
    pub(super) adopted: Arc<Adopted>,
    pub(super) groups: Vec<Led>,
}

impl Leaders {
    async fn group(&self, led: &Led) -> Result<Group, String> {
        let mut group = Group {
            name: led.name.clone(),
            leader: None,
            term: None,
            members: led.members.clone(),
        };
        let Some(probe) = &led.probe else {
            return Ok(group);
        };
        let asked = led.members.iter().map(|unit| async move {
            let leads = self.adopted.leads(unit, probe, ASK).await;
            (unit, leads)
        });
        let said = join_all(asked).await;
        let lead: Vec<&String> = said
            .iter()
            .filter(|(_, leads)| *leads == Ok(true))
            .map(|(unit, _)| *unit)
            .collect();
        match lead[..] {
            [one] => group.leader = Some(one.clone()),
            // Without a term nobody knows which of them it is.
            [_, _, ..] => {}
            // One that is down does not answer; that all fail is a mistake.
            [] => {
                let failed: Option<Vec<String>> = said
                    .into_iter()
                    .map(|(_, leads)| leads.err().map(|e| e.to_string()))
                    .collect();
                if let Some(all) = failed {
                    return Err(format!(
                        "who leads {} is not known: {}",
                        led.name,
                        all.join("; ")
                    ));
                }
            }
        }
        Ok(group)
    }
}

impl Roles for Leaders {
    fn groups(&self) -> BoxFuture<'_, Result<Vec<Group>, String>> {
        async {
            let asked = self.groups.iter().map(|led| self.group(led));
            join_all(asked).await.into_iter().collect()
        }
        .boxed()
    }
}
