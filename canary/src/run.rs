//! The canary process: commands in, lines out, and the threads between.

use crate::config::CanaryConfig;
use crate::engine::{Engine, Order};
use crate::outbox::{Lines, MAX_WAITING, outbox, write_lines};
use crate::protocol::{Command, MAX_COMMAND};
use crate::{CanaryError, Wire};
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Time in which the last lines must be taken once the canary ended.
const LAST_LINES: Duration = Duration::from_secs(10);

/// Runs one canary: reads commands from `input` and writes lines to `output`,
/// as [`crate::protocol`] says, until it is told to stop or `input` ends.
///
/// Calls are made on a thread with a runtime of its own, so that a caller that
/// is slow with `output` delays no call. Needs a runtime with a timer. A caller
/// that gives it the process's standard input should end the process when this
/// returns, without waiting for its runtime: after an error, a read of `input`
/// may still be waiting on a thread of that runtime.
///
/// # Errors
/// A configuration or a command that makes no sense, input or output that
/// fails, lines that nobody takes for 10 s after the end.
pub async fn run(
    config: CanaryConfig,
    wire: Wire,
    input: impl AsyncBufRead,
    output: impl AsyncWrite,
) -> Result<(), CanaryError> {
    config.validate()?;
    let (orders, taken) = mpsc::channel(4);
    let (lines, ended) = start(config, wire, taken)?;
    let mut commands = pin!(commands(input, &orders));
    let output = pin!(output);
    let mut writing = pin!(write_lines(lines, output));
    let mut ended = pin!(ended);
    // Moved once the engine ended; before, lines may take as long as they like.
    let mut last_lines = pin!(tokio::time::sleep(Duration::MAX));
    let (mut reading, mut engine) = (true, None);
    let mut bad_input = None;
    let written = loop {
        tokio::select! {
            read = &mut commands, if reading => {
                reading = false;
                bad_input = read.err();
            }
            written = &mut writing => break written,
            result = &mut ended, if engine.is_none() => {
                last_lines.as_mut().reset(Instant::now() + LAST_LINES);
                engine = Some(died_unless(result));
            }
            () = &mut last_lines, if engine.is_some() => {
                break Err(CanaryError::Output(std::io::ErrorKind::TimedOut.into()));
            }
        }
    };
    written?;
    // The engine let its lines go just before it said how it ended.
    let engine = match engine {
        Some(result) => result,
        None => died_unless(ended.await),
    };
    engine?;
    bad_input.map_or(Ok(()), Err)
}

type EngineResult = Result<(), CanaryError>;

fn died_unless(result: Result<EngineResult, oneshot::error::RecvError>) -> EngineResult {
    result.unwrap_or_else(|_| Err(CanaryError::Internal("the thread of the calls died".into())))
}

/// Starts the thread that makes the calls. It ends when told to or when
/// `orders` is gone.
fn start(
    config: CanaryConfig,
    wire: Wire,
    orders: mpsc::Receiver<Order>,
) -> Result<(Lines, oneshot::Receiver<EngineResult>), CanaryError> {
    let (out, lines) = outbox(MAX_WAITING);
    let (say, ended) = oneshot::channel();
    let internal = |e: std::io::Error| CanaryError::Internal(format!("starting: {e}"));
    let engine = Engine::new(config, wire, out)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(internal)?;
    std::thread::Builder::new()
        .name("canary-calls".into())
        .spawn(move || {
            let result = runtime.block_on(engine.run(orders));
            runtime.shutdown_background();
            // Nobody hears it if the caller of `run` went away.
            let _ = say.send(result);
        })
        .map_err(internal)?;
    Ok((lines, ended))
}

/// Passes commands on until `stop` or the end of the input; both, and an error,
/// end the canary.
async fn commands(input: impl AsyncBufRead, orders: &mpsc::Sender<Order>) -> EngineResult {
    let mut input = pin!(input);
    let mut line = Vec::new();
    let result = loop {
        line.clear();
        let mut bounded = (&mut input).take(MAX_COMMAND as u64 + 1);
        match bounded.read_until(b'\n', &mut line).await {
            Err(e) => break Err(CanaryError::Input(e)),
            Ok(0) => break Ok(()),
            Ok(n) if n > MAX_COMMAND => {
                let why = format!("a line is longer than {MAX_COMMAND} bytes");
                break Err(CanaryError::Command(why));
            }
            Ok(_) => {}
        }
        let command = match Command::parse(&line) {
            Ok(command) => command,
            Err(e) => {
                let said = String::from_utf8_lossy(&line);
                let said: String = said.trim_end().chars().take(80).collect();
                break Err(CanaryError::Command(format!("'{said}': {e}")));
            }
        };
        if orders.send(Order::Command(command)).await.is_err() {
            // The canary ended; it has said why.
            return Ok(());
        }
        if command == Command::Stop {
            // What follows is of no interest, not even that nothing follows.
            return Ok(());
        }
    };
    let _ = orders.send(Order::HangUp).await;
    result
}
