//! `gameday check` with the real binary, on small histories of every format.

#[path = "../support/mod.rs"]
mod support;

mod collected;
mod formats;
mod models;
mod output;
mod refusals;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::{finish, gameday};

const LIMIT: Duration = Duration::from_secs(60);

/// What one call of `gameday check` said.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    /// Its output as JSON, of one file.
    #[track_caller]
    fn file(&self) -> Value {
        let all: Value = serde_json::from_str(&self.out)
            .unwrap_or_else(|e| panic!("{e}: {}{}", self.out, self.err));
        let files = all["files"].as_array().expect("a list of files");
        assert_eq!(files.len(), 1, "{all:#}");
        files[0].clone()
    }
}

/// `gameday check` with these arguments.
fn check(arguments: &[&str]) -> Said {
    let done = finish(gameday().arg("check").args(arguments), LIMIT);
    Said {
        code: done.status.code().expect("it was not killed"),
        out: String::from_utf8(done.stdout).expect("text"),
        err: String::from_utf8(done.stderr).expect("text"),
    }
}

/// One of the histories beside these tests.
fn history(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    text(&root.join("tests/histories").join(name))
}

/// A history in a folder that goes away with the test.
fn written(dir: &tempfile::TempDir, name: &str, contents: &str) -> String {
    let path = dir.path().join(name);
    std::fs::write(&path, contents).expect("the temporary folder is writable");
    text(&path)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn text(path: &Path) -> String {
    PathBuf::from(path)
        .into_os_string()
        .into_string()
        .expect("UTF-8")
}

/// The anomalies of a judged file, as pairs of check and anomaly.
fn anomalies(file: &Value) -> Vec<(String, String)> {
    let list = |v: &Value| v.as_array().cloned().unwrap_or_default();
    let name = |v: &Value| v["name"].as_str().expect("a name").to_string();
    let mut found = Vec::new();
    for c in list(&file["checks"]) {
        for a in list(&c["anomalies"]) {
            found.push((name(&c), name(&a)));
        }
    }
    found
}
