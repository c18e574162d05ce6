//! The docker runtime; skipped where there is no engine, unless it is required.

use crate::{Outcome, adopted, again, orphans, suite, traffic};
use gameday_chaos::runtime::docker::{self, DockerRuntime, Technique, Techniques};
use gameday_chaos::runtime::marks::Kind;
use gameday_chaos::runtime::{Runtime, leftovers};
use std::fs::File;

/// Not the default one, so that tests do not meet a run.
pub const SUBNET: &str = "198.19.0.0/16";

/// Waits for other tests that use the subnet; held until dropped. Or says why there is no Docker.
async fn alone() -> Result<File, Outcome> {
    if let Err(why) = docker::available().await {
        let required = std::env::var_os("GAMEDAY_REQUIRE_DOCKER").is_some_and(|v| v == "1");
        assert!(!required, "Docker is required: {why}");
        return Err(Outcome::Skipped(format!("no Docker: {why}")));
    }
    let path = std::env::temp_dir().join("gameday-docker-tests.lock");
    let file = File::create(path).expect("a lock file");
    file.lock().expect("the lock");
    Ok(file)
}

pub async fn does_what_it_says() -> Outcome {
    let _alone = match alone().await {
        Ok(lock) => lock,
        Err(skipped) => return skipped,
    };
    let marks = suite::marks("docker", Kind::Run);
    let run = marks.run.clone();
    let runtime = DockerRuntime::new(marks, suite::units(), SUBNET, Techniques::default())
        .await
        .expect("a runtime");
    assert!(runtime.engine_version().is_some());
    let bystander = Bystander::start();
    suite::does_what_it_says(&runtime, &run).await;
    bystander.still_there().await;
    Outcome::Passed
}

pub async fn leases_lapse() -> Outcome {
    let _alone = match alone().await {
        Ok(lock) => lock,
        Err(skipped) => return skipped,
    };
    orphans::leases_lapse("docker").await;
    Outcome::Passed
}

async fn with_runtime(
    what: &str,
    wanted: Option<Technique>,
    test: impl AsyncFnOnce(&DockerRuntime),
) -> Outcome {
    let _alone = match alone().await {
        Ok(lock) => lock,
        Err(skipped) => return skipped,
    };
    let marks = suite::marks(what, Kind::Run);
    let techniques = DockerRuntime::techniques(wanted).await;
    let runtime = DockerRuntime::new(marks, suite::units(), SUBNET, techniques)
        .await
        .expect("a runtime");
    test(&runtime).await;
    Outcome::Passed
}

pub async fn traffic_is_as_asked() -> Outcome {
    with_runtime("docker-traffic", None, async |r| {
        traffic::is_as_asked(r).await
    })
    .await
}

pub async fn messages_are_spoilt() -> Outcome {
    with_runtime("docker-spoilt", None, async |r| {
        traffic::messages_are_spoilt(r).await
    })
    .await
}

pub async fn rules_come_back() -> Outcome {
    let what = "docker-again";
    let run = suite::marks(what, Kind::Run).run;
    with_runtime(what, None, async |r| again::rules_come_back(r, &run).await).await
}

/// Takes long and asserts nothing: only where it is asked for.
pub async fn queue_overhead() -> Outcome {
    if std::env::var_os("GAMEDAY_MEASURE").is_none() {
        return Outcome::Skipped("GAMEDAY_MEASURE is not set".into());
    }
    with_runtime("docker-overhead", Some(Technique::Nfqueue), async |r| {
        traffic::queue_overhead(r).await
    })
    .await
}

pub async fn adopted_are_hurt_and_put_back() -> Outcome {
    let _alone = match alone().await {
        Ok(lock) => lock,
        Err(skipped) => return skipped,
    };
    adopted::are_hurt_and_put_back().await;
    Outcome::Passed
}

pub async fn adopted_lose_power() -> Outcome {
    let _alone = match alone().await {
        Ok(lock) => lock,
        Err(skipped) => return skipped,
    };
    adopted::lose_power().await;
    Outcome::Passed
}

pub async fn adopted_survive_any_kill() -> Outcome {
    let _alone = match alone().await {
        Ok(lock) => lock,
        Err(skipped) => return skipped,
    };
    adopted::any_kill_is_made_up_for().await;
    Outcome::Passed
}

pub async fn adopted_of_a_dead_runner() -> Outcome {
    let _alone = match alone().await {
        Ok(lock) => lock,
        Err(skipped) => return skipped,
    };
    adopted::a_dead_runner_is_made_up_for().await;
    Outcome::Passed
}

pub async fn kept_cluster_stays() -> Outcome {
    let _alone = match alone().await {
        Ok(lock) => lock,
        Err(skipped) => return skipped,
    };
    orphans::kept_cluster_stays("docker").await;
    Outcome::Passed
}

pub async fn says_who_holds_the_subnet() -> Outcome {
    let _alone = match alone().await {
        Ok(lock) => lock,
        Err(skipped) => return skipped,
    };
    let first = suite::marks("holder", Kind::Cluster);
    let id = first.run.clone();
    let holder = DockerRuntime::new(first, suite::units(), SUBNET, Techniques::default())
        .await
        .expect("a runtime");
    let second = DockerRuntime::new(
        suite::marks("second", Kind::Run),
        suite::units(),
        "198.19.0.0/15",
        Techniques::default(),
    );
    let bad = second.await.err().expect("host bits").0;
    assert!(bad.contains("198.18.0.0/15"), "{bad}");
    let second = DockerRuntime::new(
        suite::marks("second", Kind::Run),
        suite::units(),
        SUBNET,
        Techniques::default(),
    );
    let taken = second.await.err().expect("taken").0;
    holder.down().await.expect("down");
    assert!(
        taken.contains(&id) && taken.contains("cluster down"),
        "{taken}"
    );
    assert_eq!(leftovers::find(Some(&id)).await.things, []);
    Outcome::Passed
}

/// An image of an older binary is found and goes; the current one, and any in use, is not found.
pub async fn old_images_go() -> Outcome {
    let _alone = match alone().await {
        Ok(lock) => lock,
        Err(skipped) => return skipped,
    };
    let runtime = DockerRuntime::new(
        suite::marks("images", Kind::Run),
        suite::units(),
        SUBNET,
        Techniques::default(),
    );
    runtime
        .await
        .expect("a runtime")
        .down()
        .await
        .expect("down");
    let current = cli(&["images", "--format", "{{.Repository}}:{{.Tag}}", "gameday"]);

    let old = format!("gameday:test-{}", std::process::id());
    let folder = tempfile::tempdir().expect("a folder");
    let tar = folder.path().join("old.tar");
    let header = tar::Builder::new(File::create(&tar).expect("a file")).into_inner();
    drop(header.expect("an empty archive"));
    cli(&[
        "import",
        "-c",
        "LABEL gameday.image=1",
        &tar.display().to_string(),
        &old,
    ]);

    let unused = leftovers::unused_images().await.expect("a list");
    assert!(unused.contains(&old), "{unused:?}");
    assert!(
        current
            .lines()
            .any(|image| !unused.contains(&image.to_string())),
        "{unused:?}"
    );
    let removed = leftovers::remove_images(std::slice::from_ref(&old)).await;
    assert_eq!(removed, Ok(vec![Ok(())]));
    assert!(
        !leftovers::unused_images()
            .await
            .expect("a list")
            .contains(&old)
    );
    Outcome::Passed
}

/// A network and a running container of our own image that are not ours, although their names
/// begin as ours do and they have one of our labels: nothing may touch them.
struct Bystander(String);

fn cli(args: &[&str]) -> String {
    let done = std::process::Command::new("docker")
        .args(args)
        .output()
        .expect("docker");
    assert!(
        done.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8_lossy(&done.stdout).trim().to_string()
}

impl Bystander {
    fn start() -> Self {
        let name = format!("gameday-bystander-{}", std::process::id());
        cli(&["network", "create", "--label", "gameday.unit=x", &name]);
        let images = cli(&["images", "-q", "gameday"]);
        let image = images.lines().next().expect("an image of ours");
        let run = [
            "run",
            "-d",
            "-i",
            "--label",
            "gameday.unit=x",
            "--network",
            "none",
            "--name",
        ];
        let program = [
            "--entrypoint",
            "/gameday",
            "-e",
            "LD_LIBRARY_PATH=/lib",
            image,
        ];
        let what = ["internal", "dummy-instrument"];
        cli(&[&run[..], &[&name], &program, &what].concat());
        Bystander(name)
    }

    async fn still_there(self) {
        assert_eq!(
            cli(&["network", "inspect", "-f", "{{.Name}}", &self.0]),
            self.0
        );
        assert_eq!(
            cli(&["inspect", "-f", "{{.State.Running}}", &self.0]),
            "true"
        );
        let found = leftovers::find(None).await;
        assert!(
            found
                .things
                .iter()
                .all(|l| !l.thing.to_string().contains(&self.0))
        );
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        for args in [["rm", "-f", &self.0], ["network", "rm", &self.0]] {
            // What is not there need not go.
            let _ = std::process::Command::new("docker").args(args).output();
        }
    }
}
