//! Both runtimes for real. This test starts itself again as node, instrument,
//! links, agent and as a runner that is killed, so it has a `main` of its own:
//! `internal <what>` is such a start, anything else runs the tests whose names
//! contain one of the arguments.

mod adopted;
mod again;
mod docker;
mod dummy;
mod orphans;
mod process;
mod suite;
mod traffic;

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;

/// What a test says: passed, or skipped with the reason.
pub enum Outcome {
    Passed,
    Skipped(String),
}

type Test = (&'static str, fn() -> Pin<Box<dyn Future<Output = Outcome>>>);

const TESTS: [Test; 18] = [
    ("process_runtime_does_what_it_says", || {
        Box::pin(process::does_what_it_says())
    }),
    ("process_leases_lapse_and_leftovers_go", || {
        Box::pin(process::leases_lapse())
    }),
    ("process_kept_cluster_stays", || {
        Box::pin(process::kept_cluster_stays())
    }),
    ("docker_runtime_does_what_it_says", || {
        Box::pin(docker::does_what_it_says())
    }),
    ("docker_leases_lapse_and_leftovers_go", || {
        Box::pin(docker::leases_lapse())
    }),
    ("docker_kept_cluster_stays", || {
        Box::pin(docker::kept_cluster_stays())
    }),
    ("docker_says_who_holds_the_subnet", || {
        Box::pin(docker::says_who_holds_the_subnet())
    }),
    ("process_traffic_is_as_asked", || {
        Box::pin(process::traffic_is_as_asked())
    }),
    ("docker_traffic_is_as_asked", || {
        Box::pin(docker::traffic_is_as_asked())
    }),
    ("process_links_that_are_killed_come_back", || {
        Box::pin(process::links_come_back())
    }),
    ("docker_rules_of_restarted_agents_come_back", || {
        Box::pin(docker::rules_come_back())
    }),
    ("docker_messages_are_spoilt", || {
        Box::pin(docker::messages_are_spoilt())
    }),
    ("docker_queue_overhead", || {
        Box::pin(docker::queue_overhead())
    }),
    ("docker_adopted_containers_lose_power", || {
        Box::pin(docker::adopted_lose_power())
    }),
    ("docker_adopted_containers_survive_any_kill", || {
        Box::pin(docker::adopted_survive_any_kill())
    }),
    ("docker_old_images_go", || Box::pin(docker::old_images_go())),
    ("docker_adopted_containers_are_hurt_and_put_back", || {
        Box::pin(docker::adopted_are_hurt_and_put_back())
    }),
    (
        "docker_adopted_containers_of_a_dead_runner_are_put_back",
        || Box::pin(docker::adopted_of_a_dead_runner()),
    ),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [internal, what, rest @ ..] = args.as_slice()
        && internal == "internal"
    {
        return start(what, rest);
    }
    let filters: Vec<&String> = args.iter().filter(|a| !a.starts_with('-')).collect();
    let chosen = |name: &str| filters.is_empty() || filters.iter().any(|f| name.contains(*f));
    if args.iter().any(|a| a == "--list") {
        TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for (name, test) in TESTS.iter().filter(|(name, _)| chosen(name)) {
        // On a thread of its own, so that a panic is that test's failure and no other's.
        let run = move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(test())
        };
        match std::thread::Builder::new()
            .name(name.to_string())
            .spawn(run)
            .expect("a thread")
            .join()
        {
            Ok(Outcome::Passed) => println!("test {name} ... ok"),
            Ok(Outcome::Skipped(why)) => println!("test {name} ... skipped: {why}"),
            Err(_) => {
                println!("test {name} ... FAILED");
                failed += 1;
            }
        }
    }
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn start(what: &str, rest: &[String]) -> ExitCode {
    let done = match what {
        "links" => gameday_chaos::runtime::links::main(),
        "agent" => gameday_chaos::runtime::agent::main(),
        "volume" => gameday_chaos::runtime::docker::volume::main(),
        "dummy-node" => dummy::node(),
        "dummy-instrument" => dummy::instrument(),
        "runner" => match rest {
            [adopted, rest @ ..] if adopted == "adopted" => adopted::runner(rest),
            rest => orphans::runner(rest),
        },
        other => Err(format!("no program {other}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{what}: {e}");
            ExitCode::FAILURE
        }
    }
}
