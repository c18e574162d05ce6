//! An engine for tests: it answers over a socket of its own what the test says,
//! when the test says.

use super::attach::Streams;
use super::pod::{Agent, Pod};
use crate::runtime::agent::{AgentAnswer, AgentRequest, Ports};
use crate::runtime::control::{self, Reply, lock};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Method, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

/// Status and body.
pub(super) type Answer = (u16, String);

/// What it was asked.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub method: Method,
    path: String,
}

impl Request {
    /// Without the version of the API and without options.
    pub fn path(&self) -> &str {
        let path = self.path.split('?').next().unwrap_or_default();
        match path[1..].split_once('/') {
            Some((version, _)) if version.starts_with("v1.") => &path[version.len() + 1..],
            _ => path,
        }
    }

    /// Its options, as they were written.
    pub fn query(&self) -> &str {
        self.path.split_once('?').map_or("", |(_, query)| query)
    }
}

/// It runs until it is dropped.
pub(super) struct Engine {
    _folder: tempfile::TempDir,
    socket: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Engine {
    /// One that answers at once.
    pub fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_slow(move |request| {
            let answer = answer(&request);
            Box::pin(async { answer })
        })
    }

    /// One that takes its time.
    pub fn start_slow(
        answer: impl Fn(Request) -> BoxFuture<'static, Answer> + Send + Sync + 'static,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, remember) = (Arc::new(answer), asked.clone());
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, remember) = (answer.clone(), remember.clone());
                let service = service_fn(move |request: hyper::Request<_>| {
                    let _: &hyper::body::Incoming = request.body();
                    let request = Request {
                        method: request.method().clone(),
                        path: request.uri().to_string(),
                    };
                    let line = format!("{} {}", request.method, request.path());
                    lock(&remember).push(line);
                    let answered = answer(request);
                    async move {
                        let (status, body) = answered.await;
                        let response = Response::builder().status(status);
                        let response = response.header("content-type", "application/json");
                        let body = Full::new(Bytes::from(body));
                        Ok::<_, Infallible>(response.body(body).unwrap())
                    }
                });
                let http = hyper::server::conn::http1::Builder::new();
                // Whoever asked may have gone.
                tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
            }
        });
        Engine {
            _folder: folder,
            socket,
            asked,
            serving,
        }
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    pub fn connect(&self) -> bollard::Docker {
        let path = self.socket.to_str().unwrap();
        bollard::Docker::connect_with_unix(path, 3600, bollard::API_DEFAULT_VERSION).unwrap()
    }

    /// What it was asked since this was asked last: method and path.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.asked))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A unit whose agent does all that it is asked.
pub(super) async fn pod(unit: &str) -> Pod {
    let agent = Agent::over(Box::new(|_| {
        Box::pin(async {
            let (ours, theirs) = tokio::io::duplex(4096);
            let (stdout, answers) = tokio::io::duplex(4096);
            tokio::spawn(control::serve(theirs, answers, |_: AgentRequest| {
                let (birth, lapses, ports) = (1, 0, Ports::default());
                Reply::Now(Ok(AgentAnswer::Done {
                    birth,
                    lapses,
                    ports,
                }))
            }));
            let stdin = Box::new(ours);
            Ok(Streams { stdin, stdout })
        })
    }));
    Pod::new(unit.into(), agent.await.unwrap(), "none".into())
}
