//! Which pod drops what, and the renewal of it.

use super::pod::Pod;
use crate::runtime::agent::AgentRequest;
use crate::runtime::control::lock;
use crate::runtime::nft::Drops;
use crate::runtime::wanted::{LEASE, Wanted};
use futures_util::future::join_all;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The rules of all pods.
pub(super) struct Rules {
    ips: HashMap<String, Ipv4Addr>,
    pods: Mutex<HashMap<String, Arc<Pod>>>,
    /// What should be, and what each pod was told last.
    state: tokio::sync::Mutex<(Wanted, HashMap<String, Drops>)>,
    lapses: Mutex<Vec<String>>,
}

impl Rules {
    /// Nothing is dropped yet.
    pub fn new(ips: HashMap<String, Ipv4Addr>) -> Self {
        Rules {
            ips,
            pods: Mutex::new(HashMap::new()),
            state: tokio::sync::Mutex::new((Wanted::default(), HashMap::new())),
            lapses: Mutex::new(Vec::new()),
        }
    }

    /// A pod that can be asked from now on.
    pub fn add(&self, pod: Arc<Pod>) {
        lock(&self.pods).insert(pod.unit.clone(), pod);
    }

    /// Leases that lapsed.
    pub fn lapses(&self) -> Vec<String> {
        lock(&self.lapses).clone()
    }

    /// Changes what should be dropped and makes it so, in all pods at once.
    pub async fn change(&self, change: impl FnOnce(&mut Wanted)) -> Result<(), String> {
        let mut state = self.state.lock().await;
        let (wanted, told) = &mut *state;
        change(wanted);
        let pods = lock(&self.pods).clone();
        let drops = drops(wanted, &self.ips, |unit| pods.contains_key(unit))?;
        let changed = pods.values().filter_map(|pod| {
            let new = drops.get(&pod.unit).cloned().unwrap_or_default();
            (told.get(&pod.unit).cloned().unwrap_or_default() != new).then_some((pod, new))
        });
        let asked = join_all(changed.map(|(pod, new)| async move {
            let request = AgentRequest::Drop {
                from: new.from.clone(),
                to: new.to.clone(),
                silent: new.silent,
            };
            (pod, new, pod.agent.rules(&request).await)
        }));
        let mut failed = Vec::new();
        for (pod, new, answer) in asked.await {
            match answer {
                Ok(lapses) => {
                    told.insert(pod.unit.clone(), new);
                    self.note(pod, lapses);
                }
                Err(e) => {
                    // It may have been done or not: tell it again at the next change.
                    told.remove(&pod.unit);
                    failed.push(format!("agent of {}: {e}", pod.unit));
                }
            }
        }
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed.join("; "))
        }
    }

    fn note(&self, pod: &Pod, lapses: u64) {
        if lapses > 0 {
            lock(&self.lapses).push(format!(
                "the agent of {} heard nothing from the runner for {LEASE:?}: its rules ended by \
                 themselves",
                pod.unit
            ));
        }
    }

    /// Keeps the leases.
    pub async fn renew(self: Arc<Self>, every: Duration) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let pods: Vec<Arc<Pod>> = {
                let state = self.state.lock().await;
                let pods = lock(&self.pods);
                let holding = state.1.iter().filter(|(_, drops)| !drops.is_empty());
                holding
                    .filter_map(|(unit, _)| pods.get(unit).cloned())
                    .collect()
            };
            let renewed = pods.iter().map(|pod| async {
                let pod = pod.as_ref();
                match pod.agent.rules(&AgentRequest::Renew).await {
                    Ok(lapses) => self.note(pod, lapses),
                    Err(e) => {
                        tracing::warn!("agent of {}: the lease was not renewed: {e}", pod.unit);
                    }
                }
            });
            join_all(renewed).await;
        }
    }
}

/// What every pod drops: a link is cut where it arrives, unless an instrument stands there.
fn drops(
    wanted: &Wanted,
    ips: &HashMap<String, Ipv4Addr>,
    is_pod: impl Fn(&str) -> bool,
) -> Result<HashMap<String, Drops>, String> {
    let mut drops: HashMap<String, Drops> = HashMap::new();
    for link in wanted.cuts() {
        let (Some(from), Some(to)) = (ips.get(&link.from), ips.get(&link.to)) else {
            return Err(format!("there is no link {} to {}", link.from, link.to));
        };
        if is_pod(&link.to) {
            drops.entry(link.to.clone()).or_default().from.insert(*from);
        } else if is_pod(&link.from) {
            drops.entry(link.from.clone()).or_default().to.insert(*to);
        } else {
            return Err(format!(
                "neither {} nor {} was launched",
                link.from, link.to
            ));
        }
    }
    for unit in ips.keys().filter(|unit| wanted.is_silent(unit)) {
        drops.entry(unit.clone()).or_default().silent = true;
    }
    Ok(drops)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Link;
    use std::collections::BTreeSet;

    #[test]
    fn a_cut_is_made_at_one_end_that_can_make_it() {
        let ip = |n| Ipv4Addr::new(198, 18, 1, n);
        let ips = ["a1", "b1", "canary"]
            .map(String::from)
            .into_iter()
            .zip([1, 2, 3].map(ip));
        let ips: HashMap<_, _> = ips.collect();
        let is_pod = |unit: &str| unit != "canary";
        let link = |from: &str, to: &str| Link {
            from: from.into(),
            to: to.into(),
        };
        let mut wanted = Wanted::default();
        wanted.cut(&[link("a1", "b1"), link("canary", "b1"), link("b1", "canary")]);
        wanted.silence("a1");
        let drops = drops(&wanted, &ips, is_pod).unwrap();
        assert_eq!(drops["b1"].from, BTreeSet::from([ip(1), ip(3)]));
        assert_eq!(drops["b1"].to, BTreeSet::from([ip(3)]));
        assert!(!drops["b1"].silent);
        assert_eq!(
            drops["a1"],
            Drops {
                silent: true,
                ..Drops::default()
            }
        );

        wanted.cut(&[link("nobody", "a1")]);
        assert!(super::drops(&wanted, &ips, is_pod).is_err());
    }
}
