//! What a replica asks of its driver.

use crate::{Cid, DagName, Key, Peer, Timer, Token};
use alloc::vec::Vec;
use bytes::Bytes;
use core::{fmt, ops::RangeInclusive, time::Duration};

/// One thing for the driver to do. A step appends its effects to the caller's sink, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Send this payload to all peers. **Waits for the sync.**
    Broadcast(Bytes),
    /// Ask for a block, and answer with [`Input::Block`](crate::Input::Block) or
    /// [`Input::FetchFailed`](crate::Input::FetchFailed), or never: the replica has timers for that.
    Fetch {
        /// The block.
        cid: Cid,
        /// Whom to ask first; nobody in particular when `None`.
        from: Option<Peer>,
        /// To be handed back with the answer.
        attempt: u32,
    },
    /// The commit is done. **Waits for the sync**: then it survives a crash.
    Committed {
        /// Which commit.
        token: Token,
        /// The blocks that it made, oldest first; none when there was nothing to write.
        blocks: Vec<Cid>,
        /// How many of the obligations that were known when the commit came were still not merged when it was
        /// made; 0 when it has seen all that was known to be.
        behind: u64,
    },
    /// Something else that was asked for is done. **Waits for the sync.**
    Finished {
        /// Which; `None` when it was begun before a crash and resumed after it.
        token: Option<Token>,
        /// What came of it.
        outcome: Outcome,
    },
    /// What was asked for is refused, and nothing has changed.
    Refused {
        /// Which commit, or what else.
        token: Token,
        /// Why.
        why: Refusal,
    },
    /// Something happened that a program may want to know. **Waits for the sync.**
    Notify(Event),
    /// Step the replica with [`Input::Timer`](crate::Input::Timer) once, after a time that the
    /// driver draws from the range.
    SetTimer {
        /// Which timer.
        timer: Timer,
        /// From when to when it may run out.
        after: RangeInclusive<Duration>,
    },
}

impl Effect {
    /// Whether the effect promises something that a crash must not take back: it may leave the
    /// process only after a [`sync`](crate::Replica::sync) that came after its step.
    #[must_use]
    pub const fn waits_for_sync(&self) -> bool {
        match self {
            Self::Broadcast(_) | Self::Committed { .. } | Self::Finished { .. } | Self::Notify(_) => true,
            Self::Fetch { .. } | Self::Refused { .. } | Self::SetTimer { .. } => false,
        }
    }
}

/// What came of something that was asked for, other than a commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Blocks were imported.
    Imported {
        /// How many of them are merged now, or were before.
        merged: u64,
        /// How many of them wait for ancestors.
        pending: u64,
        /// How many did not hash to what they were said to be.
        wrong: u64,
        /// What was not taken, in its order: blocks that break a rule and that nothing good is known to build
        /// upon (offer them again after the rest of the file), and those whose bytes are wrong.
        left: Vec<Cid>,
    },
    /// A DAG was purged.
    Purged {
        /// Blocks of which stubs are left.
        blocks: u64,
        /// Keys that they named, each derived anew from the other blocks.
        keys: u64,
    },
    /// The store was verified.
    Verified {
        /// Merged blocks that were checked.
        blocks: u64,
        /// Keys that were checked.
        keys: u64,
        /// What was wrong; 0 when all is as it should be.
        faults: u64,
    },
    /// All derived rows were made anew.
    Rebuilt {
        /// Blocks that are merged.
        blocks: u64,
        /// Blocks whose bytes were damaged. They were removed, and are fetched again.
        damaged: u64,
        /// Blocks that must be fetched, or wait for such.
        owed: u64,
    },
    /// A block was given up.
    Abandoned {
        /// The block.
        cid: Cid,
    },
}

/// Why something was refused. Nothing has changed. Unless the replica was behind or busy, the same would be
/// refused again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// A key is longer than [`KEY_BYTES_MAX`](crate::limits::KEY_BYTES_MAX).
    KeyTooLong {
        /// The key.
        key: Key,
    },
    /// A key is no UTF-8: the wire format has no place for it.
    KeyNotUtf8 {
        /// The key.
        key: Key,
    },
    /// The write alone would make a block over [`BLOCK_BYTES_WRITTEN_MAX`](crate::limits::BLOCK_BYTES_WRITTEN_MAX).
    WriteTooLarge {
        /// The key.
        key: Key,
        /// The bytes of the block that it would make.
        block_bytes: usize,
    },
    /// The DAG's name is longer than [`DAG_NAME_BYTES_MAX`](crate::limits::DAG_NAME_BYTES_MAX).
    DagNameTooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The embedder's [`Validator`](crate::Validator) voids the block that the batch, or a part of it, would make.
    ByValidator,
    /// The replica is behind, and its settings say that it must not be written to then; or too many commits
    /// wait for it to catch up.
    Behind {
        /// Blocks that are known to be missing or not merged yet.
        obligations: u64,
    },
    /// A task is running, and there is one at a time.
    Busy,
    /// The store is being rebuilt: until then nothing can be written.
    Rebuilding,
    /// Only a block that is owed and whose bytes are not here can be abandoned.
    NotMissing {
        /// The block.
        cid: Cid,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use crate::limits::{BLOCK_BYTES_WRITTEN_MAX, DAG_NAME_BYTES_MAX, KEY_BYTES_MAX};
        match self {
            Self::KeyTooLong { key } => {
                write!(
                    f,
                    "key of {} bytes: at most {KEY_BYTES_MAX} are allowed; use a shorter key",
                    key.as_bytes().len()
                )
            }
            Self::KeyNotUtf8 { key } => {
                write!(f, "key {key} is not UTF-8, which the wire format asks for; encode it, in hex say")
            }
            Self::WriteTooLarge { key, block_bytes } => write!(
                f,
                "writing {key} would make a block of {block_bytes} bytes, and peers carry at most {BLOCK_BYTES_WRITTEN_MAX}; \
                 cut the value into several keys"
            ),
            Self::ByValidator => {
                f.write_str("the validator of this network refuses the write: all replicas would count it as void")
            }
            Self::Behind { obligations } => write!(
                f,
                "{obligations} blocks of others are known and not merged yet, and the settings forbid writing before they are; \
                 wait until the replica has caught up"
            ),
            Self::Busy => f.write_str("another task (purge, verify or rebuild) is running; wait until it has finished"),
            Self::Rebuilding => f.write_str("the store is being rebuilt from its blocks; wait until that has finished"),
            Self::NotMissing { cid } => {
                write!(
                    f,
                    "block {cid} is not missing: only a block that others wait for, and that is not here, can be abandoned"
                )
            }
            Self::DagNameTooLong { bytes } => {
                write!(f, "DAG name of {bytes} bytes: at most {DAG_NAME_BYTES_MAX} are allowed; use a shorter name")
            }
        }
    }
}

/// Something that a program or a test may want to know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A block was merged, a local one too. A rebuild tells none of what it merges, not even of what it is the first to merge: it tells
    /// its end, and the change feed begins a new epoch.
    Merged {
        /// The block.
        cid: Cid,
        /// 1 + the greatest height of its parents.
        height: u64,
        /// Its DAG; empty for a void block.
        dag: DagName,
        /// Whether it breaks a rule and so counts for nothing but ancestry.
        void: bool,
    },
    /// The value that a reader sees for a key has changed: told once a key and commit of the store, with the net
    /// change, also when a delete lets another version take over, and never when the value is the same as before.
    /// Only with [`Config::report_changes`](crate::Config::report_changes).
    ///
    /// ```
    /// use anabranch_core::{Batch, Config, Effect, Event, Input, Key, Replica, Token, store::MemoryStore};
    ///
    /// # fn main() -> Result<(), anabranch_core::Error> {
    /// let config = Config { report_changes: true, ..Config::default() };
    /// let mut replica = Replica::open(MemoryStore::new(), config, &mut Vec::new())?;
    /// let mut out = Vec::new();
    /// for batch in [Batch::new().put("/k", "a"), Batch::new().put("/k", "a"), Batch::new().delete("/k")] {
    ///     let _ = replica.step(Input::Commit { token: Token(1), batch }, &mut out)?;
    /// }
    /// let changes: Vec<Event> = out
    ///     .into_iter()
    ///     .filter_map(|effect| match effect {
    ///         Effect::Notify(event @ Event::Changed { .. }) => Some(event),
    ///         _ => None,
    ///     })
    ///     .collect();
    /// // The second put changes nothing that can be seen.
    /// assert_eq!(changes, [
    ///     Event::Changed { key: Key::new("/k"), old: None, new: Some("a".into()) },
    ///     Event::Changed { key: Key::new("/k"), old: Some("a".into()), new: None },
    /// ]);
    /// # Ok(())
    /// # }
    /// ```
    Changed {
        /// The key.
        key: Key,
        /// The value before; `None` when there was none.
        old: Option<Bytes>,
        /// The value now; `None` when there is none any more.
        new: Option<Bytes>,
    },
    /// A peer answered with bytes that do not hash to the CID. They were thrown away.
    WrongBytes {
        /// Who sent them.
        from: Peer,
        /// What they were said to be.
        cid: Cid,
    },
    /// A peer announced what is no announcement, or heads that are no CIDs of blocks. What was good
    /// in the message was taken.
    BadBroadcast {
        /// Who sent it.
        from: Peer,
        /// How many of its heads were bad; 0 when the whole message did not decode.
        heads: usize,
    },
    /// A rumour's bytes came and break a rule; nothing good is known to build upon it, so it is left alone.
    VoidRumour {
        /// The block.
        cid: Cid,
    },
    /// No peer that announced the block serves it. A rumour waits for the next announcement; an
    /// obligation is asked for again after a pause.
    Parked {
        /// The block.
        cid: Cid,
        /// Whether merged state depends on it.
        obligation: bool,
    },
    /// Verifying the store has found something wrong. It is mended by [`Input::Rebuild`](crate::Input::Rebuild).
    Damage(crate::Damage),
}
