//! The keys and values of the workloads: the same as in `interop/go/data.go` and `benches/core.rs`.

use anabranch_core::{Batch, Bytes};

/// What all keys begin with.
pub(crate) const PREFIX: &str = "/bench";
/// The length of every value in bytes.
pub(crate) const VALUE_LEN: usize = 100;

/// The nth key: 39 bytes. The number is multiplied by an odd constant modulo 2^128, so that all keys differ and do not come in order.
pub(crate) fn key(n: u64) -> String {
    format!("{PREFIX}/{:032x}", u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

/// The nth value.
pub(crate) fn value(n: u64) -> Bytes {
    Bytes::from(vec![n as u8; VALUE_LEN])
}

/// The ith of a sequence of numbers below the limit that look random (splitmix64).
pub(crate) fn drawn(i: u64, limit: u64) -> u64 {
    let z = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % limit
}

/// A key as a program has it, and its value.
pub(crate) type Pair = (String, Bytes);

/// The batches that hold so many keys, one after another.
pub(crate) fn batches(keys: u64, batch: u64) -> impl Iterator<Item = Vec<Pair>> {
    let first = (0..keys).step_by(usize::try_from(batch).unwrap_or(usize::MAX));
    first.map(move |first| (first..keys.min(first.saturating_add(batch))).map(|n| (key(n), value(n))).collect())
}

/// The batch that puts these pairs. It cleans the keys, and is measured with the commit.
pub(crate) fn batch(pairs: Vec<Pair>) -> Batch {
    pairs.into_iter().fold(Batch::new(), |batch, (key, value)| batch.put(key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same vectors are checked in interop/go/data_test.go, so that both sides write and read the same keys.
    #[test]
    fn keys_and_draws_are_those_of_the_other_side() {
        assert_eq!(key(0), "/bench/00000000000000000000000000000000");
        assert_eq!(key(1), "/bench/9e3779b97f4a7c15f39cc0605cedc835");
        assert_eq!(key(9_999_999), "/bench/44fba7d577b110b3ecb313704cbd604b");
        assert_eq!(key(1).len(), 39);
        assert_eq!([0, 1, 2].map(|i| drawn(i, 1_000_000)), [607_535, 355_700, 545_679]);
    }

    #[test]
    fn batches_hold_each_key_once() {
        let pairs: Vec<Vec<Pair>> = batches(25, 10).collect();
        assert_eq!(pairs.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 5]);
        assert_eq!(pairs[2][4], (key(24), value(24)));
    }
}
