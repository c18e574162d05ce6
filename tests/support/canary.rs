//! What the tests of `gameday canary` share.

use super::{gameday, run_folder, wait};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const LIMIT: Duration = Duration::from_secs(120);

/// `gameday canary` without the AWS settings of whoever runs the tests.
pub fn canary(dir: &Path) -> Command {
    let mut c = gameday();
    c.arg("canary")
        .arg("--plain")
        .arg("--out")
        .arg(dir.join("runs"));
    for name in [
        "ACCESS_KEY_ID",
        "SECRET_ACCESS_KEY",
        "SESSION_TOKEN",
        "PROFILE",
        "REGION",
    ] {
        c.env_remove(format!("AWS_{name}"));
    }
    c.env_remove("AWS_DEFAULT_REGION");
    c.env("HOME", dir);
    c
}

pub fn folder(dir: &Path) -> std::path::PathBuf {
    run_folder(&dir.join("runs"))
}

/// Starts it and waits until it says where its metrics are; the rest of its
/// output is read in the background, so that its pipe never fills.
pub fn started(command: &mut Command) -> (Child, String, std::thread::JoinHandle<String>) {
    let mut child = command
        .args(["--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = String::new();
    let url = loop {
        let Some(Ok(line)) = lines.next() else {
            let mut why = String::new();
            let mut stderr = child.stderr.take().unwrap();
            let _ = stderr.read_to_string(&mut why);
            panic!("no metrics: {said}{why}");
        };
        said += &format!("{line}\n");
        if let Some((_, url)) = line.split_once("metrics at ") {
            break url.to_string();
        }
    };
    let rest = std::thread::spawn(move || {
        lines
            .map_while(Result::ok)
            .fold(said, |said, line| said + &line + "\n")
    });
    (child, url, rest)
}

pub fn scrape(url: &str) -> String {
    let addr = url
        .trim_start_matches("http://")
        .trim_end_matches("/metrics");
    let mut stream = TcpStream::connect(addr).expect("it listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let ask = format!("GET /metrics HTTP/1.1\r\nhost: {addr}\r\n\r\n");
    stream.write_all(ask.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_string()
}

/// Sum of all samples whose line begins so and contains so.
pub fn sum(metrics: &str, name: &str, label: &str) -> f64 {
    let of = |l: &&str| l.starts_with(name) && l.contains(label);
    let value = |l: &str| l.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
    metrics.lines().filter(of).map(value).sum()
}

/// Scrapes until enough operations were answered.
pub fn wait_for_answers(url: &str, at_least: f64) -> String {
    let began = Instant::now();
    loop {
        let metrics = scrape(url);
        let ok = sum(&metrics, "gameday_canary_requests_total{", "outcome=\"ok\"");
        if ok >= at_least {
            return metrics;
        }
        assert!(began.elapsed() < LIMIT, "too few answers:\n{metrics}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

pub fn terminate(child: Child) -> std::process::Output {
    let pid = i32::try_from(child.id()).unwrap();
    assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
    wait(child, LIMIT)
}

/// Every kind of call.
pub const ALL_KINDS: &str =
    "writes=0.15,inserts=0.15,cas=0.1,adds=0.2,strong_reads=0.3,eventual_reads=0.1";
