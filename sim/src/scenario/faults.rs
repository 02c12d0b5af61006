//! What goes wrong.

use crate::oracles::Oracle;
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// A replica or a hostile peer, by its number: replicas come first, in the order of the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Party(pub u16);

impl Party {
    /// The number as an index into [`Scenario::replicas`](super::Scenario::replicas).
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A fault at a given time.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedFault {
    /// When it begins, from the start of the run.
    pub at: Duration,
    /// What happens.
    pub fault: Fault,
}

/// A fault.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Groups of parties cannot reach each other.
    Partition(Partition),
    /// A replica dies, with all that is volatile and some of what is not synced.
    Crash(Crash),
    /// A replica with an empty disk comes. Which one, and when, is in its [`Replica`](super::Replica) too.
    Join {
        /// The replica.
        replica: Party,
    },
    /// A replica goes for good, unannounced, with its disk.
    Leave {
        /// The replica.
        replica: Party,
    },
    /// A replica's clock is wrong.
    Skew(Skew),
}

impl Fault {
    /// The order of faults at one time: that of the tables in a scenario file.
    #[must_use]
    pub const fn order(&self) -> u8 {
        match self {
            Self::Partition(_) => 0,
            Self::Crash(_) => 1,
            Self::Join { .. } => 2,
            Self::Leave { .. } => 3,
            Self::Skew(_) => 4,
        }
    }

    /// Under which kind it is counted.
    #[must_use]
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::Partition(Partition { one_way: Some(_), .. }) => FaultKind::OneWayPartition,
            Self::Partition(_) => FaultKind::Partition,
            Self::Crash(Crash { disk: DiskFate::Wiped, .. }) => FaultKind::WipedDisk,
            Self::Crash(_) => FaultKind::Crash,
            Self::Join { .. } => FaultKind::Join,
            Self::Leave { .. } => FaultKind::Leave,
            Self::Skew(_) => FaultKind::Skew,
        }
    }
}

impl TimedFault {
    /// The oracles whose promise the fault breaks by its nature, for whom, and until when.
    #[must_use]
    pub fn suspends(&self) -> Option<Vec<Suspension>> {
        let Fault::Crash(Crash { replica, down, disk: DiskFate::Wiped }) = self.fault else { return None };
        let of = |oracle| Suspension {
            oracle,
            replicas: vec![replica],
            from: self.at,
            until: Some(self.at + down),
            why: String::from("its disk is wiped"),
        };
        Some(vec![of(Oracle::AcknowledgedWrites), of(Oracle::KnownBlocks)])
    }
}

/// Groups that cannot reach each other. Who is in no group reaches everyone and is reached by everyone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The groups, in order of their names.
    pub groups: Vec<Group>,
    /// Only messages from the first of these groups (by index) to the second are stopped.
    pub one_way: Option<(usize, usize)>,
    /// What becomes of the messages that are stopped.
    pub mode: PartitionMode,
    /// When it heals, from the start of the run; at the end of the first phase at the latest.
    pub until: Duration,
}

/// A named group of parties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Who is in it.
    pub members: Vec<Party>,
}

/// What becomes of the messages that a partition stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionMode {
    /// They are lost.
    #[default]
    Drop,
    /// They arrive when it heals.
    Hold,
}

/// A crash. Commits up to the last sync survive, and a drawn number of those after it, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Who dies.
    pub replica: Party,
    /// For how long it is down.
    pub down: Duration,
    /// What becomes of its disk.
    pub disk: DiskFate,
}

/// What becomes of a disk in a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskFate {
    /// What was synced survives.
    #[default]
    Stays,
    /// It is empty afterwards.
    Wiped,
}

/// A wrong clock: the durations of the replica's timers are off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Skew {
    /// Whose clock.
    pub replica: Party,
    /// How fast it goes: 2 makes every timer run out in half of its time, 0.5 in twice its time. From 0.01 to 100.
    pub speed: f64,
    /// What is added to every timer.
    pub late: Duration,
    /// When it is right again, from the start of the run; at the end of the first phase at the latest.
    pub until: Duration,
}

/// Crashes at drawn times: one in each interval, of a replica that is drawn (or of each in turn).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Churn {
    /// The length of an interval.
    pub crash_every: Duration,
    /// How long a crashed replica is down, least and most.
    pub down: (Duration, Duration),
    /// Whether replicas crash in turn instead of at random.
    pub rolling: bool,
}

/// A peer that speaks the protocol and means harm. Acts are taken in turn, one a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hostile {
    /// Its name.
    pub name: String,
    /// What it does.
    pub acts: Vec<HostileAct>,
    /// The length of a round.
    pub every: Duration,
    /// When it begins, from the start of the run.
    pub from: Duration,
    /// When it falls silent and serves nothing any more; at the end of the first phase when `None`.
    pub until: Option<Duration>,
}

/// What a hostile peer does in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostileAct {
    /// Announces and serves a block that declares the priority 2^64 − 1.
    ForgedPriority,
    /// Announces and serves a block with keys and tombstone ids such as `/../../h/x`, `foo` and `//a//b`.
    OddKeys,
    /// Announces and serves a block with a link to a raw CID, and a good block upon it.
    ForeignLinks,
    /// Announces a hundred heads that nobody serves.
    EndlessHeads,
}

impl HostileAct {
    /// Under which kind it is counted.
    #[must_use]
    pub const fn kind(self) -> FaultKind {
        match self {
            Self::ForgedPriority => FaultKind::ForgedPriority,
            Self::OddKeys => FaultKind::OddKeys,
            Self::ForeignLinks => FaultKind::ForeignLinks,
            Self::EndlessHeads => FaultKind::EndlessHeads,
        }
    }
}

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
        })
    }
}

/// An oracle that is not asked: which, for whom, from when to when, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Suspension {
    /// The oracle.
    pub oracle: Oracle,
    /// For which replicas; all when empty.
    pub replicas: Vec<Party>,
    /// From when, from the start of the run.
    pub from: Duration,
    /// Until when; for the whole run when `None`.
    pub until: Option<Duration>,
    /// Why.
    pub why: String,
}
