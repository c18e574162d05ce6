//! Units as containers, from an image of the running binary.
//!
//! A unit is a pod of two containers: an agent, which holds the network
//! namespace and the address and may filter packets in it, and the node or
//! instrument itself, which joins that namespace and may do nothing special. So
//! rules outlive a node's death, every link has somebody at either end who can
//! be asked, and the host's own namespaces are never touched.

mod acts;
pub mod adopted;
mod attach;
mod containers;
mod deadline;
mod endpoint;
mod endpoints;
mod engine;
#[cfg(test)]
mod fake;
mod host;
pub(crate) mod image;
mod inspect;
mod join;
mod keeper;
mod launch;
pub(crate) mod leftovers;
mod lifecycle;
mod limits;
mod logs;
mod measure;
mod node;
mod peers;
mod pod;
mod probe;
mod prober;
mod removal;
mod rules;
mod state;
mod subnet;
mod techniques;
pub mod volume;

pub use containers::subnet_is_free;
pub use engine::{EngineDetails, EngineInfo, available, details};
pub use prober::facilities;
pub use subnet::check_subnet;
pub use techniques::{Technique, Techniques};

use self::acts::{ACT, Acts, PATIENCE};
use self::attach::Stderr;
use self::containers::{Maker, Net};
use self::deadline::{ENGINE, IMAGE, bounded, bounded_by, err};
use self::keeper::{Holder, Keeper};
use self::lifecycle::Lifecycle;
use self::node::Node;
use self::peers::{Addresses, Peers};
use self::pod::{ASK, Pod};
use self::rules::Rules;
use self::subnet::Subnet;
use super::agent::{AgentAnswer, AgentRequest};
use super::control::lock;
use super::facilities::Facility;
use super::files::{FilesAnswer, FilesRequest};
use super::leftover::{Leftover, Thing};
use super::limits::{Limits, Usage};
use super::marks::RunMarks;
use super::traffic::{Heard, Sounding, Traffic};
use super::wanted::{Gate, Wanted};
use super::{
    Fut, Gap, Instrument, Launch, Link, LinkState, ProcessState, Runtime, RuntimeError, UnitSpec,
};
use crate::abilities::{Abilities, Ability, Offer};
use bollard::Docker;
use bollard::query_parameters::InspectContainerOptions;
use futures_util::future::{join_all, try_join_all};
use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// How long a node may take to exit after SIGTERM.
const STOP: Duration = Duration::from_secs(10);
/// How long an agent may be at work on a node's files.
const FILES: Duration = Duration::from_secs(20);
/// What is being made or done when everything is taken down is waited for so long, before what is
/// there is removed.
const SETTLE: Duration = Duration::from_secs(15);

/// Sender and receiver of a link.
type Ends = (Arc<Pod>, Arc<Pod>);

/// Containers of one run.
pub struct DockerRuntime {
    engine: EngineInfo,
    docker: Docker,
    units: Vec<UnitSpec>,
    ips: HashMap<String, Ipv4Addr>,
    maker: Arc<Maker>,
    acts: Acts,
    lifecycle: Lifecycle,
    /// Id of the image that nodes are launched from.
    image: String,
    nodes: Mutex<HashMap<String, Arc<Node>>>,
    instruments: Mutex<HashMap<String, Stderr>>,
    rules: Arc<Rules>,
    keepers: Mutex<JoinSet<()>>,
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
        let addresses = Addresses::in_one_network(ips.clone());
        let peers = Arc::new(Peers::new(addresses));
        let rules = Arc::new(Rules::new(docker.clone(), peers, techniques));
        let maker = Arc::new(Maker {
            docker: docker.clone().with_timeout(PATIENCE),
            marks,
            image,
            network,
            closed: AtomicBool::new(false),
        });
        Ok(DockerRuntime {
            engine,
            acts: Acts::new(),
            lifecycle: Lifecycle::new(&docker),
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

    /// The same at one unit, until then at the latest.
    async fn change_at(
        &self,
        unit: &str,
        until: Instant,
        change: impl FnOnce(&mut Wanted),
    ) -> Result<(), RuntimeError> {
        let done = timeout_at(until, self.rules.change([unit], change));
        let late = |_| err(format!("the agent of {unit} does not answer"));
        done.await.map_err(late)?.map_err(err)
    }

    async fn kill_node(&self, node: Arc<Node>, until: Instant) -> Result<(), RuntimeError> {
        let killed = self.lifecycle.clone().end(node.clone(), "SIGKILL", ACT);
        self.acts.act_on(&node.turn, "kill", until, killed).await
    }

    /// Everything of this run that is there.
    async fn things(&self) -> Result<Vec<Leftover>, RuntimeError> {
        let run = &self.maker.marks.run;
        bounded("search", leftovers::find_on(&self.docker, Some(run))).await
    }

    /// Removes everything of this run; what could not be.
    async fn remove_all(&self) -> Result<Vec<String>, RuntimeError> {
        let mut failed = Vec::new();
        for containers in [true, false] {
            let things = self.things().await?;
            let now = things
                .iter()
                .filter(|l| matches!(l.thing, Thing::Container { .. }) == containers);
            let removed = join_all(now.map(|l| async {
                let done = leftovers::remove(&self.docker, &l.thing).await;
                done.map_err(|e| format!("{}: {e}", l.thing))
            }));
            failed.extend(removed.await.into_iter().filter_map(Result::err));
        }
        Ok(failed)
    }

    /// Keeps what is wrong with a pod's links from now on.
    fn keep(&self, pod: &Arc<Pod>, node: Option<Arc<Node>>) {
        self.rules.add(pod.clone());
        let keeper = Keeper {
            docker: self.docker.clone().with_timeout(PATIENCE),
            rules: self.rules.clone(),
            pod: pod.clone(),
            holder: Holder::Agent(node),
        };
        lock(&self.keepers).spawn(keeper.run());
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
                let what = format!("start of {}", launch.unit);
                let (maker, image) = (self.maker.clone(), self.image.clone());
                let ip = self.ips[&launch.unit];
                let made = async move { maker.launch_node(launch, ip, image).await };
                self.acts.act(&what, Instant::now() + ENGINE, made).await
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
            let (unit, stderr) = (launch.unit.clone(), Stderr::default());
            let (maker, ip, said) = (self.maker.clone(), self.ips[&unit], stderr.clone());
            let made = async move {
                maker
                    .launch_instrument(launch, Net::At(ip), &[], said)
                    .await
            };
            let what = format!("start of {unit}");
            let made = self.acts.act(&what, Instant::now() + ENGINE, made);
            let (pod, streams) = made.await?;
            self.keep(&Arc::new(pod), None);
            lock(&self.instruments).insert(unit, stderr);
            Ok(Instrument {
                stdin: streams.stdin,
                stdout: Box::new(streams.stdout),
            })
        })
    }

    fn kill<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            let until = Instant::now() + ACT;
            self.kill_node(self.node(node)?, until).await
        })
    }

    fn stop<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            let (node, lifecycle) = (self.node(node)?, self.lifecycle.clone());
            let stopped = lifecycle.end(node.clone(), "SIGTERM", STOP);
            let until = Instant::now() + ACT;
            self.acts.act_on(&node.turn, "stop", until, stopped).await
        })
    }

    fn silence<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            self.node(node)?;
            let until = Instant::now() + ACT;
            self.change_at(node, until, |w| w.silence(node)).await
        })
    }

    fn power_off<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            let (found, until) = (self.node(node)?, Instant::now() + ACT);
            self.change_at(node, until, |w| w.silence(node)).await?;
            self.kill_node(found, until).await
        })
    }

    fn start<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            let (found, until) = (self.node(node)?, Instant::now() + ACT);
            self.change_at(node, until, |w| w.unsilence(node)).await?;
            let started = self.lifecycle.clone().start(found.clone());
            self.acts.act_on(&found.turn, "start", until, started).await
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
            let (found, until) = (self.node(node)?, Instant::now() + ACT);
            let (maker, lifecycle) = (self.maker.clone(), self.lifecycle.clone());
            let (node, program) = (found.clone(), program.to_string());
            let installed = async move {
                if !matches!(lifecycle.inspect(&node).await?, ProcessState::Exited(_)) {
                    return Err(err("it runs and cannot be another program"));
                }
                if !node.choose(&program) {
                    let number = node.containers().len();
                    let agent = &node.pod.agent_id;
                    let made = maker.other_node(&node.launch, agent, &program, number);
                    let made = made.await.map_err(err)?;
                    node.add(program, made);
                }
                Ok(())
            };
            let what = "change of the program";
            self.acts.act_on(&found.turn, what, until, installed).await
        })
    }

    fn executes<'a>(&'a self, node: &'a str) -> Fut<'a, String> {
        Box::pin(async move {
            let found = self.node(node)?;
            let state = self.lifecycle.inspect(&found).await?;
            if !matches!(state, ProcessState::Running { .. }) {
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
            let (node, until) = (self.node(node)?, Instant::now() + ACT);
            let paused = self.lifecycle.clone().pause(node.clone());
            self.acts.act_on(&node.turn, "pause", until, paused).await
        })
    }

    fn resume<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            let (node, until) = (self.node(node)?, Instant::now() + ACT);
            let resumed = self.lifecycle.clone().resume(node.clone());
            self.acts
                .act_on(&node.turn, "resumption", until, resumed)
                .await
        })
    }

    fn process<'a>(&'a self, node: &'a str) -> Fut<'a, ProcessState> {
        Box::pin(async move { self.lifecycle.inspect(&*self.node(node)?).await })
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
            Ok(probe::probe(&ends, &self.rules.addresses()).await)
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
            Ok(measure::measure(&ends, &self.rules.addresses(), sounding).await)
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
            let (node, until) = (self.node(node)?, Instant::now() + ACT);
            let (docker, container) = (self.docker.clone(), node.container());
            let set = async move { limits::set(&docker, &container, bounds).await };
            self.acts.act_on(&node.turn, "bounds", until, set).await
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
                let containers = node.containers();
                let saved = logs::save(&self.docker, node.name(), &containers, 0, dir);
                bounded(&what, saved).await
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
            // What is being made while it is removed would come afterwards.
            self.maker.close();
            let is_settled = self.acts.settle(SETTLE).await.is_ok();
            let mut failed = self.remove_all().await?;
            if !is_settled {
                failed.extend(self.acts.settle(ENGINE).await.err());
                failed.extend(self.remove_all().await?);
            }
            let left = self.things().await?;
            if left.is_empty() && self.acts.are_over() {
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
