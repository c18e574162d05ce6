//! Docker, asked beside gameday.

use super::text;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

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

/// The address of a container, which is an agent's.
pub fn ip_of(container: &str) -> String {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    docker_lines(&["inspect", "--format", format, container]).concat()
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
    Attached::to(container).ask(request)
}

/// The streams of an agent. They must not be left unread for long: its runner reads them too.
pub struct Attached {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    id: u64,
}

impl Attached {
    pub fn to(container: &str) -> Attached {
        let mut child = Command::new("docker")
            .args(["attach", "--sig-proxy=false", container])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the docker command runs");
        Attached {
            stdin: child.stdin.take().expect("a pipe"),
            lines: BufReader::new(child.stdout.take().expect("a pipe")).lines(),
            child,
            // Far from the numbers that the runner has used.
            id: 1 << 40,
        }
    }

    /// `None` if it is gone.
    pub fn ask(&mut self, request: &Value) -> Option<Value> {
        self.id += 1;
        let line = json!({ "id": self.id, "request": request });
        let asked = writeln!(self.stdin, "{line}").and_then(|()| self.stdin.flush());
        let lines = asked.ok().map(|()| self.lines.by_ref())?;
        lines
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
            .find(|answer| answer["id"] == self.id)
    }
}

/// The container goes on; only the attachment ends.
impl Drop for Attached {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
