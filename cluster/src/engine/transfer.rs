//! A whole tree as bytes, for a peer.
//!
//! ```text
//! magic 8 | 1 if there is a meta u8 | length u32 | meta
//! | per item: key length u32 | value length u32 | key | value
//! | u32::MAX | number of items u64 | SHA-256 of all before (32 bytes)
//! ```
//!
//! Integers little endian, items in strict key order.

use super::store::Store;
use super::tree::Snapshot;
use super::{Change, EngineError, MAX_KEY, MAX_META, MAX_VALUE};
use sha2::{Digest as _, Sha256};
use std::io::{Read, Write};

const MAGIC: [u8; 8] = *b"gdaytre\x01";
const END: u32 = u32::MAX;
/// Items are installed in transactions of about this many bytes.
const BATCH: usize = 1 << 20;

pub(super) fn export(tree: &Snapshot, out: &mut dyn Write) -> Result<u64, EngineError> {
    let mut hash = Sha256::new();
    let mut put = |bytes: &[u8]| {
        hash.update(bytes);
        out.write_all(bytes).map_err(|e| tree.io_error(e))
    };
    put(&MAGIC)?;
    let meta = tree.applied_meta();
    put(&[u8::from(meta.is_some())])?;
    let meta = meta.unwrap_or_default();
    put(&(meta.len() as u32).to_le_bytes())?;
    put(meta)?;
    let mut count: u64 = 0;
    tree.each(None, |key, value| {
        put(&(key.len() as u32).to_le_bytes())?;
        put(&(value.len() as u32).to_le_bytes())?;
        put(key)?;
        put(value)?;
        count += 1;
        Ok(true)
    })?;
    put(&END.to_le_bytes())?;
    put(&count.to_le_bytes())?;
    let hash = hash.finalize();
    out.write_all(&hash).map_err(|e| tree.io_error(e))?;
    Ok(count)
}

/// Reads a copy into a new store. Only after all of it verified is the meta set;
/// the caller makes it durable.
pub(super) fn import(store: &Store, file: &str, from: &mut dyn Read) -> Result<(), EngineError> {
    let bad = |reason: String| EngineError::BadCopy {
        file: file.to_owned(),
        reason,
    };
    let mut hash = Sha256::new();
    let mut take = |len: usize| -> Result<Vec<u8>, EngineError> {
        let mut bytes = vec![0; len];
        from.read_exact(&mut bytes)
            .map_err(|e| bad(format!("it cannot be read to its end: {e}")))?;
        hash.update(&bytes);
        Ok(bytes)
    };
    let length = |bytes: &[u8], what: &str, max: usize| {
        let len = u32_of(bytes) as usize;
        if len > max {
            return Err(bad(format!("a {what} of {len} bytes; at most {max}")));
        }
        Ok(len)
    };
    if take(8)? != MAGIC {
        return Err(bad("it is no exported tree of this version".into()));
    }
    let has_meta = take(1)?[0];
    let len = length(&take(4)?, "meta", MAX_META)?;
    let meta = take(len)?;
    if has_meta > 1 || (has_meta == 0 && len > 0) {
        return Err(bad("its meta".into()));
    }
    let mut batch: Vec<Change> = Vec::new();
    let mut bytes = 0;
    let mut count: u64 = 0;
    let mut last: Option<Vec<u8>> = None;
    loop {
        let head = take(4)?;
        if u32_of(&head) == END {
            break;
        }
        let key_len = length(&head, "key", MAX_KEY)?;
        let value_len = length(&take(4)?, "value", MAX_VALUE)?;
        let key = take(key_len)?;
        let value = take(value_len)?;
        if last.as_ref().is_some_and(|l| *l >= key) {
            return Err(bad("its keys are not in order".into()));
        }
        count += 1;
        bytes += key.len() + value.len();
        last = Some(key.clone());
        batch.push((key, Some(value)));
        if bytes >= BATCH {
            store.load(&batch)?;
            batch.clear();
            bytes = 0;
        }
    }
    let announced = take(8)?;
    if announced != count.to_le_bytes() {
        return Err(bad(format!(
            "{count} items where another number is announced"
        )));
    }
    let expected = hash.finalize();
    let mut sum = [0; 32];
    from.read_exact(&mut sum)
        .map_err(|e| bad(format!("it cannot be read to its end: {e}")))?;
    if sum != expected.as_slice() {
        return Err(bad("its checksum".into()));
    }
    store.load(&batch)?;
    if has_meta == 1 {
        store.apply(&meta, &[])?;
    }
    Ok(())
}

fn u32_of(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |n, b| n << 8 | u32::from(*b))
}
