//! A crate must not learn what the map in ARCHITECTURE.md forbids it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Each crate of ours, and the crates of ours that it may depend on.
const MAP: &[(&str, &[&str])] = &[
    ("gameday-record", &[]),
    ("gameday-checker", &["gameday-record"]),
    ("gameday-canary", &["gameday-record"]),
    ("gameday-cluster", &["gameday-record"]),
    ("gameday-chaos", &["gameday-record"]),
    ("gameday-reports", &["gameday-record"]),
    (
        "gameday",
        &[
            "gameday-record",
            "gameday-checker",
            "gameday-canary",
            "gameday-cluster",
            "gameday-chaos",
            "gameday-reports",
        ],
    ),
];

/// Crates of others that would mean a crate does what is not its business.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "gameday-record",
        &["tokio", "hyper", "reqwest", "bollard", "toml"],
    ),
    (
        "gameday-checker",
        &["tokio", "hyper", "reqwest", "bollard", "toml", "nix"],
    ),
    (
        "gameday-canary",
        &["bollard", "toml", "openraft", "redb", "plotters"],
    ),
    ("gameday-cluster", &["bollard", "toml", "plotters", "maud"]),
    (
        "gameday-chaos",
        &["openraft", "redb", "plotters", "maud", "hdrhistogram"],
    ),
    (
        "gameday-reports",
        &["tokio", "hyper", "reqwest", "bollard", "openraft", "redb"],
    ),
];

fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let out = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata runs");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let meta: serde_json::Value =
        serde_json::from_slice(&out.stdout).expect("cargo metadata is JSON");
    let packages = meta["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|p| {
            let name = p["name"].as_str().expect("name").to_string();
            let deps = p["dependencies"].as_array().expect("dependencies").iter();
            // Tests and benchmarks may look further than the crate itself.
            let deps = deps.filter(|d| d["kind"].as_str() != Some("dev"));
            (
                name,
                deps.map(|d| d["name"].as_str().expect("name").to_string())
                    .collect(),
            )
        })
        .collect()
}

#[test]
fn no_crate_knows_more_than_the_map_allows() {
    let found = dependencies();
    let known: BTreeSet<_> = MAP.iter().map(|(n, _)| n.to_string()).collect();
    assert_eq!(
        found.keys().cloned().collect::<BTreeSet<_>>(),
        known,
        "crates on the map"
    );
    for (name, allowed) in MAP {
        for dep in &found[*name] {
            assert!(
                !known.contains(dep) || allowed.contains(&dep.as_str()),
                "{name} must not know {dep}: see ARCHITECTURE.md"
            );
        }
    }
    for (name, forbidden) in FORBIDDEN {
        for dep in *forbidden {
            assert!(
                !found[*name].contains(*dep),
                "{name} has no business with {dep}"
            );
        }
    }
}
