//! The feed: which keys were written since a moment, across restarts.
//!
//! The order in which good blocks are merged is kept in [`Table::Log`], sequence u64 (big-endian) → digest | chain,
//! where the chain is a hash over the chain before and the digest. A token is a sequence, the sequence that the values told with it were
//! of, and the chain up to that, so it fits no other history: not that of a disk that was restored, not one whose end a crash took,
//! and not that of another replica. The chain begins with an *epoch*, a hash of
//! its own, and what changes the state otherwise than by merging begins a new one.
//!
//! Row of [`Table::Meta`], integers little-endian: on 0 or 1 | epoch | chain | next u64 | start u64 | first u64.

use crate::{
    Bytes, Cid, Error, Key,
    dag::node::take_u64,
    store::{Read, Table, Txn},
};
use alloc::{string::String, vec::Vec};
use core::fmt;

const ROW: &[u8] = b"feed";
/// Rows of an epoch that is over which are removed for each row that is added.
const TRIM: usize = 2;
/// What a token begins with.
const TOKEN_VERSION: u8 = 2;

/// A moment in the history of one store: what was merged since can be [asked for](crate::Replica::feed). Opaque: keep its bytes and hand
/// them back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FeedToken {
    /// The next block to be told of.
    sequence: u64,
    /// What was merged when the values told so far were read: those that are told with blocks before `sequence` may come from later ones.
    seen: u64,
    /// The chain up to `seen`.
    chain: [u8; 32],
}

impl FeedToken {
    /// The length of an encoded token in bytes.
    pub const BYTES: usize = 49;

    /// The token as bytes, to be kept.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [TOKEN_VERSION; Self::BYTES];
        bytes[1..9].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[9..17].copy_from_slice(&self.seen.to_be_bytes());
        bytes[17..].copy_from_slice(&self.chain);
        bytes
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let (sequence, rest) = bytes[1..].split_first_chunk()?;
        let (seen, chain) = rest.split_first_chunk()?;
        let [sequence, seen] = [sequence, seen].map(|word| u64::from_be_bytes(*word));
        let token = Self { sequence, seen, chain: chain.try_into().ok()? };
        (bytes[0] == TOKEN_VERSION).then_some(token)
    }
}

/// What was written since a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Each key that a block merged since names, once, in order, with its value now or `None`. Whether the value has changed is
    /// not said: a block may have put what does not prevail.
    pub keys: Vec<(Key, Option<Bytes>)>,
    /// Where to go on.
    pub next: FeedToken,
    /// Whether there is more to be had at once.
    pub more: bool,
}

/// Why there is no feed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FeedError {
    /// [`Config::feed`](crate::Config::feed) is not set.
    Off,
    /// The token is of another history: of another store, of a disk that was restored since, or from before a purge or a rebuild.
    UnknownEpoch,
    /// The store cannot be read.
    Replica(Error),
}

impl fmt::Display for FeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("no feed is kept: open the replica with Config::feed set"),
            Self::UnknownEpoch => {
                f.write_str("the token is not of this store's history; take a new token, and read all keys again")
            }
            Self::Replica(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for FeedError {}

impl From<Error> for FeedError {
    fn from(error: Error) -> Self {
        Self::Replica(error)
    }
}

/// Where the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Log {
    on: bool,
    epoch: [u8; 32],
    chain: [u8; 32],
    /// The sequence of the next row.
    next: u64,
    /// The sequence with which the epoch begins.
    start: u64,
    /// The oldest row that may still be there: those before `start` are removed bit by bit.
    first: u64,
}

impl Log {
    pub(crate) fn read(rows: &impl Read) -> Result<Self, Error> {
        let Some(row) = rows.get(Table::Meta, ROW)? else { return Ok(Self::default()) };
        Self::decode(&row).ok_or_else(|| Error::Corrupt(String::from("the row of the feed does not decode")))
    }

    fn decode(row: &[u8]) -> Option<Self> {
        let (on, rest) = row.split_first()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (chain, rest) = rest.split_first_chunk()?;
        let (next, rest) = take_u64(rest)?;
        let (start, rest) = take_u64(rest)?;
        let (first, _) = take_u64(rest)?;
        Some(Self { on: *on == 1, epoch: *epoch, chain: *chain, next, start, first })
    }

    pub(crate) fn write<S: Read>(&self, rows: &mut Txn<'_, S>) {
        let mut row = Vec::with_capacity(89);
        row.push(u8::from(self.on));
        row.extend_from_slice(&self.epoch);
        row.extend_from_slice(&self.chain);
        [self.next, self.start, self.first].iter().for_each(|word| row.extend_from_slice(&word.to_le_bytes()));
        rows.put(Table::Meta, ROW, row);
    }

    /// Whether the log is kept. When that changes a new epoch begins, for what is merged meanwhile is not in it.
    pub(crate) fn keep<S: Read>(&mut self, on: bool, rows: &Txn<'_, S>) -> Result<(), Error> {
        if self.on == on {
            return Ok(());
        }
        self.on = on;
        self.start = self.next;
        self.new_epoch(b"on", rows)
    }

    /// As `keep`, where a rebuild is running: the epoch begins when it ends.
    pub(crate) const fn keep_after_rebuild(&mut self, on: bool) {
        self.on = on;
    }

    /// Begins a new epoch: no token from before is known any more. It is a hash over what was before, the reason, and the
    /// heads, which stand for all that is merged.
    pub(crate) fn new_epoch<S: Read>(&mut self, why: &[u8], rows: &Txn<'_, S>) -> Result<(), Error> {
        if !self.on {
            return Ok(());
        }
        let mut text = Vec::from(*b"anabranch feed epoch\0");
        text.extend_from_slice(&self.chain);
        text.extend_from_slice(&self.next.to_be_bytes());
        text.extend_from_slice(why);
        for (key, _) in rows.scan(Table::Heads, &[], &[], usize::MAX)? {
            text.extend_from_slice(key.last_chunk::<32>().unwrap_or(&[0; 32]));
        }
        self.epoch = *Cid::of(&text).digest();
        (self.chain, self.start) = (self.epoch, self.next);
        Ok(())
    }

    /// A good block is merged.
    pub(crate) fn append<S: Read>(&mut self, cid: &Cid, rows: &mut Txn<'_, S>) {
        if self.on {
            self.chain = link(&self.chain, cid);
            let mut row = Vec::with_capacity(64);
            row.extend_from_slice(cid.digest());
            row.extend_from_slice(&self.chain);
            rows.put(Table::Log, row_key(self.next), row);
            self.next += 1;
        }
        for _ in 0..TRIM {
            if self.first < self.start {
                rows.remove(Table::Log, row_key(self.first));
                self.first += 1;
            }
        }
    }

    /// This moment.
    pub(crate) fn token(&self) -> Result<FeedToken, FeedError> {
        self.token_at(self.next)
    }

    /// All up to this sequence was told, with the values of this moment.
    fn token_at(&self, sequence: u64) -> Result<FeedToken, FeedError> {
        if self.on { Ok(FeedToken { sequence, seen: self.next, chain: self.chain }) } else { Err(FeedError::Off) }
    }

    /// Whether the token is of this history.
    pub(crate) fn check(&self, token: &FeedToken, rows: &impl Read) -> Result<(), FeedError> {
        let FeedToken { sequence, seen, chain } = *token;
        if !self.on {
            return Err(FeedError::Off);
        }
        if !(self.start..=seen).contains(&sequence) || seen > self.next {
            return Err(FeedError::UnknownEpoch);
        }
        let known = match seen {
            seen if seen == self.next => self.chain,
            seen if seen == self.start => self.epoch,
            seen => entry(rows, seen - 1)?.1,
        };
        if known == chain { Ok(()) } else { Err(FeedError::UnknownEpoch) }
    }

    /// The blocks that were merged after the token, as long as `wants` says so of one; and the token after them.
    pub(crate) fn after(
        &self,
        token: &FeedToken,
        rows: &impl Read,
        mut wants: impl FnMut(Cid) -> Result<bool, Error>,
    ) -> Result<FeedToken, FeedError> {
        let mut sequence = token.sequence;
        while sequence < self.next && wants(entry(rows, sequence)?.0)? {
            sequence += 1;
        }
        self.token_at(sequence)
    }
}

fn row_key(sequence: u64) -> Vec<u8> {
    sequence.to_be_bytes().to_vec()
}

fn link(chain: &[u8; 32], cid: &Cid) -> [u8; 32] {
    let mut text = [0; 64];
    text[..32].copy_from_slice(chain);
    text[32..].copy_from_slice(cid.digest());
    *Cid::of(&text).digest()
}

fn entry(rows: &impl Read, sequence: u64) -> Result<(Cid, [u8; 32]), Error> {
    let row = rows.get(Table::Log, &row_key(sequence)).map_err(Error::from)?;
    let words = row.as_deref().and_then(|row| row.split_first_chunk::<32>());
    words
        .and_then(|(digest, chain)| Some((Cid::from_digest(*digest), chain.try_into().ok()?)))
        .ok_or_else(|| Error::Corrupt(alloc::format!("row {sequence} of the log is missing or does not decode")))
}
