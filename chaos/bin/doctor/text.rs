//! The diagnosis for people.

use super::{Diagnosis, Docker, Residue, Tried};
use gameday_chaos::runtime::facilities::Seen;
use std::collections::BTreeMap;

/// Share of a minute in which some task waited for a processor that is worth telling.
const BUSY: f64 = 0.2;

/// All of it, a line each.
pub fn lines(found: &Diagnosis) -> Vec<String> {
    let mut out = vec![docker(&found.docker)];
    if let Some(engine) = &found.docker.engine {
        out.push(match &engine.network_is.why_not {
            None => format!("  network {} is free", engine.network),
            Some(why) => format!("  {why}"),
        });
    }
    out.push(match &found.process.usable.why_not {
        None => "process: yes, on loopback, without privileges".into(),
        Some(why) => format!("process: no, {why}"),
    });
    out.extend(found.process.moved_ports.iter().map(|moved| {
        format!(
            "  port {} is held on every address by {}: {} is used instead",
            moved.port,
            moved.holder.as_deref().unwrap_or("somebody"),
            moved.instead
        )
    }));
    if let Some(engine) = &found.docker.engine {
        out.push(String::new());
        out.push(
            "in containers, with the capabilities NET_ADMIN and NET_RAW (never --privileged):"
                .into(),
        );
        out.extend(engine.containers.iter().map(tried));
    }
    let host = &found.host;
    out.push(String::new());
    out.push(format!(
        "on this host, kernel {}, {} processors, cgroup {}, as this user:",
        host.kernel,
        host.cpus,
        host.cgroup_version
            .map_or("unknown".into(), |v| format!("v{v}"))
    ));
    out.extend(host.facilities.iter().map(tried));
    out.extend(host.waiting.filter(|share| *share >= BUSY).map(busy));
    out.push(String::new());
    out.extend(faults(found));
    out.push(String::new());
    out.extend(residue(&found.leftovers));
    out
}

/// A machine that is busy before anything runs on it.
fn busy(share: f64) -> String {
    format!(
        "  busy: some task waited for a processor {:.0} % of the last minute; what is measured here \
         now says less about the store, and some faults will not be told from it",
        share * 100.0
    )
}

fn docker(found: &Docker) -> String {
    let Some(engine) = &found.engine else {
        let why = found.usable.why_not.as_deref().unwrap_or_default();
        return format!("docker: no, {why}");
    };
    let said = |what: &Option<String>| what.clone().unwrap_or_else(|| "unknown".into());
    format!(
        "docker: yes, engine {} at {}, API {}, storage {}, cgroup v{} ({}){}",
        engine.engine,
        engine.at,
        engine.api,
        said(&engine.storage),
        said(&engine.cgroup),
        said(&engine.cgroup_driver),
        if engine.rootless { ", rootless" } else { "" }
    )
}

fn tried(one: &Tried) -> String {
    let (word, why) = match &one.seen {
        Seen::Yes => ("yes", String::new()),
        Seen::No(why) => ("no", why.clone()),
        Seen::Unknown(why) => ("unknown", why.clone()),
    };
    let mut line = format!("  {:<16} {word:<8} {why}", one.name);
    if let Some(remedy) = one.remedy {
        line.push_str(&format!("; it takes {remedy}"));
    }
    line.trim_end().to_string()
}

/// A line for each fault, then the reasons, each once.
fn faults(found: &Diagnosis) -> Vec<String> {
    let Some(first) = found.faults.first() else {
        return Vec::new();
    };
    let runtimes: Vec<&str> = first.runtimes.keys().copied().collect();
    let cell = |row: &super::FaultRow, runtime: &str| match row.runtimes.get(runtime) {
        Some(p) if p.possible => p.by.join(", "),
        _ => "-".into(),
    };
    let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default();
    let name = width(&mut found.faults.iter().map(|r| r.fault.len()));
    let cells: Vec<usize> = runtimes
        .iter()
        .map(|r| {
            let all = &mut found.faults.iter().map(|row| cell(row, r).len());
            width(all).max(r.len())
        })
        .collect();
    let line = |first: &str, cell: &dyn Fn(&str) -> String| {
        let mut line = format!("{first:<name$}");
        for (runtime, width) in runtimes.iter().zip(&cells) {
            line.push_str(&format!("  {:<width$}", cell(runtime)));
        }
        line.trim_end().to_string()
    };
    let mut out = vec![line("fault", &|runtime| runtime.to_string())];
    // Why not: the faults that it is true of.
    let mut reasons: BTreeMap<(&str, String), Vec<&str>> = BTreeMap::new();
    for row in &found.faults {
        out.push(line(row.fault, &|runtime| cell(row, runtime)));
        for (runtime, possible) in &row.runtimes {
            if let Some(why) = &possible.why_not {
                let instead = possible.instead.as_ref();
                let instead = instead.map_or(String::new(), |i| format!("; what helps: {i}"));
                let reason = (*runtime, format!("{why}{instead}"));
                reasons.entry(reason).or_default().push(row.fault);
            }
        }
    }
    for ((runtime, why), faults) in reasons {
        out.push(format!("not in {runtime}: {}: {why}", faults.join(", ")));
    }
    out
}

fn residue(found: &Residue) -> Vec<String> {
    let mut out = Vec::new();
    for why in &found.unsearched {
        out.push(format!("leftovers: not looked at: {why}"));
    }
    for (run, runner) in &found.in_progress {
        out.push(format!("in progress: {run}, by {runner}"));
    }
    for why in found.unknown.values() {
        out.push(format!("unknown: {why}"));
    }
    for run in &found.kept {
        out.push(format!(
            "kept: cluster {run}; gameday cluster down {run} ends it"
        ));
    }
    for (run, things) in &found.dead {
        out.push(format!(
            "leftovers: {} of {run}, whose runner is dead: {}; gameday revert --all removes them",
            things.len(),
            things.join(", ")
        ));
    }
    if found.dead.is_empty() && found.unknown.is_empty() {
        out.push("leftovers: none".into());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{FaultRow, Host, Possible, Process, Usable};
    use super::*;
    use gameday_chaos::runtime::process::Moved;

    #[test]
    fn reasons_are_told_once_with_all_that_they_forbid() {
        let no = || Possible {
            possible: false,
            by: Vec::new(),
            why_not: Some("no nftables".into()),
            instead: Some("another kernel".into()),
        };
        let yes = || Possible {
            possible: true,
            by: vec!["signals".into()],
            why_not: None,
            instead: None,
        };
        let row = |fault| FaultRow {
            fault,
            runtimes: [("docker", no()), ("process", yes())].into(),
        };
        let mut found = Diagnosis {
            docker: Docker {
                usable: Usable::from(Err("no engine".to_string())),
                engine: None,
            },
            process: Process {
                usable: Ok(()).into(),
                moved_ports: vec![Moved {
                    port: 8000,
                    instead: 9000,
                    holder: Some("nginx (process 12)".into()),
                }],
            },
            host: Host {
                kernel: "6".into(),
                cpus: 2,
                waiting: Some(0.1),
                cgroup_version: None,
                facilities: vec![Tried {
                    name: "FUSE",
                    seen: Seen::No("there is no /dev/fuse".into()),
                    remedy: Some("the kernel module fuse"),
                }],
            },
            faults: vec![row("split"), row("isolate")],
            leftovers: Residue::default(),
        };
        let lines = super::lines(&found);
        let all = lines.join("\n");
        assert!(lines[0] == "docker: no, no engine", "{all}");
        let reason = "not in docker: split, isolate: no nftables; what helps: another kernel";
        assert!(lines.iter().any(|l| l == reason), "{all}");
        assert!(
            lines.iter().any(|l| l == "split    -       signals"),
            "{all}"
        );
        assert!(
            all.contains("no       there is no /dev/fuse; it takes the kernel"),
            "{all}"
        );
        assert!(lines.iter().any(|l| l == "leftovers: none"), "{all}");
        let moved =
            "  port 8000 is held on every address by nginx (process 12): 9000 is used instead";
        assert!(lines.iter().any(|l| l == moved), "{all}");
        assert!(!all.contains("busy"), "{all}");
        found.host.waiting = Some(0.34);
        let all = super::lines(&found).join("\n");
        assert!(
            all.contains("some task waited for a processor 34 %"),
            "{all}"
        );
    }
}
