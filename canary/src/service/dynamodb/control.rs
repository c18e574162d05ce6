//! The few calls that prepare a table before anything is measured.

use super::post;
use crate::call;
use crate::classify::NoAnswer;
use crate::config::{Attributes, Endpoint};
use crate::connect::Connector;
use crate::exchange;
use crate::sign::Sign;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// One call.
const CALL: Duration = Duration::from_secs(10);

/// Time that a table has to become active.
const ACTIVE: Duration = Duration::from_secs(120);

/// Deletions in flight.
const WIDTH: usize = 16;

/// Tries of a deletion: deleting twice is as good as once.
const TRIES: usize = 5;

/// Speaks to one endpoint.
#[derive(Clone, Debug)]
pub struct Control {
    connector: Connector,
    signer: Arc<dyn Sign>,
    endpoint: Endpoint,
}

/// An answer that is not 200, or none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}")]
pub struct ControlError {
    /// The service's name for it; `no answer` if it gave none.
    pub name: String,
    /// For people.
    pub message: String,
}

impl Control {
    /// Speaks to `endpoint` as the canary will.
    pub fn new(connector: Connector, signer: Arc<dyn Sign>, endpoint: Endpoint) -> Self {
        Control {
            connector,
            signer,
            endpoint,
        }
    }

    /// One call of the DynamoDB JSON protocol, one attempt.
    ///
    /// # Errors
    /// The service's answer if it is not 200, or that there was none.
    pub async fn call(&self, operation: &str, body: &Value) -> Result<Value, ControlError> {
        let no_answer = |why: String| ControlError {
            name: "no answer".into(),
            message: why,
        };
        let (host, target) = (
            self.endpoint.host(),
            format!("DynamoDB_20120810.{operation}"),
        );
        if let Some(odd) = [&host, &target]
            .iter()
            .find(|text| !text.bytes().all(|b| b.is_ascii_graphic()))
        {
            return Err(no_answer(format!("not sent: {odd:?} fits no header")));
        }
        let request = post(&*self.signer, &host, &target, body.to_string().as_bytes());
        let deadline = Instant::now() + CALL;
        let open = || self.connector.open(&self.endpoint);
        let read = |bytes: &[u8], closed| {
            exchange::answer(bytes, closed).map(|r| (r.status, r.body.into_owned()))
        };
        let (came, _) = call::attempt(open, None, &request, deadline, read).await;
        let (status, body) = match came {
            Ok(answer) => answer,
            Err(NoAnswer::ConnectTimeout | NoAnswer::Timeout) => {
                return Err(no_answer(format!("nothing within {CALL:?}")));
            }
            Err(why) => return Err(no_answer(why.to_string())),
        };
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status == 200 {
            return Ok(answer);
        }
        let text = |names: [&str; 2]| names.iter().find_map(|n| answer[*n].as_str());
        let kind = text(["__type", "code"]).unwrap_or_default();
        Err(ControlError {
            name: match kind.rsplit('#').next() {
                Some(name) if !name.is_empty() => name.into(),
                _ => format!("status {status}"),
            },
            message: text(["message", "Message"]).unwrap_or_default().into(),
        })
    }

    /// Makes sure that the table is there, is active and has the one key that
    /// a canary uses; makes it if `create`. True if it was made.
    ///
    /// # Errors
    /// Why it cannot be used, and what can be done about it.
    pub async fn ensure_table(
        &self,
        table: &str,
        attributes: &Attributes,
        create: bool,
    ) -> Result<bool, String> {
        let began = Instant::now();
        let mut made = false;
        loop {
            let found = self
                .call("DescribeTable", &json!({"TableName": table}))
                .await;
            match found {
                Ok(answer) => {
                    fits(&answer["Table"], attributes)
                        .map_err(|e| format!("table {table}: {e}"))?;
                    if answer["Table"]["TableStatus"] == "ACTIVE" {
                        return Ok(made);
                    }
                }
                Err(e) if e.name == "ResourceNotFoundException" && !made => {
                    if !create {
                        return Err(format!(
                            "there is no table {table}: --create-table makes it (partition key {}, a string; on demand)",
                            attributes.key
                        ));
                    }
                    self.create(table, attributes)
                        .await
                        .map_err(|e| format!("CreateTable {table}: {e}"))?;
                    made = true;
                }
                // A table that was just made may not be known everywhere yet.
                Err(e) if made && e.name == "ResourceNotFoundException" => {}
                Err(e) => return Err(format!("DescribeTable {table}: {e}")),
            }
            if began.elapsed() > ACTIVE {
                return Err(format!("table {table} is not active after {ACTIVE:?}"));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn create(&self, table: &str, attributes: &Attributes) -> Result<(), ControlError> {
        let key = &attributes.key;
        let body = json!({
            "TableName": table,
            "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
        });
        match self.call("CreateTable", &body).await {
            // Somebody else was faster; what it is like is seen next.
            Err(e) if e.name == "ResourceInUseException" => Ok(()),
            other => other.map(drop),
        }
    }

    /// Deletes items, so that the history begins with nothing there.
    ///
    /// # Errors
    /// The first deletion that did not succeed after a few tries.
    pub async fn clear(
        &self,
        table: &str,
        attributes: &Attributes,
        keys: impl Iterator<Item = String>,
    ) -> Result<(), String> {
        let mut tasks: JoinSet<Result<(), String>> = JoinSet::new();
        for key in keys {
            if tasks.len() >= WIDTH
                && let Some(done) = tasks.join_next().await
            {
                done.map_err(|e| e.to_string())??;
            }
            let control = self.clone();
            let body = json!({"TableName": table, "Key": {&attributes.key: {"S": &key}}});
            tasks.spawn(async move {
                let mut last = String::new();
                for n in 0..TRIES {
                    match control.call("DeleteItem", &body).await {
                        Ok(_) => return Ok(()),
                        Err(e) => last = e.to_string(),
                    }
                    tokio::time::sleep(Duration::from_millis(100 << n)).await;
                }
                Err(format!("DeleteItem {key}: {last}"))
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.map_err(|e| e.to_string())??;
        }
        Ok(())
    }
}

/// Whether a description is of a table that a canary can use.
fn fits(table: &Value, attributes: &Attributes) -> Result<(), String> {
    let key = json!([{"AttributeName": attributes.key, "KeyType": "HASH"}]);
    let kind = table["AttributeDefinitions"].as_array().and_then(|all| {
        let own = all.iter().find(|a| a["AttributeName"] == attributes.key);
        own?["AttributeType"].as_str()
    });
    if table["KeySchema"] == key && kind == Some("S") {
        return Ok(());
    }
    Err(format!(
        "its key is {} and not one partition key {} of strings; name another table",
        table["KeySchema"], attributes.key
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn control(endpoint: Endpoint) -> Control {
        let signer = Arc::new(crate::sign::Dummy);
        Control::new(Connector::default(), signer, endpoint)
    }

    /// Answers with these in turn, and returns the bodies that it got.
    async fn serve(listener: TcpListener, answers: Vec<(u16, Value)>, got: &Mutex<Vec<String>>) {
        for (status, answer) in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            let text = String::from_utf8(request).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let target = head.split("DynamoDB_20120810.").nth(1).unwrap();
            let target = target.lines().next().unwrap();
            got.lock().unwrap().push(format!("{target} {body}"));
            let body = answer.to_string();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    }

    async fn ensure(
        answers: Vec<(u16, Value)>,
        create: bool,
    ) -> (Result<bool, String>, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::plain("a", listener.local_addr().unwrap());
        let control = control(endpoint);
        let got = Mutex::new(Vec::new());
        let attributes = Attributes::default();
        let (made, ()) = tokio::join!(
            control.ensure_table("t", &attributes, create),
            serve(listener, answers, &got)
        );
        (made, got.into_inner().unwrap())
    }

    fn table(key: &str, status: &str) -> (u16, Value) {
        let table = json!({
            "TableStatus": status,
            "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"}],
        });
        (200, json!({ "Table": table }))
    }

    fn missing() -> (u16, Value) {
        let kind = "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException";
        (400, json!({"__type": kind, "message": "no"}))
    }

    #[tokio::test]
    async fn a_table_that_fits_is_used_and_a_missing_one_is_made_if_asked_for() {
        let (made, got) = ensure(vec![table("pk", "ACTIVE")], false).await;
        assert_eq!((made, got.len()), (Ok(false), 1));
        let answers = vec![
            missing(),
            (200, json!({})),
            missing(),
            table("pk", "CREATING"),
            table("pk", "ACTIVE"),
        ];
        let (made, got) = ensure(answers, true).await;
        assert_eq!(made, Ok(true));
        assert!(got[1].starts_with("CreateTable "), "{got:?}");
        assert!(got[1].contains("\"PAY_PER_REQUEST\""), "{got:?}");
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_explained() {
        let other = table("id", "ACTIVE");
        let mut sorted = table("pk", "ACTIVE");
        let range = json!({"AttributeName": "sk", "KeyType": "RANGE"});
        let schema = sorted.1["Table"]["KeySchema"].as_array_mut().unwrap();
        schema.push(range);
        let refused = json!({"__type": "x#AccessDeniedException", "Message": "not you"});
        for (answer, expected) in [
            (missing(), "--create-table"),
            (other, "name another table"),
            (sorted, "name another table"),
            ((400, refused), "AccessDeniedException: not you"),
            ((500, json!({})), "status 500"),
        ] {
            let (made, _) = ensure(vec![answer], false).await;
            let e = made.unwrap_err();
            assert!(e.contains(expected), "{expected}: {e}");
        }
    }

    #[tokio::test]
    async fn items_are_deleted_and_a_deletion_is_tried_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::plain("a", listener.local_addr().unwrap());
        let control = control(endpoint);
        let got = Mutex::new(Vec::new());
        let answers = vec![(500, json!({})), (200, json!({})), (200, json!({}))];
        let keys = ["k1".to_string(), "k2".to_string()];
        let attributes = Attributes::default();
        let (cleared, ()) = tokio::join!(
            control.clear("t", &attributes, keys.into_iter()),
            serve(listener, answers, &got)
        );
        assert_eq!(cleared, Ok(()));
        let got = got.into_inner().unwrap();
        for key in ["k1", "k2"] {
            let body = json!({"TableName": "t", "Key": {"pk": {"S": key}}});
            assert!(got.contains(&format!("DeleteItem {body}")), "{got:?}");
        }
    }
}
