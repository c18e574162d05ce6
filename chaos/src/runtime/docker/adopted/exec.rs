//! A command in a container, as its owner would run it with `docker exec`.

use crate::runtime::docker::engine::is_missing;
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;
use futures_util::StreamExt;

/// Most bytes of a command's output that are looked at.
const MAX_OUTPUT: usize = 4096;

/// What came of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ran {
    /// Its exit code.
    pub code: i64,
    /// The beginning of its standard output.
    pub stdout: Vec<u8>,
    /// The beginning of what it complained of.
    pub stderr: Vec<u8>,
}

impl Ran {
    /// What it said, for people.
    pub fn said(&self) -> String {
        let both = [self.stdout.as_slice(), self.stderr.as_slice()].concat();
        String::from_utf8_lossy(&both).trim().to_string()
    }
}

/// Runs it to its end. The caller sets the deadline; a command that hangs goes on then.
///
/// # Errors
/// It could not be started, or not be followed to its end.
pub(super) async fn run(docker: &Docker, id: &str, command: &[String]) -> Result<Ran, String> {
    let say = |e: bollard::errors::Error| match is_missing(&e) {
        true => "it was removed".to_string(),
        false => e.to_string(),
    };
    let config = ExecConfig {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(command.to_vec()),
        ..ExecConfig::default()
    };
    let made = docker.create_exec(id, config).await.map_err(say)?;
    let mut ran = Ran::default();
    let started = docker.start_exec(&made.id, None).await.map_err(say)?;
    if let StartExecResults::Attached {
        output: mut parts, ..
    } = started
    {
        while let Some(part) = parts.next().await {
            let part = part.map_err(say)?;
            let into = match part {
                LogOutput::StdErr { .. } => &mut ran.stderr,
                _ => &mut ran.stdout,
            };
            let bytes = part.into_bytes();
            let room = MAX_OUTPUT - into.len();
            into.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }
    let ended = docker.inspect_exec(&made.id).await.map_err(say)?;
    ran.code = ended
        .exit_code
        .ok_or_else(|| format!("{} has not ended", command.join(" ")))?;
    Ok(ran)
}
