//! An ordered map by numbers that sort as its keys do.

use alloc::collections::{BTreeMap, btree_map::Entry};
use bytes::Bytes;
use core::{
    mem,
    ops::{Bound, RangeBounds},
};

/// Keys in order, found by a number that each begins with: its head. Equal keys have equal heads, and a lesser key has no greater one.
///
/// So the way to a key is a few comparisons of numbers that lie side by side, and leads through the bytes of no other key unless its
/// head is the same.
#[derive(Clone, Debug)]
pub(super) struct Runs<V> {
    len: usize,
    runs: BTreeMap<u64, Run<V>>,
}

/// The keys of one head: seldom more than one, but where heads say little.
#[derive(Clone, Debug)]
enum Run<V> {
    One(Bytes, V),
    Many(BTreeMap<Bytes, V>),
}

impl<V> Default for Runs<V> {
    fn default() -> Self {
        Self { len: 0, runs: BTreeMap::new() }
    }
}

impl<V> Runs<V> {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, head: u64, key: &[u8]) -> Option<&V> {
        match self.runs.get(&head)? {
            Run::One(held, value) => (held == key).then_some(value),
            Run::Many(rows) => rows.get(key),
        }
    }

    pub(super) fn get_mut(&mut self, head: u64, key: &[u8]) -> Option<&mut V> {
        match self.runs.get_mut(&head)? {
            Run::One(held, value) => (held == key).then_some(value),
            Run::Many(rows) => rows.get_mut(key),
        }
    }

    /// Gives what the key had before.
    pub(super) fn insert(&mut self, head: u64, key: Bytes, value: V) -> Option<V> {
        let before = match self.runs.entry(head) {
            Entry::Vacant(place) => {
                place.insert(Run::One(key, value));
                None
            }
            Entry::Occupied(mut place) => place.get_mut().insert(key, value),
        };
        self.len += usize::from(before.is_none());
        before
    }

    /// Gives what the key had.
    pub(super) fn remove(&mut self, head: u64, key: &[u8]) -> Option<V> {
        let Entry::Occupied(mut place) = self.runs.entry(head) else { return None };
        let before = match place.get_mut() {
            Run::One(held, _) if held != key => None,
            Run::One(..) => match place.remove() {
                Run::One(_, value) => Some(value),
                Run::Many(_) => None,
            },
            Run::Many(rows) => {
                let before = rows.remove(key);
                if rows.is_empty() {
                    place.remove();
                }
                before
            }
        };
        self.len -= usize::from(before.is_some());
        before
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Bytes, &mut V) -> bool) {
        let mut len = 0;
        self.runs.retain(|_, run| {
            let kept = match run {
                Run::One(key, value) => usize::from(keep(key, value)),
                Run::Many(rows) => {
                    rows.retain(&mut keep);
                    rows.len()
                }
            };
            len += kept;
            kept > 0
        });
        self.len = len;
    }

    /// The keys whose heads are in the range; those of the head `at` only from `start` on.
    pub(super) fn range<'a, R: RangeBounds<u64>>(
        &'a self,
        heads: R,
        (at, start): (u64, &[u8]),
    ) -> impl Iterator<Item = (u64, &'a Bytes, &'a V)> + use<'a, V, R> {
        let mut runs = self.runs.range(heads);
        let of = |head: u64, run: &'a Run<V>, start: &[u8]| run.from(start).map(move |(key, value)| (head, key, value));
        let first = runs.next().map(|(head, run)| of(*head, run, if *head == at { start } else { &[] }));
        first.into_iter().flatten().chain(runs.flat_map(move |(head, run)| of(*head, run, &[])))
    }

    pub(super) fn last_key(&self) -> Option<&Bytes> {
        self.runs.last_key_value().and_then(|(_, run)| run.last_key())
    }

    pub(super) fn into_rows(self) -> impl Iterator<Item = (u64, Bytes, V)> {
        self.runs.into_iter().flat_map(|(head, run)| run.into_rows().map(move |(key, value)| (head, key, value)))
    }
}

impl<V> Run<V> {
    /// Adds a row, or changes it. Gives what it had before.
    fn insert(&mut self, key: Bytes, value: V) -> Option<V> {
        match self {
            Self::Many(rows) => rows.insert(key, value),
            Self::One(held, before) if *held == key => Some(mem::replace(before, value)),
            Self::One(..) => {
                if let Self::One(held, before) = mem::replace(self, Self::Many(BTreeMap::from([(key, value)])))
                    && let Self::Many(rows) = self
                {
                    rows.insert(held, before);
                }
                None
            }
        }
    }

    /// The rows from this key on.
    fn from<'a>(&'a self, start: &[u8]) -> impl Iterator<Item = (&'a Bytes, &'a V)> + use<'a, V> {
        let (one, many) = match self {
            Self::One(key, value) => ((**key >= *start).then_some((key, value)), None),
            Self::Many(rows) => (None, Some(rows.range::<[u8], _>((Bound::Included(start), Bound::Unbounded)))),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    fn into_rows(self) -> impl Iterator<Item = (Bytes, V)> {
        let (one, many) = match self {
            Self::One(key, value) => (Some((key, value)), BTreeMap::new()),
            Self::Many(rows) => (None, rows),
        };
        one.into_iter().chain(many)
    }

    fn last_key(&self) -> Option<&Bytes> {
        match self {
            Self::One(key, _) => Some(key),
            Self::Many(rows) => rows.last_key_value().map(|(key, _)| key),
        }
    }
}

/// The first eight of these bytes, zeros where there are fewer: sorts as the bytes do, up to ties.
pub(super) fn head(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or_else(
        || bytes.iter().chain(&[0; 8]).take(8).fold(0, |head, byte| head << 8 | u64::from(*byte)),
        |first| u64::from_be_bytes(*first),
    )
}
