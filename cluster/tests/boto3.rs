//! A boto3 client with default settings against the API.

mod support;

use gameday_cluster::api::http::Limits;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use support::Served;
use tokio::process::Command;

/// Runs a tool, bounded; the end of its output on failure.
async fn run(program: &Path, arguments: &[&str], time: Duration) -> Result<(), String> {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let name = program.display();
    match tokio::time::timeout(time, child).await {
        Err(_) => Err(format!("{name} did not end in {time:?}")),
        Ok(Err(error)) => Err(format!("{name}: {error}")),
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => Err(format!(
            "{name}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

/// A Python that has boto3, in an environment kept between runs.
async fn python_with_boto3() -> Result<PathBuf, String> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("boto3-venv");
    let python = home.join("bin").join("python");
    let minute = Duration::from_secs(60);
    if run(&python, &["-c", "import boto3"], minute).await.is_ok() {
        return Ok(python);
    }
    let place = home.to_str().ok_or("the path is not text")?;
    run(
        Path::new("python3"),
        &["-m", "venv", "--clear", place],
        2 * minute,
    )
    .await?;
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "boto3",
    ];
    run(&python, &install, 5 * minute).await?;
    Ok(python)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boto3_with_default_settings() {
    let python = match python_with_boto3().await {
        Ok(python) => python,
        Err(why) if std::env::var_os("GAMEDAY_REQUIRE_BOTO3").is_some_and(|v| v == "1") => {
            panic!("boto3 is required but not to be had: {why}")
        }
        Err(why) => {
            eprintln!("skipped: no Python with boto3 here: {why}");
            return;
        }
    };
    let served = Served::start(Limits::default()).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boto3_smoke.py");
    let url = format!("http://{}", served.address);
    let arguments = [script.to_str().unwrap(), url.as_str()];
    if let Err(why) = run(&python, &arguments, Duration::from_secs(180)).await {
        panic!("{why}");
    }
    served.stop.send(()).unwrap();
    served.task.await.unwrap();
}
