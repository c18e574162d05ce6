//! What is wrong with which pod's links, and what became of it. Its lease is kept by `keeper`.

use super::pod::{Pod, Told};
use super::state;
use super::techniques::{Technique, Techniques};
use crate::runtime::agent::{AgentRequest, Orders};
use crate::runtime::control::lock;
use crate::runtime::wanted::{LEASE, Setting, Wanted};
use crate::runtime::{Gap, GapState};
use bollard::Docker;
use futures_util::future::join_all;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

/// The rules of all pods.
pub(super) struct Rules {
    docker: Docker,
    ips: HashMap<String, Ipv4Addr>,
    techniques: Techniques,
    pods: Mutex<HashMap<String, Arc<Pod>>>,
    /// What should be, and what each pod was told last.
    state: tokio::sync::Mutex<(Wanted, HashMap<String, Orders>)>,
    lapses: Mutex<Vec<String>>,
    gaps: Mutex<Vec<Gap>>,
}

impl Rules {
    /// Nothing is wrong yet.
    pub fn new(docker: Docker, ips: HashMap<String, Ipv4Addr>, techniques: Techniques) -> Self {
        Rules {
            docker,
            ips,
            techniques,
            pods: Mutex::new(HashMap::new()),
            state: tokio::sync::Mutex::new((Wanted::default(), HashMap::new())),
            lapses: Mutex::new(Vec::new()),
            gaps: Mutex::new(Vec::new()),
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

    /// Gaps, in the order in which they began.
    pub fn gaps(&self) -> Vec<Gap> {
        lock(&self.gaps).clone()
    }

    /// A gap of this pod begins; its place on the list.
    pub fn open_gap(&self, pod: &Pod, text: String) -> usize {
        let mut gaps = lock(&self.gaps);
        gaps.push(Gap {
            units: vec![pod.unit.clone()],
            since: pod.agent.kept().unwrap_or_else(Instant::now),
            state: GapState::Open,
            text,
        });
        gaps.len() - 1
    }

    /// What became of it.
    pub fn close_gap(&self, place: usize, state: GapState, text: String) {
        if let Some(gap) = lock(&self.gaps).get_mut(place) {
            gap.state = state;
            gap.text = text;
        }
    }

    /// Tells an agent that was started anew everything that should be wrong at its pod.
    pub async fn tell_again(&self, pod: &Pod) -> Result<(), String> {
        let mut state = self.state.lock().await;
        let (wanted, told) = &mut *state;
        let mut orders = orders(wanted, &self.ips, self.techniques)?;
        let new = orders.remove(&pod.unit).unwrap_or_default();
        let again = pod.agent.begin_again(new.clone()).await;
        again.map_err(|e| e.to_string())?;
        told.insert(pod.unit.clone(), new);
        Ok(())
    }

    /// Changes how the links should be and makes it so, in all pods at once.
    ///
    /// A pod whose agent does not run is in no network: nothing passes there, and no rule is left
    /// there. It is told when its agent is back, before its node can join it.
    pub async fn change(&self, change: impl FnOnce(&mut Wanted)) -> Result<(), String> {
        let mut state = self.state.lock().await;
        let (wanted, told) = &mut *state;
        change(wanted);
        let pods = lock(&self.pods).clone();
        let orders = orders(wanted, &self.ips, self.techniques)?;
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
                Ok(answer) => {
                    told.insert(pod.unit.clone(), new);
                    self.note(pod, answer);
                }
                Err(e) => {
                    // It may have been done or not: tell it again at the next change.
                    told.remove(&pod.unit);
                    if !state::has_ended(&self.docker, &pod.agent_id).await {
                        failed.push(format!("agent of {}: {e}", pod.unit));
                    }
                }
            }
        }
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed.join("; "))
        }
    }

    /// Remembers lapses. That an agent was started anew is seen by its keeper.
    pub fn note(&self, pod: &Pod, answer: Told) {
        if let Told::Known { lapses: 1.. } = answer {
            lock(&self.lapses).push(format!(
                "the agent of {} heard nothing from the runner for {LEASE:?}: its rules ended by \
                 themselves",
                pod.unit
            ));
        }
    }
}

/// What is wrong at every pod: netem is where a link begins, all else where it arrives.
fn orders(
    wanted: &Wanted,
    ips: &HashMap<String, Ipv4Addr>,
    techniques: Techniques,
) -> Result<HashMap<String, Orders>, String> {
    let mut orders: HashMap<String, Orders> = HashMap::new();
    let ip = |unit: &str| {
        let ip = ips.get(unit).copied();
        ip.ok_or_else(|| format!("there is no unit {unit}"))
    };
    // Who has no power is silenced as a whole, below.
    for (link, mut setting) in wanted.settings(std::iter::empty()) {
        let (from, to) = (ip(&link.from)?, ip(&link.to)?);
        let shaped = !setting.traffic.is_nothing();
        if shaped && techniques.of(&setting.traffic) == Technique::Netem {
            let at = orders.entry(link.from).or_default();
            at.netem.insert(to, std::mem::take(&mut setting.traffic));
        }
        if setting != Setting::default() {
            let at = orders.entry(link.to).or_default();
            at.from.insert(from, setting);
        }
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
    use crate::runtime::facilities::{Facilities, Facility, Seen};
    use crate::runtime::traffic::{Share, Traffic};
    use crate::runtime::wanted::Gate;
    use std::time::Duration;

    fn ip(n: u8) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, 1, n)
    }

    fn link(from: &str, to: &str) -> Link {
        Link {
            from: from.into(),
            to: to.into(),
        }
    }

    /// With two nodes and an instrument.
    fn ordered(wanted: &Wanted, by: Technique) -> Result<HashMap<String, Orders>, String> {
        let units = ["a1", "b1", "canary"].map(String::from);
        let ips = units.into_iter().zip([1, 2, 3].map(ip)).collect();
        let techniques = Techniques::choose(&Facilities::default(), Some(by));
        orders(wanted, &ips, techniques)
    }

    fn slow() -> Traffic {
        Traffic {
            delay: Duration::from_millis(5),
            ..Traffic::default()
        }
    }

    #[test]
    fn a_link_is_made_wrong_where_it_arrives() {
        let slow = slow();
        let mut wanted = Wanted::default();
        let cut = [link("a1", "b1"), link("canary", "b1")];
        wanted.cut(&cut, Gate::Cut);
        wanted.cut(&[link("b1", "canary")], Gate::Reject);
        wanted.shape(&[link("canary", "b1"), link("b1", "a1")], slow);
        wanted.silence("a1");
        let orders = ordered(&wanted, Technique::Nfqueue).unwrap();
        let setting = |gate, traffic| Setting { gate, traffic };
        let none = Traffic::default();
        let b1 = Orders {
            from: [
                (ip(1), setting(Gate::Cut, none)),
                (ip(3), setting(Gate::Cut, slow)),
            ]
            .into(),
            ..Orders::default()
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
            ..Orders::default()
        };
        assert_eq!(orders["a1"], a1);

        wanted.cut(&[link("nobody", "a1")], Gate::Cut);
        assert!(ordered(&wanted, Technique::Nfqueue).is_err());
    }

    #[test]
    fn netem_is_where_a_link_begins_and_a_cut_where_it_arrives() {
        let mut wanted = Wanted::default();
        let links = [link("a1", "b1"), link("a1", "canary"), link("canary", "a1")];
        wanted.shape(&links, slow());
        wanted.cut(&links[..1], Gate::Cut);
        let orders = ordered(&wanted, Technique::Netem).unwrap();
        assert_eq!(orders.len(), 3);
        let a1 = Orders {
            netem: [(ip(2), slow()), (ip(3), slow())].into(),
            ..Orders::default()
        };
        assert_eq!(orders["a1"], a1);
        let canary = Orders {
            netem: [(ip(1), slow())].into(),
            ..Orders::default()
        };
        assert_eq!(orders["canary"], canary);
        let cut = Setting {
            gate: Gate::Cut,
            ..Setting::default()
        };
        let b1 = Orders {
            from: [(ip(1), cut)].into(),
            ..Orders::default()
        };
        assert_eq!(orders["b1"], b1);
    }

    #[test]
    fn what_doubles_goes_through_the_queue_where_there_is_one() {
        let both = [Facility::Netem, Facility::Nfqueue].map(|f| (f, Seen::Yes));
        let techniques = Techniques::choose(&Facilities(both.into()), None);
        let twice = Traffic {
            duplicate: Share::of(0.1),
            ..slow()
        };
        let mut wanted = Wanted::default();
        wanted.shape(&[link("a1", "b1")], twice);
        let ips = [("a1".to_string(), ip(1)), ("b1".to_string(), ip(2))];
        let orders = orders(&wanted, &ips.into(), techniques).unwrap();
        assert_eq!(orders.len(), 1);
        assert_eq!(orders["b1"].from[&ip(1)].traffic, twice);
    }
}
