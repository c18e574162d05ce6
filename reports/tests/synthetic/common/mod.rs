//! The folder of a run that never was.

use gameday_record::history::{HISTORY_VERSION, HistoryWriter};
use gameday_record::timeline::TimelineWriter;
use gameday_record::*;
use std::io::BufWriter;
use std::path::Path;

pub const AZS: [&str; 3] = ["a", "b", "c"];

pub struct Synthetic {
    pub run: RunInfo,
    pub operations: Vec<Operation>,
    pub timeline: Vec<TimelineLine>,
    pub verdict: Option<DataVerdict>,
    pub complete: bool,
}

pub fn ms(t: u64) -> Nanos {
    Nanos(t * 1_000_000)
}

pub fn line(at: u64, event: TimelineEvent) -> TimelineLine {
    TimelineLine {
        time: ms(at),
        event,
    }
}

pub fn proof(verdict: Verdict, evidence: &str) -> Proof {
    Proof {
        verdict,
        evidence: vec![evidence.into()],
    }
}

pub fn check(name: &str, verdict: Verdict, detail: &str) -> Check {
    Check {
        name: name.into(),
        verdict,
        detail: detail.into(),
        anomalies: vec![],
        anomalies_total: 0,
        measures: vec![],
    }
}

pub fn info() -> RunInfo {
    let node = |name: String, az: &str, role: &str| Node {
        name,
        az: az.into(),
        role: role.into(),
    };
    RunInfo {
        id: "20261123T221500Z-az-power-off-7".into(),
        playbook: "az-power-off".into(),
        title: "Power off one AZ and bring it back".into(),
        playbook_text: "# What it shows: an AZ may vanish.\ntitle = \"Power off one AZ\"\n".into(),
        seed: 7,
        runtime: "process".into(),
        epoch_utc: "2026-11-23T22:15:00Z".into(),
        epoch_monotonic_ns: 1,
        topology: Topology {
            azs: AZS.map(String::from).to_vec(),
            nodes: AZS
                .iter()
                .flat_map(|az| {
                    [
                        node(format!("storage-{az}1"), az, "storage"),
                        node(format!("storage-{az}2"), az, "storage"),
                        node(format!("router-{az}"), az, "router"),
                    ]
                })
                .collect(),
            ..Topology::default()
        },
        cluster: Some(ClusterSpec::default()),
        unpromised: Vec::new(),
        workload: WorkloadSpec::default(),
        slo: SloSpec {
            write_availability: Some(0.8),
            read_availability: Some(0.8),
            eventual_read_availability: None,
            max_write_gap_ms: Some(5_000),
            recover_within_ms: Some(10_000),
            ..SloSpec::default()
        },
        alarms: vec![],
        versions: Versions {
            gameday: "0.1.0".into(),
            docker: None,
            kernel: "6.18.0".into(),
            cpus: 2,
        },
        replay: Replay {
            command: "gameday run playbooks/az-power-off.toml --seed 7 --runtime process".into(),
            options: vec![],
            features: vec![],
        },
        plan: vec!["at 15 s: power-off az b, for 20 s".into()],
        runner: "boot/1/2".into(),
    }
}

impl Synthetic {
    pub fn write(&self, root: &Path) -> RunFolder {
        let folder = RunFolder::create(root).unwrap();
        folder::write_json(&folder.run_json(), &self.run).unwrap();
        let mut events: Vec<Event> = Vec::new();
        for o in &self.operations {
            events.push(Event::invoke(o));
            events.extend(o.returned.map(|at| Event::complete(o, at)));
        }
        events.sort_by_key(|e| e.time);
        let file = BufWriter::new(std::fs::File::create(folder.history()).unwrap());
        let mut out = HistoryWriter::new(
            file,
            HistoryHeader {
                version: HISTORY_VERSION,
                run: self.run.id.clone(),
                seed: self.run.seed,
                clock: "CLOCK_MONOTONIC".into(),
                epoch_utc: self.run.epoch_utc.clone(),
                forgotten: None,
            },
        )
        .unwrap();
        for e in events {
            out.append(e).unwrap();
        }
        if self.complete {
            out.finish().unwrap();
        } else {
            out.flush().unwrap();
        }
        let mut timeline = TimelineWriter::open(&folder.timeline()).unwrap();
        for l in &self.timeline {
            timeline.append(l).unwrap();
        }
        if let Some(v) = &self.verdict {
            folder::write_json(&folder.verdict(), v).unwrap();
        }
        folder
    }
}
