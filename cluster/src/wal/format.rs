//! The bytes of a segment.
//!
//! ```text
//! segment  header (64 bytes) | zeros up to 512 | batch | batch | … | zeros
//! header   magic 8 | version u32 | 0 u32 | segment number u64 | salt u64
//!          | sequence number of the first batch u64 | length of the segment u64
//!          | zeros | crc32c of all before u32
//! batch    salt u64 | sequence u64 | payload length u32 | records u32
//!          | payload crc32c u32 | crc32c of the 28 bytes before u32
//!          | payload | 1 to 8 bytes 0xA5, up to a multiple of 8
//! record   body length u32 | crc32c u32 (of salt, length and all after) | group u64
//!          | kind u8 | state kind u8 | 1 if repeated u8 | 0 u8 | index u64 | body
//! ```
//!
//! All integers little endian. The salt is random per segment, so neither stale
//! bytes of an earlier file nor bytes that a client chose can look valid. A
//! batch ends with a byte that is not zero, so that a proper prefix of it on
//! preallocated zeros is never the whole of it.

use super::{MAX_BODY, MAX_STATE, Record};
use bytes::Bytes;

pub(super) const MAGIC: [u8; 8] = *b"gdaywal\x01";
pub(super) const VERSION: u32 = 1;
/// Length of the segment header.
pub(super) const SEGMENT_HEADER: usize = 64;
/// Where the first batch begins.
pub(super) const FIRST_BATCH: u64 = 512;
/// Length of a batch header.
pub(super) const BATCH_HEADER: usize = 32;
/// Length of a record before its body.
pub(super) const RECORD_HEADER: usize = 28;
/// Largest payload that replay accepts; a batch is at most one limit over by one record.
pub(super) const MAX_PAYLOAD: usize = 128 << 20;
const PADDING: u8 = 0xA5;

const ENTRY: u8 = 1;
const TRUNCATE: u8 = 2;
const STATE: u8 = 3;
const PURGE: u8 = 4;
const DROP_GROUP: u8 = 5;

const REPEATED: u8 = 1;

/// Why bytes cannot be read although they are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// They are not what was written.
    Damaged(String),
    /// They are what was written, by a build that knows more than this one.
    Unknown(String),
}

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub number: u64,
    pub salt: u64,
    /// Sequence number of its first batch.
    pub first: u64,
    /// Bytes of the whole file.
    pub len: u64,
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    let mut x = [0; 4];
    x.copy_from_slice(&b[at..at + 4]);
    u32::from_le_bytes(x)
}

fn u64_at(b: &[u8], at: usize) -> u64 {
    let mut x = [0; 8];
    x.copy_from_slice(&b[at..at + 8]);
    u64::from_le_bytes(x)
}

impl SegmentHeader {
    pub fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut b = [0; SEGMENT_HEADER];
        b[..8].copy_from_slice(&MAGIC);
        b[8..12].copy_from_slice(&VERSION.to_le_bytes());
        b[16..24].copy_from_slice(&self.number.to_le_bytes());
        b[24..32].copy_from_slice(&self.salt.to_le_bytes());
        b[32..40].copy_from_slice(&self.first.to_le_bytes());
        b[40..48].copy_from_slice(&self.len.to_le_bytes());
        let crc = crc32c::crc32c(&b[..60]);
        b[60..].copy_from_slice(&crc.to_le_bytes());
        b
    }

    /// Reads a header. The checksum stands before the version in what is looked at: a version
    /// that passes it was written so.
    pub fn decode(b: &[u8]) -> Result<Self, Unreadable> {
        let damaged = |what: &str| Err(Unreadable::Damaged(what.into()));
        if b.len() < SEGMENT_HEADER {
            return damaged("shorter than its header");
        }
        if b[..8] != MAGIC {
            return damaged("not a log segment (magic)");
        }
        if u32_at(b, 60) != crc32c::crc32c(&b[..60]) {
            return damaged("checksum of the segment header");
        }
        let version = u32_at(b, 8);
        if version != VERSION {
            return Err(Unreadable::Unknown(format!(
                "format version {version}, this build knows {VERSION}"
            )));
        }
        Ok(Self {
            number: u64_at(b, 16),
            salt: u64_at(b, 24),
            first: u64_at(b, 32),
            len: u64_at(b, 40),
        })
    }
}

/// Bytes that a record takes in a batch.
pub(super) fn encoded_len(record: &Record) -> usize {
    RECORD_HEADER
        + match record {
            Record::Entry { body, .. } | Record::State { body, .. } => body.len(),
            _ => 0,
        }
}

/// Whether a record is within its bounds.
pub(super) fn check(record: &Record) -> Result<(), String> {
    match record {
        Record::Entry { body, .. } if body.len() > MAX_BODY => Err(format!(
            "an entry of {} bytes; at most {MAX_BODY}",
            body.len()
        )),
        Record::State { body, .. } if body.len() > MAX_STATE => Err(format!(
            "a state of {} bytes; at most {MAX_STATE}",
            body.len()
        )),
        _ => Ok(()),
    }
}

/// Begins a batch at the end of `out`; [`finish_batch`] completes it.
pub(super) fn begin_batch(out: &mut Vec<u8>) -> usize {
    let at = out.len();
    out.resize(at + BATCH_HEADER, 0);
    at
}

/// Appends a record to a begun batch.
pub(super) fn push_record(out: &mut Vec<u8>, salt: u64, record: &Record) {
    push(out, salt, record, 0);
}

/// Appends a record that the head of a segment repeats: a purge of which only
/// the purge point counts (entries may have been appended below it since), or a state.
pub(super) fn push_repeated(out: &mut Vec<u8>, salt: u64, record: &Record) {
    push(out, salt, record, REPEATED);
}

fn push(out: &mut Vec<u8>, salt: u64, record: &Record, flags: u8) {
    let none = &Bytes::new();
    let (group, kind, sub, index, body) = match record {
        Record::Entry { group, index, body } => (*group, ENTRY, 0, *index, body),
        Record::Truncate { group, from_index } => (*group, TRUNCATE, 0, *from_index, none),
        Record::State { group, kind, body } => (*group, STATE, *kind, 0, body),
        Record::Purge { group, up_to_index } => (*group, PURGE, 0, *up_to_index, none),
        Record::DropGroup { group } => (*group, DROP_GROUP, 0, 0, none),
    };
    let at = out.len();
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&group.to_le_bytes());
    out.extend_from_slice(&[kind, sub, flags, 0]);
    out.extend_from_slice(&index.to_le_bytes());
    out.extend_from_slice(body);
    let crc = record_crc(salt, &out[at..]);
    out[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
}

fn record_crc(salt: u64, record: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&salt.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &record[..4]);
    crc32c::crc32c_append(crc, &record[8..])
}

/// Completes the batch begun at `at`: header and padding.
pub(super) fn finish_batch(out: &mut Vec<u8>, at: usize, salt: u64, sequence: u64, records: u32) {
    let payload = out.len() - at - BATCH_HEADER;
    let crc = crc32c::crc32c(&out[at + BATCH_HEADER..]);
    let h = &mut out[at..at + BATCH_HEADER];
    h[..8].copy_from_slice(&salt.to_le_bytes());
    h[8..16].copy_from_slice(&sequence.to_le_bytes());
    h[16..20].copy_from_slice(&(payload as u32).to_le_bytes());
    h[20..24].copy_from_slice(&records.to_le_bytes());
    h[24..28].copy_from_slice(&crc.to_le_bytes());
    let crc = crc32c::crc32c(&h[..28]);
    h[28..].copy_from_slice(&crc.to_le_bytes());
    out.resize(at + batch_len(payload), PADDING);
}

/// Length of a batch with its header and padding.
pub(super) fn batch_len(payload: usize) -> usize {
    (BATCH_HEADER + payload) / 8 * 8 + 8
}

/// A batch that was found valid.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    pub sequence: u64,
    /// With header and padding.
    pub len: usize,
    pub records: u32,
    pub payload: &'a [u8],
}

/// The sequence number of the batch whose header is at the start of `b`.
pub(super) fn read_batch_header(b: &[u8], salt: u64) -> Result<u64, String> {
    if b.len() < BATCH_HEADER {
        return Err("the segment ends inside a batch header".into());
    }
    if u64_at(b, 0) != salt {
        return Err("no batch begins here (salt)".into());
    }
    if u32_at(b, 28) != crc32c::crc32c(&b[..28]) {
        return Err("checksum of a batch header".into());
    }
    Ok(u64_at(b, 8))
}

/// Reads the batch at the start of `b`. The error says what is not valid.
pub(super) fn read_batch(b: &[u8], salt: u64) -> Result<Batch<'_>, String> {
    let sequence = read_batch_header(b, salt)?;
    let payload = u32_at(b, 16) as usize;
    if payload > MAX_PAYLOAD || batch_len(payload) > b.len() {
        return Err(format!("a batch of {payload} bytes does not fit"));
    }
    let len = batch_len(payload);
    let bytes = &b[BATCH_HEADER..BATCH_HEADER + payload];
    if u32_at(b, 24) != crc32c::crc32c(bytes) {
        return Err("checksum of a batch".into());
    }
    if b[BATCH_HEADER + payload..len].iter().any(|x| *x != PADDING) {
        return Err("padding of a batch".into());
    }
    Ok(Batch {
        sequence,
        len,
        records: u32_at(b, 20),
        payload: bytes,
    })
}

/// Reads the records of a batch, in order, and whether each is repeated (see
/// [`push_repeated`]). The error says what is not valid.
pub(super) fn read_records(
    batch: &Batch<'_>,
    salt: u64,
    mut each: impl FnMut(Record, bool),
) -> Result<(), Unreadable> {
    let damaged = |what: &str| Err(Unreadable::Damaged(what.into()));
    let mut rest = batch.payload;
    let mut count = 0_u32;
    while !rest.is_empty() {
        if rest.len() < RECORD_HEADER {
            return damaged("a record header is cut off");
        }
        let len = u32_at(rest, 0) as usize;
        if len > rest.len() - RECORD_HEADER {
            return damaged("a record is longer than its batch");
        }
        let (record, after) = rest.split_at(RECORD_HEADER + len);
        if u32_at(record, 4) != record_crc(salt, record) {
            return damaged("checksum of a record");
        }
        let group = u64_at(record, 8);
        let index = u64_at(record, 20);
        let body = &record[RECORD_HEADER..];
        let repeated = record[18] == REPEATED;
        let record = match record[16] {
            ENTRY => Record::Entry {
                group,
                index,
                body: Bytes::copy_from_slice(body),
            },
            TRUNCATE => Record::Truncate {
                group,
                from_index: index,
            },
            STATE => Record::State {
                group,
                kind: record[17],
                body: Bytes::copy_from_slice(body),
            },
            PURGE => Record::Purge {
                group,
                up_to_index: index,
            },
            DROP_GROUP => Record::DropGroup { group },
            other => {
                let what = format!("record kind {other}, which this build does not know");
                return Err(Unreadable::Unknown(what));
            }
        };
        each(record, repeated);
        rest = after;
        count += 1;
    }
    if count != batch.records {
        return damaged(&format!(
            "{count} records where {} are announced",
            batch.records
        ));
    }
    Ok(())
}
