//! Control of a program of ours over its standard input and output: one JSON
//! document per line, requests with a number, answers with the same number in
//! any order. Lines that make no sense are skipped, so that a stream can be
//! taken up again in the middle.

use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{mpsc, oneshot};

/// Longest line, in bytes: a body of 1 MiB whose every byte is escaped as `\u00xx`, and room.
const MAX_LINE: usize = 7 << 20;

#[derive(Serialize, Deserialize)]
struct Asked<T> {
    id: u64,
    request: T,
}

#[derive(Serialize, Deserialize)]
struct Answered {
    id: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Locks, and takes what a panicking holder left: the maps here are always whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads one line without its end; `false` at the end of the stream. An overlong line is read
/// to its end and given as empty.
async fn read_line(
    input: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> io::Result<bool> {
    line.clear();
    let mut overlong = false;
    loop {
        let chunk = input.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(!line.is_empty());
        }
        let end = chunk.iter().position(|b| *b == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        overlong |= line.len() + part.len() > MAX_LINE;
        if overlong {
            line.clear();
        } else {
            line.extend_from_slice(part);
        }
        let used = end.map_or(chunk.len(), |e| e + 1);
        input.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// How a request is served.
pub(crate) enum Reply<T> {
    /// Done already, in the order in which requests came.
    Now(Result<T, String>),
    /// Takes time; others may overtake it.
    Later(BoxFuture<'static, Result<T, String>>),
}

/// Serves requests until the input ends. `handle` is called in the order of the requests.
pub(crate) async fn serve<Rq, Rs>(
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Send + Unpin + 'static,
    mut handle: impl FnMut(Rq) -> Reply<Rs>,
) -> io::Result<()>
where
    Rq: DeserializeOwned,
    Rs: Serialize + Send + 'static,
{
    let answers = spawn_writer(output);
    let mut input = BufReader::new(input);
    let mut line = Vec::new();
    while read_line(&mut input, &mut line).await? {
        let Ok(asked) = serde_json::from_slice::<Asked<Value>>(&line) else {
            continue;
        };
        let id = asked.id;
        let reply = match serde_json::from_value::<Rq>(asked.request) {
            Ok(request) => handle(request),
            Err(e) => Reply::Now(Err(format!("not a request: {e}"))),
        };
        match reply {
            Reply::Now(result) => {
                // The writer is gone only if nobody reads us any more.
                let _ = answers.send(answer_line(id, result)).await;
            }
            Reply::Later(work) => {
                let answers = answers.clone();
                tokio::spawn(async move {
                    let _ = answers.send(answer_line(id, work.await)).await;
                });
            }
        }
    }
    Ok(())
}

fn answer_line<T: Serialize>(id: u64, result: Result<T, String>) -> Vec<u8> {
    let result = result.and_then(|v| serde_json::to_value(v).map_err(|e| e.to_string()));
    let (answer, error) = match result {
        Ok(v) => (Some(v), None),
        Err(e) => (None, Some(e)),
    };
    to_line(&Answered { id, answer, error })
}

fn to_line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

fn spawn_writer(mut output: impl AsyncWrite + Send + Unpin + 'static) -> mpsc::Sender<Vec<u8>> {
    let (send, mut receive) = mpsc::channel::<Vec<u8>>(64);
    tokio::spawn(async move {
        while let Some(line) = receive.recv().await {
            let written = async {
                output.write_all(&line).await?;
                output.flush().await
            };
            if written.await.is_err() {
                break;
            }
        }
    });
    send
}

/// Why a call had no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// The stream is gone.
    #[error("the control stream ended: {0}")]
    Lost(String),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// It answered that it could not.
    #[error("{0}")]
    Refused(String),
}

struct Waiting {
    lost: Option<String>,
    calls: HashMap<u64, oneshot::Sender<Result<Value, String>>>,
}

/// The asking side.
pub(crate) struct Control {
    lines: mpsc::Sender<Vec<u8>>,
    waiting: Arc<Mutex<Waiting>>,
    next: AtomicU64,
}

impl Control {
    /// Takes over a program's standard input and output. `first` is the lowest number used: a
    /// stream that is taken up again must not mistake an old answer for a new one.
    pub fn new(
        stdin: impl AsyncWrite + Send + Unpin + 'static,
        stdout: impl AsyncRead + Send + Unpin + 'static,
        first: u64,
    ) -> Self {
        let lines = spawn_writer(stdin);
        let waiting = Arc::new(Mutex::new(Waiting {
            lost: None,
            calls: HashMap::new(),
        }));
        let shared = waiting.clone();
        tokio::spawn(async move {
            let mut input = BufReader::new(stdout);
            let mut line = Vec::new();
            let why = loop {
                match read_line(&mut input, &mut line).await {
                    Ok(true) => {}
                    Ok(false) => break "end of its output".to_string(),
                    Err(e) => break e.to_string(),
                }
                let Ok(answered) = serde_json::from_slice::<Answered>(&line) else {
                    continue;
                };
                if let Some(call) = lock(&shared).calls.remove(&answered.id) {
                    // The caller may have stopped waiting.
                    let _ = call.send(match answered.error {
                        Some(e) => Err(e),
                        None => Ok(answered.answer.unwrap_or(Value::Null)),
                    });
                }
            };
            let mut waiting = lock(&shared);
            waiting.lost = Some(why);
            waiting.calls.clear();
        });
        Control {
            lines,
            waiting,
            next: AtomicU64::new(first),
        }
    }

    /// Number that the next request will have.
    pub fn next_id(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Whether the stream is gone.
    pub fn is_lost(&self) -> bool {
        lock(&self.waiting).lost.is_some()
    }

    /// Asks and waits for the answer.
    pub async fn call<Rs: DeserializeOwned>(
        &self,
        request: &impl Serialize,
        deadline: Duration,
    ) -> Result<Rs, CallError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let request =
            serde_json::to_value(request).map_err(|e| CallError::Refused(e.to_string()))?;
        let (send, receive) = oneshot::channel();
        {
            let mut waiting = lock(&self.waiting);
            if let Some(why) = &waiting.lost {
                return Err(CallError::Lost(why.clone()));
            }
            waiting.calls.insert(id, send);
        }
        let asked = async {
            let line = to_line(&Asked { id, request });
            if self.lines.send(line).await.is_err() {
                return Err(CallError::Lost("its input is closed".into()));
            }
            match receive.await {
                Ok(Ok(value)) => serde_json::from_value(value)
                    .map_err(|e| CallError::Refused(format!("answer not understood: {e}"))),
                Ok(Err(error)) => Err(CallError::Refused(error)),
                Err(_) => {
                    let why = lock(&self.waiting).lost.clone();
                    Err(CallError::Lost(why.unwrap_or_default()))
                }
            }
        };
        let result = tokio::time::timeout(deadline, asked).await;
        lock(&self.waiting).calls.remove(&id);
        result.unwrap_or(Err(CallError::Late(deadline)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    async fn pair(
        handle: impl FnMut(u32) -> Reply<u32> + Send + 'static,
    ) -> (Control, tokio::task::JoinHandle<io::Result<()>>) {
        let (ours, theirs) = tokio::io::duplex(1024);
        let (read, write) = tokio::io::split(theirs);
        let server = tokio::spawn(serve(read, write, handle));
        let (read, write) = tokio::io::split(ours);
        (Control::new(write, read, 7), server)
    }

    #[tokio::test]
    async fn a_slow_request_does_not_hold_up_a_quick_one() {
        let (release, wait) = oneshot::channel::<()>();
        let mut wait = Some(wait);
        let (control, _server) = pair(move |n| match (n, wait.take()) {
            (0, Some(wait)) => Reply::Later(Box::pin(async move {
                wait.await.map_err(|e| e.to_string())?;
                Ok(100)
            })),
            (1, w) => {
                wait = w;
                Reply::Now(Err("one is refused".into()))
            }
            (n, w) => {
                wait = w;
                Reply::Now(Ok(n + 1))
            }
        })
        .await;
        let control = Arc::new(control);
        let slow = tokio::spawn({
            let control = control.clone();
            async move { control.call::<u32>(&0, SOON).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(control.call::<u32>(&5, SOON).await, Ok(6));
        let refused = control.call::<u32>(&1, SOON).await;
        assert_eq!(refused, Err(CallError::Refused("one is refused".into())));
        release.send(()).unwrap();
        assert_eq!(slow.await.unwrap(), Ok(100));
        assert!(control.next_id() >= 10);
    }

    #[tokio::test]
    async fn the_end_of_the_stream_fails_calls_now_and_later() {
        let (control, server) = pair(|_| Reply::Later(Box::pin(std::future::pending()))).await;
        server.abort();
        let first = control.call::<u32>(&0, SOON).await;
        assert!(matches!(first, Err(CallError::Lost(_))), "{first:?}");
        assert!(control.is_lost());
        assert!(matches!(
            control.call::<u32>(&0, SOON).await,
            Err(CallError::Lost(_))
        ));
    }

    #[tokio::test]
    async fn nonsense_and_overlong_lines_are_skipped() {
        let mut text = b"nonsense\n{\"id\":1}\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', MAX_LINE + 1));
        text.extend_from_slice(
            b"\n{\"id\":4,\"request\":\"not a number\"}\n{\"id\":3,\"request\":8}\n",
        );
        let (mut ours, theirs) = tokio::io::duplex(4096);
        serve::<u32, u32>(&text[..], theirs, |n| Reply::Now(Ok(n * 2)))
            .await
            .unwrap();
        let mut out = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut ours, &mut out)
            .await
            .unwrap();
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.len(), 2, "{out}");
        assert!(lines[0].contains("\"error\""), "{out}");
        assert_eq!(lines[1], r#"{"id":3,"answer":16}"#);
    }
}
