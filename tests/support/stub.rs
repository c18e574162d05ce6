//! A store in the test's own process that speaks enough of the DynamoDB JSON
//! protocol for a canary: one item after the other, always right, or wrong on
//! purpose.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What is stored, and what was asked.
#[derive(Default)]
pub struct Store {
    tables: BTreeMap<String, BTreeMap<String, Value>>,
    /// Number of requests by operation.
    pub asked: BTreeMap<String, u64>,
    /// `authorization` of the last request.
    pub authorization: String,
    puts: u64,
    measured: u64,
}

/// A running stub. It ends with the test's process.
pub struct Stub {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its state.
    pub store: Arc<Mutex<Store>>,
    /// True: every tenth write is acknowledged and forgotten.
    pub forgetful: Arc<AtomicBool>,
    /// One in so many calls that a canary measures is answered with 503; 0: none.
    pub failing: Arc<AtomicU64>,
    /// Number of connections that were opened.
    pub connections: Arc<AtomicU64>,
}

impl Stub {
    /// Starts one on loopback.
    pub fn start() -> Stub {
        Stub::start_at("127.0.0.1:0", Arc::default())
    }

    /// Starts one at this address, on what may be another one's store.
    pub fn start_at(addr: &str, store: Arc<Mutex<Store>>) -> Stub {
        let listener = TcpListener::bind(addr).expect("a port");
        let stub = Stub {
            addr: listener.local_addr().expect("its address"),
            store,
            forgetful: Arc::default(),
            failing: Arc::default(),
            connections: Arc::default(),
        };
        let (store, forgetful) = (stub.store.clone(), stub.forgetful.clone());
        let (failing, connections) = (stub.failing.clone(), stub.connections.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                connections.fetch_add(1, Ordering::Relaxed);
                let (store, forgetful) = (store.clone(), forgetful.clone());
                let failing = failing.clone();
                // A client that goes away ends its thread.
                std::thread::spawn(move || serve(stream, &store, &forgetful, &failing));
            }
        });
        stub
    }

    /// How often this operation was asked for.
    pub fn asked(&self, operation: &str) -> u64 {
        let store = self.store.lock().unwrap();
        store.asked.get(operation).copied().unwrap_or(0)
    }
}

fn serve(
    stream: TcpStream,
    store: &Mutex<Store>,
    forgetful: &AtomicBool,
    failing: &AtomicU64,
) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut input = BufReader::new(stream.try_clone().ok()?);
    let mut output = stream;
    loop {
        let (mut length, mut operation, mut authorization) = (0, String::new(), String::new());
        loop {
            let mut line = String::new();
            if input.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                let value = value.trim();
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.parse().ok()?,
                    "x-amz-target" => operation = value.rsplit('.').next()?.to_string(),
                    "authorization" => authorization = value.to_string(),
                    _ => {}
                }
            }
        }
        let mut body = vec![0; length];
        input.read_exact(&mut body).ok()?;
        let request: Value = serde_json::from_slice(&body).ok()?;
        let (status, answer) = {
            let mut store = store.lock().unwrap();
            *store.asked.entry(operation.clone()).or_default() += 1;
            store.authorization = authorization;
            let measured = matches!(operation.as_str(), "GetItem" | "PutItem" | "UpdateItem");
            store.measured += u64::from(measured);
            let one_in = failing.load(Ordering::Relaxed);
            if measured && one_in > 0 && store.measured.is_multiple_of(one_in) {
                (
                    503,
                    json!({"__type": "x#InternalServerError", "message": "no"}),
                )
            } else {
                store.answer(&operation, &request, forgetful.load(Ordering::Relaxed))
            }
        };
        let body = answer.to_string();
        let reply = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        output.write_all(reply.as_bytes()).ok()?;
    }
}

impl Store {
    fn answer(&mut self, operation: &str, request: &Value, forgetful: bool) -> (u16, Value) {
        let name = request["TableName"]
            .as_str()
            .unwrap_or_default()
            .to_string();
        let refuse = |kind: &str| (400, json!({"__type": format!("x#{kind}"), "message": "no"}));
        if operation == "CreateTable" {
            self.tables.entry(name).or_default();
            return (200, json!({}));
        }
        let Some(items) = self.tables.get_mut(&name) else {
            return refuse("ResourceNotFoundException");
        };
        let key = |of: &Value| of["pk"]["S"].as_str().unwrap_or_default().to_string();
        match operation {
            "DescribeTable" => {
                let key = json!([{"AttributeName": "pk", "KeyType": "HASH"}]);
                let kinds = json!([{"AttributeName": "pk", "AttributeType": "S"}]);
                let table = json!({
                    "TableStatus": "ACTIVE", "KeySchema": key, "AttributeDefinitions": kinds,
                });
                (200, json!({ "Table": table }))
            }
            "GetItem" => match items.get(&key(&request["Key"])) {
                Some(item) => (200, json!({ "Item": item })),
                None => (200, json!({})),
            },
            "DeleteItem" => {
                items.remove(&key(&request["Key"]));
                (200, json!({}))
            }
            "UpdateItem" => {
                let number = |v: &Value| v["N"].as_str().and_then(|n| n.parse::<i64>().ok());
                let delta = number(&request["ExpressionAttributeValues"][":d"]).unwrap_or(0);
                let (name, adds) = (key(&request["Key"]), "ADD #n :d");
                if request["UpdateExpression"] != adds {
                    return refuse("ValidationException");
                }
                let sum = items.get(&name).and_then(|i| number(&i["v"])).unwrap_or(0) + delta;
                self.puts += 1;
                if !(forgetful && self.puts.is_multiple_of(10)) {
                    let item = json!({"pk": {"S": name}, "v": {"N": sum.to_string()}});
                    items.insert(name, item);
                }
                let made = json!({"v": {"N": sum.to_string()}});
                (200, json!({ "Attributes": made }))
            }
            "PutItem" => {
                let item = &request["Item"];
                let now = items.get(&key(item));
                let expected = &request["ExpressionAttributeValues"][":old"]["N"];
                let holds = match request["ConditionExpression"].as_str() {
                    None => true,
                    Some(c) if c.starts_with("attribute_not_exists") => now.is_none(),
                    Some(_) => now.is_some_and(|i| i["v"]["N"] == *expected),
                };
                if !holds {
                    let mut answer = refuse("ConditionalCheckFailedException");
                    if let Some(item) = now {
                        answer.1["Item"] = item.clone();
                    }
                    return answer;
                }
                self.puts += 1;
                if !(forgetful && self.puts.is_multiple_of(10)) {
                    items.insert(key(item), item.clone());
                }
                (200, json!({}))
            }
            _ => refuse("UnknownOperationException"),
        }
    }
}
