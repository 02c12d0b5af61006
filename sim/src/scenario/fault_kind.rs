//! The kinds of faults, and what it takes for each to have taken effect.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The kinds of faults, as they are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// A message was lost. Effective when its receiver was there.
    Drop,
    /// A message came twice. Effective when the second copy was delivered.
    Duplicate,
    /// A message was held back. Effective when one that was sent later over the same link overtook it.
    Reorder,
    /// A bit was flipped. Effective when the core refused the bytes, or read something else in them.
    Corrupt,
    /// Groups were parted. Effective when a message was stopped.
    Partition,
    /// One group's messages to another were stopped. Effective when there was one.
    OneWayPartition,
    /// A replica died. Effective when it lost unsynced writes, fetches in flight, effects that waited for a
    /// sync, or messages while it was down.
    Crash,
    /// A replica died and lost its disk. Effective when there was something on it.
    WipedDisk,
    /// A replica joined. Effective when it merged a block that another made.
    Join,
    /// A replica left. Effective when someone sent it a message afterwards.
    Leave,
    /// A clock was wrong. Effective when a timer ran out at another time for it.
    Skew,
    /// A hostile peer forged a priority. Effective when an honest replica merged the block.
    ForgedPriority,
    /// A hostile peer wrote odd keys. Effective when an honest replica merged the block.
    OddKeys,
    /// A hostile peer linked a foreign CID. Effective when an honest replica found the block void.
    ForeignLinks,
    /// A hostile peer announced heads that nobody serves. Effective when an honest replica asked for one.
    EndlessHeads,
    /// A hostile peer made a block that does not decode. Effective when an honest replica found it void.
    BadBlocks,
    /// A hostile peer wrote to DAGs with odd names. Effective when an honest replica merged a block of one.
    OddDags,
    /// A stranger wrote, and removed what others wrote. Effective when an honest replica merged the block.
    Strangers,
    /// A hostile peer answered with another block than it was asked for. Effective when an honest replica refused it.
    WrongBlocks,
    /// A peer behaved as go-ds-crdt does. Effective when an honest replica merged a block of it.
    GoLike,
    /// A message was cut short. Effective when the core refused the bytes, or read something else in them.
    Truncate,
    /// A message went to another party than it was sent to. Effective when that one took it.
    Misdeliver,
    /// An old message came again, much later. Effective when it was delivered.
    Replay,
    /// A link carried so much a second only. Effective when a message waited for another.
    Bandwidth,
    /// A link had room for so many messages only. Effective when one was lost for want of it.
    QueueLimit,
    /// Everyone reached two neighbours only. Effective when a message was stopped.
    RingPartition,
    /// A partition came and went. Effective when a message was stopped.
    FlappingPartition,
    /// Links took messages and did not carry them. Effective when one was held.
    Clog,
    /// The network was worse for a while. Effective when a message was sent in it.
    Burst,
    /// A replica stood still. Effective when something waited for it to go on.
    Pause,
    /// A replica left, and came back with its old disk. Effective when it merged afterwards what it had missed.
    Return,
    /// A replica died, and a backup of its disk was restored. Effective when the disk was another one.
    RolledBackDisk,
    /// A replica died, and found its disk in the format of the release before. Effective when there was something on it to be upgraded.
    OlderFormat,
    /// A clock jumped. Effective when a timer was set.
    ClockJump,
    /// Bits on a disk were flipped. Effective when rotten bytes were read.
    BitRot,
    /// A write went to another place. Effective when there was one.
    MisdirectedWrite,
    /// A read came from another place. Effective when it gave other bytes.
    MisdirectedRead,
    /// A disk refused to read or write. Effective when it did.
    IoError,
    /// A disk was full. Effective when it refused a write for it.
    FullDisk,
    /// A sync was said to be done, and was not. Effective when a crash took what it should have kept.
    LyingSync,
    /// A disk was slow. Effective when a sync took longer for it.
    SlowDisk,
    /// The power of a disk went in the middle of something. Effective when there was such a write.
    PowerCut,
    /// A crash tore, lost and reordered writes that were not synced. Effective when a write was among them.
    TornWrites,
    /// A hostile peer built upon a block that nobody serves. Effective when an honest replica merged what it built, without that block.
    Withheld,
    /// A DAG was purged. Effective when stubs are left of its blocks.
    Purge,
    /// A replica was verified. Effective when that came to its end.
    Verify,
    /// A replica was rebuilt. Effective when that came to its end.
    Rebuild,
    /// A block was given up. Effective when one was.
    Abandon,
    /// A block turned up that hostile peers had withheld. Effective when importing it was news.
    Recover,
    /// Blocks were imported. Effective when some were new.
    Import,
    /// A write was asked for while its replica was behind. Effective when it waited until all that was known to be missing was merged.
    LateWrite,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Drop => "drop",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::Corrupt => "corrupt",
            Self::Partition => "partition",
            Self::OneWayPartition => "one-way-partition",
            Self::Crash => "crash",
            Self::WipedDisk => "wiped-disk",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Skew => "skew",
            Self::ForgedPriority => "forged-priority",
            Self::OddKeys => "odd-keys",
            Self::ForeignLinks => "foreign-links",
            Self::EndlessHeads => "endless-heads",
            Self::BadBlocks => "bad-blocks",
            Self::OddDags => "odd-dags",
            Self::Strangers => "strangers",
            Self::WrongBlocks => "wrong-blocks",
            Self::GoLike => "go-like",
            Self::Truncate => "truncate",
            Self::Misdeliver => "misdeliver",
            Self::Replay => "replay",
            Self::Bandwidth => "bandwidth",
            Self::QueueLimit => "queue-limit",
            Self::RingPartition => "ring-partition",
            Self::FlappingPartition => "flapping-partition",
            Self::Clog => "clog",
            Self::Burst => "burst",
            Self::Pause => "pause",
            Self::Return => "return",
            Self::RolledBackDisk => "rolled-back-disk",
            Self::OlderFormat => "older-format",
            Self::ClockJump => "clock-jump",
            Self::BitRot => "bit-rot",
            Self::MisdirectedWrite => "misdirected-write",
            Self::MisdirectedRead => "misdirected-read",
            Self::IoError => "io-error",
            Self::FullDisk => "full-disk",
            Self::LyingSync => "lying-sync",
            Self::SlowDisk => "slow-disk",
            Self::PowerCut => "power-cut",
            Self::TornWrites => "torn-writes",
            Self::Withheld => "withheld",
            Self::Purge => "purge",
            Self::Verify => "verify",
            Self::Rebuild => "rebuild",
            Self::Abandon => "abandon",
            Self::Recover => "recover",
            Self::Import => "import",
            Self::LateWrite => "late-write",
        })
    }
}
