//! Rows of one table in memory.

use super::runs::{Runs, head};
use alloc::vec::Vec;
use bytes::Bytes;
use core::{
    hash::{Hash, Hasher},
    mem,
};

/// With so many rows it is looked up what all keys begin with.
const SHARE_AT: usize = 64;
/// With at most so many rows, what all keys begin with is kept exactly.
const FEW: usize = 1024;

/// An ordered map from the keys of rows to something of each: its bytes, or what is to become of it.
///
/// Keys of a table often begin alike, or are digests. What they share is kept once, and the map is one of numbers: the eight bytes behind
/// that. So the way to a row is a few comparisons of numbers that lie side by side, and leads through the bytes of no other key unless
/// its number is the same.
///
/// ```
/// use anabranch_core::{Bytes, store::RowMap};
///
/// let mut rows = RowMap::default();
/// for key in ["/b", "/a/2", "/a/1"] {
///     rows.insert(Bytes::from(key), key.len());
/// }
/// assert_eq!(rows.get(b"/b"), Some(&2));
/// let below: Vec<&Bytes> = rows.from(b"/a/1").map(|(key, _)| key).collect();
/// assert_eq!(below, ["/a/1", "/a/2", "/b"]);
/// ```
#[derive(Clone, Debug)]
pub struct RowMap<V> {
    /// What all keys begin with, or a part of that.
    shared: Bytes,
    /// By the eight bytes behind what is shared.
    runs: Runs<V>,
}

impl<V> Default for RowMap<V> {
    fn default() -> Self {
        Self { shared: Bytes::new(), runs: Runs::default() }
    }
}

impl<V> RowMap<V> {
    /// How many rows there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the row has.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&V> {
        self.runs.get(head(key.strip_prefix(&self.shared[..])?), key)
    }

    /// As [`get`](Self::get), to be changed.
    pub fn get_mut(&mut self, key: &[u8]) -> Option<&mut V> {
        self.runs.get_mut(head(key.strip_prefix(&self.shared[..])?), key)
    }

    /// Adds a row, or changes it. Gives what it had before.
    pub fn insert(&mut self, key: Bytes, value: V) -> Option<V> {
        if !key.starts_with(&self.shared) {
            self.share_less(&key);
        }
        let before = self.place(key, value);
        if before.is_none() && self.len() == SHARE_AT {
            self.share_more();
        }
        before
    }

    /// As `insert`, of a key that begins with what is shared.
    fn place(&mut self, key: Bytes, value: V) -> Option<V> {
        self.runs.insert(head(&key[self.shared.len()..]), key, value)
    }

    /// Removes a row. Gives what it had.
    pub fn remove(&mut self, key: &[u8]) -> Option<V> {
        let before = self.runs.remove(head(key.strip_prefix(&self.shared[..])?), key);
        if self.is_empty() {
            self.shared = Bytes::new();
        }
        before
    }

    /// Keeps the rows of which this is true, asked in the order of their keys.
    pub fn retain(&mut self, keep: impl FnMut(&Bytes, &mut V) -> bool) {
        self.runs.retain(keep);
    }

    /// Keeps the first rows, at most so many, and gives those that go, keys ascending. This walks all rows.
    pub fn truncate(&mut self, len: usize) -> Vec<(Bytes, V)> {
        let mut rows = mem::take(self).into_rows();
        for (key, value) in rows.by_ref().take(len) {
            self.insert(key, value);
        }
        rows.collect()
    }

    /// The rows from this key on, keys ascending.
    pub fn from<'a>(&'a self, start: &[u8]) -> impl Iterator<Item = (&'a Bytes, &'a V)> + use<'a, V> {
        let behind = start.strip_prefix(&self.shared[..]).map(head);
        // Otherwise all keys come before it, or all after it.
        let first = behind.or((*start < *self.shared).then_some(0));
        let rows = first.map(|first| self.runs.range(first.., (first, if behind.is_some() { start } else { &[] })));
        rows.into_iter().flatten().map(|(_, key, value)| (key, value))
    }

    /// All rows, keys ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, &V)> {
        self.runs.range(.., (0, &[])).map(|(_, key, value)| (key, value))
    }

    /// All rows, keys ascending.
    pub fn into_rows(self) -> impl Iterator<Item = (Bytes, V)> {
        self.runs.into_rows().map(|(_, key, value)| (key, value))
    }

    /// Looks for what all keys begin with: what the first and the last one do.
    fn share_more(&mut self) {
        let last = self.runs.last_key();
        let common = self.iter().next().zip(last).map_or(0, |((first, _), last)| common(first, last));
        if let Some(last) = last.filter(|_| common > self.shared.len()) {
            // A copy, for the bytes of a key may be part of a block that could be freed.
            self.share(Bytes::copy_from_slice(&last[..common]));
        }
    }

    /// Makes room for a key that does not begin as all others do. This walks all rows: with many of them at least half of
    /// what was shared is given up at once, so that keys chosen to be in the way cause few such walks.
    fn share_less(&mut self, key: &[u8]) {
        let common = common(&self.shared, key);
        let kept = if self.len() <= FEW { common } else { common.min(self.shared.len() / 2) };
        self.share(self.shared.slice(..kept));
    }

    fn share(&mut self, shared: Bytes) {
        let rows = Self { shared, runs: Runs::default() };
        for (key, value) in mem::replace(self, rows).into_rows() {
            self.place(key, value);
        }
    }
}

/// How many bytes both begin with.
fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

// What is shared depends on the order in which keys came; the rows do not.

impl<V: PartialEq> PartialEq for RowMap<V> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<V: Eq> Eq for RowMap<V> {}

impl<V: Hash> Hash for RowMap<V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        self.iter().for_each(|row| row.hash(state));
    }
}

#[cfg(test)]
mod tests {
    extern crate std as host;

    use super::*;
    use alloc::{collections::BTreeMap, vec::Vec};
    use proptest::prelude::*;

    /// Keys that all begin with four bytes so many times.
    fn key(least: usize) -> impl Strategy<Value = Vec<u8>> {
        // Few letters, so that keys begin alike, are each other's beginnings, and end in the zeros that a short head is filled up with.
        let tail = proptest::collection::vec(prop_oneof![Just(0u8), Just(b'a'), Just(0xff)], 0..14);
        (least..4, tail).prop_map(|(shared, tail)| [&b"/abcdefghijk"[..shared * 4], &tail].concat())
    }

    /// More rows than it takes to look for what they share.
    fn acts() -> impl Strategy<Value = Vec<(Vec<u8>, u8)>> {
        (0usize..4).prop_flat_map(|least| proptest::collection::vec((key(least), 0u8..5), 0..3 * SHARE_AT))
    }

    fn pairs(rows: &RowMap<usize>, start: &[u8]) -> Vec<(Vec<u8>, usize)> {
        rows.from(start).map(|(key, row)| (key.to_vec(), *row)).collect()
    }

    proptest! {
        #[test]
        fn rows_are_those_of_a_plain_map(acts in acts(), start in key(0), kept in 0..SHARE_AT) {
            let (mut rows, mut plain) = (RowMap::default(), BTreeMap::new());
            for (n, (key, act)) in acts.iter().enumerate() {
                match act {
                    0 => prop_assert_eq!(rows.remove(key), plain.remove(key)),
                    1 => {
                        if let Some(row) = rows.get_mut(key) {
                            *row = n;
                        }
                        plain.entry(key.clone()).and_modify(|row| *row = n);
                    }
                    _ => prop_assert_eq!(rows.insert(Bytes::copy_from_slice(key), n), plain.insert(key.clone(), n)),
                }
                prop_assert_eq!(rows.get(key), plain.get(key));
            }
            prop_assert_eq!((rows.len(), rows.is_empty()), (plain.len(), plain.is_empty()));
            prop_assert_eq!(rows.get(&start), plain.get(&start));
            let expected: Vec<_> = plain.range(start.clone()..).map(|(key, row)| (key.clone(), *row)).collect();
            prop_assert_eq!(pairs(&rows, &start), expected);
            let expected: Vec<_> = plain.iter().map(|(key, row)| (key.clone(), *row)).collect();
            prop_assert_eq!(pairs(&rows, &[]), &expected[..]);
            prop_assert!(rows.iter().map(|(key, row)| (key.to_vec(), *row)).eq(expected.iter().cloned()));
            prop_assert!(rows.clone().into_rows().map(|(key, row)| (key.to_vec(), row)).eq(expected.iter().cloned()));
            let (kept, gone) = expected.split_at(kept.min(expected.len()));
            let cut: Vec<_> = rows.truncate(kept.len()).into_iter().map(|(key, row)| (key.to_vec(), row)).collect();
            prop_assert_eq!((&cut[..], &pairs(&rows, &[])[..]), (gone, kept));
            rows.retain(|_, row| {
                *row += 1;
                *row % 2 == 0
            });
            let odd: Vec<_> =
                kept.iter().filter(|(_, row)| row % 2 == 1).map(|(key, row)| (key.clone(), row + 1)).collect();
            prop_assert_eq!((rows.len(), pairs(&rows, &[])), (odd.len(), odd));
        }

        #[test]
        fn the_order_in_which_keys_came_does_not_show(keys in proptest::collection::btree_set(key(0), 1..20)) {
            let row = Bytes::from_static(b"row");
            let (mut up, mut down) = (RowMap::default(), RowMap::default());
            keys.iter().for_each(|key| drop(up.insert(Bytes::copy_from_slice(key), row.clone())));
            up.insert(Bytes::from_static(b"elsewhere"), row.clone());
            up.remove(b"elsewhere");
            keys.iter().rev().for_each(|key| drop(down.insert(Bytes::copy_from_slice(key), row.clone())));
            prop_assert!(up == down);
            prop_assert_eq!(hash(&up), hash(&down));
        }
    }

    fn hash(rows: &RowMap<Bytes>) -> u64 {
        let mut hasher = host::hash::DefaultHasher::new();
        rows.hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn what_all_keys_begin_with_is_kept_once() {
        let mut rows = RowMap::default();
        for n in 0..SHARE_AT as u32 {
            rows.insert([&b"/users/"[..], &n.to_be_bytes()].concat().into(), n);
        }
        assert_eq!(rows.shared, &b"/users/\0\0\0"[..]);
        rows.insert("/users/of".into(), 0);
        assert_eq!(rows.shared, "/users/");
    }

    #[test]
    fn keys_chosen_to_be_in_the_way_cause_few_walks_over_all_rows() {
        let mut rows = RowMap::default();
        let long = [b'x'; 256];
        for n in 0..=FEW as u32 {
            rows.insert([&long[..], &n.to_be_bytes()].concat().into(), Bytes::new());
        }
        let shared = rows.shared.len();
        assert!(shared >= long.len());
        let mut walks = 0;
        for len in (0..long.len()).rev() {
            let before = rows.shared.len();
            rows.insert([&long[..len], b"y"].concat().into(), Bytes::new());
            walks += usize::from(rows.shared.len() < before);
        }
        assert!(walks <= shared.ilog2() as usize + 1, "{walks} walks");
        assert_eq!(rows.len(), FEW + 1 + long.len());
    }
}
