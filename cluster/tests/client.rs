//! The control client and the load generator against the served API.

mod support;

use gameday_cluster::api::http::Limits;
use gameday_cluster::api::value::{AttributeValue, Item, KeyType};
use gameday_cluster::backend::{KeyAttribute, TableSpec, TableStatus};
use gameday_cluster::client::{Client, ClientError};
use gameday_cluster::load::{self, LoadOperation, LoadSpec};
use serde_json::json;
use std::time::Duration;
use support::Served;

const SECOND: Duration = Duration::from_secs(1);

fn spec() -> TableSpec {
    TableSpec {
        name: "tab".into(),
        hash: KeyAttribute {
            name: "id".into(),
            kind: KeyType::S,
        },
        range: None,
        billing_mode: "PAY_PER_REQUEST".into(),
        read_units: 0,
        write_units: 0,
    }
}

fn item(id: &str) -> Item {
    Item([("id".to_owned(), AttributeValue::S(id.into()))].into())
}

#[tokio::test]
async fn a_table_from_beginning_to_end() {
    let served = Served::start(Limits::default()).await;
    let client = Client::new(&format!("http://{}/", served.address), 5 * SECOND).unwrap();
    let error = client.describe_table("tab").await.unwrap_err();
    assert_eq!(error.code(), Some("ResourceNotFoundException"));
    let error = client
        // Long enough for one look on a machine that stands still for a moment.
        .wait_active("tab", SECOND)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ClientError::NotActive { last, .. } if last.contains("not found")),
        "{error}"
    );
    client.create_table(&spec()).await.unwrap();
    let again = client.create_table(&spec()).await.unwrap_err();
    assert_eq!(again.code(), Some("ResourceInUseException"));
    client.wait_active("tab", 5 * SECOND).await.unwrap();
    assert_eq!(client.describe_table("tab").await, Ok(TableStatus::Active));
    assert_eq!(client.get("tab", &item("a"), true).await, Ok(None));
    client.put("tab", &item("a")).await.unwrap();
    assert_eq!(
        client.get("tab", &item("a"), false).await,
        Ok(Some(item("a")))
    );
    let error = client.put("tab", &item("unknown")).await.unwrap_err();
    assert!(matches!(error, ClientError::Service { status: 500, .. }));
    let guarded = json!({
        "TableName": "tab", "Item": {"id": {"S": "a"}}, "ConditionExpression": "attribute_not_exists(id)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    });
    let error = client.call("PutItem", &guarded).await.unwrap_err();
    assert!(matches!(error, ClientError::Service { item: Some(found), .. } if *found == item("a")));
    client.delete_table("tab").await.unwrap();
    assert!(client.describe_table("tab").await.is_err());
    served.stop.send(()).unwrap();
    served.task.await.unwrap();
    let error = client.put("tab", &item("a")).await.unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }), "{error}");
}

#[tokio::test]
async fn loads_are_counted() {
    let served = Served::start(Limits::default()).await;
    let client = Client::new(&format!("http://{}", served.address), 5 * SECOND).unwrap();
    client.create_table(&spec()).await.unwrap();
    client.wait_active("tab", 5 * SECOND).await.unwrap();
    let load = |operation| LoadSpec {
        endpoints: vec![served.address],
        table: "tab".into(),
        key: "id".into(),
        operation,
        clients: 3,
        duration: Duration::from_millis(300),
        keys: 4,
        value_size: 900,
        seed: 1,
        deadline: 5 * SECOND,
    };
    for operation in [LoadOperation::Put, LoadOperation::Get] {
        let result = load::run(load(operation)).await.unwrap();
        assert!(result.succeeded >= 3, "{result:?}");
        assert_eq!(result.failed, 0, "{result:?}");
        assert!(result.latencies.p50 <= result.latencies.max);
    }
    let key = item("key-000000000002");
    let found = client.get("tab", &key, true).await.unwrap().unwrap();
    assert_eq!(found.0["v"], AttributeValue::S("x".repeat(900)));

    let mut wrong = load(LoadOperation::Get);
    wrong.table = "other".into();
    let result = load::run(wrong).await.unwrap();
    assert_eq!(result.succeeded, 0);
    assert_eq!(result.failures.keys().collect::<Vec<_>>(), ["400"]);
    let mut gone = load(LoadOperation::Get);
    served.stop.send(()).unwrap();
    served.task.await.unwrap();
    gone.duration = Duration::from_millis(50);
    let result = load::run(gone).await.unwrap();
    assert_eq!(result.failures.keys().collect::<Vec<_>>(), ["connect"]);
}
