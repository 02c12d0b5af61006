//! The counts that are kept with the rows they count.

use crate::{
    Error,
    store::{Read, Table, Txn},
};
use alloc::{string::String, vec::Vec};

const ROW: &[u8] = b"counts";
/// The words of the shortest row there is, that of format 1.
const WORDS_MIN: usize = 11;

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
    /// The generation of obligations that become known now.
    pub(crate) generation: u32,
    /// Purged blocks: so many rows of [`Table::Stubs`].
    pub(crate) purged: u64,
    /// Abandoned blocks: the other rows of [`Table::Stubs`].
    pub(crate) abandoned: u64,
}

impl Counts {
    /// Reads the row. A row of an older format is shorter, and what it does not hold is 0.
    pub(crate) fn read(rows: &impl Read) -> Result<Self, Error> {
        let mut counts = Self::default();
        let Some(row) = rows.get(Table::Meta, ROW)? else { return Ok(counts) };
        let (words, []) = row.as_chunks::<8>() else { return Err(damaged()) };
        let mut generation = 0;
        let fields = counts.fields(&mut generation);
        if !(WORDS_MIN..=fields.len()).contains(&words.len()) {
            return Err(damaged());
        }
        for (field, word) in fields.into_iter().zip(words) {
            *field = u64::from_le_bytes(*word);
        }
        counts.generation = u32::try_from(generation).map_err(|_| damaged())?;
        Ok(counts)
    }

    pub(crate) fn write<S: Read>(&self, rows: &mut Txn<'_, S>) {
        let (mut counts, mut generation) = (*self, u64::from(self.generation));
        let row: Vec<u8> = counts.fields(&mut generation).iter().flat_map(|word| word.to_le_bytes()).collect();
        rows.put(Table::Meta, ROW, row);
    }

    /// The words of the row, in their order. New ones go to the end.
    fn fields<'a>(&'a mut self, generation: &'a mut u64) -> [&'a mut u64; 14] {
        [
            &mut self.merged,
            &mut self.void,
            &mut self.misdeclared,
            &mut self.height_max,
            &mut self.heads,
            &mut self.early,
            &mut self.obligations,
            &mut self.wants,
            &mut self.dropped,
            &mut self.ready,
            &mut self.pending_bytes,
            generation,
            &mut self.purged,
            &mut self.abandoned,
        ]
    }
}

fn damaged() -> Error {
    Error::Corrupt(String::from("the row of counts does not decode"))
}
