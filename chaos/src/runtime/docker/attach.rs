//! The standard streams of a container, over the engine's API.

use crate::runtime::control::lock;
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::query_parameters::AttachContainerOptions;
use futures_util::StreamExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt, DuplexStream};

/// Deadline of attaching.
const ATTACH: Duration = Duration::from_secs(5);
/// Output that waits to be read, in bytes.
const BUFFER: usize = 1 << 20;
/// Most bytes of standard error that are kept, its first ones.
const MAX_STDERR: usize = 4 << 20;

/// What a container wrote to its standard error.
pub(super) type Stderr = Arc<Mutex<Vec<u8>>>;

/// Its input and its output.
pub(super) struct Streams {
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    pub stdout: DuplexStream,
}

/// Attaches; standard error is gathered in `stderr`.
pub(super) async fn attach(docker: &Docker, id: &str, stderr: Stderr) -> Result<Streams, String> {
    let options = AttachContainerOptions {
        stdin: true,
        stdout: true,
        stderr: true,
        stream: true,
        ..Default::default()
    };
    let attached = tokio::time::timeout(ATTACH, docker.attach_container(id, Some(options))).await;
    let attached = attached
        .map_err(|_| format!("attaching took longer than {ATTACH:?}"))?
        .map_err(|e| format!("cannot be attached to: {e}"))?;
    let (mut to_reader, stdout) = tokio::io::duplex(BUFFER);
    let mut output = attached.output;
    tokio::spawn(async move {
        // Ends with the container, with the connection, or when nobody reads any more.
        while let Some(Ok(part)) = output.next().await {
            match part {
                LogOutput::StdErr { message } => {
                    let mut kept = lock(&stderr);
                    let room = MAX_STDERR.saturating_sub(kept.len());
                    kept.extend_from_slice(&message[..message.len().min(room)]);
                }
                LogOutput::StdOut { message } | LogOutput::Console { message } => {
                    if to_reader.write_all(&message).await.is_err() {
                        break;
                    }
                }
                LogOutput::StdIn { .. } => {}
            }
        }
    });
    Ok(Streams {
        stdin: Box::new(attached.input),
        stdout,
    })
}
