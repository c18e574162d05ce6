//! What every runtime must do, whichever it is.

use gameday_chaos::runtime::marks::{Kind, RunMarks};
use gameday_chaos::runtime::{
    Exit, Identity, Instrument, Launch, Link, LinkState, ProcessState, Runtime, UnitSpec, leftovers,
};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::{Instant, sleep, timeout};

/// For anything that must happen, on a busy machine.
pub const SOON: Duration = Duration::from_secs(40);
const ASK: Duration = Duration::from_secs(5);

/// Four nodes in three AZs and one instrument.
pub fn units() -> Vec<UnitSpec> {
    let unit = |name: &str, az: &str, node: bool| UnitSpec {
        name: name.into(),
        az: az.into(),
        role: "dummy".into(),
        node,
        ports: if node {
            vec![("peer".into(), 7000), ("admin".into(), 7100)]
        } else {
            vec![]
        },
    };
    vec![
        unit("a1", "a", true),
        unit("a2", "a", true),
        unit("b1", "b", true),
        unit("c1", "c", true),
        unit("canary-a", "a", false),
    ]
}

/// A run that no other test has.
pub fn marks(what: &str, kind: Kind) -> RunMarks {
    let id = format!("test-{what}-{}", std::process::id());
    RunMarks::new(&id, kind, std::env::temp_dir().join("no-such-run")).expect("marks")
}

pub fn launches(runtime: &dyn Runtime) -> Vec<Launch> {
    let nodes = units().into_iter().filter(|u| u.node);
    nodes
        .map(|u| {
            let at = |port| {
                runtime
                    .bind_addr(&u.name, port)
                    .expect("an address")
                    .to_string()
            };
            Launch {
                unit: u.name.clone(),
                args: vec!["internal".into(), "dummy-node".into()],
                env: vec![
                    ("DUMMY_PEER".into(), at("peer")),
                    ("DUMMY_ADMIN".into(), at("admin")),
                ],
            }
        })
        .collect()
}

/// Asks until the answer is the one wanted.
pub async fn until(runtime: &dyn Runtime, node: &str, path: &str, wanted: &str) {
    let mut last = None;
    let ask = async {
        loop {
            let answer = runtime.admin(node, path, ASK).await;
            if answer.as_deref() == Ok(wanted) {
                return;
            }
            last = Some(answer);
            sleep(Duration::from_millis(50)).await;
        }
    };
    let arrived = timeout(SOON, ask).await.is_ok();
    assert!(arrived, "{node}{path}: wanted {wanted}, last {last:?}");
}

pub async fn all_healthy(runtime: &dyn Runtime) {
    for unit in units().iter().filter(|u| u.node) {
        until(runtime, &unit.name, "/health", "ok").await;
    }
}

pub fn link(from: &str, to: &str) -> Link {
    Link {
        from: from.into(),
        to: to.into(),
    }
}

pub struct Cluster<'a>(pub &'a dyn Runtime);

impl Cluster<'_> {
    pub async fn says(&self, node: &str, path: &str) -> String {
        self.0.admin(node, path, ASK).await.expect("an answer")
    }

    pub fn path(&self, what: &str, from: &str, to: &str) -> String {
        format!(
            "/{what}/{}",
            self.0.reach_addr(from, to, "peer").expect("an address")
        )
    }

    pub async fn probe(&self, pairs: &[(&str, &str)]) -> Vec<LinkState> {
        let links: Vec<Link> = pairs.iter().map(|(f, t)| link(f, t)).collect();
        self.0.probe(&links).await.expect("a probe")
    }

    async fn state(&self, node: &str) -> ProcessState {
        self.0.process(node).await.expect("a state")
    }

    async fn identity(&self, node: &str) -> Identity {
        match self.state(node).await {
            ProcessState::Running { identity } => identity,
            other => panic!("{node} does not run: {other:?}"),
        }
    }

    async fn is_dead(&self, node: &str) -> bool {
        matches!(self.state(node).await, ProcessState::Exited(_))
    }
}

use LinkState::{Cut, Open};

/// The whole suite; returns what collecting the logs and taking it down left for the caller to see.
pub async fn does_what_it_says(runtime: &dyn Runtime, run: &str) {
    let begun = Instant::now();
    runtime
        .launch_nodes(launches(runtime))
        .await
        .expect("nodes");
    let launched = begun.elapsed();
    all_healthy(runtime).await;
    let (canary, canary_out) = instrument(runtime).await;
    eprintln!(
        "{}: launched in {launched:?}, serving in {:?}",
        runtime.name(),
        begun.elapsed()
    );

    let c = Cluster(runtime);
    links_are_cut_and_open_again(&c).await;
    a_kill_is_heard_and_a_power_off_is_not(&c).await;
    a_paused_node_is_silent_and_goes_on(&c).await;
    a_node_that_is_asked_to_stop_stops(&c).await;
    a_node_becomes_another_program_and_back(&c).await;
    let mut canary = (canary, canary_out);
    an_instrument_is_cut_off_like_others(&c, &mut canary).await;
    assert_eq!(runtime.lapses(), Vec::<String>::new());
    unknown_units_are_errors(&c).await;

    // The end of its input ends an instrument.
    let (mut stdin, mut stdout) = canary;
    stdin.shutdown().await.expect("closed");
    drop(stdin);
    let end = timeout(SOON, stdout.next_line())
        .await
        .expect("an end")
        .expect("no error");
    assert_eq!(end, None);

    let logs = tempfile::tempdir().expect("a folder");
    runtime.collect_logs(logs.path()).await.expect("logs");
    let log = |unit: &str| {
        std::fs::read_to_string(logs.path().join(format!("{unit}.log"))).expect("a log")
    };
    assert!(
        log("b1").contains("boot 1") && log("b1").contains("boot 3"),
        "{}",
        log("b1")
    );
    assert!(
        log("canary-a").contains("instrument ready"),
        "{}",
        log("canary-a")
    );

    runtime.down().await.expect("down");
    let found = leftovers::find(Some(run)).await;
    assert_eq!(found.things, []);
    runtime.down().await.expect("down twice");
}

pub type Lines = tokio::io::Lines<BufReader<Box<dyn tokio::io::AsyncRead + Send + Unpin>>>;
pub type Canary = (Box<dyn tokio::io::AsyncWrite + Send + Unpin>, Lines);

pub async fn instrument(runtime: &dyn Runtime) -> Canary {
    let launch = Launch {
        unit: "canary-a".into(),
        args: vec!["internal".into(), "dummy-instrument".into()],
        env: vec![],
    };
    let Instrument { stdin, stdout } = runtime.launch_instrument(launch).await.expect("canary");
    let mut canary = (stdin, BufReader::new(stdout).lines());
    assert_eq!(ask(&mut canary, "hello").await, "heard hello");
    canary
}

pub async fn ask(canary: &mut Canary, line: &str) -> String {
    canary
        .0
        .write_all(format!("{line}\n").as_bytes())
        .await
        .expect("written");
    canary.0.flush().await.expect("flushed");
    let answer = timeout(SOON, canary.1.next_line())
        .await
        .expect("an answer in time");
    answer.expect("no error").expect("an answer")
}

async fn links_are_cut_and_open_again(c: &Cluster<'_>) {
    let pairs = [("a1", "b1"), ("b1", "a1"), ("a1", "c1"), ("a2", "b1")];
    assert_eq!(c.probe(&pairs).await, [Open, Open, Open, Open]);
    assert_eq!(
        c.probe(&[("canary-a", "a1"), ("a1", "canary-a")]).await,
        [Open, Open]
    );
    assert_eq!(c.says("a1", &c.path("dial", "a1", "b1")).await, "connected");
    assert_eq!(c.says("a1", "/talk/one").await, "echo");

    // One direction: exactly that one is silent, on the existing connection too.
    c.0.cut(&[link("a1", "b1")]).await.expect("cut");
    assert_eq!(c.probe(&pairs).await, [Cut, Open, Open, Open]);
    assert_eq!(c.says("a1", "/talk/two").await, "silent");
    assert_eq!(c.says("a1", &c.path("try", "a1", "b1")).await, "silent");
    assert_eq!(c.says("a1", &c.path("try", "a1", "c1")).await, "echo");
    assert_eq!(c.says("a2", &c.path("try", "a2", "b1")).await, "echo");

    // Both, for longer than the lease: it is renewed.
    c.0.cut(&[link("b1", "a1")]).await.expect("cut");
    sleep(Duration::from_millis(4500)).await;
    assert_eq!(c.probe(&pairs).await, [Cut, Cut, Open, Open]);
    assert_eq!(c.says("a1", "/talk/three").await, "silent");

    // Open again, one after the other: the connection goes on where it was.
    c.0.open(&[link("b1", "a1")]).await.expect("open");
    assert_eq!(c.probe(&pairs).await, [Cut, Open, Open, Open]);
    c.0.open(&[link("a1", "b1"), link("a1", "c1")])
        .await
        .expect("open");
    assert_eq!(c.probe(&pairs).await, [Open, Open, Open, Open]);
    until(c.0, "a1", "/talk/four", "echo").await;
}

async fn a_kill_is_heard_and_a_power_off_is_not(c: &Cluster<'_>) {
    let first = c.identity("b1").await;
    assert_eq!(c.says("b1", "/boots").await, "1");
    c.0.kill("b1").await.expect("kill");
    assert!(c.is_dead("b1").await);
    assert_eq!(c.says("a1", "/talk/five").await, "broken");
    assert_eq!(c.says("a1", &c.path("try", "a1", "b1")).await, "broken");
    assert!(c.0.admin("b1", "/health", ASK).await.is_err());
    c.0.kill("b1").await.expect("killing the dead is fine");
    assert!(c.0.pause("b1").await.is_err());

    c.0.start("b1").await.expect("start");
    until(c.0, "b1", "/boots", "2").await;
    let second = c.identity("b1").await;
    assert_ne!(first, second);
    c.0.start("b1").await.expect("starting the living is fine");
    assert_eq!(c.identity("b1").await, second);

    assert_eq!(c.says("a1", &c.path("dial", "a1", "b1")).await, "connected");
    assert_eq!(c.says("a1", "/talk/six").await, "echo");
    c.0.power_off("b1").await.expect("power off");
    assert!(c.is_dead("b1").await);
    assert_eq!(c.says("a1", "/talk/seven").await, "silent");
    assert_eq!(c.says("a1", &c.path("try", "a1", "b1")).await, "silent");
    assert_eq!(
        c.probe(&[("a1", "b1"), ("b1", "c1"), ("a1", "c1")]).await,
        [Cut, Cut, Open]
    );

    c.0.start("b1").await.expect("start");
    until(c.0, "b1", "/boots", "3").await;
    assert_eq!(c.probe(&[("a1", "b1"), ("b1", "c1")]).await, [Open, Open]);
    until(c.0, "a1", &c.path("try", "a1", "b1"), "echo").await;
}

async fn a_paused_node_is_silent_and_goes_on(c: &Cluster<'_>) {
    let before = c.identity("c1").await;
    c.0.resume("c1")
        .await
        .expect("resuming the running is fine");
    c.0.pause("c1").await.expect("pause");
    assert_eq!(
        c.state("c1").await,
        ProcessState::Paused {
            identity: before.clone()
        }
    );
    assert_eq!(c.says("a1", &c.path("try", "a1", "c1")).await, "silent");
    c.0.resume("c1").await.expect("resume");
    assert_eq!(c.identity("c1").await, before);
    until(c.0, "a1", &c.path("try", "a1", "c1"), "echo").await;
    c.0.pause("c1").await.expect("pause");
    c.0.kill("c1").await.expect("a paused node can be killed");
    assert!(c.is_dead("c1").await);
    c.0.start("c1").await.expect("start");
    until(c.0, "c1", "/boots", "2").await;
}

async fn a_node_that_is_asked_to_stop_stops(c: &Cluster<'_>) {
    let before = c.identity("a2").await;
    c.0.stop("a2").await.expect("stop");
    // Its own exit, not the signal.
    let state = c.state("a2").await;
    assert_eq!(state, ProcessState::Exited(Exit::Code(7)));
    c.0.stop("a2").await.expect("stopping the stopped is fine");
    c.0.start("a2").await.expect("start");
    until(c.0, "a2", "/boots", "2").await;
    assert_ne!(c.identity("a2").await, before);
}

async fn a_node_becomes_another_program_and_back(c: &Cluster<'_>) {
    let own = c.0.provide(None).await.expect("own");
    assert_eq!(c.0.executes("a2").await.as_ref(), Ok(&own));
    // The same program in other bytes: what follows an ELF file's sections is not looked at.
    let folder = tempfile::tempdir().expect("a folder");
    let other = folder.path().join("other");
    let mut bytes = std::fs::read("/proc/self/exe").expect("this program");
    bytes.extend_from_slice(b"another build");
    std::fs::write(&other, bytes).expect("a copy");
    let another = c.0.provide(Some(&other)).await.expect("another");
    assert_ne!(own, another);
    assert!(c.0.install("a2", &another).await.is_err(), "it runs");
    for (program, boots) in [(&another, "3"), (&own, "4"), (&another, "5")] {
        c.0.stop("a2").await.expect("stop");
        c.0.install("a2", program).await.expect("install");
        assert!(c.0.executes("a2").await.is_err(), "it does not run");
        c.0.start("a2").await.expect("start");
        until(c.0, "a2", "/boots", boots).await;
        assert_eq!(c.0.executes("a2").await.as_ref(), Ok(program));
    }
    let text = folder.path().join("text");
    std::fs::write(&text, "no program").expect("a file");
    assert!(c.0.provide(Some(&text)).await.is_err());
    assert!(
        c.0.provide(Some(&folder.path().join("none")))
            .await
            .is_err()
    );
}

async fn an_instrument_is_cut_off_like_others(c: &Cluster<'_>, canary: &mut Canary) {
    let at = |to| c.0.reach_addr("canary-a", to, "peer").expect("an address");
    assert_eq!(ask(canary, &format!("try {}", at("a1"))).await, "echo");
    let pairs = [
        ("canary-a", "a1"),
        ("a1", "canary-a"),
        ("canary-a", "a2"),
        ("a2", "canary-a"),
    ];
    let (there, back) = (link("canary-a", "a1"), link("a1", "canary-a"));
    for (cut, seen) in [
        (there, [Cut, Open, Open, Open]),
        (back, [Open, Cut, Open, Open]),
    ] {
        let cut = [cut];
        c.0.cut(&cut).await.expect("cut");
        assert_eq!(c.probe(&pairs).await, seen);
        assert_eq!(ask(canary, &format!("try {}", at("a1"))).await, "silent");
        assert_eq!(ask(canary, &format!("try {}", at("a2"))).await, "echo");
        c.0.open(&cut).await.expect("open");
        assert_eq!(c.probe(&pairs).await, [Open, Open, Open, Open]);
        assert_eq!(ask(canary, &format!("try {}", at("a1"))).await, "echo");
    }
}

async fn unknown_units_are_errors(c: &Cluster<'_>) {
    assert!(c.0.kill("nobody").await.is_err());
    assert!(c.0.cut(&[link("a1", "nobody")]).await.is_err());
    assert!(c.0.probe(&[link("nobody", "a1")]).await.is_err());
    assert!(c.0.process("canary-a").await.is_err());
    assert_eq!(c.0.reach_addr("a1", "nobody", "peer"), None);
    assert!(c.0.admin("a1", "not a path", ASK).await.is_err());
}
