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
/// How many rows are taken from the store at a time.
const CHUNK: usize = 256;

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

/// The rows of a query, one by one.
///
/// In the order of keys it holds a few hundred rows at a time, whatever the query selects; every other order
/// reads all matching rows at the first call of `next`. Over a store that changes meanwhile it gives each
/// row as it is when it is read; over a snapshot all rows are of one moment.
#[derive(Debug)]
pub struct Rows<R> {
    store: R,
    filters: Vec<Filter>,
    order: Order,
    keys_only: bool,
    /// Reads the value out of a row of the table.
    value: fn(&Bytes) -> Result<Bytes, Error>,
    prefix: Vec<u8>,
    /// The least key of the next chunk; none after the last one.
    next: Option<Vec<u8>>,
    chunk: vec::IntoIter<Row>,
    /// What is still to be passed over, and given.
    offset: usize,
    limit: usize,
}

impl<R: Read> Rows<R> {
    pub(crate) fn new(store: R, query: &Query, value: fn(&Bytes) -> Result<Bytes, Error>) -> Self {
        let mut prefix = Key::new(&query.prefix).as_bytes().to_vec();
        if prefix == b"/" {
            prefix.clear();
        } else {
            prefix.push(b'/');
        }
        Self {
            store,
            filters: query.filters.clone(),
            order: query.order,
            keys_only: query.keys_only,
            value,
            next: Some(prefix.clone()),
            prefix,
            chunk: Vec::new().into_iter(),
            offset: query.offset,
            limit: query.limit.unwrap_or(usize::MAX),
        }
    }

    /// Reads the next chunk of rows, in the order of keys; those that a filter does not take are left out.
    fn read_chunk(&mut self, from: &[u8]) -> Result<Vec<Row>, Error> {
        let chunk = self.chunk_len();
        let (mut seen, mut last, mut rows, mut damage) = (0, Vec::new(), Vec::new(), Ok(()));
        self.store.scan(Table::Keys, &self.prefix, from, &mut |key, row| {
            seen += 1;
            match (self.value)(row) {
                Ok(value) if self.filters.iter().all(|filter| filter.takes(key, &value)) => rows.push(Row {
                    key: Key::new(key),
                    size: value.len(),
                    value: (!self.keys_only || self.order.needs_value()).then_some(value),
                }),
                Ok(_) => {}
                Err(error) => damage = Err(error),
            }
            if seen < chunk && damage.is_ok() {
                return ControlFlow::Continue(());
            }
            last = key.to_vec();
            ControlFlow::Break(())
        })?;
        damage?;
        self.next = (seen == chunk).then(|| {
            last.push(0);
            last
        });
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
        while let Some(from) = self.next.take() {
            rows.append(&mut self.read_chunk(&from)?);
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
            // After the last chunk and after an error there is no next.
            let from = self.next.clone()?;
            let read = if self.order == Order::Key { self.read_chunk(&from) } else { self.read_sorted() };
            match read {
                Ok(rows) => self.chunk = rows.into_iter(),
                Err(error) => {
                    self.next = None;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
