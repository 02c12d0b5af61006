//! The record of a key: its winner, the winner's value, and its other versions while they are few.
//!
//! Row of [`Table::Keys`](crate::store::Table::Keys), by key; integers little-endian:
//!
//! ```text
//! count u8 (0 to 4) | winner | other * count | value
//! 255 | count u64   | winner                 | value      the others are rows of their own
//!
//! winner = rank u64 | digest
//! other  = rank u64 | digest | length of its value u64 | the value's first 64 bytes at most
//! ```
//!
//! The value ends the row, so that a read of it copies nothing. The row is a function of the live
//! versions of the key, whatever order they came in.

use crate::{Cid, Error, dag::node::take_u64};
use alloc::{string::String, vec::Vec};
use bytes::Bytes;

/// Other versions are rows of their own when they are more than this.
pub(crate) const INLINE_MAX: usize = 4;
/// How much of a value is kept with a version that does not prevail: enough to settle most ties
/// without reading blocks.
pub(crate) const PREFIX_MAX: usize = 64;

const SPILLED: u8 = 255;
const WINNER_LEN: usize = 40;

/// The version that prevails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Winner {
    pub(crate) rank: u64,
    pub(crate) cid: Cid,
    pub(crate) value: Bytes,
}

/// A live version that does not prevail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Other {
    pub(crate) rank: u64,
    pub(crate) cid: Cid,
    /// The length of its value.
    pub(crate) len: u64,
    /// The first bytes of its value.
    pub(crate) prefix: Bytes,
}

impl Other {
    /// The version that this winner is when another prevails.
    pub(crate) fn of(winner: &Winner) -> Self {
        let len = winner.value.len();
        Self { rank: winner.rank, cid: winner.cid, len: len as u64, prefix: winner.value.slice(..len.min(PREFIX_MAX)) }
    }

    /// Whether the prefix is the whole value.
    pub(crate) fn is_whole(&self) -> bool {
        self.len == self.prefix.len() as u64
    }

    /// What stands after rank and digest, here and in a row of versions.
    pub(crate) fn encode_value(&self, row: &mut Vec<u8>) {
        row.extend_from_slice(&self.len.to_le_bytes());
        row.extend_from_slice(&self.prefix);
    }
}

/// The versions beside the winner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    /// All of them, highest first.
    Inline(Vec<Other>),
    /// How many rows of versions there are.
    Rows(u64),
}

/// All that is known of a key with a live version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) winner: Winner,
    pub(crate) others: Others,
}

impl Record {
    pub(crate) fn encode(&self) -> Bytes {
        let others = match &self.others {
            Others::Inline(others) => others.len() * (WINNER_LEN + 8 + PREFIX_MAX),
            Others::Rows(_) => 8,
        };
        let mut row = Vec::with_capacity(1 + WINNER_LEN + others + self.winner.value.len());
        match &self.others {
            // At most INLINE_MAX of them, which fits.
            Others::Inline(others) => row.push(others.len() as u8),
            Others::Rows(count) => {
                row.push(SPILLED);
                row.extend_from_slice(&count.to_le_bytes());
            }
        }
        row.extend_from_slice(&self.winner.rank.to_le_bytes());
        row.extend_from_slice(self.winner.cid.digest());
        if let Others::Inline(others) = &self.others {
            for other in others {
                row.extend_from_slice(&other.rank.to_le_bytes());
                row.extend_from_slice(other.cid.digest());
                other.encode_value(&mut row);
            }
        }
        row.extend_from_slice(&self.winner.value);
        row.into()
    }

    pub(crate) fn decode(row: &Bytes) -> Result<Self, Error> {
        decode(row).ok_or_else(damaged)
    }
}

fn decode(row: &Bytes) -> Option<Record> {
    let mut rest = Cursor(row.clone());
    let count = rest.byte()?;
    let spilled = if count == SPILLED { Some(rest.u64()?) } else { None };
    let (rank, cid) = (rest.u64()?, rest.cid()?);
    let others = match spilled {
        Some(count) => Others::Rows(count),
        None => Others::Inline((0..count).map(|_| rest.other()).collect::<Option<_>>()?),
    };
    Some(Record { winner: Winner { rank, cid, value: rest.0 }, others })
}

/// The value of a record, without reading more of the record than it must.
pub(crate) fn value(row: &Bytes) -> Result<Bytes, Error> {
    match row.first() {
        Some(0) if row.len() > WINNER_LEN => Ok(row.slice(1 + WINNER_LEN..)),
        _ => Record::decode(row).map(|record| record.winner.value),
    }
}

fn damaged() -> Error {
    Error::Corrupt(String::from("the record of a key does not decode"))
}

/// What is left of a row.
pub(crate) struct Cursor(pub(crate) Bytes);

impl Cursor {
    fn take(&mut self, len: usize) -> Option<Bytes> {
        (len <= self.0.len()).then(|| self.0.split_to(len))
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u64(&mut self) -> Option<u64> {
        take_u64(&self.take(8)?).map(|(word, _)| word)
    }

    fn cid(&mut self) -> Option<Cid> {
        Some(Cid::from_digest(*self.take(32)?.first_chunk()?))
    }

    fn other(&mut self) -> Option<Other> {
        let (rank, cid) = (self.u64()?, self.cid()?);
        let (len, prefix) = self.len_and_prefix()?;
        Some(Other { rank, cid, len, prefix })
    }

    /// What [`Other::encode_value`] wrote.
    pub(crate) fn len_and_prefix(&mut self) -> Option<(u64, Bytes)> {
        let len = self.u64()?;
        let kept = usize::try_from(len).map_or(PREFIX_MAX, |len| len.min(PREFIX_MAX));
        Some((len, self.take(kept)?))
    }
}
