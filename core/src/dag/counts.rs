//! The counts that are kept with the rows they count.

use crate::{
    Error,
    store::{Read, Table, Txn},
};
use alloc::{string::String, vec::Vec};

const ROW: &[u8] = b"counts";

/// Counts over the rows of the store, in a row of their own and committed with them. They answer
/// questions ("is anything ready?") for which a scan would be too dear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Counts {
    pub(crate) merged: u64,
    pub(crate) void: u64,
    pub(crate) misdeclared: u64,
    pub(crate) height_max: u64,
    pub(crate) heads: u64,
    /// Rows of [`Table::Early`].
    pub(crate) early: u64,
    /// Nodes that are pending or wanted.
    pub(crate) obligations: u64,
    /// Rows of [`Table::Wants`] that must be fetched now.
    pub(crate) wants: u64,
    /// Rows of [`Table::Wants`] whose body was dropped and is not yet needed.
    pub(crate) dropped: u64,
    /// Rows of [`Table::Ready`].
    pub(crate) ready: u64,
    /// Bytes of the bodies of pending blocks.
    pub(crate) pending_bytes: u64,
}

impl Counts {
    pub(crate) fn read(rows: &impl Read) -> Result<Self, Error> {
        let Some(row) = rows.get(Table::Meta, ROW)? else { return Ok(Self::default()) };
        let (words, []) = row.as_chunks::<8>() else { return Err(damaged()) };
        let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let [merged, void, misdeclared, height_max, heads, early, obligations, wants, dropped, ready, pending_bytes] =
            words.try_into().map_err(|_| damaged())?;
        Ok(Self {
            merged,
            void,
            misdeclared,
            height_max,
            heads,
            early,
            obligations,
            wants,
            dropped,
            ready,
            pending_bytes,
        })
    }

    pub(crate) fn write<S: Read>(&self, rows: &mut Txn<'_, S>) {
        let words = [
            self.merged,
            self.void,
            self.misdeclared,
            self.height_max,
            self.heads,
            self.early,
            self.obligations,
            self.wants,
            self.dropped,
            self.ready,
            self.pending_bytes,
        ];
        let row: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        rows.put(Table::Meta, ROW, row);
    }
}

fn damaged() -> Error {
    Error::Corrupt(String::from("the row of counts does not decode"))
}
