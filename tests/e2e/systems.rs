//! Game days on systems of others, as `playbooks/systems` has them. Skipped where Compose or
//! their programs are not installed, unless GAMEDAY_REQUIRE_SERVICES=1.

use crate::support::engine::{docker_lines, left_of};
use crate::support::servers::program;
use crate::support::*;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// A Compose project of a test's own; it is taken down with this.
struct Project {
    name: String,
    folder: PathBuf,
    /// For what Compose reads from its environment.
    env: Vec<(&'static str, &'static str)>,
    /// A container in the project's network that is none of the project's.
    bystander: String,
    runs: EndsRuns,
    dir: tempfile::TempDir,
}

impl Project {
    /// Makes the image of a folder of `playbooks/systems` from `programs` and brings it up;
    /// `None` (said) where one of them is not installed. `name`: of the test.
    fn up(
        system: &str,
        name: &str,
        programs: &[&str],
        env: &[(&'static str, &'static str)],
    ) -> Option<Project> {
        for needed in ["docker-compose"].iter().chain(programs) {
            program(needed)?;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = root.join("playbooks/systems").join(system);
        let made = finish(&mut Command::new(folder.join("images.sh")), LIMIT);
        assert!(made.status.success(), "{}", text(&made));
        let name = format!("gameday-test-{name}-{}", std::process::id());
        let dir = tempfile::tempdir().expect("a temporary folder");
        let project = Project {
            bystander: format!("{name}-bystander"),
            runs: EndsRuns(dir.path().join("runs")),
            env: env.to_vec(),
            name,
            folder,
            dir,
        };
        project.compose(&["up", "-d"]);
        let image = format!("gameday-systems-{system}");
        let network = format!("{}_default", project.name);
        // A shell that waits for what it is told.
        let run = ["run", "-d", "-i", "--name", &project.bystander];
        let what = ["--network", &network, &image, "sh"];
        docker_lines(&[run.as_slice(), &what].concat());
        Some(project)
    }

    fn compose(&self, args: &[&str]) {
        let mut c = Command::new("docker-compose");
        c.args(["-p", &self.name, "-f"])
            .arg(self.folder.join("compose.yaml"))
            .args(args)
            .envs(self.env.iter().copied());
        let done = finish(&mut c, LIMIT);
        assert!(done.status.success(), "{}", text(&done));
    }

    /// Runs one of its playbooks: its exit code, its run folder and what it said.
    fn run(&self, playbook: &str) -> (Option<i32>, PathBuf, String) {
        let path = self.folder.join(playbook);
        let book = std::fs::read_to_string(&path).expect("a playbook");
        let system = self.folder.file_name().and_then(|n| n.to_str());
        let says = format!("compose = \"{}\"", system.expect("a plain name"));
        assert!(book.contains(&says), "{playbook} adopts its own project");
        let own = self.dir.path().join(playbook);
        let book = book.replace(&says, &format!("compose = \"{}\"", self.name));
        std::fs::write(&own, book).expect("the temporary folder is writable");
        let mut c = gameday();
        c.arg("run").arg(&own).args(["--adopt", &self.name]);
        c.args(["--plain", "--out"]).arg(&self.runs.0);
        let done = finish(&mut c, LIMIT);
        let folder = run_folder(&self.runs.0);
        let run = folder.file_name().and_then(|n| n.to_str());
        assert_eq!(left_of(run.expect("a plain name")), Vec::<String>::new());
        (done.status.code(), folder, text(&done))
    }

    /// `docker inspect` of its containers, without what a restart changes.
    fn containers(&self) -> Value {
        let label = format!("label=com.docker.compose.project={}", self.name);
        let mut ids = docker_lines(&["ps", "-aq", "--no-trunc", "--filter", &label]);
        ids.sort();
        let mut all = inspect(&ids.iter().map(String::as_str).collect::<Vec<_>>());
        forget_starts(&mut all);
        all
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = Command::new("docker")
            .args(["rm", "-f", &self.bystander])
            .output();
        let _ = Command::new("docker-compose")
            .args(["-p", &self.name, "-f"])
            .arg(self.folder.join("compose.yaml"))
            .args(["down", "-v", "-t", "1"])
            .output();
    }
}

fn inspect(containers: &[&str]) -> Value {
    let said = docker_lines(&[&["inspect"], containers].concat()).concat();
    serde_json::from_str(&said).expect("JSON")
}

/// Takes away what is another after every start: times, process, sandbox, endpoint.
fn forget_starts(value: &mut Value) {
    const ANOTHER: [&str; 6] = [
        "StartedAt",
        "FinishedAt",
        "Pid",
        "SandboxID",
        "SandboxKey",
        "EndpointID",
    ];
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !ANOTHER.contains(&key.as_str()));
            map.values_mut().for_each(forget_starts);
        }
        Value::Array(all) => all.iter_mut().for_each(forget_starts),
        _ => {}
    }
}

/// The check of this name.
fn check(folder: &Path, name: &str) -> Value {
    let verdict = json(&folder.join("verdict.json"));
    let checks = verdict["checks"].as_array().expect("checks");
    let found = checks.iter().find(|c| c["name"] == name);
    found.unwrap_or_else(|| panic!("{name}: {verdict}")).clone()
}

/// Runs a playbook that promises to pass, and looks at what is left afterwards; its run folder, or
/// `None` where the system is not installed.
fn survives(system: &str, name: &str, programs: &[&str], playbook: &str) -> Option<Run> {
    let project = Project::up(system, name, programs, &[])?;
    let before = project.containers();
    let bystander = inspect(&[&project.bystander]);
    let (code, folder, said) = project.run(playbook);
    assert_eq!(code, Some(0), "{said}");
    for side in ["injected", "held", "reverted"] {
        let (pass, evidence) = proofs(&folder, side);
        assert!(pass, "{side}: {evidence}");
    }
    assert_eq!(project.containers(), before, "put back as it was");
    assert_eq!(inspect(&[&project.bystander]), bystander, "left alone");
    Some(Run {
        folder,
        _project: project,
    })
}

/// What a run left, as long as its project is there.
struct Run {
    folder: PathBuf,
    _project: Project,
}

fn etcd_survives(name: &str, playbook: &str) {
    if let Some(run) = survives("etcd", name, &["etcd", "etcdctl"], playbook) {
        let lost = check(&run.folder, "lost-writes");
        assert_eq!(lost["verdict"], "pass", "{lost}");
    }
}

pub fn etcd_survives_a_member_that_is_killed() {
    etcd_survives("killed", "member-killed.toml");
}

pub fn etcd_survives_a_leader_that_is_isolated() {
    etcd_survives("isolated", "leader-isolated.toml");
}

pub fn a_web_service_survives_a_dark_zone() {
    if let Some(run) = survives("web", "web", &["nginx"], "zone-dark.toml") {
        let verdict = json(&run.folder.join("verdict.json"));
        assert_eq!(verdict["verdict"], "pass", "{verdict}");
        let history = std::fs::read_to_string(run.folder.join("history.jsonl")).expect("a history");
        let failed = history.contains("\"type\":\"info\"") || history.contains("\"type\":\"fail\"");
        assert!(failed, "who is in the dark zone reaches nobody");
    }
}

/// How many acknowledged writes of Redis' are lost by a playbook: what is found in one of at most
/// three seeds, each on a project of its own; `None` where it is not installed.
fn redis_loses(
    name: &str,
    playbook: &str,
    env: &[(&'static str, &'static str)],
) -> Option<(u64, String)> {
    let mut last = String::new();
    for _ in 0..3 {
        let project = Project::up("redis", name, &["redis-server", "redis-cli"], env)?;
        let before = project.containers();
        let bystander = inspect(&[&project.bystander]);
        let (code, folder, said) = project.run(playbook);
        assert_eq!(project.containers(), before, "put back as it was");
        assert_eq!(inspect(&[&project.bystander]), bystander, "left alone");
        let lost = check(&folder, "lost-writes");
        if lost["verdict"] == "fail" {
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains("lost write"), "{said}");
            let history = std::fs::read_to_string(folder.join("history.jsonl"));
            let total = lost["anomalies_total"].as_u64().expect("a number");
            return Some((total, history.expect("a history")));
        }
        last = said;
    }
    panic!("no lost write in three seeds: {last}");
}

/// What says that the primary refuses a write because no replica follows it.
const REFUSED: &str = "NOREPLICAS";

pub fn redis_loses_what_an_isolated_primary_acknowledged() {
    if let Some((_, history)) = redis_loses("redis", "primary-isolated.toml", &[]) {
        assert!(!history.contains(REFUSED), "it knows of no replicas");
    }
}

pub fn redis_that_wants_a_replica_refuses_what_it_would_lose() {
    let env = [("MIN_REPLICAS", "1")];
    if let Some((lost, history)) = redis_loses("min-replicas", "min-replicas.toml", &env) {
        let refused = history.matches(REFUSED).count() as u64;
        assert!(refused > lost, "{refused} refused, {lost} lost");
    }
}
