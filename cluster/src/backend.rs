//! The seam between the public API (`api`: protocol, values, expressions) and
//! what stores the items (the router and the replication groups behind it).

use crate::api::value::{AttributeValue, Item, KeyType};
use crate::api::write::{WriteOp, WriteReply};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

/// One key attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyAttribute {
    /// Attribute name.
    pub name: String,
    /// S, N or B.
    pub kind: KeyType,
}

/// Name, keys and settings of a table: what CreateTable says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableSpec {
    /// 3 to 255 characters of `[a-zA-Z0-9_.-]`.
    pub name: String,
    /// Partition key.
    pub hash: KeyAttribute,
    /// Sort key.
    pub range: Option<KeyAttribute>,
    /// `PROVISIONED` or `PAY_PER_REQUEST`.
    pub billing_mode: String,
    /// Provisioned units, 0 for on-demand. Kept and reported; admission control is not built yet.
    pub read_units: u64,
    /// See `read_units`.
    pub write_units: u64,
}

impl TableSpec {
    /// An on-demand table whose key is the string `pk`.
    pub fn of_strings(name: &str) -> Self {
        TableSpec {
            name: name.into(),
            hash: KeyAttribute {
                name: "pk".into(),
                kind: KeyType::S,
            },
            range: None,
            billing_mode: "PAY_PER_REQUEST".into(),
            read_units: 0,
            write_units: 0,
        }
    }
}

/// A table as the metadata knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableInfo {
    /// What was asked for.
    pub spec: TableSpec,
    /// UUID-shaped id.
    pub id: String,
    /// Creation time, seconds since the Unix epoch.
    pub created: f64,
    /// Whether it serves yet.
    pub status: TableStatus,
    /// Number of partitions.
    pub partitions: u32,
}

/// Life cycle of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TableStatus {
    /// Its replication groups are being set up.
    Creating,
    /// It serves.
    Active,
    /// It is going away.
    Deleting,
}

/// An item's place: the encoded partition key (decides the partition) and the encoded sort key
/// (order-preserving bytes; empty without a sort key).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StoreKey {
    /// Encoded partition key.
    pub hash: Vec<u8>,
    /// Encoded sort key.
    pub range: Vec<u8>,
}

/// One page of a scan, in storage order (partition, hash of key, key bytes).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScanPage {
    /// Items, at most as many as asked for, and at most about 1 MiB.
    pub items: Vec<Item>,
    /// Key of the last item if more may follow; the next page starts after it.
    pub last: Option<StoreKey>,
}

/// How much a table, or a part of it, has: counted now and then, so approximate as DynamoDB's
/// own counts are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Census {
    /// Number of items.
    pub items: u64,
    /// Their sizes as they count for limits and capacity, in bytes.
    pub bytes: u64,
}

/// Why the backend did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// No such table (400 ResourceNotFoundException).
    #[error("table {0} does not exist")]
    NoSuchTable(String),
    /// The table exists already, or is being created or deleted (400 ResourceInUseException).
    #[error("table {0} is in use")]
    InUse(String),
    /// It certainly had no effect: no leader, no quorum before anything was proposed (503).
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// There are too many tables or partitions already (400 LimitExceededException).
    #[error("limit exceeded: {0}")]
    LimitExceeded(String),
    /// The key after which a scan shall go on is not in the scan's segment (400).
    #[error("the key is not in this segment")]
    OutsideSegment,
    /// More bytes than one entry of the replicated log can have, of which there is the limit: certainly
    /// without effect (400).
    #[error("the write takes more than {0} bytes in the log")]
    TooLarge(usize),
    /// It may have had effect: proposed, but the outcome is not known (500).
    #[error("outcome unknown: {0}")]
    Unknown(String),
}

/// What a request router can do. Every call ends within the request deadline.
pub trait Backend: Send + Sync + 'static {
    /// Starts creating a table; returns its description (CREATING or ACTIVE).
    fn create_table<'a>(
        &'a self,
        spec: TableSpec,
    ) -> BoxFuture<'a, Result<TableInfo, BackendError>>;
    /// Describes a table.
    fn table<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<TableInfo, BackendError>>;
    /// All table names, sorted.
    fn tables<'a>(&'a self) -> BoxFuture<'a, Result<Vec<String>, BackendError>>;
    /// Starts deleting a table; returns its description (DELETING).
    fn delete_table<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<TableInfo, BackendError>>;
    /// How much the table has, as far as it is known of all its parts.
    fn census<'a>(&'a self, table: &'a TableInfo) -> BoxFuture<'a, Option<Census>>;
    /// One replicated write. A condition that does not hold is a reply, not an error.
    fn write<'a>(
        &'a self,
        table: &'a TableInfo,
        key: StoreKey,
        op: WriteOp,
    ) -> BoxFuture<'a, Result<WriteReply, BackendError>>;
    /// One read: linearizable if `consistent`, else by any replica.
    fn read<'a>(
        &'a self,
        table: &'a TableInfo,
        key: StoreKey,
        consistent: bool,
    ) -> BoxFuture<'a, Result<Option<Item>, BackendError>>;
    /// One page of a scan over `segment` of `total` (0 of 1: all), starting after `after`.
    fn scan<'a>(
        &'a self,
        table: &'a TableInfo,
        after: Option<StoreKey>,
        limit: usize,
        segment: (u32, u32),
        consistent: bool,
    ) -> BoxFuture<'a, Result<ScanPage, BackendError>>;
}

/// The key attributes of an item, for replies such as LastEvaluatedKey.
pub fn key_attributes(spec: &TableSpec, item: &Item) -> Item {
    let mut out = Item::default();
    for name in std::iter::once(&spec.hash.name).chain(spec.range.as_ref().map(|r| &r.name)) {
        if let Some(v) = item.0.get(name) {
            let v: &AttributeValue = v;
            out.0.insert(name.clone(), v.clone());
        }
    }
    out
}
