//! Where an item is: the hash that decides its partition, and its key in a replica's tree.

use crate::backend::StoreKey;

/// Hash of an encoded partition key: FNV-1a, then murmur3's finaliser, as FNV alone leaves the
/// high bits of short keys, which decide the partition, badly mixed. Stable for ever.
pub fn hash64(key: &[u8]) -> u64 {
    let mut h = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
        (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^= h >> 33;
    h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

/// The key in the tree: hash, length of the partition key, partition key, sort key. Sorted by
/// hash, so partitions and scan segments are ranges; items of one partition key are together, in
/// the order of their sort keys.
pub fn storage_key(key: &StoreKey) -> Vec<u8> {
    let mut out = Vec::with_capacity(10 + key.hash.len() + key.range.len());
    out.extend_from_slice(&hash64(&key.hash).to_be_bytes());
    // Partition keys are at most 2048 bytes long; the API refuses longer ones.
    out.extend_from_slice(&(key.hash.len().min(u16::MAX.into()) as u16).to_be_bytes());
    out.extend_from_slice(&key.hash);
    out.extend_from_slice(&key.range);
    out
}

/// The inverse of [`storage_key`]; `None` if it is not one.
pub fn store_key(bytes: &[u8]) -> Option<StoreKey> {
    let len = usize::from(u16::from_be_bytes(bytes.get(8..10)?.try_into().ok()?));
    let rest = &bytes[10..];
    if len > rest.len() {
        return None;
    }
    let (hash, range) = rest.split_at(len);
    Some(StoreKey {
        hash: hash.to_vec(),
        range: range.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(hash: &[u8], range: &[u8]) -> StoreKey {
        StoreKey {
            hash: hash.to_vec(),
            range: range.to_vec(),
        }
    }

    #[test]
    fn keys_survive_and_sort_by_hash_then_sort_key() {
        for k in [
            key(b"a", b""),
            key(b"", b"x"),
            key(&[0; 2048], &[255; 1024]),
        ] {
            assert_eq!(store_key(&storage_key(&k)), Some(k));
        }
        assert!(storage_key(&key(b"a", b"1")) < storage_key(&key(b"a", b"2")));
        assert_eq!(
            storage_key(&key(b"a", b""))[..8],
            hash64(b"a").to_be_bytes()
        );
        assert_eq!(store_key(&[0; 9]), None);
        assert_eq!(store_key(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 1]), None);
    }

    #[test]
    fn short_keys_spread_over_partitions() {
        let mut counts = [0u32; 6];
        for i in 0..600 {
            let h = hash64(format!("key-{i}").as_bytes());
            counts[crate::meta::partition_of(h, 6)] += 1;
        }
        assert!(counts.iter().all(|c| (60..150).contains(c)), "{counts:?}");
    }

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(hash64(b""), 17_280_346_270_528_514_342);
    }
}
