//! The folder of a run that never was.

use super::day::Day;
use super::service::Service;
use gameday_record::folder::write_json;
use gameday_record::history::{HISTORY_VERSION, HistoryFile, HistoryWriter};
use gameday_record::{
    AlarmRule, AlarmSpec, ClusterSpec, Event, HistoryHeader, Node, PartitionDigests, Replay,
    ReplicaDigest, RunFolder, RunInfo, Selection, SloSpec, Topology, Versions, WorkloadSpec,
};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

/// The table that is called.
pub const TABLE: &str = "canary";

const EPOCH: &str = "2026-01-01T00:00:00Z";

/// How large it is to be.
pub struct Size {
    /// From the baseline to the end of the cooldown.
    pub length: Duration,
    /// Operations per second of each of the nine pairs.
    pub rate: f64,
    /// Injections, spread over the time; each takes an AZ away.
    pub injections: u32,
    /// Whether the history is packed.
    pub packed: bool,
}

/// Writes the folder; the same seed gives the same history. Returns the number
/// of operations, final reads included.
///
/// # Errors
/// The injections do not fit, or those of the file system.
pub fn write(out: &Path, size: &Size, seed: u64) -> Result<u64, String> {
    let day = Day::new(size.length, size.injections)?;
    let folder = RunFolder::create(out).map_err(|e| format!("{}: {e}", out.display()))?;
    let info = info(size, &day, seed);
    write_json(&folder.run_json(), &info)?;
    timeline(&folder, &day, &info.topology).map_err(|e| format!("timeline.jsonl: {e}"))?;
    write_json(&folder.replicas(), &replicas(&info.topology))?;
    history(&folder, size, &day, &info).map_err(|e| format!("the history: {e}"))
}

fn history(folder: &RunFolder, size: &Size, day: &Day, info: &RunInfo) -> io::Result<u64> {
    let header = HistoryHeader {
        version: HISTORY_VERSION,
        run: info.id.clone(),
        seed: info.seed,
        clock: "CLOCK_MONOTONIC".into(),
        epoch_utc: EPOCH.into(),
        forgotten: None,
    };
    let file = File::create_new(folder.new_history(size.packed))?;
    let file = HistoryFile::new(BufWriter::new(file), size.packed)?;
    let mut writer = HistoryWriter::new(file, header)?;
    let mut service = Service::new(day, &info.workload, &info.topology.azs, info.seed);
    let mut operations = 0;
    while let Some((op, at)) = service.next() {
        let event = match at {
            None => Event::of_invocation(op),
            Some(at) => Event::of_completion(op, at),
        };
        writer.append(event)?;
        operations += u64::from(at.is_none());
    }
    writer.finish()?.finish()?;
    Ok(operations)
}

fn topology() -> Topology {
    let azs = ["a", "b", "c"];
    let node = |role: &str, az: &str, n: &str| Node {
        name: format!("{role}-{az}{n}"),
        az: az.into(),
        role: role.into(),
    };
    Topology {
        azs: azs.map(String::from).to_vec(),
        nodes: azs
            .iter()
            .flat_map(|az| [node("storage", az, "1"), node("router", az, "")])
            .collect(),
        ..Topology::default()
    }
}

fn info(size: &Size, day: &Day, seed: u64) -> RunInfo {
    let defaults = WorkloadSpec::default();
    // As many keys as canaries insert at most: what is beyond is an ordinary write.
    let operations = 9.0 * size.rate * size.length.as_secs_f64();
    let inserts = defaults.inserts.min(90_000.0 / operations);
    RunInfo {
        id: format!("generated-{seed}"),
        playbook: "generated".into(),
        title: "Generated: nothing of this was run".into(),
        playbook_text: String::new(),
        seed,
        runtime: "generated".into(),
        epoch_utc: EPOCH.into(),
        epoch_monotonic_ns: 0,
        topology: topology(),
        cluster: Some(ClusterSpec::default()),
        workload: WorkloadSpec {
            rate: size.rate,
            inserts,
            writes: defaults.writes + defaults.inserts - inserts,
            ..defaults
        },
        slo: SloSpec {
            write_availability: Some(0.6),
            read_availability: Some(0.6),
            max_write_gap_ms: Some(10_000),
            recover_within_ms: Some(10_000),
            ..SloSpec::default()
        },
        alarms: vec![AlarmSpec {
            name: "many failures".into(),
            selection: Selection::default(),
            rule: AlarmRule::default(),
            stop: false,
            expect: (size.injections > 0).then_some(true),
            within_ms: None,
        }],
        unpromised: Vec::new(),
        versions: Versions {
            gameday: env!("CARGO_PKG_VERSION").into(),
            ..Versions::default()
        },
        replay: Replay::default(),
        plan: day.plan(),
        runner: "generated/0/0".into(),
    }
}

fn timeline(folder: &RunFolder, day: &Day, topology: &Topology) -> io::Result<()> {
    let mut out = BufWriter::new(File::create_new(folder.timeline())?);
    for line in day.timeline(topology) {
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// One partition whose replicas agree.
fn replicas(topology: &Topology) -> Vec<PartitionDigests> {
    let holds = |n: &&Node| n.role == "storage";
    vec![PartitionDigests {
        partition: format!("{TABLE}/0"),
        replicas: topology
            .nodes
            .iter()
            .filter(holds)
            .map(|n| ReplicaDigest {
                node: n.name.clone(),
                applied: Some(1),
                digest: Some("0".into()),
                items: Some(1),
            })
            .collect(),
    }]
}
