//! A place whose nodes are containers that somebody else made: each with an
//! agent of ours in its network namespace, as long as the game day lasts.

use super::difference::{Difference, differences};
use super::discover::Target;
use super::follow::{Followed, places};
use super::found::Found;
use super::health::Check;
use super::leader::LeaderProbe;
use super::life::Life;
use super::refuse::Part;
use super::snapshot::{Before, Record};
use super::{events, exec, health, snapshot};
use crate::abilities::{Abilities, Ability, Offer};
use crate::runtime::control::lock;
use crate::runtime::docker::acts::{ACT, Acts, PATIENCE, Turn};
use crate::runtime::docker::attach::Stderr;
use crate::runtime::docker::containers::{Maker, Net};
use crate::runtime::docker::deadline::{ENGINE, IMAGE, bounded, bounded_by, err};
use crate::runtime::docker::engine::{self, EngineInfo};
use crate::runtime::docker::inspect::inspect;
use crate::runtime::docker::keeper::{Holder, Keeper};
use crate::runtime::docker::peers::{Addresses, Peers};
use crate::runtime::docker::pod::Pod;
use crate::runtime::docker::rules::Rules;
use crate::runtime::docker::techniques::Techniques;
use crate::runtime::docker::volume::OwnDisk;
use crate::runtime::docker::{
    DockerRuntime, Ends, image, leftovers, limits, logs, measure, probe, volume,
};
use crate::runtime::files::{FilesAnswer, FilesRequest};
use crate::runtime::limits::{Limits, Usage};
use crate::runtime::marks::RunMarks;
use crate::runtime::traffic::{Heard, Sounding, Traffic};
use crate::runtime::wanted::{Gate, Wanted};
use crate::runtime::{
    Fut, Gap, Instrument, Launch, Link, LinkState, ProcessState, Runtime, RuntimeError, UnitSpec,
};
use bollard::Docker;
use futures_util::future::{join_all, try_join_all};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

/// An adopted container.
struct Adoptee {
    target: Target,
    /// What it was.
    record: Record,
    /// How its health is found out.
    check: Check,
    followed: Arc<Followed>,
    pod: Arc<Pod>,
    turn: Turn,
    /// Its volumes that can lose power, or why they cannot.
    disks: Result<Vec<OwnDisk>, String>,
}

impl Adoptee {
    /// Its volumes that can lose power.
    fn disks(&self) -> Result<&[OwnDisk], String> {
        let name = &self.target.found.name;
        match self.disks.as_deref() {
            Ok([]) => Err(format!(
                "{name} has no volume with a file system of its own: what it has not synced would \
                 survive in the host's page cache, as after a kill; what helps: `gameday volume \
                 create`"
            )),
            Ok(disks) => Ok(disks),
            Err(why) => Err(format!("{name}: {why}")),
        }
    }

    fn allows(&self, part: Part) -> Result<(), RuntimeError> {
        match self.target.refusal(part) {
            Some(refusal) => Err(err(refusal.to_string())),
            None => Ok(()),
        }
    }
}

/// How an adopted container differs from what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Its name.
    pub container: String,
    /// In what; nothing if it is as it was.
    pub differences: Vec<Difference>,
}

/// The adopted containers of one run.
pub struct Adopted {
    engine: EngineInfo,
    docker: Docker,
    maker: Arc<Maker>,
    acts: Acts,
    rules: Arc<Rules>,
    adoptees: BTreeMap<String, Arc<Adoptee>>,
    /// Where instruments are.
    networks: Vec<String>,
    instruments: Mutex<HashMap<String, (UnitSpec, Stderr)>>,
    keepers: Mutex<JoinSet<()>>,
    /// Seconds since 1970 at which the run began.
    began: i32,
}

/// What of a game day on adopted containers is chosen beforehand.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What was chosen, see [`super::discover::choose`].
    pub targets: Vec<Target>,
    /// How the health of units is found out; of those not named, it is not.
    pub checks: BTreeMap<String, Check>,
    /// What traffic is made worse with.
    pub techniques: Techniques,
}

impl Adopted {
    /// What can be made wrong in adopted containers of this engine, with these techniques. What a
    /// single container cannot is in its [`Target::refused`].
    pub async fn abilities(techniques: Techniques) -> Abilities {
        let mut abilities = DockerRuntime::abilities(techniques).await;
        let not = |why: &str, instead: &str| Offer::Not {
            why: why.into(),
            instead: Some(instead.into()),
        };
        abilities.offers.extend([
            (
                Ability::Programs,
                not(
                    "another build of a program that is not ours is not known",
                    "the faults restart and rolling-restart",
                ),
            ),
            (
                Ability::Disks,
                not(
                    "the disk of a container that is not ours is the host's own",
                    "power-off, on a volume with a file system of its own",
                ),
            ),
            (
                Ability::StoredData,
                not(
                    "what a program that is not ours has stored is not known",
                    "faults of processes and links",
                ),
            ),
            (
                Ability::Clocks,
                not(
                    "the clock of a container that is not ours is the host's own",
                    "faults of processes and links",
                ),
            ),
        ]);
        abilities
    }

    /// Writes down in `folder` what these containers are, and on an agent for each, which joins
    /// its network namespace. Nothing is done to them yet.
    ///
    /// # Errors
    /// No engine, nothing to adopt, or an agent that cannot join: then all of them are let go.
    pub async fn adopt(marks: RunMarks, plan: Plan, folder: &Path) -> Result<Self, RuntimeError> {
        if plan.targets.is_empty() {
            return Err(err("no container is left that could be adopted"));
        }
        let (docker, engine) = engine::connect().await.map_err(err)?;
        let image = bounded_by(IMAGE, "image", image::ensure(&docker)).await?;
        let networks = plan
            .targets
            .iter()
            .flat_map(|t| t.found.networks.keys().cloned());
        let networks: BTreeSet<String> = networks.collect();
        let networks: Vec<String> = networks.into_iter().collect();
        let maker = Arc::new(Maker {
            docker: docker.clone().with_timeout(PATIENCE),
            marks,
            image,
            network: networks.first().cloned().unwrap_or_else(|| "none".into()),
            closed: AtomicBool::new(false),
        });
        let addresses = plan
            .targets
            .iter()
            .map(|t| (t.unit.clone(), places(&t.found)));
        let peers = Arc::new(Peers::new(Addresses(addresses.collect())));
        let rules = Arc::new(Rules::new(docker.clone(), peers, plan.techniques));
        let mut adopted = Adopted {
            engine,
            acts: Acts::new(),
            maker,
            rules,
            adoptees: BTreeMap::new(),
            networks,
            instruments: Mutex::default(),
            keepers: Mutex::default(),
            began: now_seconds(),
            docker,
        };
        match adopted.attach(plan, folder).await {
            Ok(()) => Ok(adopted),
            Err(e) => match adopted.down().await {
                Ok(()) => Err(e),
                Err(left) => Err(err(format!("{e}; and {left}"))),
            },
        }
    }

    async fn attach(&mut self, plan: Plan, folder: &Path) -> Result<(), RuntimeError> {
        let Plan {
            targets,
            mut checks,
            ..
        } = plan;
        let records = try_join_all(targets.iter().map(|target| self.record(target))).await?;
        snapshot::write(folder, &records).map_err(err)?;
        let attached = targets.into_iter().zip(records).map(|(target, record)| {
            let check = checks.remove(&target.unit).unwrap_or_default();
            self.attach_one(target, record, check)
        });
        let attached = join_all(attached.collect::<Vec<_>>()).await;
        for adoptee in attached {
            let adoptee = Arc::new(adoptee?);
            self.keep(
                adoptee.pod.clone(),
                Holder::Target(adoptee.followed.clone()),
            );
            self.adoptees.insert(adoptee.target.unit.clone(), adoptee);
        }
        let followed = self
            .adoptees
            .values()
            .map(|adoptee| adoptee.followed.clone());
        let listen = events::listen(
            self.docker.clone().with_timeout(PATIENCE),
            followed.collect(),
        );
        lock(&self.keepers).spawn(async move { match listen.await {} });
        Ok(())
    }

    /// What a container is, now that nothing has been done to it.
    async fn record(&self, target: &Target) -> Result<Record, RuntimeError> {
        let life = self.life_of(&target.found.id);
        let inspect = life.inspected().await?;
        let said = serde_json::from_value(inspect.clone());
        let now = Found::read(said.map_err(|e| err(e.to_string()))?).map_err(err)?;
        if now.started_at != target.found.started_at || now.standing != target.found.standing {
            return Err(err(format!(
                "{} was started, ended or paused while it was looked at; once more?",
                now.name
            )));
        }
        let before = Before::of(&target.unit, &now);
        Ok(Record { before, inspect })
    }

    async fn attach_one(
        &self,
        target: Target,
        record: Record,
        check: Check,
    ) -> Result<Adoptee, RuntimeError> {
        let (maker, unit) = (self.maker.clone(), target.unit.clone());
        let followed = Arc::new(Followed::new(&target.found));
        let before = record.before.to_label().map_err(err)?;
        let container = target.found.id.clone();
        let made = async move {
            let net = Net::Of {
                container: &container,
                before: &before,
            };
            let agent_id = maker.agent(&unit, net, false).await?;
            let agent = maker.start_agent(&agent_id).await?;
            Ok::<_, String>(Pod::new(unit, agent, agent_id))
        };
        let what = format!("start of an agent beside {}", target.found.name);
        let made = self.acts.act(&what, Instant::now() + ENGINE, made).await?;
        let pod = Arc::new(made);
        // If it was started anew meanwhile, this is seen, and the agent follows.
        followed.joined(&target.found);
        followed.join(&self.docker, &self.rules, &pod).await?;
        let disks = volume::disks(&self.docker, &target.found).await;
        Ok(Adoptee {
            disks,
            turn: Turn::new(&target.unit),
            target,
            record,
            check,
            followed,
            pod,
        })
    }

    /// Keeps what is wrong with a pod's links from now on.
    fn keep(&self, pod: Arc<Pod>, holder: Holder) {
        self.rules.add(pod.clone());
        let keeper = Keeper {
            docker: self.docker.clone().with_timeout(PATIENCE),
            rules: self.rules.clone(),
            pod,
            holder,
        };
        lock(&self.keepers).spawn(keeper.run());
    }

    fn life_of(&self, id: &str) -> Life {
        Life {
            docker: self.docker.clone().with_timeout(PATIENCE),
            id: id.into(),
        }
    }

    /// What is adopted, by unit.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.adoptees.values().map(|adoptee| &adoptee.target)
    }

    /// Name of the container that is called so here.
    pub fn container(&self, unit: &str) -> Option<&str> {
        Some(self.adoptees.get(unit)?.target.found.name.as_str())
    }

    /// Whether these two are in a network together: there is a link between them, else not.
    pub fn are_linked(&self, from: &str, to: &str) -> bool {
        self.rules.addresses().reached(from, to).is_ok()
    }

    /// Why the power of a unit cannot be taken, if so.
    ///
    /// # Errors
    /// The reason, and what helps.
    pub fn can_lose_power(&self, unit: &str) -> Result<(), String> {
        self.adoptee(unit).map_err(|e| e.0)?.disks().map(drop)
    }

    /// How the containers differ now from what they were.
    ///
    /// # Errors
    /// The engine does not say.
    pub async fn compare(&self) -> Result<Vec<Compared>, RuntimeError> {
        let all = self.adoptees.values().map(|adoptee| async {
            let now = self.life_of(&adoptee.target.found.id).inspected().await?;
            Ok(Compared {
                container: adoptee.target.found.name.clone(),
                differences: differences(&adoptee.record.inspect, &now),
            })
        });
        try_join_all(all).await
    }

    /// Whether a container leads, by what its owner says.
    ///
    /// # Errors
    /// It says neither yes nor no in this time.
    pub async fn leads(
        &self,
        unit: &str,
        probe: &LeaderProbe,
        within: Duration,
    ) -> Result<bool, RuntimeError> {
        let adoptee = self.adoptee(unit)?;
        let docker = self.docker.clone().with_timeout(PATIENCE);
        let ran = exec::run(&docker, &adoptee.target.found.id, &probe.exec);
        let late = |_| {
            err(format!(
                "{unit} has not said within {within:?} whether it leads"
            ))
        };
        let ran = timeout(within, ran).await.map_err(late)?;
        let led = ran.and_then(|ran| probe.judge(&ran));
        led.map_err(|why| err(format!("{unit}: {why}")))
    }

    fn adoptee(&self, unit: &str) -> Result<Arc<Adoptee>, RuntimeError> {
        let found = self.adoptees.get(unit).cloned();
        found.ok_or_else(|| err(format!("{unit} is no container that was adopted")))
    }

    fn pod(&self, unit: &str) -> Result<Arc<Pod>, RuntimeError> {
        let pod = self.rules.pod(unit);
        pod.ok_or_else(|| err(format!("there is no unit {unit}")))
    }

    /// Senders and receivers of these links.
    fn ends(&self, links: &[Link]) -> Result<Vec<Ends>, RuntimeError> {
        let ends = |link: &Link| Ok((self.pod(&link.from)?, self.pod(&link.to)?));
        links.iter().map(ends).collect()
    }

    /// Changes how these links should be, and makes it so at both of their ends.
    async fn change(
        &self,
        links: &[Link],
        change: impl FnOnce(&mut Wanted),
    ) -> Result<(), RuntimeError> {
        let ends = || links.iter().flat_map(|link| [&link.from, &link.to]);
        for unit in ends() {
            self.pod(unit)?;
            if let Some(adoptee) = self.adoptees.get(unit) {
                adoptee.allows(Part::Links)?;
            }
        }
        let done = self.rules.change(ends().map(String::as_str), change);
        done.await.map_err(err)
    }

    /// Does something to a container in its turn, if it is allowed.
    async fn act<F: Future<Output = Result<(), RuntimeError>> + Send + 'static>(
        &self,
        unit: &str,
        part: Part,
        what: &str,
        work: impl FnOnce(Life, Arc<Adoptee>) -> F,
    ) -> Result<(), RuntimeError> {
        let (adoptee, until) = (self.adoptee(unit)?, Instant::now() + ACT);
        adoptee.allows(part)?;
        let work = work(self.life_of(&adoptee.target.found.id), adoptee.clone());
        self.acts.act_on(&adoptee.turn, what, until, work).await
    }

    /// Lets its agent follow a container that was started, before anybody relies on its rules.
    fn following(
        &self,
        adoptee: Arc<Adoptee>,
    ) -> impl Future<Output = Result<(), RuntimeError>> + use<> {
        let (docker, rules) = (self.docker.clone(), self.rules.clone());
        async move {
            let joined = adoptee.followed.join(&docker, &rules, &adoptee.pod);
            joined.await.map(drop)
        }
    }

    /// Stops a container as its owner has configured it, and starts it.
    ///
    /// # Errors
    /// It is refused, or the engine cannot.
    pub async fn restart(&self, unit: &str) -> Result<(), RuntimeError> {
        self.act(unit, Part::Ending, "restart", |life, adoptee| {
            let follows = self.following(adoptee);
            async move {
                life.restart().await?;
                follows.await
            }
        })
        .await
    }

    /// Everything of this run that is there, put back and removed; what could not be.
    async fn remove_all(&self) -> Result<Vec<String>, RuntimeError> {
        let things = self.things().await?;
        let removed = join_all(things.iter().map(|l| async {
            let done = leftovers::remove(&self.docker, &l.thing).await;
            done.map_err(|e| format!("{}: {e}", l.thing))
        }));
        Ok(removed.await.into_iter().filter_map(Result::err).collect())
    }

    async fn things(&self) -> Result<Vec<crate::runtime::leftovers::Leftover>, RuntimeError> {
        let run = &self.maker.marks.run;
        bounded("search", leftovers::find_on(&self.docker, Some(run))).await
    }

    async fn instrument(&self, launch: Launch, spec: UnitSpec) -> Result<Instrument, RuntimeError> {
        let (unit, stderr) = (launch.unit.clone(), Stderr::default());
        let (maker, said) = (self.maker.clone(), stderr.clone());
        let further = self.networks.get(1..).unwrap_or_default().to_vec();
        let made = async move {
            maker
                .launch_instrument(launch, Net::Own, &further, said)
                .await
        };
        let what = format!("start of {unit}");
        let made = self.acts.act(&what, Instant::now() + ENGINE, made);
        let (pod, streams) = made.await?;
        let said = inspect(&self.docker, &pod.agent_id).await?;
        let said = said.ok_or_else(|| err(format!("{unit} has gone")))?;
        self.rules
            .moved(&unit, places(&Found::read(said).map_err(err)?));
        self.keep(Arc::new(pod), Holder::Agent(None));
        lock(&self.instruments).insert(unit, (spec, stderr));
        Ok(Instrument {
            stdin: streams.stdin,
            stdout: Box::new(streams.stdout),
        })
    }
}

fn now_seconds() -> i32 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    // The engine takes no more; a clock before 1970 means all.
    now.map_or(0, |now| i32::try_from(now.as_secs()).unwrap_or(i32::MAX))
}

fn never<'a, T>(what: &'a str) -> Fut<'a, T> {
    Box::pin(async move { Err(err(format!("{what}, which is not ours"))) })
}

impl Runtime for Adopted {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn engine_version(&self) -> Option<String> {
        Some(self.engine.version.clone())
    }

    /// Where others listen is theirs to know.
    fn bind_addr(&self, _unit: &str, _port: &str) -> Option<SocketAddr> {
        None
    }

    /// `port` is a number: a container that is not ours names no ports.
    fn reach_addr(&self, from: &str, to: &str, port: &str) -> Option<SocketAddr> {
        let reached = self.rules.addresses().reached(from, to).ok()?;
        Some(SocketAddr::new(*reached.first()?, port.parse().ok()?))
    }

    /// The same.
    fn host_addr(&self, unit: &str, port: &str) -> Option<SocketAddr> {
        let own = self.rules.addresses().of(unit).ok()?;
        Some(SocketAddr::new(*own.first()?, port.parse().ok()?))
    }

    fn launch_nodes<'a>(&'a self, _nodes: Vec<Launch>) -> Fut<'a, ()> {
        never("nothing is launched of a system")
    }

    fn launch_instrument<'a>(&'a self, launch: Launch) -> Fut<'a, Instrument> {
        Box::pin(async move {
            let name = launch.unit.clone();
            if self.rules.pod(&name).is_some() {
                return Err(err(format!("{name} is there already")));
            }
            let spec = UnitSpec {
                name,
                az: String::new(),
                role: String::new(),
                node: false,
                ports: Vec::new(),
            };
            self.instrument(launch, spec).await
        })
    }

    fn kill<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(self.act(node, Part::Ending, "kill", |life, _| life.kill()))
    }

    fn stop<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(self.act(node, Part::Ending, "stop", |life, _| life.stop()))
    }

    fn silence<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            self.adoptee(node)?.allows(Part::Links)?;
            let until = Instant::now() + ACT;
            let done = timeout_at(until, self.rules.change([node], |w| w.silence(node)));
            let late = |_| err(format!("the agent of {node} does not answer"));
            done.await.map_err(late)?.map_err(err)
        })
    }

    /// Its network falls silent, what it has on volumes of ours is shut down, and it is killed.
    fn power_off<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            let adoptee = self.adoptee(node)?;
            let disks = adoptee.disks().map_err(err)?.to_vec();
            adoptee.allows(Part::Ending)?;
            self.silence(node).await?;
            let maker = self.maker.clone();
            self.act(
                node,
                Part::Ending,
                "power-off",
                |life, adoptee| async move {
                    let (unit, id) = (&adoptee.target.unit, &adoptee.target.found.id);
                    volume::off(&maker, unit, id, &disks).await.map_err(err)?;
                    life.kill().await
                },
            )
            .await
        })
    }

    fn start<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            let until = Instant::now() + ACT;
            let change = self.rules.change([node], |w| w.unsilence(node));
            let late = |_| err(format!("the agent of {node} does not answer"));
            timeout_at(until, change)
                .await
                .map_err(late)?
                .map_err(err)?;
            self.act(node, Part::Ending, "start", |life, adoptee| {
                let power = adoptee.disks().is_ok().then(|| {
                    let helper = volume::helper(&self.maker, &adoptee.target.unit);
                    (self.maker.docker.clone(), helper)
                });
                let follows = self.following(adoptee);
                async move {
                    if let Some((docker, helper)) = power {
                        volume::back(&docker, &helper).await.map_err(err)?;
                    }
                    life.start().await?;
                    follows.await
                }
            })
            .await
        })
    }

    fn pause<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(self.act(node, Part::Freezing, "pause", |life, _| life.pause()))
    }

    fn resume<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(self.act(node, Part::Freezing, "resumption", |life, _| life.resume()))
    }

    fn provide<'a>(&'a self, _binary: Option<&'a Path>) -> Fut<'a, String> {
        never("there is no other build of a program")
    }

    fn install<'a>(&'a self, _node: &'a str, _program: &'a str) -> Fut<'a, ()> {
        never("there is no other build of a program")
    }

    fn executes<'a>(&'a self, node: &'a str) -> Fut<'a, String> {
        Box::pin(async move {
            let id = &self.adoptee(node)?.target.found.id;
            let said = inspect(&self.docker, id).await?;
            let image = said.and_then(|said| said.image);
            image.ok_or_else(|| err(format!("image of {node}: Docker does not say")))
        })
    }

    fn process<'a>(&'a self, node: &'a str) -> Fut<'a, ProcessState> {
        Box::pin(async move {
            self.life_of(&self.adoptee(node)?.target.found.id)
                .state()
                .await
        })
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

    fn linked(&self, from: &str, to: &str) -> bool {
        self.are_linked(from, to)
    }

    fn lapses(&self) -> Vec<String> {
        self.rules.lapses()
    }

    fn gaps(&self) -> Vec<Gap> {
        self.rules.gaps()
    }

    /// `/health` is what its check says; a container that is not ours has no other page.
    fn admin<'a>(&'a self, node: &'a str, path: &'a str, deadline: Duration) -> Fut<'a, String> {
        Box::pin(async move {
            if path != "/health" {
                return Err(err(format!("{node} is not ours: it has no page {path}")));
            }
            let adoptee = self.adoptee(node)?;
            let own = self.rules.addresses().of(node).map_err(err)?;
            let place = health::Place {
                docker: &self.docker,
                id: &adoptee.target.found.id,
                agent: &adoptee.pod.agent,
                own: &own,
            };
            let healthy = health::look(&place, &adoptee.check, deadline).await;
            healthy
                .map(|()| "ok".into())
                .map_err(|why| err(format!("{node}: {why}")))
        })
    }

    fn files<'a>(&'a self, _node: &'a str, _request: FilesRequest) -> Fut<'a, FilesAnswer> {
        never("nobody looks at the files of a container")
    }

    fn limit<'a>(&'a self, node: &'a str, bounds: Limits) -> Fut<'a, ()> {
        Box::pin(
            self.act(node, Part::Bounds, "bounds", move |life, adoptee| {
                life.limit(adoptee.record.before.bounds, bounds)
            }),
        )
    }

    fn usage<'a>(&'a self, node: &'a str) -> Fut<'a, Usage> {
        Box::pin(async move {
            let id = &self.adoptee(node)?.target.found.id;
            bounded(&format!("usage of {node}"), limits::usage(&self.docker, id)).await
        })
    }

    fn collect_logs<'a>(&'a self, dir: &'a Path) -> Fut<'a, ()> {
        Box::pin(async move {
            let saved = self.adoptees.iter().map(|(unit, adoptee)| async move {
                let containers = [adoptee.target.found.id.clone()];
                let saved = logs::save(&self.docker, unit, &containers, self.began, dir);
                bounded(&format!("log of {unit}"), saved).await
            });
            try_join_all(saved).await?;
            for pod in self.rules.pods() {
                logs::complaints(&pod, dir).map_err(err)?;
            }
            for (unit, (_, stderr)) in lock(&self.instruments).iter() {
                logs::write(dir, unit, &lock(stderr)).map_err(err)?;
            }
            Ok(())
        })
    }

    /// Lets everything go: what is not ours is put back, what is ours is removed.
    fn down<'a>(&'a self) -> Fut<'a, ()> {
        Box::pin(async move {
            let mut keepers = std::mem::take(&mut *lock(&self.keepers));
            // None of them may bring back what is removed.
            keepers.shutdown().await;
            self.maker.closed.store(true, Ordering::SeqCst);
            // A kill that the engine does late must not come after the start that undoes it.
            let mut failed = Vec::new();
            failed.extend(self.acts.settle(ENGINE).await.err());
            failed.extend(self.remove_all().await?);
            let left = self.things().await?;
            if left.is_empty() && self.acts.are_over() {
                return Ok(());
            }
            let left: Vec<String> = left.iter().map(|l| l.thing.to_string()).collect();
            Err(err(format!(
                "not let go: {}; {}",
                left.join(", "),
                failed.join("; ")
            )))
        })
    }
}
