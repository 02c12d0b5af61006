//! Queries over the keys.

use crate::{
    Error, Key,
    store::{Read, Table},
};
use alloc::vec::{self, Vec};
use bytes::Bytes;
use core::{cmp::Ordering, ops::ControlFlow};

/// The order of a query's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// Keys ascending, byte by byte. Streams; every other order holds all matching rows in memory.
    #[default]
    Key,
    /// Keys descending.
    KeyDescending,
    /// Values ascending, then keys ascending.
    Value,
    /// Values descending, then keys ascending.
    ValueDescending,
}

/// A comparison in a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Is {
    /// =
    Equal,
    /// ≠
    NotEqual,
    /// <
    Less,
    /// ≤
    LessOrEqual,
    /// >
    Greater,
    /// ≥
    GreaterOrEqual,
}

/// What a row must satisfy, beside the prefix.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// The key compares so with this one.
    Key(Is, Key),
    /// The key begins with these bytes (of the cleaned key, slash included).
    KeyPrefix(Bytes),
    /// The value compares so with these bytes.
    Value(Is, Bytes),
}

/// Which rows to give, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Query {
    /// Only keys below this one: `/a` gives `/a/b`, not `/a` itself and not `/ab`. Cleaned like a
    /// key; empty and `/` mean all.
    pub prefix: Bytes,
    /// Only rows that satisfy all of these.
    pub filters: Vec<Filter>,
    /// The order of the rows.
    pub order: Order,
    /// How many rows to pass over first.
    pub offset: usize,
    /// How many rows to give at most; all when `None`.
    pub limit: Option<usize>,
    /// Leave the values out.
    pub keys_only: bool,
}

/// One row of a query.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// The key.
    pub key: Key,
    /// Its value, unless the query asked for keys only.
    pub value: Option<Bytes>,
    /// The value's length in bytes, always.
    pub size: usize,
}

/// How many rows are taken from the store at a time, at most.
const CHUNK: usize = 256;
/// From how many bytes of values on no more rows are taken at a time, so that large values do not pile up.
const CHUNK_BYTES: usize = 1 << 20;

impl Is {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl Filter {
    fn takes(&self, key: &[u8], value: &[u8]) -> bool {
        match self {
            Self::Key(is, other) => is.holds(key.cmp(other.as_bytes())),
            Self::KeyPrefix(prefix) => key.starts_with(prefix),
            Self::Value(is, other) => is.holds(value.cmp(other)),
        }
    }
}

/// The keys that a query may select: all that begin with `prefix`, from `from` on, below `end`.
#[derive(Clone, Debug, Default)]
struct Range {
    prefix: Vec<u8>,
    from: Vec<u8>,
    end: Option<Vec<u8>>,
    is_empty: bool,
}

impl Range {
    /// The keys below the query's prefix.
    fn below(prefix: &Key) -> Self {
        let mut prefix = prefix.as_bytes().to_vec();
        if prefix == b"/" {
            prefix.clear();
        } else {
            prefix.push(b'/');
        }
        Self { prefix, ..Self::default() }
    }

    /// Takes in what a filter says of keys. False when it says something else, and each row must be asked.
    fn narrow(&mut self, filter: &Filter) -> bool {
        match filter {
            Filter::Key(Is::Equal, key) => {
                self.raise(key.as_bytes().to_vec());
                self.lower(after(key.as_bytes()));
            }
            Filter::Key(Is::Greater, key) => self.raise(after(key.as_bytes())),
            Filter::Key(Is::GreaterOrEqual, key) => self.raise(key.as_bytes().to_vec()),
            Filter::Key(Is::Less, key) => self.lower(key.as_bytes().to_vec()),
            Filter::Key(Is::LessOrEqual, key) => self.lower(after(key.as_bytes())),
            Filter::KeyPrefix(prefix) if prefix.starts_with(&self.prefix) => self.prefix = prefix.to_vec(),
            Filter::KeyPrefix(prefix) => self.is_empty |= !self.prefix.starts_with(prefix),
            Filter::Key(Is::NotEqual, _) | Filter::Value(..) => return false,
        }
        true
    }

    fn raise(&mut self, from: Vec<u8>) {
        if from > self.from {
            self.from = from;
        }
    }

    fn lower(&mut self, end: Vec<u8>) {
        if self.end.as_ref().is_none_or(|old| end < *old) {
            self.end = Some(end);
        }
    }
}

/// The least key above this one.
fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// The rows of a query, one by one.
///
/// In the order of keys it holds a few hundred rows and about 1 MiB of values at a time, whatever the query selects; every
/// other order reads all matching rows at the first call of `next`. Filters on keys that are no [`Is::NotEqual`] cost
/// nothing: rows outside of them are not read, so a page that begins after the last key of the page before is as cheap as the first. Over a store that changes meanwhile it gives each
/// row as it is when it is read; over a snapshot all rows are of one moment.
#[derive(Debug)]
pub struct Rows<R> {
    store: R,
    filters: Vec<Filter>,
    order: Order,
    keys_only: bool,
    /// Reads the value out of a row of the table.
    value: fn(&Bytes) -> Result<Bytes, Error>,
    range: Range,
    /// Whether there is something in the range from `from` on that has not been read.
    has_more: bool,
    chunk: vec::IntoIter<Row>,
    /// What is still to be passed over, and given.
    offset: usize,
    limit: usize,
}

impl<R: Read> Rows<R> {
    pub(crate) fn new(store: R, query: &Query, value: fn(&Bytes) -> Result<Bytes, Error>) -> Self {
        let mut range = Range::below(&Key::new(&query.prefix));
        let filters = query.filters.iter().filter(|filter| !range.narrow(filter)).cloned().collect();
        Self {
            store,
            filters,
            order: query.order,
            keys_only: query.keys_only,
            value,
            has_more: !range.is_empty,
            range,
            chunk: Vec::new().into_iter(),
            offset: query.offset,
            limit: query.limit.unwrap_or(usize::MAX),
        }
    }

    /// Reads the next chunk of rows, in the order of keys; those that a filter does not take are left out.
    fn read_chunk(&mut self) -> Result<Vec<Row>, Error> {
        let chunk = self.chunk_len();
        let (mut seen, mut bytes, mut rows, mut damage) = (0, 0, Vec::new(), Ok(()));
        // Where to go on, unless this chunk is the last one.
        let mut next = None;
        self.store.scan(Table::Keys, &self.range.prefix, &self.range.from, &mut |key, row| {
            if self.range.end.as_ref().is_some_and(|end| key >= &end[..]) {
                return ControlFlow::Break(());
            }
            seen += 1;
            match (self.value)(row) {
                Ok(value) if self.filters.iter().all(|filter| filter.takes(key, &value)) => {
                    let (key, size) = (Key::new(key), value.len());
                    let value = (!self.keys_only || self.order.needs_value()).then_some(value);
                    bytes += value.as_ref().map_or(0, Bytes::len);
                    rows.push(Row { key, value, size });
                }
                Ok(_) => {}
                Err(error) => {
                    damage = Err(error);
                    return ControlFlow::Break(());
                }
            }
            if seen < chunk && bytes < CHUNK_BYTES {
                return ControlFlow::Continue(());
            }
            next = Some(after(key));
            ControlFlow::Break(())
        })?;
        damage?;
        self.has_more = next.is_some();
        self.range.from = next.unwrap_or_default();
        Ok(rows)
    }

    /// How many rows to read now: where every row counts, no more than are still to be passed over and given.
    fn chunk_len(&self) -> usize {
        let all_count = self.filters.is_empty() && self.order == Order::Key;
        if all_count { CHUNK.min(self.offset.saturating_add(self.limit)) } else { CHUNK }
    }

    /// Reads all rows and sorts them.
    fn read_sorted(&mut self) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        while self.has_more {
            rows.append(&mut self.read_chunk()?);
        }
        match self.order {
            Order::Key => {}
            Order::KeyDescending => rows.reverse(),
            // Stable, so that rows of equal values stay in the order of their keys.
            Order::Value => rows.sort_by(|a, b| a.value.cmp(&b.value)),
            Order::ValueDescending => rows.sort_by(|a, b| b.value.cmp(&a.value)),
        }
        if self.keys_only {
            rows.iter_mut().for_each(|row| row.value = None);
        }
        Ok(rows)
    }
}

impl Order {
    const fn needs_value(self) -> bool {
        matches!(self, Self::Value | Self::ValueDescending)
    }
}

impl<R: Read> Iterator for Rows<R> {
    type Item = Result<Row, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.limit > 0 {
            if let Some(row) = self.chunk.next() {
                if self.offset > 0 {
                    self.offset -= 1;
                    continue;
                }
                self.limit -= 1;
                return Some(Ok(row));
            }
            // After the last chunk and after an error there is no more.
            if !self.has_more {
                break;
            }
            let read = if self.order == Order::Key { self.read_chunk() } else { self.read_sorted() };
            match read {
                Ok(rows) => self.chunk = rows.into_iter(),
                Err(error) => {
                    self.has_more = false;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
