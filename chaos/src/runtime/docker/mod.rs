//! Units as containers, from an image of the running binary.
//!
//! A node is a pod of two containers: an agent, which holds the network
//! namespace and the address and may filter packets in it, and the node
//! itself, which joins that namespace and may do nothing special. So rules
//! outlive the node's death, and the host's own namespaces are never touched.

mod attach;
mod containers;
mod engine;
pub(crate) mod image;
mod keeper;
pub(crate) mod leftovers;
mod limits;
mod logs;
mod measure;
mod pod;
mod probe;
mod prober;
mod rules;
mod state;
mod subnet;

pub use engine::{EngineDetails, EngineInfo, available, details};
pub use prober::facilities;

use self::attach::{Stderr, attach};
use self::containers::Maker;
use self::engine::status;
use self::keeper::Keeper;
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
use super::wanted::Gate;
use super::{
    Fut, Gap, Instrument, Launch, Link, LinkState, ProcessState, Runtime, RuntimeError, UnitSpec,
};
use crate::abilities::{Abilities, Ability, Offer};
use bollard::Docker;
use bollard::query_parameters::{InspectContainerOptions, KillContainerOptions};
use futures_util::future::{join_all, try_join_all};
use std::collections::HashMap;
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

/// Why some links are not looked at.
const INSTRUMENT: &str = "one end is an instrument, which cannot be asked";
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
    pods: Mutex<HashMap<String, Arc<Pod>>>,
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
    /// network of at least a /16, for example `198.18.0.0/16`.
    ///
    /// # Errors
    /// No engine; a subnet that is invalid or taken; more units than addresses.
    pub async fn new(
        marks: RunMarks,
        units: Vec<UnitSpec>,
        subnet: &str,
    ) -> Result<Self, RuntimeError> {
        let subnet = Subnet::for_run(subnet).map_err(err)?;
        let ips = subnet.place(&units).map_err(err)?;
        let (docker, engine) = engine::connect().await.map_err(err)?;
        let image = bounded_by(IMAGE, "image", image::ensure(&docker)).await?;
        let image_id = bounded("image", image::id(&docker, &image)).await?;
        let network = bounded("network", containers::network(&docker, &marks, subnet)).await?;
        let rules = Arc::new(Rules::new(docker.clone(), ips.clone()));
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
            pods: Mutex::new(HashMap::new()),
            instruments: Mutex::new(HashMap::new()),
            rules,
            keepers: Mutex::default(),
        })
    }

    /// What can be made wrong in containers on this host; tried, once in the life of this process.
    pub async fn abilities() -> Abilities {
        let by = |technique: &str| Offer::By(technique.into());
        let found = prober::facilities().await;
        Abilities {
            runtime: "docker",
            offers: [
                (Ability::Processes, by("Docker")),
                (Ability::Programs, by("images")),
                (Ability::Cuts, found.offer(Facility::Nftables)),
                (Ability::Disks, by("the store's disk layer")),
                (Ability::StoredData, by("the nodes' volumes")),
                (Ability::Rejects, found.offer(Facility::Reject)),
                (Ability::SlowLinks, found.offer(Facility::Nfqueue)),
                (Ability::SpoiltMessages, found.offer(Facility::Nfqueue)),
                (Ability::Clocks, by("the store's clock")),
                (Ability::Bounds, by("control groups")),
            ]
            .into(),
        }
    }

    fn unit(&self, name: &str) -> Result<&UnitSpec, RuntimeError> {
        let found = self.units.iter().find(|u| u.name == name);
        found.ok_or_else(|| err(format!("there is no unit {name}")))
    }

    fn ip(&self, name: &str) -> Result<Ipv4Addr, RuntimeError> {
        self.ips
            .get(name)
            .copied()
            .ok_or_else(|| err(format!("there is no unit {name}")))
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

    fn pod(&self, node: &str) -> Result<Arc<Pod>, RuntimeError> {
        let found = lock(&self.pods).get(node).cloned();
        found.ok_or_else(|| err(format!("{node} was never launched")))
    }

    /// # Errors
    /// A link between instruments, or of a unit that does not exist.
    fn has_nodes(&self, links: &[Link]) -> Result<(), RuntimeError> {
        for link in links {
            let ends = [self.unit(&link.from)?, self.unit(&link.to)?];
            if !ends.iter().any(|u| u.node) {
                return Err(err(format!(
                    "{} and {} are instruments",
                    link.from, link.to
                )));
            }
        }
        Ok(())
    }

    /// Those links whose ends can be asked: their places in the list, and their ends.
    fn between_pods(&self, links: &[Link]) -> Result<(Vec<usize>, Vec<Ends>), RuntimeError> {
        let mut found = (Vec::new(), Vec::new());
        for (place, link) in links.iter().enumerate() {
            if self.unit(&link.from)?.node && self.unit(&link.to)?.node {
                found.0.push(place);
                found.1.push((self.pod(&link.from)?, self.pod(&link.to)?));
            }
        }
        Ok(found)
    }

    async fn launch_pod(&self, launch: Launch) -> Result<Arc<Pod>, String> {
        let unit = launch.unit.clone();
        let agent_id = self.maker.agent(&unit, self.ips[&unit]).await?;
        let agent = async {
            let agent = Agent::attach(&self.docker, &agent_id).await?;
            self.maker.start(&agent_id).await?;
            match agent.rules(&AgentRequest::Renew).await {
                Ok(_) => Ok(agent),
                Err(e) => {
                    let said = String::from_utf8_lossy(&agent.stderr()).trim().to_string();
                    Err(format!("the agent does not answer: {e} {said}"))
                }
            }
        };
        let (agent, node) = tokio::try_join!(agent, self.maker.node(&launch, &agent_id))?;
        self.maker.start(&node).await?;
        let image = self.image.clone();
        Ok(Arc::new(Pod::new(launch, agent, agent_id, image, node)))
    }

    async fn inspect(&self, pod: &Pod) -> Result<ProcessState, RuntimeError> {
        let what = format!("state of {}", pod.unit);
        let node = pod.node();
        let asked = self
            .docker
            .inspect_container(&node, None::<InspectContainerOptions>);
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
                let memory = if state.oom_killed == Some(true) {
                    ", out of memory"
                } else {
                    ""
                };
                ProcessState::Exited {
                    how: format!("exit code {code}{memory}"),
                }
            }
        })
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

    async fn kill_pod(&self, pod: &Pod) -> Result<(), RuntimeError> {
        self.end_pod(pod, "kill", "SIGKILL", ENGINE).await
    }

    /// Sends a signal that should end the node, and waits until it has ended.
    async fn end_pod(
        &self,
        pod: &Pod,
        what: &str,
        signal: &str,
        within: Duration,
    ) -> Result<(), RuntimeError> {
        let what = format!("{what} of {}", pod.unit);
        let signal = KillContainerOptions {
            signal: signal.into(),
        };
        let node = pod.node();
        let killed = self.docker.kill_container(&node, Some(signal));
        match bounded(&what, async { Ok::<_, String>(killed.await) }).await? {
            Ok(()) => {}
            // It does not run: what was wanted.
            Err(e) if status(&e) == Some(409) => {}
            Err(e) => return Err(err(format!("{what}: {e}"))),
        }
        let ended = async {
            while !matches!(self.inspect(pod).await?, ProcessState::Exited { .. }) {
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
                if lock(&self.pods).contains_key(&launch.unit) {
                    return Err(err(format!("{} was launched twice", launch.unit)));
                }
            }
            let pods = nodes.into_iter().map(|launch| async move {
                let what = launch.unit.clone();
                bounded(&what, self.launch_pod(launch)).await
            });
            for pod in try_join_all(pods).await? {
                self.rules.add(pod.clone());
                let keeper = Keeper {
                    docker: self.docker.clone(),
                    rules: self.rules.clone(),
                    pod: pod.clone(),
                };
                lock(&self.keepers).spawn(keeper.run());
                lock(&self.pods).insert(pod.unit.clone(), pod);
            }
            Ok(())
        })
    }

    fn launch_instrument<'a>(&'a self, launch: Launch) -> Fut<'a, Instrument> {
        Box::pin(async move {
            let ip = self.ip(&launch.unit)?;
            let stderr = Stderr::default();
            let what = launch.unit.clone();
            let started = async {
                let id = self.maker.instrument(&launch, ip).await?;
                let streams = attach(&self.docker, &id, stderr.clone()).await?;
                self.maker.start(&id).await?;
                Ok::<_, String>(streams)
            };
            let streams = bounded(&what, started).await?;
            lock(&self.instruments).insert(what, stderr);
            Ok(Instrument {
                stdin: streams.stdin,
                stdout: Box::new(streams.stdout),
            })
        })
    }

    fn kill<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            let pod = self.pod(node)?;
            let _turn = pod.turn.lock().await;
            self.kill_pod(&pod).await
        })
    }

    fn stop<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            let pod = self.pod(node)?;
            let _turn = pod.turn.lock().await;
            self.end_pod(&pod, "stop", "SIGTERM", STOP).await
        })
    }

    fn power_off<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            let pod = self.pod(node)?;
            self.rules.change(|w| w.silence(node)).await.map_err(err)?;
            let _turn = pod.turn.lock().await;
            self.kill_pod(&pod).await
        })
    }

    fn start<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            let pod = self.pod(node)?;
            self.rules
                .change(|w| w.unsilence(node))
                .await
                .map_err(err)?;
            let _turn = pod.turn.lock().await;
            if !matches!(self.inspect(&pod).await?, ProcessState::Exited { .. }) {
                return Ok(());
            }
            self.agent_is_ready(&pod).await?;
            bounded(&format!("start of {node}"), self.maker.start(&pod.node())).await
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
            let pod = self.pod(node)?;
            let _turn = pod.turn.lock().await;
            if !matches!(self.inspect(&pod).await?, ProcessState::Exited { .. }) {
                return Err(err(format!("{node} runs: it cannot be another program")));
            }
            if !pod.choose(program) {
                let number = pod.nodes().len();
                let made = self
                    .maker
                    .other_node(&pod.launch, &pod.agent_id, program, number);
                let made = bounded(&format!("container of {node}"), made).await?;
                pod.add(program.to_string(), made);
            }
            Ok(())
        })
    }

    fn executes<'a>(&'a self, node: &'a str) -> Fut<'a, String> {
        Box::pin(async move {
            let pod = self.pod(node)?;
            if !matches!(self.inspect(&pod).await?, ProcessState::Running { .. }) {
                return Err(err(format!("{node} does not run")));
            }
            let what = format!("image of {node}");
            let id = pod.node();
            let asked = self
                .docker
                .inspect_container(&id, None::<InspectContainerOptions>);
            let image = bounded(&what, asked).await?.image;
            image.ok_or_else(|| err(format!("{what}: Docker does not say")))
        })
    }

    fn pause<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            let pod = self.pod(node)?;
            let _turn = pod.turn.lock().await;
            if matches!(self.inspect(&pod).await?, ProcessState::Paused { .. }) {
                return Ok(());
            }
            bounded(
                &format!("pause of {node}"),
                self.docker.pause_container(&pod.node()),
            )
            .await
        })
    }

    fn resume<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            let pod = self.pod(node)?;
            let _turn = pod.turn.lock().await;
            if !matches!(self.inspect(&pod).await?, ProcessState::Paused { .. }) {
                return Ok(());
            }
            bounded(
                &format!("resumption of {node}"),
                self.docker.unpause_container(&pod.node()),
            )
            .await?;
            // Its agent may have been started anew meanwhile.
            keeper::rejoin_in_turn(&self.docker, &pod).await.map(drop)
        })
    }

    fn process<'a>(&'a self, node: &'a str) -> Fut<'a, ProcessState> {
        Box::pin(async move { self.inspect(&*self.pod(node)?).await })
    }

    fn cut<'a>(&'a self, links: &'a [Link]) -> Fut<'a, ()> {
        Box::pin(async move {
            self.has_nodes(links)?;
            let done = self.rules.change(|w| w.cut(links, Gate::Cut));
            done.await.map_err(err)
        })
    }

    fn reject<'a>(&'a self, links: &'a [Link]) -> Fut<'a, ()> {
        Box::pin(async move {
            self.has_nodes(links)?;
            let done = self.rules.change(|w| w.cut(links, Gate::Reject));
            done.await.map_err(err)
        })
    }

    fn open<'a>(&'a self, links: &'a [Link]) -> Fut<'a, ()> {
        Box::pin(async move { self.rules.change(|w| w.open(links)).await.map_err(err) })
    }

    fn probe<'a>(&'a self, links: &'a [Link]) -> Fut<'a, Vec<LinkState>> {
        Box::pin(async move {
            let (places, pairs) = self.between_pods(links)?;
            let mut states = vec![LinkState::Unknown(INSTRUMENT.into()); links.len()];
            let seen = probe::probe(&pairs, &self.ips).await;
            for (place, state) in places.into_iter().zip(seen) {
                states[place] = state;
            }
            Ok(states)
        })
    }

    fn shape<'a>(&'a self, links: &'a [Link], traffic: Traffic) -> Fut<'a, ()> {
        Box::pin(async move {
            self.has_nodes(links)?;
            let done = self.rules.change(|w| w.shape(links, traffic));
            done.await.map_err(err)
        })
    }

    fn unshape<'a>(&'a self, links: &'a [Link]) -> Fut<'a, ()> {
        Box::pin(async move { self.rules.change(|w| w.unshape(links)).await.map_err(err) })
    }

    fn measure<'a>(
        &'a self,
        links: &'a [Link],
        sounding: Sounding,
    ) -> Fut<'a, Vec<Result<Heard, String>>> {
        Box::pin(async move {
            let (places, pairs) = self.between_pods(links)?;
            let mut all = vec![Err(INSTRUMENT.to_string()); links.len()];
            let heard = measure::measure(&pairs, &self.ips, sounding).await;
            for (place, heard) in places.into_iter().zip(heard) {
                all[place] = heard;
            }
            Ok(all)
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
            let pod = self.pod(node)?;
            let port = self.port(node, "admin");
            let request = AgentRequest::Get {
                port: port.ok_or_else(|| err(format!("{node} has no admin port")))?,
                path: path.to_string(),
                deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
            };
            // The deadline is the caller's; the time beyond it is for the way to the agent.
            let answer = tokio::time::timeout(deadline + ASK, pod.agent.ask(&request, deadline));
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
            let pod = self.pod(node)?;
            match pod.agent.ask(&AgentRequest::Files(request), FILES).await {
                Ok(AgentAnswer::Files(answer)) => Ok(answer),
                Ok(other) => Err(err(format!("{node}: unexpected answer {other:?}"))),
                Err(e) => Err(err(format!("{node}: {e}"))),
            }
        })
    }

    fn limit<'a>(&'a self, node: &'a str, bounds: Limits) -> Fut<'a, ()> {
        Box::pin(async move {
            let container = self.pod(node)?.node();
            let set = limits::set(&self.docker, &container, bounds);
            bounded(&format!("bounds of {node}"), set).await
        })
    }

    fn usage<'a>(&'a self, node: &'a str) -> Fut<'a, Usage> {
        Box::pin(async move {
            let container = self.pod(node)?.node();
            let asked = limits::usage(&self.docker, &container);
            bounded(&format!("usage of {node}"), asked).await
        })
    }

    fn collect_logs<'a>(&'a self, dir: &'a Path) -> Fut<'a, ()> {
        Box::pin(async move {
            let pods: Vec<_> = lock(&self.pods).values().cloned().collect();
            let saved = pods.iter().map(|pod| async move {
                bounded(
                    &format!("log of {}", pod.unit),
                    logs::save(&self.docker, pod, dir),
                )
                .await
            });
            try_join_all(saved).await?;
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
