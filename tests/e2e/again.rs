//! Somebody restarts our containers while links are cut: their new network
//! namespaces have no rules. The cut is put back and proven again, or the run is
//! inconclusive and says so.

use crate::support::engine::{ask, docker_lines, ip_of, left_of};
use crate::support::*;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(180);
/// Whose containers are hurt. Its AZ is cut off.
const NODE: &str = "storage-b1";

/// Events of this kind on the timeline so far.
fn events(folder: &Path, kind: &str) -> Vec<Value> {
    let text = timeline(folder);
    // The last line may be half written.
    let lines = text.lines().filter_map(|l| serde_json::from_str(l).ok());
    lines.filter(|l: &Value| l["event"] == kind).collect()
}

fn proven_again(folder: &Path) -> bool {
    let mut proofs = events(folder, "proof").into_iter();
    proofs.any(|p| p["side"] == "again" && p["proof"]["verdict"] == "pass")
}

/// Whether a message of our own goes from one pod to another.
fn passes(run: &str, from: &str, to: &str) -> bool {
    let agent = |unit: &str| format!("gameday-{run}-{unit}-agent");
    static NEXT: AtomicU64 = AtomicU64::new(1 << 41);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let ports = ask(&agent(to), &json!("ports")).expect("it answers");
    let port = &ports["answer"]["ports"]["probe"];
    let address = format!("{}:{port}", ip_of(&agent(to)));
    let send = json!({ "send": { "messages": [[address, number]], "times": 10, "gap_ms": 30 } });
    let sent = ask(&agent(from), &send).expect("it answers");
    assert_eq!(sent["answer"], "sent", "{sent}");
    let seen = ask(&agent(to), &json!({ "seen": [number] })).expect("it answers");
    seen["answer"]["seen"][0].as_bool().expect("an answer")
}

pub fn a_cut_is_put_back_when_its_containers_are_restarted() {
    let day = Short::new("docker", &step("isolate", "{ az = \"b\" }", 25));
    let child = day.hurt();
    let (folder, run) = day.folder();
    let node = format!("gameday-{run}-{NODE}");
    // The node is restarted with it, by gameday: nobody else's restart of it would be explained.
    docker_lines(&["restart", "-t", "0", &format!("{node}-agent")]);
    until("proven again", LIMIT, || {
        proven_again(&folder).then_some(())
    });
    assert!(!passes(&run, "router-a", NODE), "it is cut off again");
    assert!(!passes(&run, NODE, "router-a"), "it is cut off again");
    assert!(passes(&run, "router-b", NODE), "its own side reaches it");

    let done = wait(child, LIMIT);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    let gaps = events(&folder, "gap");
    assert!(!gaps.is_empty());
    for gap in &gaps {
        assert_eq!(gap["units"], json!([NODE]), "{gap}");
        assert_eq!(gap["injections"], json!([1]), "{gap}");
    }
    for side in ["injected", "held", "reverted"] {
        let (pass, evidence) = proofs(&folder, side);
        assert!(pass, "{side}: {evidence}");
    }
    let report = json(&folder.join("report.json"));
    let told = &report["injections"][0]["gaps"];
    assert_eq!(told[0]["units"], json!([NODE]), "{told}");
    assert_eq!(told[0]["proof"]["proof"]["verdict"], "pass", "{told}");
    for page in ["report.html", "summary.md"] {
        let page = std::fs::read_to_string(folder.join(page)).unwrap();
        assert!(page.to_lowercase().contains("not known to be in force"));
    }
    assert_eq!(left_of(&run), Vec::<String>::new());
}

/// Somebody does this to the containers of a unit while its AZ is cut off.
fn cannot_be_put_back(unit: &str, hurt: impl Fn(&str), why: &[&str]) {
    let day = Short::new("docker", &step("isolate", "{ az = \"b\" }", 12));
    let child = day.hurt();
    let (folder, run) = day.folder();
    hurt(&format!("gameday-{run}-{unit}-agent"));
    let done = wait(child, LIMIT);
    assert_eq!(done.status.code(), Some(2), "{}", text(&done));
    let report = json(&folder.join("report.json"));
    assert_eq!(report["overall"]["ending"], "inconclusive");
    let said = report["overall"]["reasons"].to_string();
    for why in why {
        assert!(said.contains(why), "{said}");
    }
    let held = &report["injections"][0]["proof_held"];
    assert_eq!(held["proof"]["verdict"], "unknown", "{held}");
    assert_eq!(events(&folder, "gap")[0]["units"], json!([unit]));
    assert_eq!(left_of(&run), Vec::<String>::new());
}

pub fn a_cut_that_cannot_be_put_back_is_inconclusive() {
    let hurt = |agent: &str| drop(docker_lines(&["rm", "-f", agent]));
    let why = [
        &format!("the agent of {NODE} had ended"),
        "its container was removed",
    ];
    cannot_be_put_back(NODE, hurt, &why);
}

/// One that is restarted into the new namespace would forget what it has measured.
pub fn a_cut_around_an_instrument_is_not_put_back() {
    let hurt = |agent: &str| drop(docker_lines(&["restart", "-t", "0", agent]));
    // It is looked at while it is down, or when it runs again.
    let why = [
        "the agent of canary-b",
        "not by gameday",
        "is an instrument",
    ];
    cannot_be_put_back("canary-b", hurt, &why);
}
