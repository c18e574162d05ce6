//! What is wrong with which pod's links, and what became of it. Its lease is kept by `keeper`.

use super::peers::{Addresses, Peers, Place};
use super::pod::{Pod, Told};
use super::state;
use super::techniques::{Technique, Techniques};
use crate::runtime::agent::{AgentRequest, Orders};
use crate::runtime::control::{CallError, lock};
use crate::runtime::wanted::{LEASE, Setting, Wanted};
use crate::runtime::{Gap, GapState};
use bollard::Docker;
use futures_util::future::join_all;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

/// The rules of all pods.
pub(super) struct Rules {
    docker: Docker,
    peers: Arc<Peers>,
    techniques: Techniques,
    pods: Mutex<HashMap<String, Arc<Pod>>>,
    /// What should be. What each pod is known to have is the pod's.
    wanted: Mutex<Wanted>,
    lapses: Mutex<Vec<String>>,
    gaps: Mutex<Vec<Gap>>,
}

impl Rules {
    /// Nothing is wrong yet.
    pub fn new(docker: Docker, peers: Arc<Peers>, techniques: Techniques) -> Self {
        Rules {
            docker,
            peers,
            techniques,
            pods: Mutex::new(HashMap::new()),
            wanted: Mutex::default(),
            lapses: Mutex::new(Vec::new()),
            gaps: Mutex::new(Vec::new()),
        }
    }

    /// A pod that can be asked from now on.
    pub fn add(&self, pod: Arc<Pod>) {
        lock(&self.pods).insert(pod.unit.clone(), pod);
    }

    /// Where all units are now.
    pub fn addresses(&self) -> Addresses {
        self.peers.now()
    }

    /// A unit is there from now on; whom it concerns is told by the keepers.
    pub fn moved(&self, unit: &str, to: BTreeSet<Place>) {
        self.peers.moved(unit, to);
    }

    /// Whether anything should be wrong at a unit.
    pub fn is_hurt(&self, unit: &str) -> bool {
        let orders = self.orders_of(unit);
        orders.is_ok_and(|orders| orders != Orders::default())
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

    /// Changes how the links should be and makes it so in the pods of the units `concerned`, in
    /// all of them at once. The wish stands whatever comes of it: a pod that could not be told is
    /// told again by its keeper, and by the next change that concerns it.
    ///
    /// A pod whose agent does not run is in no network: nothing passes there, and no rule is left
    /// there. It is told when its agent is back, before its node can join it.
    ///
    /// # Errors
    /// A pod has not confirmed it. It may be so there or not, now or later.
    pub async fn change(
        &self,
        concerned: impl IntoIterator<Item = &str>,
        change: impl FnOnce(&mut Wanted),
    ) -> Result<(), String> {
        let orders = {
            let mut wanted = lock(&self.wanted);
            change(&mut wanted);
            orders(&wanted, &self.peers.now(), self.techniques)?
        };
        let concerned: BTreeSet<&str> = concerned.into_iter().collect();
        let mut pods = Vec::new();
        for unit in concerned {
            match self.pod(unit) {
                Some(pod) => pods.push(pod),
                None if orders.contains_key(unit) => {
                    return Err(format!("{unit} was never launched"));
                }
                None => {}
            }
        }
        let told = join_all(pods.iter().map(|pod| async move {
            let why = self.tell(pod).await.err()?;
            let gone = state::has_ended(&self.docker, &pod.agent_id).await;
            (!gone).then(|| format!("agent of {}: {why}", pod.unit))
        }));
        let failed: Vec<String> = told.await.into_iter().flatten().collect();
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed.join("; "))
        }
    }

    /// Keeps what is wrong at a pod: renews the lease if the pod has confirmed what is wanted, and
    /// else tells it, so that a lease of what nobody wants any more is never renewed.
    pub async fn keep(&self, pod: &Pod) -> Result<Told, CallError> {
        let wanted = self.orders_of(&pod.unit)?;
        let is_known = match pod.confirmed.try_lock() {
            Ok(confirmed) => confirmed.as_ref() == Some(&wanted),
            // It is being told just now: once more, afterwards.
            Err(_) => false,
        };
        if !is_known {
            return self.tell(pod).await;
        }
        let answer = pod.agent.rules(&AgentRequest::Renew).await?;
        self.note(pod, answer);
        Ok(answer)
    }

    /// Tells a pod what should be wrong there, unless it has confirmed just that.
    async fn tell(&self, pod: &Pod) -> Result<Told, CallError> {
        let mut confirmed = pod.confirmed.lock().await;
        let new = self.orders_of(&pod.unit)?;
        if confirmed.as_ref() == Some(&new) {
            return Ok(Told::Known { lapses: 0 });
        }
        // Whoever was asked and has not answered, or was asked by somebody who stopped waiting,
        // may do it at any time.
        *confirmed = None;
        let answer = pod.agent.rules(&AgentRequest::Set(new.clone())).await?;
        *confirmed = Some(new);
        self.note(pod, answer);
        Ok(answer)
    }

    /// Tells an agent that was started anew everything that should be wrong at its pod.
    pub async fn tell_again(&self, pod: &Pod) -> Result<(), CallError> {
        let mut confirmed = pod.confirmed.lock().await;
        let new = self.orders_of(&pod.unit)?;
        *confirmed = None;
        pod.agent.begin_again(new.clone()).await?;
        *confirmed = Some(new);
        Ok(())
    }

    fn orders_of(&self, unit: &str) -> Result<Orders, CallError> {
        let all = orders(&lock(&self.wanted), &self.peers.now(), self.techniques);
        let mut all = all.map_err(CallError::Refused)?;
        Ok(all.remove(unit).unwrap_or_default())
    }

    /// Remembers lapses. That an agent was started anew is seen by its keeper.
    fn note(&self, pod: &Pod, answer: Told) {
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
    addresses: &Addresses,
    techniques: Techniques,
) -> Result<HashMap<String, Orders>, String> {
    let mut orders: HashMap<String, Orders> = HashMap::new();
    // Who has no power is silenced as a whole, below.
    for (link, mut setting) in wanted.settings(std::iter::empty()) {
        let (senders, _) = (addresses.of(&link.from)?, addresses.of(&link.to)?);
        let shaped = !setting.traffic.is_nothing();
        if shaped && techniques.of(&setting.traffic) == Technique::Netem {
            let traffic = std::mem::take(&mut setting.traffic);
            let receivers = addresses.reached(&link.from, &link.to)?;
            let at = orders.entry(link.from).or_default();
            at.netem
                .extend(receivers.into_iter().map(|ip| (ip, traffic)));
        }
        if setting != Setting::default() {
            let at = orders.entry(link.to).or_default();
            at.from.extend(senders.into_iter().map(|ip| (ip, setting)));
        }
    }
    for unit in addresses.0.keys().filter(|unit| wanted.is_silent(unit)) {
        orders.entry(unit.clone()).or_default().silent = true;
    }
    Ok(orders)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Link;
    use crate::runtime::agent::{AgentAnswer, Ports};
    use crate::runtime::control::{self, Reply};
    use crate::runtime::docker::attach::Streams;
    use crate::runtime::docker::pod::Agent;
    use crate::runtime::facilities::{Facilities, Facility, Seen};
    use crate::runtime::traffic::{Share, Traffic};
    use crate::runtime::wanted::Gate;
    use std::net::IpAddr;
    use std::time::Duration;
    use tokio::sync::watch;

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([198, 18, 1, n])
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
        let ips = Addresses::in_one_network(units.into_iter().zip([1, 2, 3].map(ip)));
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
        let orders = orders(&wanted, &Addresses::in_one_network(ips), techniques).unwrap();
        assert_eq!(orders.len(), 1);
        assert_eq!(orders["b1"].from[&ip(1)].traffic, twice);
    }

    /// An agent that remembers what it was asked, and says nothing while it is `held`: it is
    /// frozen, or answers later than anybody waits.
    #[derive(Clone)]
    struct Frozen {
        asked: Arc<Mutex<Vec<AgentRequest>>>,
        held: watch::Sender<bool>,
    }

    impl Frozen {
        async fn pod(unit: &str) -> (Self, Arc<Pod>) {
            let frozen = Frozen {
                asked: Arc::default(),
                held: watch::Sender::new(false),
            };
            let serving = frozen.clone();
            let agent = Agent::over(Box::new(move |_| {
                let serving = serving.clone();
                Box::pin(async move {
                    let (ours, theirs) = tokio::io::duplex(4096);
                    let (stdout, answers) = tokio::io::duplex(4096);
                    tokio::spawn(control::serve(theirs, answers, move |asked| {
                        lock(&serving.asked).push(asked);
                        let mut held = serving.held.subscribe();
                        Reply::Later(Box::pin(async move {
                            // The test may be over.
                            let _ = held.wait_for(|held| !held).await;
                            let (birth, lapses) = (1, 0);
                            let ports = Ports::default();
                            Ok(AgentAnswer::Done {
                                birth,
                                lapses,
                                ports,
                            })
                        }))
                    }));
                    let stdin = Box::new(ours);
                    Ok(Streams { stdin, stdout })
                })
            }));
            let agent = agent.await.unwrap();
            (
                frozen,
                Arc::new(Pod::new(unit.into(), agent, "none".into())),
            )
        }

        /// What it was asked since it was asked this last.
        fn asked(&self) -> Vec<Asked> {
            let asked = std::mem::take(&mut *lock(&self.asked));
            let short = |request| match request {
                AgentRequest::Renew => Asked::Renew,
                AgentRequest::Set(orders) if orders == Orders::default() => Asked::Open,
                AgentRequest::Set(_) => Asked::Cut,
                other => panic!("{other:?}"),
            };
            asked.into_iter().map(short).collect()
        }
    }

    #[derive(Debug, PartialEq)]
    enum Asked {
        Renew,
        Cut,
        Open,
    }

    /// The rules of two pods, and an engine that knows of no container's end.
    async fn of_two() -> (Rules, Frozen, Arc<Pod>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let version = bollard::API_DEFAULT_VERSION;
        let docker = Docker::connect_with_unix(&path.display().to_string(), 1, version).unwrap();
        let ips = [("a1".to_string(), ip(1)), ("b1".to_string(), ip(2))];
        let techniques = Techniques::choose(&Facilities::default(), Some(Technique::Nfqueue));
        let peers = Arc::new(Peers::new(Addresses::in_one_network(ips)));
        let rules = Rules::new(docker, peers, techniques);
        let (_, other) = Frozen::pod("a1").await;
        let (agent, pod) = Frozen::pod("b1").await;
        rules.add(other);
        rules.add(pod.clone());
        (rules, agent, pod)
    }

    async fn cut(rules: &Rules) -> Result<(), String> {
        let links = [link("a1", "b1")];
        rules
            .change(["a1", "b1"], |w| w.cut(&links, Gate::Cut))
            .await
    }

    async fn open(rules: &Rules) -> Result<(), String> {
        let links = [link("a1", "b1")];
        rules.change(["a1", "b1"], |w| w.open(&links)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_rule_that_was_applied_later_than_anybody_waits_is_undone() {
        let (rules, agent, _pod) = of_two().await;
        agent.held.send_replace(true);
        let late = cut(&rules).await.unwrap_err();
        assert!(late.contains("agent of b1: no answer within 5s"), "{late}");
        agent.held.send_replace(false);
        assert_eq!(agent.asked(), [Asked::Cut]);
        assert_eq!(open(&rules).await, Ok(()));
        assert_eq!(agent.asked(), [Asked::Open]);
        // What was confirmed is not asked again.
        assert_eq!(open(&rules).await, Ok(()));
        assert_eq!(agent.asked(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_revert_that_is_not_confirmed_fails_each_time() {
        let (rules, agent, _pod) = of_two().await;
        assert_eq!(cut(&rules).await, Ok(()));
        agent.held.send_replace(true);
        for _ in 0..2 {
            let late = open(&rules).await.unwrap_err();
            assert!(late.contains("no answer within 5s"), "{late}");
        }
        agent.held.send_replace(false);
        assert_eq!(open(&rules).await, Ok(()));
        let asked = [Asked::Cut, Asked::Open, Asked::Open, Asked::Open];
        assert_eq!(agent.asked(), asked);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_nobody_waited_for_is_undone() {
        let (rules, agent, _pod) = of_two().await;
        agent.held.send_replace(true);
        let given_up = tokio::time::timeout(Duration::from_secs(1), cut(&rules)).await;
        assert!(given_up.is_err());
        agent.held.send_replace(false);
        assert_eq!(open(&rules).await, Ok(()));
        assert_eq!(agent.asked(), [Asked::Cut, Asked::Open]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_renewed_only_of_what_is_wanted_and_was_confirmed() {
        let (rules, agent, pod) = of_two().await;
        assert_eq!(cut(&rules).await, Ok(()));
        rules.keep(&pod).await.unwrap();
        assert_eq!(agent.asked(), [Asked::Cut, Asked::Renew]);
        agent.held.send_replace(true);
        open(&rules).await.unwrap_err();
        rules.keep(&pod).await.unwrap_err();
        assert_eq!(agent.asked(), [Asked::Open, Asked::Open]);
        agent.held.send_replace(false);
        for _ in 0..2 {
            rules.keep(&pod).await.unwrap();
        }
        assert_eq!(agent.asked(), [Asked::Open, Asked::Renew]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_does_not_answer_fails_no_change_elsewhere() {
        let (rules, agent, _pod) = of_two().await;
        agent.held.send_replace(true);
        cut(&rules).await.unwrap_err();
        let silence = rules.change(["a1"], |w| w.silence("a1"));
        assert_eq!(silence.await, Ok(()));
        assert_eq!(agent.asked(), [Asked::Cut]);
    }
}
