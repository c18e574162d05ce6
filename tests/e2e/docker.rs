//! Game days in containers, with the real binary. Skipped where Docker does
//! not answer, unless GAMEDAY_REQUIRE_DOCKER=1.

use crate::support::engine::{docker_lines, left_of};
use crate::support::*;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(180);

pub fn an_az_that_loses_power_is_survived() {
    let day = Short::new("docker", &step("power-off", "{ az = \"b\" }", 8));
    let done = finish(&mut day.command(), LIMIT);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    let (folder, run) = day.folder();
    let verdict = json(&folder.join("verdict.json"));
    assert_eq!(verdict["verdict"], "pass", "{verdict}");
    assert_eq!(left_of(&run), Vec::<String>::new());
    assert!(
        std::fs::read_dir(folder.join("nodes")).unwrap().count() >= 6,
        "node logs are kept"
    );
}

pub fn a_killed_runner_leaves_nothing_that_revert_does_not_end_and_nobody_else_is_touched() {
    let day = Short::new("docker", &step("partition", "{ az = \"b\" }", 90));
    let mut child = day.hurt();
    let (folder, run) = day.folder();

    // A bystander of the same image that is not ours.
    let image = docker_lines(&[
        "ps",
        "--filter",
        &format!("label=gameday.run={run}"),
        "--format",
        "{{.Image}}",
    ])[0]
        .clone();
    let bystander = docker_lines(&[
        "run",
        "-d",
        "-i",
        "--network",
        "none",
        "--entrypoint",
        "/gameday",
        &image,
        "internal",
        "agent",
    ])[0]
        .clone();
    let before = docker_lines(&["inspect", "--format", "{{.State.StartedAt}}", &bystander]);

    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!left_of(&run).is_empty(), "a killed runner cannot clean up");
    let reverted = finish(gameday().args(["revert", "--all"]), LIMIT);
    let left = left_of(&run);
    let after = docker_lines(&["inspect", "--format", "{{.State.StartedAt}}", &bystander]);
    docker_lines(&["rm", "-f", &bystander]);
    assert_eq!(reverted.status.code(), Some(0), "{}", text(&reverted));
    assert_eq!(left, Vec::<String>::new(), "{}", text(&reverted));
    assert_eq!(before, after, "the bystander runs on");
    let timeline = std::fs::read_to_string(folder.join("timeline.jsonl")).unwrap();
    assert!(
        timeline.contains("reverted"),
        "the revert is on the timeline:\n{timeline}"
    );
}

/// Everything that a game day in containers needs of the host is the engine's socket.
pub fn a_member_of_the_dockers_group_needs_no_root() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65534;
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: whoever runs this is not root, so all other tests show it");
        return;
    }
    let socket = std::fs::metadata("/var/run/docker.sock").expect("the engine's socket");
    if socket.gid() == 0 || socket.mode() & 0o060 != 0o060 {
        println!("skipped: no group but root's may use the engine's socket");
        return;
    }
    let steps = step("power-off", "{ az = \"b\" }", 6)
        + "\nname = \"dark\"\n\n[[step]]\n"
        + &step("partition", "{ az = \"c\" }", 6).replace("at = \"0s\"", "after = \"dark\"");
    let day = Short::new("docker", &steps);
    // The binary where anybody may run it, and a folder of nobody's own.
    let binary = day.dir.path().join("gameday");
    std::fs::copy(env!("CARGO_BIN_EXE_gameday"), &binary).unwrap();
    for path in [day.dir.path(), &binary] {
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(path, open).unwrap();
    }
    std::os::unix::fs::chown(day.dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let group = nix::unistd::Gid::from_raw(socket.gid());
    let as_nobody = |args: &[&std::ffi::OsStr]| {
        let mut c = Command::new(&binary);
        c.args(args).current_dir(day.dir.path());
        // SAFETY: these are system calls and nothing else.
        unsafe {
            c.pre_exec(move || {
                nix::unistd::setgroups(&[group])?;
                nix::unistd::setgid(nix::unistd::Gid::from_raw(NOBODY))?;
                Ok(nix::unistd::setuid(nix::unistd::Uid::from_raw(NOBODY))?)
            });
        }
        finish(&mut c, LIMIT)
    };
    let command = day.command();
    let args: Vec<_> = command.get_args().collect();
    let done = as_nobody(&args);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    let (folder, run) = day.folder();
    for side in ["injected", "held", "reverted"] {
        let (pass, evidence) = proofs(&folder, side);
        assert!(pass, "{side}: {evidence}");
    }
    assert_eq!(std::fs::metadata(&folder).unwrap().uid(), NOBODY);
    assert_eq!(left_of(&run), Vec::<String>::new());
    let reverted = as_nobody(&["revert".as_ref(), run.as_ref()]);
    assert_eq!(reverted.status.code(), Some(0), "{}", text(&reverted));
}

pub fn an_upgrade_rolls_over_the_containers_and_back() {
    let builds = tempfile::tempdir().unwrap();
    let other = another_build(builds.path());
    let more = format!("\npause = \"1s\"\nbinary = \"{}\"", other.display());
    let step = step("rolling-upgrade", "{ role = \"storage\" }", 4) + &more;
    let day = Short::new("docker", &step);
    let done = finish(&mut day.command(), LIMIT);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    let (folder, run) = day.folder();
    let image_of = |side: &str| {
        let (pass, evidence) = proofs(&folder, side);
        assert!(pass, "{side}: {evidence}");
        let all = evidence.split("executes ").skip(1);
        let all: std::collections::BTreeSet<&str> =
            all.map(|e| e.split('"').next().unwrap()).collect();
        assert_eq!(all.len(), 1, "{evidence}");
        all.first().unwrap().to_string()
    };
    assert_eq!(image_of("injected"), image_of("held"));
    let other = image_of("held");
    assert_ne!(other, image_of("reverted"));
    docker_lines(&["image", "rm", &other]);
    assert_eq!(left_of(&run), Vec::<String>::new());
}

pub fn a_taken_network_is_refused_with_a_way_out() {
    let name = format!("gameday-test-taken-{}", std::process::id());
    docker_lines(&["network", "create", "--subnet", SUBNET, &name]);
    let day = Short::new("docker", &step("kill", "{ node = \"storage-a1\" }", 2));
    let done = finish(&mut day.command(), LIMIT);
    docker_lines(&["network", "rm", &name]);
    assert_eq!(done.status.code(), Some(64), "{}", text(&done));
    let said = text(&done);
    assert!(said.contains(&name) && said.contains("--subnet"), "{said}");
}
