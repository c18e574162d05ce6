//! `gameday canary` with the real binary, against a store in this process and
//! against our own.

use crate::support::canary::*;
use crate::support::stub::Stub;
use crate::support::*;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub fn it_measures_until_it_is_told_to_end_and_leaves_a_report() {
    let stub = Stub::start();
    let dir = tempfile::tempdir().unwrap();
    let (child, url, said) = started(
        canary(dir.path())
            .args(["--endpoint", &format!("http://{}", stub.addr), "--az", "a"])
            .args(["--create-table", "--rate", "100", "--keys", "10"])
            .args(["--write-availability", "90%"]),
    );
    let metrics = wait_for_answers(&url, 150.0);
    for part in [
        "gameday_canary_request_duration_seconds_bucket{az=\"a\",endpoint=\"a\",op=\"write\",outcome=\"ok\",le=\"0.0005\"}",
        "gameday_canary_send_lag_seconds_count{az=\"a\",endpoint=\"a\"}",
        "gameday_canary_inflight{az=\"a\"}",
        "gameday_alarm_firing{alarm=\"failures\"} 0",
        "gameday_slo_objective_ratio{objective=\"write_availability\"} 0.9",
        "gameday_slo_error_budget_remaining_ratio{objective=\"write_availability\"} 1",
        "gameday_build_info{version=",
    ] {
        assert!(metrics.contains(part), "{part} in:\n{metrics}");
    }
    let done = terminate(child);
    let said = said.join().unwrap() + &text(&done);
    assert_eq!(done.status.code(), Some(0), "{said}");
    assert!(said.contains("no credentials found"), "{said}");
    let folder = folder(dir.path());
    for file in [
        "run.json",
        "history.jsonl",
        "timeline.jsonl",
        "verdict.json",
        "report.json",
        "report.html",
        "summary.md",
        "junit.xml",
        "latency-000001.hlog",
    ] {
        let size = std::fs::metadata(folder.join(file)).map_or(0, |m| m.len());
        assert!(size > 100, "{file} has {size} bytes: {said}");
    }
    let verdict = json(&folder.join("verdict.json"));
    assert_eq!(verdict["verdict"], "pass", "{verdict}");
    let report = json(&folder.join("report.json"));
    assert_eq!(report["overall"]["ending"], "pass", "{}", report["overall"]);
    // It can be judged and rendered again.
    let checked = finish(gameday().arg("check").arg(&folder), LIMIT);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked));
    let again = finish(gameday().arg("report").arg(&folder), LIMIT);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    hdrhistogram_reads(&folder.join("latency-000001.hlog"), dir.path());
}

/// The second opinion of another language's library, where it can be had.
fn hdrhistogram_reads(log: &Path, dir: &Path) {
    let Some(python) = python_with(dir, "hdrhistogram") else {
        return;
    };
    let script = "import sys\n\
        from hdrh.histogram import HdrHistogram\n\
        from hdrh.log import HistogramLogReader\n\
        reader = HistogramLogReader(sys.argv[1], HdrHistogram(1, 3600 * 10**9, 3))\n\
        n = 0\n\
        while True:\n\
        \x20   h = reader.get_next_interval_histogram()\n\
        \x20   if h is None: break\n\
        \x20   n += h.get_total_count()\n\
        \x20   assert 10**3 < h.get_value_at_percentile(50) < 60 * 10**9\n\
        print(n)\n";
    let read = finish(Command::new(python).args(["-c", script]).arg(log), LIMIT);
    let n: u64 = text(&read).trim().parse().unwrap_or(0);
    assert!(n >= 100, "{}", text(&read));
}

pub fn an_alarm_that_is_a_stop_condition_ends_it() {
    let stub = Stub::start();
    let failing = &stub.failing;
    failing.store(1, std::sync::atomic::Ordering::Relaxed);
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("measure.toml");
    let text = "[[alarm]]\nname = \"down\"\nstop = true\n\
                failures = { above = \"50%\", bad = 2, of = 3, at_least = 5 }\n";
    std::fs::write(&config, text).unwrap();
    let done = finish(
        canary(dir.path())
            .args(["--endpoint", &format!("http://{}", stub.addr), "--az", "a"])
            .args(["--create-table", "--rate", "50", "--timeout", "500ms"])
            // Without the stop condition it would end by this, in another way.
            .args(["--for", "100s", "--config"])
            .arg(&config),
        LIMIT,
    );
    assert_eq!(
        done.status.code(),
        Some(3),
        "{}",
        crate::support::text(&done)
    );
    let report = json(&folder(dir.path()).join("report.json"));
    let ending = report["overall"]["ending"].as_str();
    assert_eq!(ending, Some("stopped"), "{}", report["overall"]);
    let why = report["overall"]["reasons"].to_string();
    assert!(why.contains("'down' fires"), "{why}");
}

pub fn what_cannot_be_measured_is_explained() {
    let stub = Stub::start();
    let here = format!("http://{}", stub.addr);
    for (arguments, expected) in [
        (vec!["--endpoint", &here], "--create-table"),
        (vec!["--endpoint", "nonsense"], "a URL"),
        (vec!["--endpoint", "http://127.0.0.1:1"], "DescribeTable"),
        (
            vec!["--endpoint", &here, "--profile", "nobody"],
            "no profile",
        ),
        (vec!["--endpoint", &here, "--rate", "0"], "rate"),
        (
            vec!["--endpoint", &here, "--ca-file", "/nowhere"],
            "/nowhere",
        ),
        (vec![], "--endpoint"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let done = finish(canary(dir.path()).args(&arguments), LIMIT);
        assert_eq!(
            done.status.code(),
            Some(64),
            "{arguments:?}: {}",
            text(&done)
        );
        assert!(
            text(&done).contains(expected),
            "{expected}: {}",
            text(&done)
        );
        assert!(!dir.path().join("runs").exists(), "nothing is left of it");
    }
}

pub fn requests_are_signed_with_the_keys_of_a_profile() {
    let stub = Stub::start();
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join(".aws")).unwrap();
    let keys = "[mine]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = x\n\
                region = eu-north-1\n";
    std::fs::write(dir.path().join(".aws/credentials"), keys).unwrap();
    let done = finish(
        canary(dir.path())
            .args([
                "--endpoint",
                &format!("http://{}", stub.addr),
                "--profile",
                "mine",
            ])
            .args([
                "--create-table",
                "--rate",
                "50",
                "--keys",
                "5",
                "--for",
                "1s",
            ]),
        LIMIT,
    );
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    let authorization = stub.store.lock().unwrap().authorization.clone();
    assert!(
        authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"),
        "{authorization}"
    );
    assert!(
        authorization.contains("/eu-north-1/dynamodb/aws4_request, "),
        "{authorization}"
    );
}

pub fn old_segments_go_and_are_judged_before() {
    let stub = Stub::start();
    let dir = tempfile::tempdir().unwrap();
    let done = finish(
        canary(dir.path())
            .args(["--endpoint", &format!("http://{}", stub.addr), "--az", "a"])
            .args([
                "--create-table",
                "--rate",
                "1000",
                "--keys",
                "20",
                "--for",
                "12s",
            ])
            .args(["--segment-mib", "1", "--segments", "2", "--mix", ALL_KINDS]),
        LIMIT,
    );
    // Whether a busy machine could send all of it is not the question here.
    let folder = folder(dir.path());
    let verdict = json(&folder.join("verdict.json"));
    assert_eq!(verdict["verdict"], "pass", "{verdict}\n{}", text(&done));
    let earlier = json(&folder.join("earlier.json"));
    assert_eq!(earlier["verdict"], "pass", "{earlier}");
    let size = std::fs::metadata(folder.join("history.jsonl"))
        .unwrap()
        .len();
    assert!(size < 4 << 20, "{size}");
    let left = std::fs::read_dir(&folder).unwrap().flatten();
    let segments = left.filter(|e| e.file_name().to_string_lossy().starts_with("history-"));
    assert_eq!(segments.count(), 0);
    assert!(text(&done).contains("were removed"), "{}", text(&done));
    let report = json(&folder.join("report.json"));
    let limits = report["limits"].to_string();
    assert!(limits.contains("newest part of the history"), "{limits}");
}

pub fn our_own_store_is_measured_through_every_endpoint() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    let up = finish(
        gameday()
            .args(["cluster", "up", "--runtime", "process"])
            .args(["--storage-nodes-per-az", "1", "--partitions", "2", "--out"])
            .arg(&kept),
        LIMIT,
    );
    assert_eq!(up.status.code(), Some(0), "{}", text(&up));
    let said = text(&up);
    let endpoints = said.split_whitespace().filter(|w| w.starts_with("http://"));
    let mut command = canary(dir.path());
    command.args(["--az", "a", "--create-table", "--keys", "20", "--for", "4s"]);
    for (az, url) in ["a", "b", "c"].iter().zip(endpoints) {
        command.args(["--endpoint", &format!("{az}={url}")]);
    }
    let done = finish(&mut command, LIMIT);
    let id = run_folder(&kept);
    let id = id.file_name().unwrap();
    let down = finish(gameday().args(["cluster", "down"]).arg(id), LIMIT);
    assert_eq!(down.status.code(), Some(0), "{}", text(&down));
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    let report = json(&folder(dir.path()).join("report.json"));
    assert_eq!(report["trust"]["pairs"], 3, "one canary, three endpoints");
}

/// The second opinion of the AWS tools, where they can be had.
pub fn botocore_signs_the_same() {
    use gameday_canary::sigv4::{Credentials, Signable, Signer};
    use std::time::{SystemTime, UNIX_EPOCH};
    let dir = tempfile::tempdir().unwrap();
    let Some(python) = python_with(dir.path(), "botocore") else {
        return;
    };
    let script = "import sys, datetime\n\
        from botocore.auth import SigV4Auth\n\
        from botocore.awsrequest import AWSRequest\n\
        from botocore.credentials import Credentials\n\
        class Then(SigV4Auth):\n\
        \x20   def add_auth(self, request):\n\
        \x20       request.context['timestamp'] = '20260102T030405Z'\n\
        \x20       self._modify_request_before_signing(request)\n\
        \x20       c = self.canonical_request(request)\n\
        \x20       s = self.signature(self.string_to_sign(request, c), request)\n\
        \x20       self._inject_signature_to_request(request, s)\n\
        for token in [None, 'a-token/+=']:\n\
        \x20   r = AWSRequest('POST', 'https://dynamodb.eu-west-1.amazonaws.com/', data=b'{\"a\":1}', headers={\n\
        \x20     'content-type': 'application/x-amz-json-1.0', 'x-amz-target': 'DynamoDB_20120810.GetItem'})\n\
        \x20   Then(Credentials('AKID', 's+/ecret', token), 'dynamodb', 'eu-west-1').add_auth(r)\n\
        \x20   print(r.headers['Authorization'])\n";
    let theirs = finish(Command::new(python).args(["-c", script]), LIMIT);
    let at: SystemTime = UNIX_EPOCH + Duration::from_secs(1_767_323_045);
    let ours: Vec<String> = [None, Some("a-token/+=".to_string())]
        .map(|session_token| {
            let credentials = Credentials {
                access_key_id: "AKID".into(),
                secret_access_key: "s+/ecret".into(),
                session_token,
            };
            let request = Signable {
                method: "POST",
                path: "/",
                query: "",
                headers: &[
                    ("content-type", "application/x-amz-json-1.0"),
                    ("host", "dynamodb.eu-west-1.amazonaws.com"),
                    ("x-amz-target", "DynamoDB_20120810.GetItem"),
                ],
                body: b"{\"a\":1}",
            };
            let mut signer = Signer::new(credentials, "eu-west-1", "dynamodb");
            signer.sign(request, at).authorization
        })
        .to_vec();
    let theirs = text(&theirs);
    let theirs: Vec<&str> = theirs.lines().filter(|l| l.starts_with("AWS4")).collect();
    assert_eq!(ours, theirs);
}
