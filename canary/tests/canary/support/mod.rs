//! A stub of a DynamoDB-like service, whose behaviour a test can change.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What it does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Serves.
    Serve,
    /// Serves after it wrote a value of its own, so that conditions do not hold.
    Contended,
    /// Reads the request, never answers.
    Hang,
    /// Reads the request, answers when it does something else.
    Freeze,
    /// Reads the request, closes the connection.
    Reset,
    /// Answers 500.
    Broken,
}

/// The stub; clones share everything.
#[derive(Clone)]
pub struct Stub {
    mode: Arc<watch::Sender<Mode>>,
    items: Arc<Mutex<HashMap<String, Value>>>,
}

impl Stub {
    /// Listens on a free port.
    pub async fn listen() -> (Stub, SocketAddr) {
        let stub = Stub {
            mode: Arc::new(watch::Sender::new(Mode::Serve)),
            items: Arc::default(),
        };
        let addr = stub.clone().also_listen().await;
        (stub, addr)
    }

    /// A second endpoint with the same items and a mode of its own.
    pub async fn sibling(&self) -> (Stub, SocketAddr) {
        let stub = Stub {
            mode: Arc::new(watch::Sender::new(Mode::Serve)),
            items: self.items.clone(),
        };
        let addr = stub.clone().also_listen().await;
        (stub, addr)
    }

    /// Changes what it does.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    async fn also_listen(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        self.serve_on(listener);
        addr
    }

    /// Serves here until the task is aborted, which closes the port and all connections.
    pub fn serve_on(self, listener: TcpListener) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let stub = self.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| stub.clone().answer(request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        })
    }

    async fn answer(self, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        let target = request.headers()["x-amz-target"]
            .to_str()
            .unwrap()
            .to_string();
        assert!(
            request.headers()["authorization"]
                .to_str()
                .unwrap()
                .starts_with("AWS4-")
        );
        let body = request
            .into_body()
            .collect()
            .await
            .map_err(io::Error::other)?;
        let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap();
        let mut modes = self.mode.subscribe();
        let mode = *modes.wait_for(|mode| *mode != Mode::Freeze).await.unwrap();
        let (status, answer) = match mode {
            Mode::Hang | Mode::Freeze => std::future::pending().await,
            // An error of the service makes hyper drop the connection.
            Mode::Reset => return Err(io::ErrorKind::Other.into()),
            Mode::Broken => (
                500,
                json!({"__type": "x#InternalServerError", "message": "m"}),
            ),
            Mode::Serve => self.serve(&target, &body),
            Mode::Contended => {
                if let Some(condition) = body.get("ConditionExpression") {
                    assert!(condition.is_string());
                    let key = body["Item"]["pk"]["S"].as_str().unwrap();
                    let other = json!({"pk": {"S": key}, "v": {"N": "-1"}});
                    self.items.lock().unwrap().insert(key.into(), other);
                }
                self.serve(&target, &body)
            }
        };
        let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
        *response.status_mut() = status.try_into().unwrap();
        Ok(response)
    }

    fn serve(&self, target: &str, body: &Value) -> (u16, Value) {
        assert_eq!(body["TableName"], "canary");
        let mut items = self.items.lock().unwrap();
        if target == "DynamoDB_20120810.GetItem" {
            assert!(body["ConsistentRead"].is_boolean());
            return match items.get(body["Key"]["pk"]["S"].as_str().unwrap()) {
                Some(item) => (200, json!({"Item": item})),
                None => (200, json!({})),
            };
        }
        if target == "DynamoDB_20120810.UpdateItem" {
            assert_eq!(body["UpdateExpression"], "ADD #n :d");
            assert_eq!(body["ReturnValues"], "UPDATED_NEW");
            let key = body["Key"]["pk"]["S"].as_str().unwrap();
            let number = |v: &Value| v["N"].as_str().unwrap().parse::<i64>().unwrap();
            let before = items.get(key).map_or(0, |item| number(&item["v"]));
            let sum = before + number(&body["ExpressionAttributeValues"][":d"]);
            let value = json!({"N": sum.to_string()});
            items.insert(key.into(), json!({"pk": {"S": key}, "v": value}));
            return (200, json!({"Attributes": {"v": value}}));
        }
        assert_eq!(target, "DynamoDB_20120810.PutItem");
        let item = &body["Item"];
        let key = item["pk"]["S"].as_str().unwrap();
        let current = items.get(key);
        let holds = match body.get("ConditionExpression").map(|c| c.as_str().unwrap()) {
            None => true,
            Some("attribute_not_exists(#a)") => current.is_none(),
            Some("#a = :old") => {
                current.is_some_and(|c| c["v"] == body["ExpressionAttributeValues"][":old"])
            }
            Some(other) => panic!("{other}"),
        };
        if !holds {
            let mut answer = json!({
                "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
                "message": "The conditional request failed",
            });
            if let Some(current) = current {
                answer["Item"] = current.clone();
            }
            return (400, answer);
        }
        items.insert(key.into(), item.clone());
        (200, json!({}))
    }
}
