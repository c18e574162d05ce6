//! What this machine can do, as `doctor` and `plan` say it.

use crate::support::*;
use std::process::{Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// A command that finds no Docker engine.
fn alone_here(args: &[&str]) -> Command {
    let mut c = gameday();
    c.args(args)
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    c
}

fn book(name: &str) -> String {
    format!("{}/playbooks/{name}.toml", env!("CARGO_MANIFEST_DIR"))
}

pub fn without_docker_processes_are_offered_and_why_is_said() {
    let done = finish(&mut alone_here(&["doctor", "--json"]), LIMIT);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    let found: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(found["docker"]["usable"], false);
    let why = found["docker"]["why_not"].as_str().unwrap();
    assert!(why.contains("/nowhere/docker.sock"), "{why}");
    assert_eq!(found["process"]["usable"], true);
    let faults = found["faults"].as_array().unwrap();
    assert!(!faults.is_empty());
    for row in faults {
        let runtimes = row["runtimes"].as_object().unwrap();
        let names: Vec<_> = runtimes.keys().collect();
        assert_eq!(names, ["process"], "{row}");
        let possible = &runtimes["process"];
        let told = if possible["possible"] == true {
            "by"
        } else {
            "why_not"
        };
        assert!(possible.get(told).is_some(), "{row}");
    }
    let isolate = faults.iter().find(|f| f["fault"] == "isolate").unwrap();
    assert_eq!(isolate["runtimes"]["process"]["by"][0], "proxied links");
}

pub fn where_nothing_can_run_the_exit_code_says_so() {
    let mut doctor = alone_here(&["doctor"]);
    let done = finish(doctor.env("TMPDIR", "/nowhere"), LIMIT);
    assert_eq!(done.status.code(), Some(2), "{}", text(&done));
    assert!(
        text(&done).contains("process: no, /nowhere"),
        "{}",
        text(&done)
    );
}

pub fn a_plan_names_its_techniques_and_needs_no_docker() {
    for runtime in ["auto", "process"] {
        let args = ["plan", &book("az-power-off"), "--runtime", runtime];
        let done = finish(&mut alone_here(&args), LIMIT);
        assert_eq!(done.status.code(), Some(0), "{}", text(&done));
        let said = text(&done);
        let technique = "made in process by signals and proxied links";
        assert!(said.contains(technique), "{said}");
    }
    let args = ["plan", &book("az-power-off"), "--runtime", "docker"];
    let done = finish(&mut alone_here(&args), LIMIT);
    assert_eq!(done.status.code(), Some(64), "{}", text(&done));
}

pub fn a_night_is_the_same_for_the_same_seed_to_the_byte() {
    let plan = |seed: &str| {
        let book = book("nightly");
        let args = ["plan", &book, "--duration", "20m", "--seed", seed];
        let done = finish(&mut alone_here(&args), LIMIT);
        assert_eq!(done.status.code(), Some(0), "{}", text(&done));
        done.stdout
    };
    let first = plan("5");
    assert!(first.iter().filter(|b| **b == b'\n').count() > 100);
    for _ in 0..9 {
        assert_eq!(plan("5"), first);
    }
    assert_ne!(plan("6"), first);
}

pub fn an_output_that_nobody_reads_is_no_failure() {
    let mut doctor = alone_here(&["doctor"]);
    let mut child = doctor.stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(wait(child, LIMIT).status.code(), Some(0));
}

pub fn containers_are_tried_and_the_probe_is_gone_afterwards() {
    let mut doctor = gameday();
    doctor.args(["doctor", "--json"]);
    let child = doctor.stdout(Stdio::piped()).spawn().unwrap();
    let name = format!("name=gameday-probe-{}-", child.id());
    let done = wait(child, LIMIT);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    let found: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let tried = found["docker"]["containers"].as_array().unwrap();
    let nftables = tried.iter().find(|t| t["name"] == "nftables").unwrap();
    assert_eq!(nftables["seen"], "yes", "{tried:?}");
    let isolate = found["faults"]
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["fault"] == "isolate")
        .unwrap();
    assert_eq!(isolate["runtimes"]["docker"]["by"][0], "nftables");
    let left = Command::new("docker")
        .args(["ps", "-aq", "--filter", &name])
        .output()
        .unwrap();
    assert!(left.status.success() && left.stdout.is_empty(), "{left:?}");
}

/// The engine is found by the rules of the docker command, and told.
pub fn the_engine_is_that_of_the_docker_context() {
    let home = tempfile::tempdir().unwrap();
    let socket = std::fs::canonicalize("/var/run/docker.sock").unwrap();
    // Its name's SHA-256, as the docker command files it.
    let meta = home
        .path()
        .join("contexts/meta/f24fd3749c1368328e2b149bec149cb6795619f244c5b584e844961215dadd16");
    std::fs::create_dir_all(&meta).unwrap();
    let host = |host: &str| {
        let text = format!(r#"{{"Name":"colima","Endpoints":{{"docker":{{"Host":"{host}"}}}}}}"#);
        std::fs::write(meta.join("meta.json"), text).unwrap();
    };
    let config = home.path().join("config.json");
    std::fs::write(&config, r#"{"currentContext":"colima"}"#).unwrap();
    let doctor = || {
        let mut c = gameday();
        c.arg("doctor")
            .env("DOCKER_CONFIG", home.path())
            .env_remove("DOCKER_HOST")
            .env_remove("DOCKER_CONTEXT");
        text(&finish(&mut c, LIMIT))
    };
    host(&format!("unix://{}", socket.display()));
    let said = doctor();
    let engine = format!("at unix://{} (the Docker context colima", socket.display());
    assert!(
        said.starts_with("docker: yes") && said.contains(&engine),
        "{said}"
    );
    host("ssh://me@build");
    let said = doctor();
    assert!(said.contains("ssh me@build gameday"), "{said}");
}

/// Whoever has no right to the socket is told so, and what helps.
pub fn without_the_right_to_the_socket_what_helps_is_said() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: whoever runs this is not root, and cannot be somebody else");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let binary = place.path().join("gameday");
    std::fs::copy(env!("CARGO_BIN_EXE_gameday"), &binary).unwrap();
    let socket = place.path().join("docker.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for (path, mode) in [(place.path(), 0o755), (&binary, 0o755), (&socket, 0o600)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut doctor = Command::new(&binary);
    doctor
        .arg("doctor")
        .env("DOCKER_HOST", format!("unix://{}", socket.display()))
        .current_dir("/")
        .uid(65534)
        .gid(65534);
    let said = text(&finish(&mut doctor, LIMIT));
    for word in ["Permission denied", "usermod -aG docker", "(DOCKER_HOST)"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}
