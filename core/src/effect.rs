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
    },
    /// The commit is refused, and nothing has changed.
    Refused {
        /// Which commit.
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
            Self::Broadcast(_) | Self::Committed { .. } | Self::Notify(_) => true,
            Self::Fetch { .. } | Self::Refused { .. } | Self::SetTimer { .. } => false,
        }
    }
}

/// Why a commit was refused. Nothing has changed, and the same commit would be refused again.
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
            Self::DagNameTooLong { bytes } => {
                write!(f, "DAG name of {bytes} bytes: at most {DAG_NAME_BYTES_MAX} are allowed; use a shorter name")
            }
        }
    }
}

/// Something that a program or a test may want to know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A block was merged, a local one too.
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
}
