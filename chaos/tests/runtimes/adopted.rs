//! Containers that somebody else made: adopted, hurt, let go, and then as they
//! were. They run our dummy node, but nothing of gameday made them.

use crate::suite::{self, SOON, link};
use gameday_chaos::runtime::docker::adopted::difference::{Difference, differences};
use gameday_chaos::runtime::docker::adopted::discover::{
    Adoption, Ask, Match, Role, Which, Zones, choose, list,
};
use gameday_chaos::runtime::docker::adopted::health::Check;
use gameday_chaos::runtime::docker::adopted::refuse::Part;
use gameday_chaos::runtime::docker::adopted::{AZ_LABEL, Adopted, Plan, snapshot};
use gameday_chaos::runtime::docker::{DockerRuntime, Techniques, volume};
use gameday_chaos::runtime::limits::Limits;
use gameday_chaos::runtime::marks::Kind;
use gameday_chaos::runtime::traffic::{Sounding, Traffic};
use gameday_chaos::runtime::{Exit, GapState, Launch, LinkState, ProcessState, Runtime, leftovers};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::{Instant, sleep, timeout};

use LinkState::{Cut, Open, Rejected};

const ASK: Duration = Duration::from_secs(5);

fn docker(args: &[&str]) -> Result<String, String> {
    let done = Command::new("docker").args(args).output().expect("docker");
    match done.status.success() {
        true => Ok(String::from_utf8_lossy(&done.stdout).trim().to_string()),
        false => Err(String::from_utf8_lossy(&done.stderr).trim().to_string()),
    }
}

fn cli(args: &[&str]) -> String {
    docker(args).unwrap_or_else(|e| panic!("{args:?}: {e}"))
}

fn inspect(container: &str) -> Value {
    let text = cli(&["inspect", container]);
    let all: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    all.into_iter().next().expect("one")
}

/// The image of this program, which the runtime makes.
async fn image() -> String {
    let marks = suite::marks("adopted-image", Kind::Run);
    let subnet = crate::docker::SUBNET;
    let runtime = DockerRuntime::new(marks, suite::units(), subnet, Techniques::default());
    let runtime = runtime.await.expect("a runtime");
    let image = runtime.provide(None).await.expect("an image");
    runtime.down().await.expect("down");
    image
}

/// A system that is not ours: two networks, a store of two in one of them, of both families where
/// the engine can, a front in both, and somebody else's container beside them.
struct Shop {
    name: String,
}

/// What becomes of the containers by their makers.
const CONTAINERS: [(&str, &[&str]); 4] = [
    (
        "db-1",
        &[
            "--cpus",
            "0.5",
            "--label",
            "gameday.target=yes",
            "--label",
            "gameday.az=a",
        ],
    ),
    (
        "db-2",
        &[
            "--restart",
            "unless-stopped",
            "--memory",
            "256m",
            "--label",
            "gameday.target=yes",
            "--label",
            "gameday.az=b",
        ],
    ),
    (
        "web",
        &["--label", "gameday.target=yes", "--label", "gameday.az=a"],
    ),
    ("bystander", &[]),
];

impl Shop {
    async fn open(what: &str) -> Self {
        Self::open_on(what, None).await
    }

    /// The data of `db-1` are on this volume, if it is given.
    async fn open_on(what: &str, volume: Option<&str>) -> Self {
        let image = image().await;
        let shop = Shop {
            name: format!("shop{}{what}", std::process::id()),
        };
        let back = shop.of("back");
        let plain = ["network", "create", "--subnet", "198.19.240.0/24"];
        let both = [
            &plain[..],
            &["--ipv6", "--subnet", "fd00:9a3d:240::/64", &back],
        ]
        .concat();
        if let Err(why) = docker(&both) {
            println!("only IPv4: {why}");
            cli(&[&plain[..], &[&back]].concat());
        }
        cli(&[
            "network",
            "create",
            "--subnet",
            "198.19.241.0/24",
            &shop.of("front"),
        ]);
        for (number, (service, more)) in CONTAINERS.iter().enumerate() {
            let name = shop.of(service);
            let project = format!("com.docker.compose.project={}", shop.name);
            let service = format!("com.docker.compose.service={service}");
            let ip = format!("198.19.240.{}", 10 + number);
            let create = [
                "create",
                "--name",
                &name,
                "--label",
                &project,
                "--label",
                &service,
                "--network",
                &back,
                "--ip",
                &ip,
                "-e",
                "LD_LIBRARY_PATH=/lib",
                "-e",
                "GAMEDAY_DATA=/data",
                "-e",
                "DUMMY_PEER=[::]:7000",
                "-e",
                "DUMMY_ADMIN=0.0.0.0:7100",
                "--entrypoint",
                "/gameday",
            ];
            let own = volume.map(|volume| format!("{volume}:/data"));
            let data = match &own {
                Some(own) if number == 0 => ["-v", own],
                _ => ["--tmpfs", "/data"],
            };
            let program = [image.as_str(), "internal", "dummy-node"];
            cli(&[&create[..], &data, more, &program].concat());
        }
        cli(&["network", "connect", &shop.of("front"), &shop.of("web")]);
        for (service, _) in CONTAINERS {
            cli(&["start", &shop.of(service)]);
        }
        shop
    }

    fn of(&self, what: &str) -> String {
        format!("{}-{what}", self.name)
    }

    fn ask(&self) -> Ask {
        Ask {
            which: Which::Compose(self.name.clone()),
            roles: vec![Role {
                name: "store".into(),
                by: Match::Service("db-1".into()),
            }],
            zones: Zones::Label(AZ_LABEL.into()),
        }
    }

    async fn chosen(&self) -> Adoption {
        let engine = list().await.expect("a list");
        choose(&engine, &self.ask(), &BTreeSet::new()).expect("a choice")
    }

    /// What `docker inspect` says of all of them.
    fn inspected(&self) -> BTreeMap<String, Value> {
        let all = CONTAINERS.iter();
        all.map(|(service, _)| (service.to_string(), inspect(&self.of(service))))
            .collect()
    }

    /// What the node of a container says.
    async fn says(&self, service: &str, path: &str) -> Result<String, String> {
        let said = inspect(&self.of(service));
        let networks = &said["NetworkSettings"]["Networks"];
        let ip = networks[self.of("back")]["IPAddress"]
            .as_str()
            .unwrap_or_default();
        let ask = async {
            let mut stream = tokio::net::TcpStream::connect((ip, 7100)).await?;
            let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await?;
            Ok::<_, std::io::Error>(text)
        };
        let text = timeout(ASK, ask).await.map_err(|e| e.to_string())?;
        let text = text.map_err(|e| format!("{ip}: {e}"))?;
        Ok(text
            .split("\r\n\r\n")
            .nth(1)
            .unwrap_or_default()
            .to_string())
    }

    /// Whether one node reaches another one, over one of its addresses.
    async fn tries(&self, from: &str, to: &str, family: &str) -> String {
        let said = inspect(&self.of(to));
        let at = &said["NetworkSettings"]["Networks"][self.of("back")];
        let address = match (family, at["GlobalIPv6Address"].as_str()) {
            ("ipv4", _) => format!("{}:7000", at["IPAddress"].as_str().expect("an address")),
            (_, Some(ip)) if !ip.is_empty() => format!("[{ip}]:7000"),
            _ => return "no ipv6".into(),
        };
        self.says(from, &format!("/try/{address}"))
            .await
            .expect("an answer")
    }

    fn has_ipv6(&self) -> bool {
        let at = &inspect(&self.of("db-1"))["NetworkSettings"]["Networks"][self.of("back")];
        at["GlobalIPv6Address"]
            .as_str()
            .is_some_and(|ip| !ip.is_empty())
    }

    /// Differences of all, but those that mean the same.
    fn changed(&self, before: &BTreeMap<String, Value>) -> Vec<(String, Difference)> {
        let now = self.inspected();
        let all = before.iter().flat_map(|(service, before)| {
            let found = differences(before, &now[service]).into_iter();
            found.map(|difference| (service.clone(), difference))
        });
        all.filter(|(_, difference)| !difference.means_the_same)
            .collect()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        for (service, _) in CONTAINERS {
            let _ = docker(&["rm", "-f", &self.of(service)]);
        }
        for network in ["back", "front"] {
            let _ = docker(&["network", "rm", &self.of(network)]);
        }
    }
}

fn plan(adoption: Adoption, techniques: Techniques) -> Plan {
    let check = Check::Http {
        port: 7100,
        path: "/health".into(),
    };
    let units = adoption.targets.iter().map(|t| t.unit.clone());
    Plan {
        checks: units.map(|unit| (unit, check.clone())).collect(),
        targets: adoption.targets,
        techniques,
    }
}

async fn probe(adopted: &Adopted, pairs: &[(&str, &str)]) -> Vec<LinkState> {
    let links: Vec<_> = pairs.iter().map(|(from, to)| link(from, to)).collect();
    adopted.probe(&links).await.expect("a probe")
}

async fn healthy(adopted: &Adopted, unit: &str) {
    let begun = Instant::now();
    loop {
        match adopted.admin(unit, "/health", ASK).await {
            Ok(_) => return,
            Err(why) => assert!(begun.elapsed() < SOON, "{why}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn is_exited(adopted: &Adopted, unit: &str) -> Exit {
    match adopted.process(unit).await {
        Ok(ProcessState::Exited(exit)) => exit,
        other => panic!("{other:?}"),
    }
}

/// Everything that can be done to them, and everything as it was.
pub async fn are_hurt_and_put_back() {
    let shop = Shop::open("hurt").await;
    let before = shop.inspected();
    let folder = tempfile::tempdir().expect("a folder");
    let chosen = shop.chosen().await;
    let units: Vec<&str> = chosen.targets.iter().map(|t| t.unit.as_str()).collect();
    assert_eq!(units, ["db-1", "db-2", "web"]);
    let refused: Vec<(&str, Part)> = chosen
        .refused
        .iter()
        .map(|r| (r.container.as_str(), r.part))
        .collect();
    assert_eq!(refused, [(shop.of("bystander").as_str(), Part::Everything)]);

    let techniques = DockerRuntime::techniques(None).await;
    let marks = suite::marks("adopted", Kind::Run);
    let run = marks.run.clone();
    let adopted = Adopted::adopt(marks, plan(chosen, techniques), folder.path()).await;
    let adopted = adopted.expect("adopted");
    assert_eq!(snapshot::read(folder.path()).expect("records").len(), 3);
    assert_eq!(shop.changed(&before), []);
    // Nobody may adopt them twice.
    let twice = shop.chosen().await;
    assert!(
        twice.targets.is_empty() && twice.refused[1].why.contains(&run),
        "{twice:?}"
    );
    for unit in ["db-1", "db-2", "web"] {
        healthy(&adopted, unit).await;
    }

    links(&shop, &adopted).await;
    processes(&shop, &adopted).await;
    bounds(&adopted).await;
    instrument(&adopted).await;

    let logs = tempfile::tempdir().expect("a folder");
    adopted.collect_logs(logs.path()).await.expect("logs");
    let log = std::fs::read_to_string(logs.path().join("db-1.log")).expect("a log");
    assert!(log.contains("boot"), "{log}");
    assert_eq!(adopted.lapses(), Vec::<String>::new());

    // What is still wrong when they are let go is put back.
    adopted.kill("db-1").await.expect("killed");
    adopted.pause("web").await.expect("paused");
    let bounds = Limits {
        cpu_percent: Some(20),
        memory: Some(128 << 20),
    };
    adopted.limit("db-2", bounds).await.expect("bounded");
    adopted.cut(&[link("web", "db-2")]).await.expect("cut");
    assert_ne!(shop.changed(&before), []);
    adopted.down().await.expect("let go");
    assert_eq!(shop.changed(&before), []);
    assert_eq!(shop.tries("bystander", "db-2", "ipv4").await, "echo");
    assert_eq!(shop.tries("web", "db-2", "ipv4").await, "echo");
    assert_eq!(leftovers::find(Some(&run)).await.things, []);
    for (service, _) in CONTAINERS {
        assert_eq!(tables(&shop.of(service)), "");
    }
    let compared = adopted.compare().await.expect("compared");
    assert!(
        compared
            .iter()
            .all(|c| c.differences.iter().all(|d| d.means_the_same)),
        "{compared:?}"
    );
}

/// The packet filter tables in a container's network namespace that are ours; none can be seen
/// without the tools.
fn tables(container: &str) -> String {
    let pid = cli(&["inspect", "-f", "{{.State.Pid}}", container]);
    let listed = Command::new("nsenter")
        .args(["-t", &pid, "-n", "nft", "list", "tables"])
        .output();
    let Ok(listed) = listed else {
        return String::new();
    };
    let text = String::from_utf8_lossy(&listed.stdout).to_string();
    text.lines()
        .filter(|line| line.contains("gameday"))
        .collect()
}

async fn links(shop: &Shop, adopted: &Adopted) {
    let all = [
        ("db-1", "db-2"),
        ("db-2", "db-1"),
        ("web", "db-1"),
        ("web", "db-2"),
    ];
    assert_eq!(probe(adopted, &all).await, [Open, Open, Open, Open]);
    let families: &[&str] = if shop.has_ipv6() {
        &["ipv4", "ipv6"]
    } else {
        &["ipv4"]
    };
    println!("families: {families:?}");
    let one = [link("web", "db-2")];
    adopted.cut(&one).await.expect("cut");
    assert_eq!(probe(adopted, &all).await, [Open, Open, Open, Cut]);
    for family in families {
        assert_eq!(
            shop.tries("web", "db-2", family).await,
            "silent",
            "{family}"
        );
        // Somebody else's way to it, in the same network, is as it was.
        assert_eq!(
            shop.tries("bystander", "db-2", family).await,
            "echo",
            "{family}"
        );
    }
    adopted.open(&one).await.expect("open");
    adopted.reject(&one).await.expect("rejected");
    assert_eq!(probe(adopted, &all[3..]).await, [Rejected]);
    for family in families {
        assert_eq!(
            shop.tries("web", "db-2", family).await,
            "broken",
            "{family}"
        );
    }

    // Somebody starts the container anew while its links are cut.
    adopted.open(&one).await.expect("open");
    adopted.cut(&one).await.expect("cut");
    let restarted = Instant::now();
    cli(&["restart", "-t", "0", &shop.of("db-2")]);
    let gap = loop {
        if let Some(gap) = adopted
            .gaps()
            .into_iter()
            .find(|gap| gap.state != GapState::Open)
        {
            break gap;
        }
        assert!(restarted.elapsed() < SOON, "{:?}", adopted.gaps());
        sleep(Duration::from_millis(20)).await;
    };
    println!(
        "gap closed {:?} after the restart began: {}",
        restarted.elapsed(),
        gap.text
    );
    assert_eq!(
        (gap.state, gap.units),
        (GapState::PutBack, vec!["db-2".to_string()])
    );
    healthy(adopted, "db-2").await;
    assert_eq!(probe(adopted, &all).await, [Open, Open, Open, Cut]);
    assert_eq!(shop.tries("web", "db-2", "ipv4").await, "silent");
    adopted.open(&one).await.expect("open");
    assert_eq!(probe(adopted, &all).await, [Open, Open, Open, Open]);

    let slow = Traffic {
        delay: Duration::from_millis(150),
        ..Traffic::default()
    };
    adopted.shape(&one, slow).await.expect("shaped");
    let sounding = Sounding {
        messages: 20,
        bytes: 128,
        gap: Duration::from_millis(5),
        wait: Duration::from_secs(2),
    };
    let both = [link("web", "db-2"), link("db-2", "web")];
    let heard = adopted.measure(&both, sounding).await.expect("measured");
    let soonest = |at: usize| heard[at].as_ref().expect("heard").delays_us[0];
    assert!(soonest(0) >= 149_000 && soonest(1) < 149_000, "{heard:?}");
    adopted.unshape(&one).await.expect("unshaped");
}

async fn processes(shop: &Shop, adopted: &Adopted) {
    adopted.kill("db-2").await.expect("killed");
    // Its policy does not bring it back, for the engine was told.
    assert_eq!(is_exited(adopted, "db-2").await, Exit::Code(137));
    assert!(adopted.admin("db-2", "/health", ASK).await.is_err());
    adopted.start("db-2").await.expect("started");
    adopted.start("db-2").await.expect("started twice");
    healthy(adopted, "db-2").await;
    // The agent is where its container is, once the start is over.
    assert_eq!(probe(adopted, &[("db-1", "db-2")]).await, [Open]);

    adopted.stop("db-1").await.expect("stopped");
    assert_eq!(
        is_exited(adopted, "db-1").await,
        Exit::Code(7),
        "it has ended itself"
    );
    adopted.start("db-1").await.expect("started");
    healthy(adopted, "db-1").await;
    adopted.restart("web").await.expect("restarted");
    healthy(adopted, "web").await;

    adopted.pause("web").await.expect("paused");
    assert!(matches!(
        adopted.process("web").await,
        Ok(ProcessState::Paused { .. })
    ));
    let frozen = adopted.admin("web", "/health", ASK).await.unwrap_err();
    assert!(frozen.0.contains("frozen"), "{frozen}");
    adopted.resume("web").await.expect("resumed");
    adopted.resume("web").await.expect("resumed twice");
    healthy(adopted, "web").await;
    assert_eq!(shop.tries("web", "db-1", "ipv4").await, "echo");
    // Nothing was wrong with links meanwhile.
    assert_eq!(adopted.gaps().len(), 1, "{:?}", adopted.gaps());
    assert!(
        adopted
            .power_off("web")
            .await
            .unwrap_err()
            .0
            .contains("file system of its own")
    );
}

async fn bounds(adopted: &Adopted) {
    for unit in ["db-1", "db-2", "web"] {
        let had = adopted.usage(unit).await.expect("usage");
        let bounds = Limits {
            cpu_percent: Some(20),
            memory: Some(64 << 20),
        };
        adopted.limit(unit, bounds).await.expect("bounded");
        let usage = adopted.usage(unit).await.expect("usage");
        assert_eq!(
            (usage.cpu_percent, usage.memory_limit),
            (Some(20), 64 << 20),
            "{unit}"
        );
        adopted
            .limit(unit, Limits::default())
            .await
            .expect("as it was");
        let usage = adopted.usage(unit).await.expect("usage");
        assert_eq!(
            (usage.cpu_percent, usage.memory_limit),
            (had.cpu_percent, had.memory_limit),
            "{unit}"
        );
    }
    let wider = Limits {
        cpu_percent: Some(80),
        memory: None,
    };
    let why = adopted.limit("db-1", wider).await.unwrap_err();
    assert!(why.0.contains("50 %"), "{why}");
}

/// A canary is a neighbour of theirs, and its links can be cut like any other.
async fn instrument(adopted: &Adopted) {
    let launch = Launch {
        unit: "canary-a".into(),
        args: vec!["internal".into(), "dummy-instrument".into()],
        env: Vec::new(),
    };
    let mut canary = adopted
        .launch_instrument(launch)
        .await
        .expect("an instrument");
    let mut lines = BufReader::new(&mut canary.stdout).lines();
    let address = adopted
        .reach_addr("canary-a", "db-1", "7000")
        .expect("an address");
    adopted.cut(&[link("canary-a", "db-1")]).await.expect("cut");
    for expected in ["silent", "echo"] {
        canary
            .stdin
            .write_all(format!("try {address}\n").as_bytes())
            .await
            .expect("asked");
        let line = timeout(SOON, lines.next_line())
            .await
            .expect("in time")
            .expect("a line");
        assert_eq!(line.as_deref(), Some(expected));
        adopted
            .open(&[link("canary-a", "db-1")])
            .await
            .expect("open");
    }
    assert_eq!(
        probe(adopted, &[("canary-a", "web"), ("web", "canary-a")]).await,
        [Open, Open]
    );
}

/// Kills of a runner at any time, while it does one thing after the other: `GAMEDAY_KILLS`, or 3.
pub async fn any_kill_is_made_up_for() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let (kills, seed) = (
        number("GAMEDAY_KILLS").unwrap_or(3),
        number("GAMEDAY_KILL_SEED").unwrap_or(1),
    );
    let disk = format!("gameday-disk-{}", std::process::id());
    volume::create(&disk, 64 << 20).await.expect("a volume");
    let shop = Shop::open_on("kills", Some(&disk)).await;
    let before = shop.inspected();
    for kill in 0..kills {
        let folder = tempfile::tempdir().expect("a folder");
        // Spread over the first seconds of what it does, other ones for each kill.
        let after = Duration::from_millis((seed * 7919 + kill * 1699) % 6000);
        let mut runner =
            tokio::process::Command::new(std::env::current_exe().expect("this program"))
                .args(["internal", "runner", "adopted", &shop.name])
                .arg(folder.path())
                .arg((seed + kill).to_string())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .expect("a runner");
        let mut lines = BufReader::new(runner.stdout.take().expect("its output")).lines();
        let first = timeout(SOON * 2, lines.next_line())
            .await
            .expect("in time")
            .expect("a line");
        let run = first.expect("a run");
        sleep(after).await;
        runner.kill().await.expect("killed");
        let mut last = String::new();
        while let Some(line) = lines.next_line().await.expect("a line") {
            last = line;
        }
        let begun = Instant::now();
        let left = leftovers::find(Some(&run)).await.things;
        let removed = leftovers::remove(&left).await;
        println!(
            "kill {kill} after {after:?} in {last}: put back in {:?}",
            begun.elapsed()
        );
        assert!(removed.iter().all(Result::is_ok), "{last}: {removed:?}");
        // What the engine does late would show; a container that it made late is still to go.
        sleep(Duration::from_millis(500)).await;
        let late = leftovers::find(Some(&run)).await.things;
        let removed = leftovers::remove(&late).await;
        assert!(removed.iter().all(Result::is_ok), "{last}: {removed:?}");
        assert_eq!(leftovers::find(Some(&run)).await.things, [], "{last}");
        assert_eq!(shop.changed(&before), [], "{last}");
        for (from, to) in [("web", "db-1"), ("db-1", "db-2"), ("bystander", "web")] {
            let begun = Instant::now();
            while shop.says(from, "/health").await.is_err()
                || shop.tries(from, to, "ipv4").await != "echo"
            {
                assert!(begun.elapsed() < SOON, "{last}: {from} does not reach {to}");
                sleep(Duration::from_millis(100)).await;
            }
        }
        assert_eq!(
            shop.says("db-1", "/save/x").await.expect("an answer"),
            "saved",
            "{last}"
        );
    }
    drop(shop);
    volume::remove(&disk).await.expect("removed");
}

/// Does one thing after the other, and undoes it, beginning anywhere.
async fn goes_on(
    adopted: &Adopted,
    seed: usize,
) -> Result<(), gameday_chaos::runtime::RuntimeError> {
    let links = [link("web", "db-1"), link("db-2", "web")];
    let bounds = Limits {
        cpu_percent: Some(20),
        memory: Some(64 << 20),
    };
    let slow = Traffic {
        delay: Duration::from_millis(100),
        ..Traffic::default()
    };
    for step in seed.. {
        println!("step {}", step % 8);
        match step % 8 {
            0 => {
                adopted.power_off("db-1").await?;
                adopted.start("db-1").await?;
            }
            1 => {
                adopted.stop("web").await?;
                adopted.start("web").await?;
            }
            2 => {
                adopted.cut(&links).await?;
                adopted.restart("db-2").await?;
                adopted.open(&links).await?;
            }
            3 => {
                adopted.pause("db-2").await?;
                adopted.resume("db-2").await?;
            }
            4 => {
                adopted.limit("db-1", bounds).await?;
                adopted.limit("db-1", Limits::default()).await?;
            }
            5 => {
                adopted.kill("db-2").await?;
                adopted.start("db-2").await?;
            }
            6 => {
                adopted.shape(&links, slow).await?;
                adopted.unshape(&links).await?;
            }
            _ => {
                adopted.limit("db-2", bounds).await?;
                adopted.limit("db-2", Limits::default()).await?;
            }
        }
    }
    Ok(())
}

/// `runner adopted <project> <folder> [<seed>]`: adopts, does all kinds of harm, and waits to be
/// killed, or goes on with it.
pub fn runner(args: &[String]) -> Result<(), String> {
    let [project, folder, seed @ ..] = args else {
        return Err("adopted <project> <folder> [<seed>]".into());
    };
    let tokio = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    tokio.block_on(async {
        let shop = std::mem::ManuallyDrop::new(Shop {
            name: project.clone(),
        });
        let chosen = shop.chosen().await;
        let marks = suite::marks("adopted-orphan", Kind::Run);
        let run = marks.run.clone();
        let plan = plan(chosen, Techniques::default());
        let adopted = Adopted::adopt(marks, plan, folder.as_ref()).await;
        let adopted = adopted.map_err(|e| e.0)?;
        if let Some(seed) = seed.first() {
            println!("{run}");
            let seed = seed.parse().map_err(|e| format!("{seed}: {e}"))?;
            return goes_on(&adopted, seed).await.map_err(|e| e.0);
        }
        let done = async {
            adopted
                .cut(&[link("web", "db-2"), link("db-2", "web")])
                .await?;
            match adopted.can_lose_power("db-1") {
                Ok(()) => adopted.power_off("db-1").await?,
                Err(_) => adopted.kill("db-1").await?,
            }
            let bounds = Limits {
                cpu_percent: Some(20),
                memory: Some(64 << 20),
            };
            adopted.limit("db-2", bounds).await?;
            adopted.pause("web").await
        };
        done.await.map_err(|e| e.0)?;
        println!("{run}");
        std::future::pending::<Result<(), String>>().await
    })
}

/// What is synced is there after a power-off, and nothing else; the volume is as good as new.
pub async fn lose_power() {
    let disk = format!("gameday-disk-{}", std::process::id());
    let made = volume::create(&disk, 64 << 20).await.expect("a volume");
    println!("{made:?}");
    assert!(volume::create(&disk, 64 << 20).await.is_err());
    let shop = Shop::open_on("power", Some(&disk)).await;
    let before = shop.inspected();
    let folder = tempfile::tempdir().expect("a folder");
    let marks = suite::marks("adopted-power", Kind::Run);
    let plan = plan(shop.chosen().await, Techniques::default());
    let adopted = Adopted::adopt(marks, plan, folder.path())
        .await
        .expect("adopted");
    healthy(&adopted, "db-1").await;
    adopted.can_lose_power("db-1").expect("its disk is its own");
    let why = adopted.can_lose_power("db-2").unwrap_err();
    assert!(why.contains("gameday volume create"), "{why}");

    for round in ["1", "2"] {
        let (kept, lost) = (format!("kept{round}"), format!("lost{round}"));
        let says = async |path: String| shop.says("db-1", &path).await.expect("an answer");
        assert_eq!(says(format!("/save/{kept}")).await, "saved");
        assert_eq!(says(format!("/note/{lost}")).await, "noted");
        assert_eq!(says(format!("/read/{lost}")).await, "all of it");
        let began = Instant::now();
        adopted.power_off("db-1").await.expect("powered off");
        println!("powered off in {:?}", began.elapsed());
        assert_eq!(is_exited(&adopted, "db-1").await, Exit::Code(137));
        adopted.start("db-1").await.expect("powered on");
        healthy(&adopted, "db-1").await;
        assert_eq!(says(format!("/read/{kept}")).await, "all of it");
        let rest = says(format!("/read/{lost}")).await;
        assert!(["", "NotFound"].contains(&rest.as_str()), "{rest}");
        assert_eq!(says("/save/again".into()).await, "saved");
    }
    // A kill loses nothing.
    assert_eq!(
        shop.says("db-1", "/note/killed").await.expect("an answer"),
        "noted"
    );
    adopted.kill("db-1").await.expect("killed");
    adopted.start("db-1").await.expect("started");
    healthy(&adopted, "db-1").await;
    assert_eq!(
        shop.says("db-1", "/read/killed").await.expect("an answer"),
        "all of it"
    );
    adopted.power_off("db-1").await.expect("powered off");
    adopted.down().await.expect("let go");
    assert_eq!(shop.changed(&before), []);

    // Of a runner that died meanwhile.
    dies_and_is_made_up_for(&shop, &before).await;
    let begun = Instant::now();
    while shop.says("db-1", "/save/after").await != Ok("saved".into()) {
        assert!(begun.elapsed() < SOON, "its disk is not writable");
        sleep(Duration::from_millis(100)).await;
    }

    let used = volume::remove(&disk).await.unwrap_err();
    assert!(used.contains(&shop.of("db-1")), "{used}");
    drop(shop);
    volume::remove(&disk).await.expect("removed");
    let left = volume::list().await.expect("a list");
    assert!(left.iter().all(|volume| volume.name != disk), "{left:?}");
    let device = made.device.trim_start_matches("/dev/");
    let bound = format!("/sys/block/{device}/loop/backing_file");
    assert!(!std::path::Path::new(&bound).exists(), "{bound}");
    assert!(
        volume::remove(&disk)
            .await
            .unwrap_err()
            .contains("no volume")
    );
}

/// A runner that was killed amid all of that: what its agents know is enough.
pub async fn a_dead_runner_is_made_up_for() {
    let shop = Shop::open("dead").await;
    let before = shop.inspected();
    dies_and_is_made_up_for(&shop, &before).await;
    assert_eq!(shop.tries("web", "db-2", "ipv4").await, "echo");
    for (service, _) in CONTAINERS {
        assert_eq!(tables(&shop.of(service)), "");
    }
}

async fn dies_and_is_made_up_for(shop: &Shop, before: &BTreeMap<String, Value>) {
    let folder = tempfile::tempdir().expect("a folder");
    let exe = std::env::current_exe().expect("this program");
    let mut runner = tokio::process::Command::new(exe)
        .args(["internal", "runner", "adopted", &shop.name])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a runner");
    let stdout = runner.stdout.take().expect("its output");
    let mut lines = BufReader::new(stdout).lines();
    let said = timeout(SOON * 2, lines.next_line())
        .await
        .expect("in time")
        .expect("a line");
    let run = said.expect("a run");
    assert_ne!(shop.changed(before), []);
    runner.kill().await.expect("killed");
    // The folder is not needed.
    drop(folder);
    let left = leftovers::find(Some(&run)).await.things;
    assert!(left.len() >= 3, "{left:?}");
    assert!(left.iter().all(|l| !l.runner.is_alive()), "{left:?}");
    let removed = leftovers::remove(&left).await;
    assert!(removed.iter().all(Result::is_ok), "{removed:?}");
    assert_eq!(shop.changed(before), []);
    assert_eq!(leftovers::find(Some(&run)).await.things, []);
}
