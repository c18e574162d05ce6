//! What is wrong with which pod's links, and the renewal of it.

use super::pod::Pod;
use crate::runtime::agent::{AgentRequest, Orders};
use crate::runtime::control::lock;
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
    state: tokio::sync::Mutex<(Wanted, HashMap<String, Orders>)>,
    lapses: Mutex<Vec<String>>,
}

impl Rules {
    /// Nothing is wrong yet.
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

    /// The pod of a unit.
    pub fn pod(&self, unit: &str) -> Option<Arc<Pod>> {
        lock(&self.pods).get(unit).cloned()
    }

    /// All of them.
    pub fn pods(&self) -> Vec<Arc<Pod>> {
        lock(&self.pods).values().cloned().collect()
    }

    /// Leases that lapsed.
    pub fn lapses(&self) -> Vec<String> {
        lock(&self.lapses).clone()
    }

    /// Changes how the links should be and makes it so, in all pods at once.
    pub async fn change(&self, change: impl FnOnce(&mut Wanted)) -> Result<(), String> {
        let mut state = self.state.lock().await;
        let (wanted, told) = &mut *state;
        change(wanted);
        let pods = lock(&self.pods).clone();
        let orders = orders(wanted, &self.ips)?;
        if let Some(absent) = orders.keys().find(|unit| !pods.contains_key(*unit)) {
            return Err(format!("{absent} was never launched"));
        }
        let changed = pods.values().filter_map(|pod| {
            let new = orders.get(&pod.unit).cloned().unwrap_or_default();
            (told.get(&pod.unit).cloned().unwrap_or_default() != new).then_some((pod, new))
        });
        let asked = join_all(changed.map(|(pod, new)| async move {
            let request = AgentRequest::Set(new.clone());
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
                let holding = state.1.iter().filter(|(_, orders)| !orders.is_empty());
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

/// What is wrong at every pod: a link is where it arrives.
fn orders(
    wanted: &Wanted,
    ips: &HashMap<String, Ipv4Addr>,
) -> Result<HashMap<String, Orders>, String> {
    let mut orders: HashMap<String, Orders> = HashMap::new();
    // Who has no power is silenced as a whole, below.
    for (link, setting) in wanted.settings(std::iter::empty()) {
        let Some(from) = ips.get(&link.from) else {
            return Err(format!("there is no unit {}", link.from));
        };
        let at = orders.entry(link.to).or_default();
        at.from.insert(*from, setting);
    }
    for unit in ips.keys().filter(|unit| wanted.is_silent(unit)) {
        orders.entry(unit.clone()).or_default().silent = true;
    }
    Ok(orders)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Link;
    use crate::runtime::traffic::Traffic;
    use crate::runtime::wanted::{Gate, Setting};

    #[test]
    fn a_link_is_made_wrong_where_it_arrives() {
        let ip = |n| Ipv4Addr::new(198, 18, 1, n);
        let ips = ["a1", "b1", "canary"]
            .map(String::from)
            .into_iter()
            .zip([1, 2, 3].map(ip));
        let ips: HashMap<_, _> = ips.collect();
        let link = |from: &str, to: &str| Link {
            from: from.into(),
            to: to.into(),
        };
        let slow = Traffic {
            delay: Duration::from_millis(5),
            ..Traffic::default()
        };
        let mut wanted = Wanted::default();
        let cut = [link("a1", "b1"), link("canary", "b1")];
        wanted.cut(&cut, Gate::Cut);
        wanted.cut(&[link("b1", "canary")], Gate::Reject);
        wanted.shape(&[link("canary", "b1"), link("b1", "a1")], slow);
        wanted.silence("a1");
        let orders = orders(&wanted, &ips).unwrap();
        let setting = |gate, traffic| Setting { gate, traffic };
        let none = Traffic::default();
        let b1 = Orders {
            from: [
                (ip(1), setting(Gate::Cut, none)),
                (ip(3), setting(Gate::Cut, slow)),
            ]
            .into(),
            silent: false,
        };
        assert_eq!(orders["b1"], b1);
        let canary = Orders {
            from: [(ip(2), setting(Gate::Reject, none))].into(),
            ..Orders::default()
        };
        assert_eq!(orders["canary"], canary);
        let a1 = Orders {
            from: [(ip(2), setting(Gate::Open, slow))].into(),
            silent: true,
        };
        assert_eq!(orders["a1"], a1);

        wanted.cut(&[link("nobody", "a1")], Gate::Cut);
        assert!(super::orders(&wanted, &ips).is_err());
    }
}
