//! What requests can make an endpoint take of its process's memory. A process of its own, since
//! the peak is the whole process's.

mod support;

use gameday_cluster::api::http::Limits;
use support::Served;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The most memory that this process has had, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let number = line.unwrap().trim().trim_end_matches(" kB");
    number.parse::<u64>().unwrap() >> 10
}

/// Status and body of the answer.
async fn call(served: &Served, operation: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/x-amz-json-1.0\r\nAuthorization: AWS4-HMAC-SHA256 Credential=me/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=00\r\nX-Amz-Date: 20260101T000000Z\r\nX-Amz-Target: DynamoDB_20120810.{operation}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer[9..12].parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    (status, body)
}

#[tokio::test]
async fn no_request_takes_much_more_than_its_body() {
    let served = Served::start(Limits::default()).await;
    let table = r#"{"TableName": "tab", "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}]}"#;
    assert_eq!(call(&served, "CreateTable", table).await.0, 200);
    let seen = r#"{"TableName": "tab"}"#;
    assert_eq!(call(&served, "DescribeTable", seen).await.0, 200);

    // A value that is used 1300 times: it was copied as often.
    let list = vec![":v"; 100].join(",");
    let condition = vec![format!("a IN ({list})"); 13].join(" OR ");
    let value = "x".repeat(500_000);
    let put = format!(
        r#"{{"TableName": "tab", "Item": {{"id": {{"S": "a"}}}}, "ConditionExpression": "{condition}",
        "ExpressionAttributeValues": {{":v": {{"S": "{value}"}}}}}}"#
    );
    let before = peak();
    let (status, answer) = call(&served, "PutItem", &put).await;
    assert!(
        answer.contains("ConditionalCheckFailedException"),
        "{status} {answer}"
    );
    let grown = peak() - before;
    assert!(grown < 64, "{grown} MiB more for {} KiB", put.len() >> 10);

    // Values that take fifty times their text.
    let mut put = String::from(r#"{"TableName": "tab", "Item": {"id": {"S": "a"}"#);
    let mut n = 0;
    while put.len() < 14 << 20 {
        put += &format!(r#","{n}":{{"M":{{"a":{{"NULL":true}}}}}}"#);
        n += 1;
    }
    put += "}}";
    let before = peak();
    let (status, answer) = call(&served, "PutItem", &put).await;
    assert_eq!(status, 400, "{answer}");
    assert!(answer.contains("too many values"), "{answer}");
    let grown = peak() - before;
    assert!(grown < 64, "{grown} MiB more for {} KiB", put.len() >> 10);
    served.stop.send(()).unwrap();
    served.task.await.unwrap();
}
