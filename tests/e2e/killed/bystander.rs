//! Somebody else's process, container and packet rules.

use crate::support::engine::{ask, docker_lines};
use serde_json::json;
use std::process::{Child, Command, Stdio};

/// A process with some of our marks, but not all.
pub struct Process(Child);

impl Process {
    pub fn start() -> Self {
        let child = Command::new("sleep")
            .arg("100000")
            .env("GAMEDAY_RUN", "somebody-elses")
            .stdin(Stdio::null())
            .spawn()
            .expect("sleep");
        Process(child)
    }

    pub fn is_unharmed(&self) {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()));
        assert!(stat.is_ok_and(|s| s.contains(") S ")), "it sleeps on");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A container of our image without our labels, with packet rules of its own.
pub struct Container {
    id: String,
    started: Vec<String>,
}

impl Container {
    /// Of the same image as the containers of `run`.
    pub fn start(run: &str) -> Self {
        let filter = format!("label=gameday.run={run}");
        let image = docker_lines(&["ps", "--filter", &filter, "--format", "{{.Image}}"])[0].clone();
        let config =
            "GAMEDAY_AGENT={\"table\":\"bystander\",\"lease_ms\":3600000,\"folder\":\"/\"}";
        let before = [
            "run",
            "-d",
            "-i",
            "--network",
            "none",
            "--cap-add",
            "NET_ADMIN",
            "--cap-add",
            "NET_RAW",
        ];
        let after = [
            "-e",
            config,
            "--entrypoint",
            "/gameday",
            &image,
            "internal",
            "agent",
        ];
        let id = docker_lines(&[&before[..], &after[..]].concat())[0].clone();
        let rules = json!({ "set": { "silent": true } });
        let answer = ask(&id, &rules).expect("it answers");
        assert_eq!(answer["answer"]["done"]["lapses"], 0, "{answer}");
        let mut container = Container {
            id,
            started: Vec::new(),
        };
        container.started = container.started();
        container
    }

    fn started(&self) -> Vec<String> {
        let format = "{{.State.Status}} {{.State.StartedAt}}";
        docker_lines(&["inspect", "--format", format, &self.id])
    }

    /// It runs as it did, and its rules are there: one that is gone cannot be renewed.
    pub fn is_unharmed(&self) {
        assert_eq!(self.started(), self.started, "the container runs on");
        let answer = ask(&self.id, &json!("renew")).expect("it answers");
        assert_eq!(answer["answer"]["done"]["lapses"], 0, "{answer}");
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new("docker")
            .args(["rm", "-f", &self.id])
            .stdout(Stdio::null())
            .status();
    }
}
