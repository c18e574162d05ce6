//! Units as containers, from an image of the running binary.
//!
//! A unit is a pod of two containers: an agent, which holds the network
//! namespace and the address and may filter packets in it, and the node or
//! instrument itself, which joins that namespace and may do nothing special. So
//! rules outlive a node's death, every link has somebody at either end who can
//! be asked, and the host's own namespaces are never touched.

mod attach;
mod containers;
mod engine;
pub(crate) mod image;
mod keeper;
pub(crate) mod leftovers;
mod limits;
mod logs;
mod measure;
mod node;
mod pod;
mod probe;
mod prober;
mod rules;
mod state;
mod subnet;
mod techniques;

pub use engine::{EngineDetails, EngineInfo, available, details};
pub use prober::facilities;
pub use techniques::{Technique, Techniques};

use self::attach::{Stderr, Streams, attach};
use self::containers::Maker;
use self::engine::status;
use self::keeper::Keeper;
use self::node::Node;
use self::pod::{ASK, Agent, Pod, Told};
use self::rules::Rules;
use self::subnet::Subnet;
use super::agent::{AgentAnswer, AgentRequest};
use super::control::lock;
use super::facilities::Facility;
use super::files::{FilesAnswer, FilesRequest};
use super::leftovers::Thing;
use super::limits::{Limits, Usage};
use super::marks::RunMarks;
use super::traffic::{Heard, Sounding, Traffic};
use super::wanted::{Gate, Wanted};
use super::{
    Exit, Fut, Gap, Instrument, Launch, Link, LinkState, ProcessState, Runtime, RuntimeError,
    UnitSpec,
};
use crate::abilities::{Abilities, Ability, Offer};
use bollard::Docker;
use bollard::query_parameters::{InspectContainerOptions, KillContainerOptions};
use futures_util::future::{join_all, try_join_all};
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;

/// Deadline of anything the engine does with one container.
const ENGINE: Duration = Duration::from_secs(60);
/// How long a node may take to exit after SIGTERM.
const STOP: Duration = Duration::from_secs(10);
/// How long an agent may be at work on a node's files.
const FILES: Duration = Duration::from_secs(20);
/// How long a node that is started waits for an agent that is being brought back.
const READY: Duration = Duration::from_secs(8);
/// Deadline of making the image: a debug build is large.
const IMAGE: Duration = Duration::from_secs(180);

/// Sender and receiver of a link.
type Ends = (Arc<Pod>, Arc<Pod>);

/// Containers of one run.
pub struct DockerRuntime {
    engine: EngineInfo,
    docker: Docker,
    units: Vec<UnitSpec>,
    ips: HashMap<String, Ipv4Addr>,
    maker: Maker,
    /// Id of the image that nodes are launched from.
    image: String,
    nodes: Mutex<HashMap<String, Arc<Node>>>,
    instruments: Mutex<HashMap<String, Stderr>>,
    rules: Arc<Rules>,
    keepers: Mutex<JoinSet<()>>,
}

fn err(text: impl Into<String>) -> RuntimeError {
    RuntimeError(text.into())
}

/// Bounds what the engine does.
async fn bounded<T, E: ToString>(
    what: &str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, RuntimeError> {
    bounded_by(ENGINE, what, work).await
}

async fn bounded_by<T, E: ToString>(
    deadline: Duration,
    what: &str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, RuntimeError> {
    match tokio::time::timeout(deadline, work).await {
        Ok(done) => done.map_err(|e| err(format!("{what}: {}", e.to_string()))),
        Err(_) => Err(err(format!(
            "{what}: Docker has not done it after {deadline:?}"
        ))),
    }
}

impl DockerRuntime {
    /// Connects, makes the image if it is not there, and the run's network. `subnet` is an IPv4
    /// network of at least a /16, for example `198.18.0.0/16`; `techniques` are what traffic will
    /// be made worse with.
    ///
    /// # Errors
    /// No engine; a subnet that is invalid or taken; more units than addresses.
    pub async fn new(
        marks: RunMarks,
        units: Vec<UnitSpec>,
        subnet: &str,
        techniques: Techniques,
    ) -> Result<Self, RuntimeError> {
        let subnet = Subnet::for_run(subnet).map_err(err)?;
        let ips = subnet.place(&units).map_err(err)?;
        let (docker, engine) = engine::connect().await.map_err(err)?;
        let image = bounded_by(IMAGE, "image", image::ensure(&docker)).await?;
        let image_id = bounded("image", image::id(&docker, &image)).await?;
        let network = bounded("network", containers::network(&docker, &marks, subnet)).await?;
        let rules = Arc::new(Rules::new(docker.clone(), ips.clone(), techniques));
        let maker = Maker {
            docker: docker.clone(),
            marks,
            image,
            network,
        };
        Ok(DockerRuntime {
            engine,
            docker,
            units,
            ips,
            maker,
            image: image_id,
            nodes: Mutex::new(HashMap::new()),
            instruments: Mutex::new(HashMap::new()),
            rules,
            keepers: Mutex::default(),
        })
    }

    /// What traffic is made worse with in containers on this host, unless one is `wanted`; tried,
    /// once in the life of this process.
    pub async fn techniques(wanted: Option<Technique>) -> Techniques {
        Techniques::choose(prober::facilities().await, wanted)
    }

    /// What can be made wrong in containers on this host, with these techniques; tried, once in
    /// the life of this process.
    pub async fn abilities(techniques: Techniques) -> Abilities {
        let by = |technique: &str| Offer::By(technique.into());
        let found = prober::facilities().await;
        let mut offers: BTreeMap<Ability, Offer> = techniques.offers(found).into();
        offers.extend([
            (Ability::Processes, by("Docker")),
            (Ability::Programs, by("images")),
            (Ability::Cuts, found.offer(Facility::Nftables)),
            (Ability::Disks, by("the store's disk layer")),
            (Ability::StoredData, by("the nodes' volumes")),
            (Ability::Rejects, found.offer(Facility::Reject)),
            (Ability::Clocks, by("the store's clock")),
            (Ability::Bounds, by("control groups")),
        ]);
        Abilities {
            runtime: "docker",
            offers,
        }
    }

    fn unit(&self, name: &str) -> Result<&UnitSpec, RuntimeError> {
        let found = self.units.iter().find(|u| u.name == name);
        found.ok_or_else(|| err(format!("there is no unit {name}")))
    }

    fn port(&self, unit: &str, port: &str) -> Option<u16> {
        let unit = self.units.iter().find(|u| u.name == unit)?;
        unit.ports
            .iter()
            .find(|(name, _)| name == port)
            .map(|(_, port)| *port)
    }

    fn addr(&self, unit: &str, port: &str) -> Option<SocketAddr> {
        Some(SocketAddr::from((
            *self.ips.get(unit)?,
            self.port(unit, port)?,
        )))
    }

    fn node(&self, name: &str) -> Result<Arc<Node>, RuntimeError> {
        let found = lock(&self.nodes).get(name).cloned();
        found.ok_or_else(|| err(format!("{name} is no node that was launched")))
    }

    fn pod(&self, unit: &str) -> Result<Arc<Pod>, RuntimeError> {
        self.rules
            .pod(unit)
            .ok_or_else(|| err(format!("{unit} was never launched")))
    }

    /// Changes how these links should be, and makes it so at both of their ends.
    async fn change(
        &self,
        links: &[Link],
        change: impl FnOnce(&mut Wanted),
    ) -> Result<(), RuntimeError> {
        let ends = || links.iter().flat_map(|link| [&link.from, &link.to]);
        ends().try_for_each(|unit| self.unit(unit).map(drop))?;
        let done = self.rules.change(ends().map(String::as_str), change);
        done.await.map_err(err)
    }

    /// Senders and receivers of these links.
    fn ends(&self, links: &[Link]) -> Result<Vec<Ends>, RuntimeError> {
        let ends = |link: &Link| Ok((self.pod(&link.from)?, self.pod(&link.to)?));
        links.iter().map(ends).collect()
    }

    /// Starts an agent whose container was made, and waits until it answers.
    async fn start_agent(&self, id: &str) -> Result<Agent, String> {
        let agent = Agent::attach(&self.docker, id).await?;
        self.maker.start(id).await?;
        match agent.rules(&AgentRequest::Renew).await {
            Ok(_) => Ok(agent),
            Err(e) => {
                let said = String::from_utf8_lossy(&agent.stderr()).trim().to_string();
                Err(format!("the agent does not answer: {e} {said}"))
            }
        }
    }

    async fn make_node(&self, launch: Launch) -> Result<Node, String> {
        let unit = launch.unit.clone();
        let agent_id = self.maker.agent(&unit, self.ips[&unit], true).await?;
        let made = self.maker.node(&launch, &agent_id);
        let (agent, node) = tokio::try_join!(self.start_agent(&agent_id), made)?;
        self.maker.start(&node).await?;
        let pod = Pod::new(unit, agent, agent_id);
        Ok(Node::new(pod, launch, self.image.clone(), node))
    }

    async fn make_instrument(
        &self,
        launch: &Launch,
        stderr: Stderr,
    ) -> Result<(Pod, Streams), String> {
        let unit = launch.unit.clone();
        let agent_id = self.maker.agent(&unit, self.ips[&unit], false).await?;
        let made = self.maker.instrument(launch, &agent_id);
        let (agent, id) = tokio::try_join!(self.start_agent(&agent_id), made)?;
        let streams = attach(&self.docker, &id, stderr).await?;
        self.maker.start(&id).await?;
        let pod = Pod::new(unit, agent, agent_id);
        Ok((pod, streams))
    }

    async fn inspect(&self, node: &Node) -> Result<ProcessState, RuntimeError> {
        let what = format!("state of {}", node.name());
        let container = node.container();
        let asked = self
            .docker
            .inspect_container(&container, None::<InspectContainerOptions>);
        let state = bounded(&what, asked).await?.state;
        let state = state.ok_or_else(|| err(format!("{what}: Docker does not say")))?;
        let identity = format!(
            "{}/{}",
            state.pid.unwrap_or_default(),
            state.started_at.unwrap_or_default()
        );
        Ok(match (state.running, state.paused) {
            (Some(true), Some(true)) => ProcessState::Paused { identity },
            (Some(true), _) => ProcessState::Running { identity },
            _ => {
                let code = state.exit_code.unwrap_or_default();
                ProcessState::Exited(match state.oom_killed {
                    Some(true) => Exit::OutOfMemory(code),
                    _ => Exit::Code(code),
                })
            }
        })
    }

    /// Keeps what is wrong with a pod's links from now on.
    fn keep(&self, pod: &Arc<Pod>, node: Option<Arc<Node>>) {
        self.rules.add(pod.clone());
        let keeper = Keeper {
            docker: self.docker.clone(),
            rules: self.rules.clone(),
            pod: pod.clone(),
            node,
        };
        lock(&self.keepers).spawn(keeper.run());
    }

    /// Waits until the agent knows what should be wrong: a node must not join a namespace before.
    async fn agent_is_ready(&self, pod: &Pod) -> Result<(), RuntimeError> {
        let ready = async {
            while !matches!(
                pod.agent.rules(&AgentRequest::Renew).await,
                Ok(Told::Known { .. })
            ) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let late = |_| {
            err(format!(
                "the agent of {}, in whose network its node is, does not answer within {READY:?}",
                pod.unit
            ))
        };
        tokio::time::timeout(READY, ready).await.map_err(late)
    }

    async fn kill_node(&self, node: &Node) -> Result<(), RuntimeError> {
        self.end_node(node, "kill", "SIGKILL", ENGINE).await
    }

    /// Sends a signal that should end the node, and waits until it has ended.
    async fn end_node(
        &self,
        node: &Node,
        what: &str,
        signal: &str,
        within: Duration,
    ) -> Result<(), RuntimeError> {
        let what = format!("{what} of {}", node.name());
        let signal = KillContainerOptions {
            signal: signal.into(),
        };
        let container = node.container();
        let killed = self.docker.kill_container(&container, Some(signal));
        match bounded(&what, async { Ok::<_, String>(killed.await) }).await? {
            Ok(()) => {}
            // It does not run: what was wanted.
            Err(e) if status(&e) == Some(409) => {}
            Err(e) => return Err(err(format!("{what}: {e}"))),
        }
        let ended = async {
            while !matches!(self.inspect(node).await?, ProcessState::Exited(_)) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok::<_, RuntimeError>(())
        };
        match tokio::time::timeout(within, ended).await {
            Ok(done) => done,
            Err(_) => Err(err(format!(
                "{what}: it has not ended {within:?} after the signal"
            ))),
        }
    }
}

impl Runtime for DockerRuntime {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn engine_version(&self) -> Option<String> {
        Some(self.engine.version.clone())
    }

    fn bind_addr(&self, unit: &str, port: &str) -> Option<SocketAddr> {
        // Every address of its namespace: others reach it at its own, its agent at loopback.
        self.port(unit, port)
            .map(|port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
    }

    fn reach_addr(&self, from: &str, to: &str, port: &str) -> Option<SocketAddr> {
        self.ips.get(from)?;
        self.addr(to, port)
    }

    fn host_addr(&self, unit: &str, port: &str) -> Option<SocketAddr> {
        self.addr(unit, port)
    }

    fn launch_nodes<'a>(&'a self, nodes: Vec<Launch>) -> Fut<'a, ()> {
        Box::pin(async move {
            for launch in &nodes {
                if !self.unit(&launch.unit)?.node {
                    return Err(err(format!("{} is an instrument, not a node", launch.unit)));
                }
                if lock(&self.nodes).contains_key(&launch.unit) {
                    return Err(err(format!("{} was launched twice", launch.unit)));
                }
            }
            let nodes = nodes.into_iter().map(|launch| async move {
                let what = launch.unit.clone();
                bounded(&what, self.make_node(launch)).await
            });
            for node in try_join_all(nodes).await? {
                let node = Arc::new(node);
                self.keep(&node.pod, Some(node.clone()));
                lock(&self.nodes).insert(node.name().to_string(), node);
            }
            Ok(())
        })
    }

    fn launch_instrument<'a>(&'a self, launch: Launch) -> Fut<'a, Instrument> {
        Box::pin(async move {
            if self.unit(&launch.unit)?.node {
                return Err(err(format!("{} is a node, not an instrument", launch.unit)));
            }
            let stderr = Stderr::default();
            let made = self.make_instrument(&launch, stderr.clone());
            let (pod, streams) = bounded(&launch.unit, made).await?;
            self.keep(&Arc::new(pod), None);
            lock(&self.instruments).insert(launch.unit, stderr);
            Ok(Instrument {
                stdin: streams.stdin,
                stdout: Box::new(streams.stdout),
            })
        })
    }

    fn kill<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            let found = self.node(node)?;
            let _turn = found.turn.lock().await;
            self.kill_node(&found).await
        })
    }

    fn stop<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            let found = self.node(node)?;
            let _turn = found.turn.lock().await;
            self.end_node(&found, "stop", "SIGTERM", STOP).await
        })
    }

    fn power_off<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            let found = self.node(node)?;
            let silence = self.rules.change([node], |w| w.silence(node));
            silence.await.map_err(err)?;
            let _turn = found.turn.lock().await;
            self.kill_node(&found).await
        })
    }

    fn start<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            let found = self.node(node)?;
            let back = self.rules.change([node], |w| w.unsilence(node));
            back.await.map_err(err)?;
            let _turn = found.turn.lock().await;
            if !matches!(self.inspect(&found).await?, ProcessState::Exited(_)) {
                return Ok(());
            }
            self.agent_is_ready(&found.pod).await?;
            bounded(
                &format!("start of {node}"),
                self.maker.start(&found.container()),
            )
            .await
        })
    }

    fn provide<'a>(&'a self, binary: Option<&'a Path>) -> Fut<'a, String> {
        Box::pin(async move {
            let Some(binary) = binary else {
                return Ok(self.image.clone());
            };
            let made = async {
                let name = image::ensure_of(&self.docker, binary).await?;
                image::id(&self.docker, &name).await
            };
            bounded_by(IMAGE, &format!("image of {}", binary.display()), made).await
        })
    }

    fn install<'a>(&'a self, node: &'a str, program: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            let found = self.node(node)?;
            let _turn = found.turn.lock().await;
            if !matches!(self.inspect(&found).await?, ProcessState::Exited(_)) {
                return Err(err(format!("{node} runs: it cannot be another program")));
            }
            if !found.choose(program) {
                let number = found.containers().len();
                let made =
                    self.maker
                        .other_node(&found.launch, &found.pod.agent_id, program, number);
                let made = bounded(&format!("container of {node}"), made).await?;
                found.add(program.to_string(), made);
            }
            Ok(())
        })
    }

    fn executes<'a>(&'a self, node: &'a str) -> Fut<'a, String> {
        Box::pin(async move {
            let found = self.node(node)?;
            if !matches!(self.inspect(&found).await?, ProcessState::Running { .. }) {
                return Err(err(format!("{node} does not run")));
            }
            let what = format!("image of {node}");
            let id = found.container();
            let asked = self
                .docker
                .inspect_container(&id, None::<InspectContainerOptions>);
            let image = bounded(&what, asked).await?.image;
            image.ok_or_else(|| err(format!("{what}: Docker does not say")))
        })
    }

    fn pause<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            let found = self.node(node)?;
            let _turn = found.turn.lock().await;
            if matches!(self.inspect(&found).await?, ProcessState::Paused { .. }) {
                return Ok(());
            }
            bounded(
                &format!("pause of {node}"),
                self.docker.pause_container(&found.container()),
            )
            .await
        })
    }

    fn resume<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            let found = self.node(node)?;
            let _turn = found.turn.lock().await;
            if !matches!(self.inspect(&found).await?, ProcessState::Paused { .. }) {
                return Ok(());
            }
            bounded(
                &format!("resumption of {node}"),
                self.docker.unpause_container(&found.container()),
            )
            .await?;
            // Its agent may have been started anew meanwhile.
            keeper::rejoin_in_turn(&self.docker, &found).await.map(drop)
        })
    }

    fn process<'a>(&'a self, node: &'a str) -> Fut<'a, ProcessState> {
        Box::pin(async move { self.inspect(&*self.node(node)?).await })
    }

    fn cut<'a>(&'a self, links: &'a [Link]) -> Fut<'a, ()> {
        Box::pin(self.change(links, |w| w.cut(links, Gate::Cut)))
    }

    fn reject<'a>(&'a self, links: &'a [Link]) -> Fut<'a, ()> {
        Box::pin(self.change(links, |w| w.cut(links, Gate::Reject)))
    }

    fn open<'a>(&'a self, links: &'a [Link]) -> Fut<'a, ()> {
        Box::pin(self.change(links, |w| w.open(links)))
    }

    fn probe<'a>(&'a self, links: &'a [Link]) -> Fut<'a, Vec<LinkState>> {
        Box::pin(async move {
            let ends = self.ends(links)?;
            Ok(probe::probe(&ends, &self.ips).await)
        })
    }

    fn shape<'a>(&'a self, links: &'a [Link], traffic: Traffic) -> Fut<'a, ()> {
        Box::pin(self.change(links, move |w| w.shape(links, traffic)))
    }

    fn unshape<'a>(&'a self, links: &'a [Link]) -> Fut<'a, ()> {
        Box::pin(self.change(links, |w| w.unshape(links)))
    }

    fn measure<'a>(
        &'a self,
        links: &'a [Link],
        sounding: Sounding,
    ) -> Fut<'a, Vec<Result<Heard, String>>> {
        Box::pin(async move {
            let ends = self.ends(links)?;
            Ok(measure::measure(&ends, &self.ips, sounding).await)
        })
    }

    fn lapses(&self) -> Vec<String> {
        self.rules.lapses()
    }

    fn gaps(&self) -> Vec<Gap> {
        self.rules.gaps()
    }

    fn admin<'a>(&'a self, node: &'a str, path: &'a str, deadline: Duration) -> Fut<'a, String> {
        Box::pin(async move {
            let found = self.node(node)?;
            let port = self.port(node, "admin");
            let request = AgentRequest::Get {
                port: port.ok_or_else(|| err(format!("{node} has no admin port")))?,
                path: path.to_string(),
                deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
            };
            // The deadline is the caller's; the time beyond it is for the way to the agent.
            let answer =
                tokio::time::timeout(deadline + ASK, found.pod.agent.ask(&request, deadline));
            match answer.await {
                Ok(Ok(AgentAnswer::Body(body))) => Ok(body),
                Ok(Ok(other)) => Err(err(format!("{node}: unexpected answer {other:?}"))),
                Ok(Err(e)) => Err(err(format!("{node}: {e}"))),
                Err(_) => Err(err(format!("{node}: its agent does not answer"))),
            }
        })
    }

    fn files<'a>(&'a self, node: &'a str, request: FilesRequest) -> Fut<'a, FilesAnswer> {
        Box::pin(async move {
            let found = self.node(node)?;
            let request = AgentRequest::Files(request);
            match found.pod.agent.ask(&request, FILES).await {
                Ok(AgentAnswer::Files(answer)) => Ok(answer),
                Ok(other) => Err(err(format!("{node}: unexpected answer {other:?}"))),
                Err(e) => Err(err(format!("{node}: {e}"))),
            }
        })
    }

    fn limit<'a>(&'a self, node: &'a str, bounds: Limits) -> Fut<'a, ()> {
        Box::pin(async move {
            let container = self.node(node)?.container();
            let set = limits::set(&self.docker, &container, bounds);
            bounded(&format!("bounds of {node}"), set).await
        })
    }

    fn usage<'a>(&'a self, node: &'a str) -> Fut<'a, Usage> {
        Box::pin(async move {
            let container = self.node(node)?.container();
            let asked = limits::usage(&self.docker, &container);
            bounded(&format!("usage of {node}"), asked).await
        })
    }

    fn collect_logs<'a>(&'a self, dir: &'a Path) -> Fut<'a, ()> {
        Box::pin(async move {
            let nodes: Vec<_> = lock(&self.nodes).values().cloned().collect();
            let saved = nodes.iter().map(|node| async move {
                let what = format!("log of {}", node.name());
                bounded(&what, logs::save(&self.docker, node, dir)).await
            });
            try_join_all(saved).await?;
            for pod in self.rules.pods() {
                logs::complaints(&pod, dir).map_err(err)?;
            }
            for (unit, stderr) in lock(&self.instruments).iter() {
                logs::write(dir, unit, &lock(stderr)).map_err(err)?;
            }
            Ok(())
        })
    }

    fn down<'a>(&'a self) -> Fut<'a, ()> {
        Box::pin(async move {
            let mut keepers = std::mem::take(&mut *lock(&self.keepers));
            // None of them may bring back what is removed.
            keepers.shutdown().await;
            let run = &self.maker.marks.run;
            let find =
                || async { bounded("search", leftovers::find_on(&self.docker, Some(run))).await };
            let mut failed = Vec::new();
            for round in 0..2 {
                let things = find().await?;
                let now = things
                    .iter()
                    .filter(|l| matches!(l.thing, Thing::Container { .. }) == (round == 0));
                let removed = join_all(now.map(|l| async {
                    let done = leftovers::remove(&self.docker, &l.thing).await;
                    done.map_err(|e| format!("{}: {e}", l.thing))
                }));
                failed.extend(removed.await.into_iter().filter_map(Result::err));
            }
            let left = find().await?;
            if left.is_empty() {
                return Ok(());
            }
            let left: Vec<String> = left.iter().map(|l| l.thing.to_string()).collect();
            Err(err(format!(
                "not removed: {}; {}",
                left.join(", "),
                failed.join("; ")
            )))
        })
    }
}
