//! Docker, asked beside gameday.

use super::text;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

/// An address of a container, unless it has gone meanwhile.
pub fn address(container: &str) -> Option<String> {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let out = Command::new("docker")
        .args(["inspect", "--format", format, container])
        .stdin(Stdio::null())
        .output()
        .expect("the docker command runs");
    let said = String::from_utf8_lossy(&out.stdout).trim().to_string();
    (out.status.success() && !said.is_empty()).then_some(said)
}

/// `docker …`, its lines.
pub fn docker_lines(args: &[&str]) -> Vec<String> {
    let out = Command::new("docker")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the docker command runs");
    assert!(out.status.success(), "docker {args:?}: {}", text(&out));
    let said = String::from_utf8_lossy(&out.stdout);
    said.lines().map(str::to_string).collect()
}

/// Everything that carries the mark of `run`.
pub fn left_of(run: &str) -> Vec<String> {
    let filter = format!("label=gameday.run={run}");
    let mut all = docker_lines(&["ps", "-aq", "--filter", &filter]);
    all.extend(docker_lines(&["volume", "ls", "-q", "--filter", &filter]));
    all.extend(docker_lines(&["network", "ls", "-q", "--filter", &filter]));
    all
}

/// Asks an agent over its attached streams; `None` if it is gone.
pub fn ask(container: &str, request: &Value) -> Option<Value> {
    // Far from the numbers that the runner has used.
    let id = 1u64 << 40;
    let mut child = Command::new("docker")
        .args(["attach", "--sig-proxy=false", container])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the docker command runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let line = json!({ "id": id, "request": request });
    let asked = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let answer = asked.ok().and_then(|()| {
        lines
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
            .find(|answer| answer["id"] == id)
    });
    // The container goes on; only the attachment ends.
    let _ = child.kill();
    let _ = child.wait();
    answer
}
