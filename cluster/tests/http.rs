//! The protocol as bytes on a connection: headers, errors, bounds, order of checks.

mod support;

use gameday_cluster::api::http::Limits;
use serde_json::{Value, json};
use std::time::Duration;
use support::Served;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const AUTH: &str = "Authorization: AWS4-HMAC-SHA256 Credential=me/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=00\r\nX-Amz-Date: 20260101T000000Z\r\n";
const KIND: &str = "Content-Type: application/x-amz-json-1.0\r\n";

struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// What follows `#` in `__type`.
    fn error(&self) -> String {
        let kind = self.json()["__type"].as_str().unwrap().to_owned();
        kind.split_once('#').unwrap().1.to_owned()
    }

    fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or("").to_owned()
    }
}

struct Connection(TcpStream);

impl Connection {
    async fn to(served: &Served) -> Self {
        Self(TcpStream::connect(served.address).await.unwrap())
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    async fn receive(&mut self) -> Reply {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            let mut chunk = [0; 4096];
            let count = self.0.read(&mut chunk).await.unwrap();
            assert!(
                count > 0,
                "closed after {:?}",
                String::from_utf8_lossy(&bytes)
            );
            bytes.extend_from_slice(&chunk[..count]);
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut reply = Reply {
            status,
            head,
            body: bytes[end..].to_vec(),
        };
        let length: usize = reply.header("content-length").unwrap().parse().unwrap();
        while reply.body.len() < length {
            let mut chunk = [0; 65536];
            let count = self.0.read(&mut chunk).await.unwrap();
            assert!(count > 0, "closed in the body");
            reply.body.extend_from_slice(&chunk[..count]);
        }
        assert_eq!(reply.body.len(), length);
        let sum = crc32fast::hash(&reply.body).to_string();
        assert_eq!(reply.header("x-amz-crc32"), Some(sum.as_str()));
        assert_eq!(reply.header("x-amzn-requestid").unwrap().len(), 52);
        reply
    }

    async fn call(&mut self, headers: &str, body: &str) -> Reply {
        let length = body.len();
        let text = format!(
            "POST / HTTP/1.1\r\nHost: here:1\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        self.send(text.as_bytes()).await;
        self.receive().await
    }

    async fn operate(&mut self, operation: &str, body: Value) -> Reply {
        let headers = format!("{KIND}{AUTH}X-Amz-Target: DynamoDB_20120810.{operation}\r\n");
        self.call(&headers, &body.to_string()).await
    }

    /// A table `tab` with the partition key `id`, ACTIVE.
    async fn with_table(served: &Served) -> Self {
        let mut connection = Self::to(served).await;
        let reply = connection
            .operate(
                "CreateTable",
                json!({
                    "TableName": "tab",
                    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                    "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6},
                }),
            )
            .await;
        assert_eq!(reply.status, 200, "{}", reply.json());
        assert_eq!(reply.json()["TableDescription"]["TableStatus"], "CREATING");
        let early = connection.operate(
            "GetItem",
            json!({"TableName": "tab", "Key": {"id": {"S": "a"}}}),
        );
        assert_eq!(early.await.error(), "ResourceNotFoundException");
        let reply = connection
            .operate("DescribeTable", json!({"TableName": "tab"}))
            .await;
        let table = &reply.json()["Table"];
        assert_eq!(table["TableStatus"], "ACTIVE");
        assert_eq!(table["ProvisionedThroughput"]["WriteCapacityUnits"], 6);
        connection
    }
}

fn limits() -> Limits {
    Limits {
        body: 2 << 20,
        header_time: Duration::from_millis(300),
        body_time: Duration::from_millis(300),
        request_time: Duration::from_millis(300),
        ..Limits::default()
    }
}

#[tokio::test]
async fn health_and_strangers() {
    let served = Served::start(Limits::default()).await;
    let mut connection = Connection::to(&served).await;
    connection.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let reply = connection.receive().await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.body, b"healthy: dynamodb.us-east-1.amazonaws.com ");
    assert_eq!(reply.body.len(), 42);
    for request in ["GET /other", "PUT /", "DELETE /", "POST /other"] {
        let text = format!("{request} HTTP/1.1\r\nHost: h\r\n{KIND}Content-Length: 2\r\n\r\n{{}}");
        connection.send(text.as_bytes()).await;
        let reply = connection.receive().await;
        assert_eq!(reply.status, 404, "{request}");
        assert_eq!(reply.body, b"<UnknownOperationException/>\n");
    }
    assert_eq!(
        connection
            .call("Content-Type: text/plain\r\n", "{}")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn checks_come_in_their_order() {
    let served = Served::start(Limits::default()).await;
    let mut c = Connection::to(&served).await;
    // Everything is wrong: JSON first, then the operation, the identity, the meaning.
    assert_eq!(c.call(KIND, "{").await.error(), "SerializationException");
    assert_eq!(c.call(KIND, "[]").await.error(), "SerializationException");
    let unknown = c.call(KIND, "{}").await;
    assert_eq!(unknown.error(), "UnknownOperationException");
    assert_eq!(
        unknown.json()["__type"],
        "com.amazon.coral.service#UnknownOperationException"
    );
    let target = format!("{KIND}X-Amz-Target: DynamoDB_20120810.PutItem\r\n");
    let bad_number = r#"{"TableName":"tab","Item":{"id":{"N":"x"}}}"#;
    assert_eq!(
        c.call(&target, bad_number).await.error(),
        "MissingAuthenticationTokenException"
    );
    let signed = format!("{target}Authorization: AWS4-X\r\n");
    assert_eq!(
        c.call(&signed, "{}").await.error(),
        "IncompleteSignatureException"
    );
    let signed = format!("{target}{AUTH}");
    let reply = c.call(&signed, bad_number).await;
    assert_eq!(
        reply.json()["__type"],
        "com.amazon.coral.validate#ValidationException"
    );
    assert_eq!(
        reply.header("content-type"),
        Some("application/x-amz-json-1.0")
    );
    assert_eq!(reply.status, 400);
    let reply = c
        .operate(
            "PutItem",
            json!({"TableName": "tab", "Item": {"x": {"S": ""}}}),
        )
        .await;
    assert_eq!(reply.error(), "ResourceNotFoundException");
    assert_eq!(reply.message(), "Requested resource not found");
    let reply = c
        .operate("DescribeTable", json!({"TableName": "tab"}))
        .await;
    assert_eq!(
        reply.message(),
        "Requested resource not found: Table: tab not found"
    );
}

#[tokio::test]
async fn failures_of_the_store_are_told_apart() {
    let served = Served::start(limits()).await;
    let mut c = Connection::with_table(&served).await;
    let put = |id: &str| json!({"TableName": "tab", "Item": {"id": {"S": id}}});
    let reply = c.operate("PutItem", put("fails")).await;
    assert_eq!(
        (reply.status, reply.error().as_str()),
        (503, "ServiceUnavailable")
    );
    let reply = c.operate("PutItem", put("unknown")).await;
    assert_eq!(
        (reply.status, reply.error().as_str()),
        (500, "InternalServerError")
    );
    let reply = c.operate("PutItem", put("hangs")).await;
    assert_eq!(
        (reply.status, reply.error().as_str()),
        (500, "InternalServerError")
    );

    let write = |id: &str| json!({"PutRequest": {"Item": {"id": {"S": id}}}});
    let batch = |ids: &[&str]| json!({"RequestItems": {"tab": ids.iter().map(|id| write(id)).collect::<Vec<_>>()}});
    let reply = c
        .operate("BatchWriteItem", batch(&["a", "fails", "b"]))
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.json()["UnprocessedItems"],
        json!({"tab": [write("fails")]})
    );
    let reply = c
        .operate("BatchWriteItem", batch(&["fails", "fails too"]))
        .await;
    assert_eq!(reply.status, 503);
    // Perhaps done is not "unprocessed", whatever became of the others.
    for ids in [&["fails", "unknown"][..], &["a", "unknown", "fails", "b"]] {
        let reply = c.operate("BatchWriteItem", batch(ids)).await;
        assert_eq!(
            (reply.status, reply.error().as_str()),
            (500, "InternalServerError"),
            "{ids:?}"
        );
    }
    let key = |id: &str| json!({"id": {"S": id}});
    let gets = json!({"RequestItems": {"tab": {
        "Keys": [key("a"), key("fails"), key("absent")],
        "ConsistentRead": true,
        "ProjectionExpression": "#i",
        "ExpressionAttributeNames": {"#i": "id"},
    }}});
    let reply = c.operate("BatchGetItem", gets.clone()).await.json();
    assert_eq!(reply["Responses"]["tab"], json!([key("a")]));
    let mut left = gets["RequestItems"].clone();
    left["tab"]["Keys"] = json!([key("fails")]);
    assert_eq!(reply["UnprocessedKeys"], left);
}

#[tokio::test]
async fn conditions_and_what_they_return() {
    let served = Served::start(Limits::default()).await;
    let mut c = Connection::with_table(&served).await;
    let item = json!({"id": {"S": "a"}, "v": {"N": "1"}});
    let reply = c
        .operate("PutItem", json!({"TableName": "tab", "Item": item}))
        .await;
    assert_eq!(reply.body, b"{}");
    let mut put = json!({
        "TableName": "tab", "Item": item, "ConditionExpression": "v = :old",
        "ExpressionAttributeValues": {":old": {"N": "2"}},
    });
    let reply = c.operate("PutItem", put.clone()).await;
    assert_eq!(
        (reply.status, reply.error().as_str()),
        (400, "ConditionalCheckFailedException")
    );
    assert!(reply.json().get("Item").is_none());
    put["ReturnValuesOnConditionCheckFailure"] = json!("ALL_OLD");
    assert_eq!(c.operate("PutItem", put.clone()).await.json()["Item"], item);
    put["ExpressionAttributeValues"][":old"]["N"] = json!("1.0");
    put["ReturnValues"] = json!("ALL_OLD");
    put["ReturnConsumedCapacity"] = json!("TOTAL");
    let reply = c.operate("PutItem", put.clone()).await.json();
    assert_eq!(reply["Attributes"], item);
    assert_eq!(
        reply["ConsumedCapacity"],
        json!({"TableName": "tab", "CapacityUnits": 1.0})
    );
    put["ReturnValues"] = json!("ALL_NEW");
    assert_eq!(
        c.operate("PutItem", put).await.error(),
        "ValidationException"
    );
    let get = json!({"TableName": "tab", "Key": {"id": {"S": "nobody"}}});
    assert_eq!(c.operate("GetItem", get).await.body, b"{}");
}

#[tokio::test]
async fn nothing_is_ignored_silently() {
    let served = Served::start(Limits::default()).await;
    let mut c = Connection::with_table(&served).await;
    let item = json!({"id": {"S": "a"}});
    for (operation, body, name) in [
        (
            "PutItem",
            json!({"TableName": "tab", "Item": item, "Expected": {}}),
            "Expected",
        ),
        (
            "PutItem",
            json!({"TableName": "tab", "Item": item, "Key": item}),
            "Key",
        ),
        (
            "GetItem",
            json!({"TableName": "tab", "Key": item, "AttributesToGet": ["a"]}),
            "AttributesToGet",
        ),
        (
            "Scan",
            json!({"TableName": "tab", "IndexName": "i"}),
            "IndexName",
        ),
        (
            "Scan",
            json!({"TableName": "tab", "Select": "SOME"}),
            "select",
        ),
        ("Scan", json!({"TableName": "tab", "Limit": 0}), "limit"),
        ("ListTables", json!({"Limit": 1000}), "limit"),
        (
            "DescribeEndpoints",
            json!({"TableName": "tab"}),
            "TableName",
        ),
        (
            "BatchGetItem",
            json!({"RequestItems": {"tab": {"Keys": [item], "Extra": 1}}}),
            "Extra",
        ),
        (
            "UpdateItem",
            json!({"TableName": "tab", "Key": item, "AttributeUpdates": {}}),
            "AttributeUpdates",
        ),
        (
            "CreateTable",
            json!({"TableName": "tab", "LocalSecondaryIndexes": []}),
            "LocalSecondaryIndexes",
        ),
        (
            "PutItem",
            json!({"TableName": "tab", "Item": item, "ReturnConsumedCapacity": "ALL"}),
            "returnConsumedCapacity",
        ),
        ("PutItem", json!({"Item": item}), "tableName"),
        ("PutItem", json!({"TableName": "tab"}), "item"),
    ] {
        let reply = c.operate(operation, body).await;
        assert_eq!(reply.error(), "ValidationException", "{operation} {name}");
        assert!(
            reply.message().contains(name),
            "{operation} {name}: {}",
            reply.message()
        );
    }
}

#[tokio::test]
async fn sizes_are_bounded() {
    let served = Served::start(limits()).await;
    let mut c = Connection::with_table(&served).await;
    let item = |size: usize| json!({"TableName": "tab", "Item": {"id": {"S": "a"}, "v": {"S": "x".repeat(size)}}});
    // 4 bytes are names and the key.
    assert_eq!(c.operate("PutItem", item(400 * 1024 - 4)).await.status, 200);
    let reply = c.operate("PutItem", item(400 * 1024 - 3)).await;
    assert_eq!(
        reply.message(),
        "Item size has exceeded the maximum allowed size"
    );
    let update = json!({
        "TableName": "tab", "Key": {"id": {"S": "a"}}, "UpdateExpression": "SET w = v",
    });
    let reply = c.operate("UpdateItem", update).await;
    assert_eq!(
        reply.message(),
        "Item size to update has exceeded the maximum allowed size"
    );
    let mut deep = json!({"NULL": true});
    for _ in 0..33 {
        deep = json!({"L": [deep]});
    }
    let reply = c.operate(
        "PutItem",
        json!({"TableName": "tab", "Item": {"id": {"S": "a"}, "v": deep}}),
    );
    assert!(reply.await.message().contains("Nesting Levels"));

    // Announced too large: refused before any of it is read.
    let head = format!("POST / HTTP/1.1\r\nHost: h\r\n{KIND}{AUTH}Content-Length: 3000000\r\n\r\n");
    c.send(head.as_bytes()).await;
    let reply = c.receive().await;
    assert_eq!(reply.status, 413);
    assert_eq!(reply.header("connection"), Some("close"));

    // Too large without having said so.
    let mut c = Connection::to(&served).await;
    let head = format!(
        "POST / HTTP/1.1\r\nHost: h\r\n{KIND}{AUTH}Transfer-Encoding: chunked\r\n\r\n200001\r\n"
    );
    c.send(head.as_bytes()).await;
    c.send(&vec![b' '; 0x20_0001]).await;
    assert_eq!(c.receive().await.status, 413);
}

/// What a write means where there is no item, and what an update is refused for.
#[tokio::test]
async fn updates_as_dynamodb_does_them() {
    let served = Served::start(Limits::default()).await;
    let mut c = Connection::with_table(&served).await;
    let update = |id: &str, text: &str| {
        json!({
            "TableName": "tab", "Key": {"id": {"S": id}}, "UpdateExpression": text,
            "ReturnValues": "ALL_NEW",
        })
    };
    for text in ["REMOVE b", "REMOVE x.y"] {
        let reply = c.operate("UpdateItem", update("none", text)).await;
        assert_eq!((reply.status, reply.body), (200, b"{}".to_vec()), "{text}");
    }
    let get = json!({"TableName": "tab", "Key": {"id": {"S": "none"}}});
    assert_eq!(c.operate("GetItem", get).await.body, b"{}");
    let mut body = update("a", "SET n = :v");
    body["ExpressionAttributeValues"] = json!({":v": {"N": "1"}});
    let made = json!({"id": {"S": "a"}, "n": {"N": "1"}});
    assert_eq!(
        c.operate("UpdateItem", body.clone()).await.json()["Attributes"],
        made
    );
    body["UpdateExpression"] = json!("SET status = :v");
    let reply = c.operate("UpdateItem", body.clone()).await;
    assert!(
        reply.message().contains("reserved keyword: status"),
        "{}",
        reply.message()
    );
    // Known to be too large before anybody looks at the item.
    body["UpdateExpression"] = json!("SET n = :v, m = :v");
    body["ExpressionAttributeValues"] = json!({":v": {"S": "x".repeat(205_000)}});
    let reply = c.operate("UpdateItem", body.clone()).await;
    assert_eq!(
        reply.message(),
        "Item size to update has exceeded the maximum allowed size"
    );
    body["ConditionExpression"] = json!("n = :w");
    body["ExpressionAttributeValues"][":w"] = json!({"S": "x".repeat(2 << 20)});
    let reply = c.operate("UpdateItem", body).await;
    assert!(
        reply.message().contains("maximum allowed size of 2097152"),
        "{}",
        reply.message()
    );
    let get = json!({
        "TableName": "tab", "Key": {"id": {"S": "a"}}, "ProjectionExpression": "#n",
        "ExpressionAttributeNames": {"#n": "n".repeat(65_536)},
    });
    let reply = c.operate("GetItem", get).await;
    assert!(
        reply.message().contains("Attribute name"),
        "{}",
        reply.message()
    );
}

#[tokio::test]
async fn an_arn_names_a_table() {
    let served = Served::start(Limits::default()).await;
    let mut c = Connection::with_table(&served).await;
    let arn = c
        .operate("DescribeTable", json!({"TableName": "tab"}))
        .await
        .json()["Table"]["TableArn"]
        .clone();
    let name = arn.as_str().unwrap();
    let item = json!({"id": {"S": "a"}});
    let reply = c
        .operate(
            "PutItem",
            json!({"TableName": arn, "Item": item, "ReturnConsumedCapacity": "TOTAL"}),
        )
        .await;
    assert_eq!(reply.json()["ConsumedCapacity"]["TableName"], arn);
    let get = json!({"TableName": "tab", "Key": item});
    assert_eq!(c.operate("GetItem", get).await.json()["Item"], item);
    let batch = json!({"RequestItems": {name: {"Keys": [item, {"id": {"S": "fails"}}]}}});
    let reply = c.operate("BatchGetItem", batch).await.json();
    assert_eq!(reply["Responses"][name], json!([item]));
    assert_eq!(
        reply["UnprocessedKeys"][name]["Keys"],
        json!([{"id": {"S": "fails"}}])
    );
    // The same item by either name is the same item.
    let put = json!([{"PutRequest": {"Item": item}}]);
    let batch = json!({"RequestItems": {name: put, "tab": put}});
    let reply = c.operate("BatchWriteItem", batch).await;
    assert!(
        reply.message().contains("duplicates"),
        "{}",
        reply.message()
    );
}

#[tokio::test]
async fn tables_are_described_as_they_are() {
    let served = Served::start(Limits::default()).await;
    let mut c = Connection::with_table(&served).await;
    let create = |more: Value| {
        let mut body = json!({
            "TableName": "tab2",
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
        });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    for (more, message) in [
        (
            json!({"AttributeDefinitions": [{"AttributeType": "S"}]}),
            "attributeDefinitions.1.member.attributeName",
        ),
        (
            json!({"AttributeDefinitions": [
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "id", "AttributeType": "N"},
            ]}),
            "Duplicate",
        ),
        (
            json!({"AttributeDefinitions": [{"AttributeName": "x".repeat(256), "AttributeType": "S"}]}),
            "less than or equal to 255",
        ),
        (
            json!({"KeySchema": [{"KeyType": "HASH"}]}),
            "keySchema.1.member.attributeName",
        ),
        (
            json!({"BillingMode": "PROVISIONED", "ProvisionedThroughput": {"ReadCapacityUnits": 1}}),
            "provisionedThroughput.writeCapacityUnits",
        ),
        (
            json!({"BillingMode": "PROVISIONED", "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": -1}}),
            "Value '-1'",
        ),
        (
            json!({"StreamSpecification": {"StreamEnabled": true}}),
            "StreamSpecification",
        ),
        (
            json!({"SSESpecification": {"Enabled": true}}),
            "SSESpecification",
        ),
    ] {
        let reply = c.operate("CreateTable", create(more)).await;
        assert_eq!(reply.error(), "ValidationException", "{message}");
        assert!(
            reply.message().contains(message),
            "{message}: {}",
            reply.message()
        );
    }
    let reply = c
        .operate(
            "CreateTable",
            create(json!({
                "StreamSpecification": {"StreamEnabled": false},
                "SSESpecification": {"Enabled": false},
            })),
        )
        .await
        .json();
    assert_eq!(reply["TableDescription"]["ItemCount"], 0);
    let described = c
        .operate("DescribeTable", json!({"TableName": "tab2"}))
        .await
        .json()["Table"]
        .clone();
    let billing = &described["BillingModeSummary"];
    assert_eq!(
        billing["LastUpdateToPayPerRequestDateTime"],
        described["CreationDateTime"]
    );
    for id in ["a", "bb"] {
        let put = json!({"TableName": "tab2", "Item": {"id": {"S": id}}});
        assert_eq!(c.operate("PutItem", put).await.status, 200);
    }
    let reply = c
        .operate("DescribeTable", json!({"TableName": "tab2"}))
        .await
        .json();
    assert_eq!(reply["Table"]["ItemCount"], 2);
    assert_eq!(reply["Table"]["TableSizeBytes"], 7);
    let reply = c
        .operate("DeleteTable", json!({"TableName": "tab2"}))
        .await
        .json();
    let gone = &reply["TableDescription"];
    assert_eq!(gone["TableStatus"], "DELETING");
    assert_eq!(
        (&gone["ItemCount"], &gone["TableSizeBytes"]),
        (&json!(2), &json!(7))
    );
    for absent in ["KeySchema", "AttributeDefinitions", "CreationDateTime"] {
        assert!(gone.get(absent).is_none(), "{absent}");
    }
}

#[tokio::test]
async fn what_is_refused_says_why() {
    let served = Served::start(Limits::default()).await;
    let mut c = Connection::with_table(&served).await;
    let key = |n: usize| json!({"id": {"S": n.to_string()}});
    let put = |n: usize| json!({"PutRequest": {"Item": key(n)}});
    for (operation, body, message) in [
        (
            "BatchGetItem",
            json!({"RequestItems": {}}),
            "The requestItems parameter is required for BatchGetItem",
        ),
        (
            "BatchWriteItem",
            json!({"RequestItems": {"tab": (0..26).map(put).collect::<Vec<_>>()}}),
            "Member must have length less than or equal to 25",
        ),
        (
            "BatchGetItem",
            json!({"RequestItems": {"tab": {"Keys": (0..101).map(key).collect::<Vec<_>>()}}}),
            "Member must have length less than or equal to 100",
        ),
        (
            "PutItem",
            json!({
                "TableName": "tab", "Item": key(1), "ReturnValues": "a",
                "ReturnConsumedCapacity": "b", "ReturnItemCollectionMetrics": "c",
            }),
            "3 validation errors detected: Value 'b' at 'returnConsumedCapacity'",
        ),
        (
            "Scan",
            json!({"TableName": "tab", "ProjectionExpression": vec!["a"; 33].join(".")}),
            "nesting levels: 33",
        ),
    ] {
        let reply = c.operate(operation, body).await;
        assert_eq!(reply.error(), "ValidationException", "{operation}");
        assert!(
            reply.message().contains(message),
            "{message}: {}",
            reply.message()
        );
    }
    let mut refused = 0;
    for segment in 0..2 {
        let scan = json!({
            "TableName": "tab", "Segment": segment, "TotalSegments": 2, "ExclusiveStartKey": key(1),
        });
        let reply = c.operate("Scan", scan).await;
        if reply.status == 400 {
            refused += 1;
            let message = reply.message();
            assert!(message.contains("Invalid ExclusiveStartKey"), "{message}");
        }
    }
    assert_eq!(refused, 1);
}

/// A filter that works hard ends its page early, and misses nothing.
#[tokio::test]
async fn hard_work_is_spread_over_pages() {
    let served = Served::start(Limits::default()).await;
    let mut c = Connection::with_table(&served).await;
    for n in 0..6 {
        let item = json!({"id": {"S": n.to_string()}, "v": {"S": "x".repeat(300_000)}});
        let put = json!({"TableName": "tab", "Item": item});
        assert_eq!(c.operate("PutItem", put).await.status, 200);
    }
    let filter = vec!["contains(v, :p)"; 100].join(" OR ");
    let mut scan = json!({
        "TableName": "tab", "Select": "COUNT", "FilterExpression": format!("{filter} OR attribute_exists(v)"),
        "ExpressionAttributeValues": {":p": {"S": "y"}},
    });
    let (mut count, mut pages) = (0, 0);
    loop {
        let page = c.operate("Scan", scan.clone()).await.json();
        count += page["Count"].as_u64().unwrap();
        pages += 1;
        let Some(last) = page.get("LastEvaluatedKey") else {
            break;
        };
        scan["ExclusiveStartKey"] = last.clone();
    }
    assert_eq!((count, pages), (6, 3));
}

#[tokio::test]
async fn packed_bodies_are_unpacked() {
    use std::io::Write;
    let packed = |text: &str| {
        let level = flate2::Compression::default();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let served = Served::start(limits()).await;
    let mut c = Connection::with_table(&served).await;
    let mut send = async |encoding: &str, body: &[u8]| {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: h\r\n{KIND}{AUTH}X-Amz-Target: DynamoDB_20120810.PutItem\r\nContent-Encoding: {encoding}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        c.send(head.as_bytes()).await;
        c.send(body).await;
        c.receive().await
    };
    let put = |size: usize| {
        json!({"TableName": "tab", "Item": {"id": {"S": "z"}, "v": {"S": "x".repeat(size)}}})
            .to_string()
    };
    assert_eq!(send("gzip", &packed(&put(10_000))).await.status, 200);
    assert_eq!(send("identity", put(10).as_bytes()).await.status, 200);
    let bomb = packed(&put(3 << 20));
    assert!(bomb.len() < 10_000);
    assert_eq!(send("gzip", &bomb).await.status, 413);
    let reply = send("gzip", put(10).as_bytes()).await;
    assert_eq!(
        (reply.status, reply.error().as_str()),
        (400, "SerializationException")
    );
    assert_eq!(send("br", put(10).as_bytes()).await.status, 415);
}

/// What every copy of a body says of its length is wrong: the client's fault, at once.
#[tokio::test]
async fn malformed_chunks_are_the_clients_fault() {
    let served = Served::start(limits()).await;
    for chunk in [
        "zz\r\n",
        "fffffffffffffffffff\r\n",
        "2\r\n{}x\r\n",
        "2;\u{1}\r\n{}\r\n-\r\n",
    ] {
        let mut c = Connection::to(&served).await;
        let head = format!(
            "POST / HTTP/1.1\r\nHost: h\r\n{KIND}{AUTH}Transfer-Encoding: chunked\r\n\r\n{chunk}"
        );
        c.send(head.as_bytes()).await;
        let reply = c.receive().await;
        assert_eq!(
            (reply.status, reply.error().as_str()),
            (400, "SerializationException"),
            "{chunk}"
        );
        assert_eq!(reply.header("connection"), Some("close"));
    }
}

#[tokio::test]
async fn all_requests_together_are_bounded() {
    let served = Served::start(Limits {
        decoded: 200_000,
        in_work: 300_000,
        request_time: Duration::from_secs(20),
        ..Limits::default()
    })
    .await;
    let mut c = Connection::with_table(&served).await;
    let item = |id: &str, count: usize| {
        let list = vec![json!({"NULL": true}); count];
        json!({"TableName": "tab", "Item": {"id": {"S": id}, "v": {"L": list}}})
    };
    let reply = c.operate("PutItem", item("a", 2000)).await;
    assert_eq!(reply.error(), "ValidationException");
    assert!(
        reply.message().contains("too many values"),
        "{}",
        reply.message()
    );
    // One that never ends has its memory, and another of its size finds none.
    let mut busy = Connection::to(&served).await;
    let body = item("hangs", 600).to_string();
    let target = "X-Amz-Target: DynamoDB_20120810.PutItem";
    let head = format!(
        "POST / HTTP/1.1\r\nHost: h\r\n{KIND}{AUTH}{target}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    busy.send(head.as_bytes()).await;
    // Until it is there.
    let refused = loop {
        let reply = c.operate("PutItem", item("a", 600)).await;
        if reply.status != 200 {
            break reply;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(
        (refused.status, refused.error().as_str()),
        (503, "ServiceUnavailable")
    );
    // Small ones go on.
    assert_eq!(c.operate("PutItem", item("a", 10)).await.status, 200);
    drop(busy);
    while c.operate("PutItem", item("a", 600)).await.status != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn slow_requests_end() {
    let served = Served::start(limits()).await;
    let mut c = Connection::to(&served).await;
    c.send(b"POST / HTT").await;
    let mut rest = Vec::new();
    // Closed by the server, whatever it says before.
    let _ = c.0.read_to_end(&mut rest).await;
    let mut c = Connection::to(&served).await;
    c.send(
        format!("POST / HTTP/1.1\r\nHost: h\r\n{KIND}{AUTH}Content-Length: 10\r\n\r\n{{")
            .as_bytes(),
    )
    .await;
    assert_eq!(c.receive().await.status, 408);
}

#[tokio::test]
async fn shutdown_lets_requests_end() {
    let served = Served::start(Limits {
        request_time: Duration::from_millis(500),
        ..Limits::default()
    })
    .await;
    let mut idle = Connection::to(&served).await;
    idle.operate("ListTables", json!({})).await;
    let mut busy = Connection::with_table(&served).await;
    let body = json!({"TableName": "tab", "Item": {"id": {"S": "hangs"}}}).to_string();
    let length = body.len();
    let target = "X-Amz-Target: DynamoDB_20120810.PutItem";
    let text = format!(
        "POST / HTTP/1.1\r\nHost: h\r\n{KIND}{AUTH}{target}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    busy.send(text.as_bytes()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    served.stop.send(()).unwrap();
    assert_eq!(busy.receive().await.status, 500);
    let mut rest = Vec::new();
    idle.0.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
    served.task.await.unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn connections_are_capped() {
    let served = Served::start(Limits {
        connections: 1,
        ..Limits::default()
    })
    .await;
    let mut first = Connection::to(&served).await;
    assert_eq!(first.operate("ListTables", json!({})).await.status, 200);
    let mut second = Connection::to(&served).await;
    {
        let waiting = second.operate("ListTables", json!({}));
        let waiting = tokio::time::timeout(Duration::from_millis(200), waiting);
        assert!(waiting.await.is_err(), "served beyond the cap");
    }
    drop(first);
    assert_eq!(second.receive().await.status, 200);
}

#[tokio::test]
async fn garbage_is_answered_or_cut_off_but_never_fatal() {
    use rand::{Rng, RngExt, SeedableRng};
    let served = Served::start(limits()).await;
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    for _ in 0..50 {
        let mut c = Connection::to(&served).await;
        let mut bytes = vec![0; random.random_range(1..200)];
        random.fill_bytes(&mut bytes);
        // It may be cut off while we write.
        let _ = c.0.write_all(&bytes).await;
        let _ = c.0.shutdown().await;
        let _ = c.0.read_to_end(&mut Vec::new()).await;
    }
    let mut c = Connection::to(&served).await;
    assert_eq!(c.operate("ListTables", json!({})).await.status, 200);
}

/// JSON as a careless or hostile client could send it.
mod bodies {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    const PARAMETERS: [&str; 22] = [
        "TableName",
        "Item",
        "Key",
        "Keys",
        "RequestItems",
        "ConditionExpression",
        "UpdateExpression",
        "FilterExpression",
        "ProjectionExpression",
        "ExpressionAttributeNames",
        "ExpressionAttributeValues",
        "ReturnValues",
        "Limit",
        "Segment",
        "TotalSegments",
        "ExclusiveStartKey",
        "AttributeDefinitions",
        "KeySchema",
        "BillingMode",
        "ProvisionedThroughput",
        "StreamSpecification",
        "Unheard",
    ];

    fn text() -> impl Strategy<Value = Value> {
        let near = prop::sample::select(vec![
            "tab",
            "nobody",
            "id = :v",
            "NOT (id <> :v OR contains(#n, :v))",
            "size(id) > :v",
            "SET #n = :v",
            "REMOVE #n[0], b.c",
            "ADD #n :v",
            "((id = :v))",
            "id, #n.a[1]",
            "((((",
            "id IN (:v, :v, :v)",
            "attribute_type(:v, :v)",
            "ALL_NEW",
            "S",
            "HASH",
            "é\u{0}",
            "arn:aws:dynamodb:x:y:table/tab",
        ]);
        prop_oneof![
            near.prop_map(|t| json!(t)),
            ".{0,12}".prop_map(|t| json!(t))
        ]
    }

    fn attribute() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            text().prop_map(|t| json!({"S": t})),
            any::<i32>().prop_map(|n| json!({"N": n.to_string()})),
            Just(json!({"NULL": true})),
            Just(json!({"B": "AAEC"})),
            Just(json!({"SS": ["a", "b"]})),
            Just(json!({"NS": []})),
        ];
        leaf.prop_recursive(4, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|l| json!({"L": l})),
                inner.prop_map(|v| json!({"M": {"a": v}})),
            ]
        })
    }

    fn anything() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(|b| json!(b)),
            any::<i64>().prop_map(|n| json!(n)),
            text(),
            attribute(),
            attribute().prop_map(|v| json!({"id": {"S": "a"}, "n": v})),
            attribute().prop_map(|v| json!({":v": v})),
            text().prop_map(|t| json!({"#n": t})),
            attribute().prop_map(
                |v| json!({"tab": [{"PutRequest": {"Item": {"id": {"S": "a"}, "n": v}}}]})
            ),
            attribute().prop_map(|v| json!({"tab": {"Keys": [{"id": v}]}})),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                prop::collection::btree_map("[a-z#:]{0,4}", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// A request for the table that is there, with a few more parameters.
    pub fn body() -> impl Strategy<Value = Value> {
        let parameter = (prop::sample::select(PARAMETERS.to_vec()), anything());
        let more = prop::collection::vec(parameter, 0..6);
        (any::<bool>(), attribute(), more).prop_map(|(whole, value, more)| {
            let mut body = Map::new();
            if whole {
                body.insert("TableName".into(), json!("tab"));
                body.insert("Key".into(), json!({"id": {"S": "a"}}));
                body.insert("ExpressionAttributeNames".into(), json!({"#n": "n"}));
                body.insert("ExpressionAttributeValues".into(), json!({":v": value}));
            }
            body.extend(
                more.into_iter()
                    .map(|(name, value)| (name.to_owned(), value)),
            );
            Value::Object(body)
        })
    }
}

/// Whatever is asked, it is done or refused as the client's fault; nothing ends, nothing hangs.
#[test]
fn any_body_is_done_or_refused() {
    use proptest::prelude::*;
    const OPERATIONS: [&str; 11] = [
        "PutItem",
        "GetItem",
        "DeleteItem",
        "UpdateItem",
        "Scan",
        "BatchGetItem",
        "BatchWriteItem",
        "CreateTable",
        "DescribeTable",
        "ListTables",
        "DescribeEndpoints",
    ];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_served, connection) = runtime.block_on(async {
        let served = Served::start(Limits::default()).await;
        let connection = Connection::with_table(&served).await;
        (served, connection)
    });
    let connection = tokio::sync::Mutex::new(connection);
    let request = (prop::sample::select(OPERATIONS.to_vec()), bodies::body());
    proptest!(ProptestConfig::with_cases(1500), |((operation, body) in request)| {
        let sent = body.clone();
        let answer = runtime.block_on(async {
            connection.lock().await.operate(operation, sent).await
        });
        prop_assert!(
            matches!(answer.status, 200 | 400),
            "{operation} {body}: {} {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
    });
}
