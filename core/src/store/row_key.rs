//! Keys of rows in ordered maps.

use bytes::Bytes;
use core::{
    borrow::Borrow,
    cmp::Ordering,
    hash::{Hash, Hasher},
};

/// A row's key, eight of its bytes beside it as a number: most comparisons then need not follow the pointer to the bytes, which is
/// what a large map spends its time on. Keys of one map have the same number of bytes skipped, in which they do not differ.
#[derive(Clone, Debug)]
pub(super) struct RowKey {
    table: u8,
    head: u64,
    bytes: Bytes,
}

impl RowKey {
    pub(super) fn new(table: u8, bytes: Bytes) -> Self {
        Self { table, head: head(&bytes), bytes }
    }

    /// A key among those of one table that all begin with the same `skipped` bytes.
    pub(super) fn behind(skipped: usize, bytes: Bytes) -> Self {
        Self { table: 0, head: head(&bytes[skipped..]), bytes }
    }

    pub(super) const fn table(&self) -> u8 {
        self.table
    }

    pub(super) const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(super) fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

/// A borrowed key to look up with.
pub(super) struct Probe<'a> {
    table: u8,
    head: u64,
    bytes: &'a [u8],
}

impl<'a> Probe<'a> {
    pub(super) fn new(table: u8, bytes: &'a [u8]) -> Self {
        Self { table, head: head(bytes), bytes }
    }

    /// As [`RowKey::behind`]. What has fewer bytes is nowhere.
    pub(super) fn behind(skipped: usize, bytes: &'a [u8]) -> Self {
        Self { table: 0, head: head(bytes.get(skipped..).unwrap_or_default()), bytes }
    }

    /// As a map takes it.
    pub(super) fn key(&self) -> &(dyn Comparable + 'a) {
        self
    }
}

/// The first eight of these bytes, zeros where there are fewer: sorts as the bytes do, up to ties.
fn head(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or_else(
        || bytes.iter().chain(&[0; 8]).take(8).fold(0, |head, byte| head << 8 | u64::from(*byte)),
        |first| u64::from_be_bytes(*first),
    )
}

/// What both kinds of keys are compared by: table, then bytes.
pub(super) trait Comparable {
    fn parts(&self) -> (u8, u64, &[u8]);
}

impl Comparable for RowKey {
    fn parts(&self) -> (u8, u64, &[u8]) {
        (self.table, self.head, &self.bytes)
    }
}

impl Comparable for Probe<'_> {
    fn parts(&self) -> (u8, u64, &[u8]) {
        (self.table, self.head, self.bytes)
    }
}

impl PartialEq for dyn Comparable + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn Comparable + '_ {}

impl PartialOrd for dyn Comparable + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for dyn Comparable + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

impl PartialEq for RowKey {
    fn eq(&self, other: &Self) -> bool {
        self.table == other.table && self.bytes == other.bytes
    }
}

impl Eq for RowKey {}

impl Hash for RowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.table.hash(state);
        self.bytes.hash(state);
    }
}

impl PartialOrd for RowKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RowKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

impl<'a> Borrow<dyn Comparable + 'a> for RowKey {
    fn borrow(&self) -> &(dyn Comparable + 'a) {
        self
    }
}
