//! What a driver tells a replica.

use crate::{Cid, Key};
use alloc::{string::String, vec::Vec};
use bytes::Bytes;
use core::fmt;

/// Another replica, as the driver knows it. The core never looks inside: it hands the peer back as
/// the one to ask for a block, and to say who sent what was bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer(pub u64);

/// The caller's name for a commit or for another thing that it asks for, handed back in exactly one of
/// [`Effect::Committed`](crate::Effect::Committed), [`Effect::Finished`](crate::Effect::Finished) and
/// [`Effect::Refused`](crate::Effect::Refused).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// The name of a DAG: any UTF-8 text of at most [`DAG_NAME_BYTES_MAX`](crate::limits::DAG_NAME_BYTES_MAX)
/// bytes. The empty name is the main DAG, the only one that go-ds-crdt v0.6.8 knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DagName(String);

impl DagName {
    /// A name, of any length: the limit is checked where it is used.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the main DAG.
    #[must_use]
    pub fn is_main(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for DagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One write of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    /// The key gets the value. An empty value is a value.
    Put(Key, Bytes),
    /// All versions of the key that this replica has merged are removed.
    Delete(Key),
}

impl Write {
    /// The key that is written.
    #[must_use]
    pub const fn key(&self) -> &Key {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }
}

/// Writes to one DAG that are committed together. Of several writes of one key the last counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Batch {
    /// The DAG that the batch writes to.
    pub dag: DagName,
    /// The writes, in the order in which they were made.
    pub writes: Vec<Write>,
}

impl Batch {
    /// An empty batch for the main DAG.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch for the DAG of that name.
    #[must_use]
    pub fn for_dag(dag: DagName) -> Self {
        Self { dag, writes: Vec::new() }
    }

    /// Adds a put.
    #[must_use]
    pub fn put(mut self, key: impl AsRef<[u8]>, value: impl Into<Bytes>) -> Self {
        self.writes.push(Write::Put(Key::new(key), value.into()));
        self
    }

    /// Adds a delete.
    #[must_use]
    pub fn delete(mut self, key: impl AsRef<[u8]>) -> Self {
        self.writes.push(Write::Delete(Key::new(key)));
        self
    }
}

/// The timers that a replica asks for. At most one of each kind is set at any time; a crash forgets
/// them, and opening sets them anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The next round of announcing our heads.
    Rebroadcast,
    /// The answer to a peer that announced only what we have long merged.
    Answer,
    /// Fetches in flight and pausing grow older by one tick.
    Fetch,
    /// Commits that wait because the replica is behind grow older by one tick.
    Wait,
}

/// All that can happen to a replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// A local program writes.
    Commit {
        /// Comes back with the outcome.
        token: Token,
        /// What is written.
        batch: Batch,
    },
    /// An announcement of heads came from a peer, as it stood on the wire.
    Broadcast {
        /// Who sent it.
        from: Peer,
        /// A `CRDTBroadcast`, or a bare CID as old peers send.
        payload: Bytes,
    },
    /// A block came. It need not have been asked for.
    Block {
        /// Who sent it.
        from: Peer,
        /// What it is said to be; checked against the bytes.
        cid: Cid,
        /// The block as it stood on the wire.
        bytes: Bytes,
        /// The attempt that this answers; anything where it was not asked for.
        attempt: u32,
    },
    /// The peer that was asked does not have the block, or could not be reached.
    FetchFailed {
        /// What was asked for.
        cid: Cid,
        /// The attempt that failed.
        attempt: u32,
    },
    /// A timer that the replica had set has run out.
    Timer(Timer),
    /// Blocks come from a file. Each good one is merged, or owed from now on, as what peers send is; its
    /// missing ancestors are fetched. One input may hold a part of the file; its bytes bound the work.
    ///
    /// ```
    /// use anabranch_core::{Batch, Config, Effect, Input, Key, Outcome, Replica, Token, store::MemoryStore};
    ///
    /// # fn main() -> Result<(), anabranch_core::Error> {
    /// # let mut out = Vec::new();
    /// # let mut alice = Replica::open(MemoryStore::new(), Config::default(), &mut out)?;
    /// # for value in ["old", "new"] {
    /// #     let _ = alice.step(Input::Commit { token: Token(1), batch: Batch::new().put("/k", value) }, &mut out)?;
    /// # }
    /// // All that Alice has merged, in whatever order.
    /// let mut blocks = Vec::new();
    /// for cid in alice.merged(None, 1_000)? {
    ///     blocks.push((cid, alice.block(&cid)?.expect("what is merged is kept")));
    /// }
    ///
    /// let mut bob = Replica::open(MemoryStore::new(), Config::default(), &mut out)?;
    /// out.clear();
    /// let _ = bob.step(Input::Import { token: Token(7), blocks }, &mut out)?;
    /// let outcome = Outcome::Imported { merged: 2, pending: 0, wrong: 0, left: vec![] };
    /// assert!(out.contains(&Effect::Finished { token: Some(Token(7)), outcome }));
    /// assert_eq!(bob.get(&Key::new("/k"))?.as_deref(), Some(&b"new"[..]));
    /// # Ok(())
    /// # }
    /// ```
    Import {
        /// Comes back with [`Outcome::Imported`](crate::Outcome::Imported).
        token: Token,
        /// What each block is said to be, checked against its bytes, and its bytes.
        blocks: Vec<(Cid, Bytes)>,
    },
    /// The blocks of one DAG name that are merged by now are purged: their bytes go, and every key that they name
    /// is derived anew from the blocks that remain. Local: no peer hears of it, and what of the name merges later, merges
    /// as ever. A name without heads is done at once; otherwise it goes on in steps, every block of the store is read once,
    /// and reads and writes go on meanwhile.
    Purge {
        /// Comes back with [`Outcome::Purged`](crate::Outcome::Purged).
        token: Token,
        /// The name. The empty one is the main DAG.
        dag: DagName,
    },
    /// Every merged block and every row that is derived from them is checked; what is wrong is told as
    /// [`Event::Damage`](crate::Event::Damage), one by one up to 100, and counted. Nothing is mended. Goes on in steps, reads every
    /// block once, and writes notes as large as the keys and versions while it runs; reads and writes go on meanwhile.
    Verify {
        /// Comes back with [`Outcome::Verified`](crate::Outcome::Verified).
        token: Token,
    },
    /// All rows that are derived from blocks are made anew from them. Until that is done reads give
    /// [`Error::Rebuilding`](crate::Error::Rebuilding), writes are refused, and peers are not heard.
    Rebuild {
        /// Comes back with [`Outcome::Rebuilt`](crate::Outcome::Rebuilt).
        token: Token,
    },
    /// A block that is owed and that no peer serves is given up: from now on it counts as merged without links, until it
    /// turns up. A child of it is as high as it declares (below 2^62), or over its other parents where that is higher.
    /// When the bytes come after all, the decision is undone; where that changes heights, by a rebuild.
    Abandon {
        /// Comes back with [`Outcome::Abandoned`](crate::Outcome::Abandoned).
        token: Token,
        /// The block.
        cid: Cid,
    },
    /// Go on with what the last step left: wanted after every [`Progress::More`](crate::Progress::More).
    Continue,
}
