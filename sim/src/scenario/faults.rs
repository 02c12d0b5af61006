//! What goes wrong.

use super::FaultKind;
use crate::oracles::Oracle;
use serde::{Deserialize, Serialize};
use std::time::Duration;

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
    /// A replica goes, unannounced, with its disk.
    Leave(Leave),
    /// A replica's clock is wrong.
    Skew(Skew),
    /// Links take messages and do not carry them.
    Clog(Clog),
    /// The network is worse for a while.
    Burst(Burst),
    /// A replica stands still, and goes on.
    Pause(Pause),
    /// A replica's clock jumps.
    Jump(Jump),
    /// A disk does harm.
    Disk(DiskHarm),
    /// The power of a disk goes at a given write.
    PowerCut(PowerCut),
    /// An operator asks a replica for something. No fault, but a thing that happens at a time.
    Operator(Operator),
}

impl Fault {
    /// The order of faults at one time: that of the tables in a scenario file.
    #[must_use]
    pub const fn order(&self) -> u8 {
        match self {
            Self::Partition(_) => 0,
            Self::Crash(_) => 1,
            Self::Join { .. } => 2,
            Self::Leave(_) => 3,
            Self::Skew(_) => 4,
            Self::Clog(_) => 5,
            Self::Burst(_) => 6,
            Self::Pause(_) => 7,
            Self::Jump(_) => 8,
            Self::Disk(_) => 9,
            Self::PowerCut(_) => 10,
            Self::Operator(_) => 11,
        }
    }

    /// Under which kind it is counted.
    #[must_use]
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::Partition(Partition { flap: Some(_), .. }) => FaultKind::FlappingPartition,
            Self::Partition(Partition { ring: true, .. }) => FaultKind::RingPartition,
            Self::Partition(Partition { one_way: Some(_), .. }) => FaultKind::OneWayPartition,
            Self::Partition(_) => FaultKind::Partition,
            Self::Crash(Crash { disk: DiskFate::Wiped, .. }) => FaultKind::WipedDisk,
            Self::Crash(Crash { disk: DiskFate::RolledBack(_), .. }) => FaultKind::RolledBackDisk,
            Self::Crash(Crash { disk: DiskFate::Older, .. }) => FaultKind::OlderFormat,
            Self::Crash(_) => FaultKind::Crash,
            Self::Join { .. } => FaultKind::Join,
            Self::Leave(Leave { returns: Some(_), .. }) => FaultKind::Return,
            Self::Leave(_) => FaultKind::Leave,
            Self::Skew(_) => FaultKind::Skew,
            Self::Clog(_) => FaultKind::Clog,
            Self::Burst(_) => FaultKind::Burst,
            Self::Pause(_) => FaultKind::Pause,
            Self::Jump(_) => FaultKind::ClockJump,
            Self::Disk(harm) => harm.harm.kind(),
            Self::PowerCut(_) => FaultKind::PowerCut,
            Self::Operator(operator) => operator.act.kind(),
        }
    }
}

impl TimedFault {
    /// The oracles whose promise the fault breaks by its nature, for whom, and until when.
    #[must_use]
    pub fn suspends(&self) -> Option<Vec<Suspension>> {
        /// Until the replica is back on a new disk.
        const REPLACED: Duration = Duration::from_secs(5);
        let durable = [Oracle::AcknowledgedWrites, Oracle::KnownBlocks].as_slice();
        let sessions = [Oracle::ReadYourWrites, Oracle::MonotonicReads, Oracle::WritesFollowReads].as_slice();
        let (oracles, replica, until, why) = match &self.fault {
            Fault::Crash(Crash { replica, down, disk: DiskFate::Wiped }) => {
                (durable, *replica, Some(self.at + *down), "its disk is wiped")
            }
            Fault::Crash(Crash { replica, down, disk: DiskFate::RolledBack(_) }) => {
                (durable, *replica, Some(self.at + *down), "its disk is set back")
            }
            Fault::Disk(DiskHarm { replica, harm, until }) => {
                (Oracle::OF_ONE, *replica, Some(*until + REPLACED), harm.breaks()?)
            }
            Fault::Operator(Operator { replica, act: OperatorAct::Purge(_) }) => {
                (sessions, *replica, None, "what its programs wrote and read is purged")
            }
            _ => return None,
        };
        let of = |oracle: &Oracle| Suspension {
            oracle: *oracle,
            replicas: vec![replica],
            from: self.at,
            until,
            why: String::from(why),
        };
        Some(oracles.iter().map(of).collect())
    }
}

/// Groups that cannot reach each other. Who is in no group reaches everyone and is reached by everyone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The groups, in order of their names. Of a [`ring`](Self::ring) there is one, which names its members in their order.
    pub groups: Vec<Group>,
    /// Each member of the one group reaches its two neighbours only.
    pub ring: bool,
    /// How the groups are to be drawn for each seed; `None` where they are given, as in every [`Plan`](crate::plan::Plan).
    pub shape: Option<Shape>,
    /// It comes and goes: it holds for this long, then not for as long, and so on.
    pub flap: Option<Duration>,
    /// Only messages from the first of these groups (by index) to the second are stopped.
    pub one_way: Option<(usize, usize)>,
    /// What becomes of the messages that are stopped.
    pub mode: PartitionMode,
    /// When it heals, from the start of the run; at the end of the first phase at the latest.
    pub until: Duration,
}

/// How a partition is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Each party is on one side or the other.
    Random,
    /// A minority is cut off from the rest.
    Majority,
    /// Two halves that reach each other only through one party between them.
    Bridge,
    /// Each reaches two neighbours only.
    Ring,
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
    /// It is as it was at that time, from the start of the run: a backup was restored.
    RolledBack(Duration),
    /// What was synced survives, in the format of the release before: as if that one had run until now, and this one were installed
    /// while the replica is down.
    Older,
}

impl DiskFate {
    /// Whether what was durable is gone.
    #[must_use]
    pub const fn is_loss(self) -> bool {
        matches!(self, Self::Wiped | Self::RolledBack(_))
    }
}

/// A replica that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leave {
    /// Who.
    pub replica: Party,
    /// Whether it syncs before it goes. Otherwise it loses what a crash loses.
    pub clean: bool,
    /// When it is back, with the disk that it left with; never when `None`.
    pub returns: Option<Duration>,
}

/// Links that take messages and do not carry them: they arrive when it ends, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clog {
    /// Senders; everyone when empty.
    pub from: Vec<Party>,
    /// Receivers; everyone when empty.
    pub to: Vec<Party>,
    /// When it ends, from the start of the run.
    pub until: Duration,
}

/// A time in which the network is worse.
#[derive(Clone, Debug, PartialEq)]
pub struct Burst {
    /// Senders; everyone when empty.
    pub from: Vec<Party>,
    /// Receivers; everyone when empty.
    pub to: Vec<Party>,
    /// When it ends, from the start of the run.
    pub until: Duration,
    /// The probability that a message is lost, where the link's own is less.
    pub drop: f64,
    /// The probability that a message is corrupted, where the link's own is less.
    pub corrupt: f64,
    /// What is added to every latency.
    pub delay: Duration,
}

/// A replica that stands still: what happens to it meanwhile happens when it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Who.
    pub replica: Party,
    /// When it goes on, from the start of the run.
    pub until: Duration,
}

/// A clock that jumps, for good: timers that are set run out earlier when it jumps forward, later when it jumps back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// Whose.
    pub replica: Party,
    /// How far.
    pub by: Duration,
    /// Whether it jumps back.
    pub back: bool,
}

/// The power of a disk goes before the engine's write of this number, counted from when the fault begins: the replica dies in the middle of a commit or a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerCut {
    /// Whose.
    pub replica: Party,
    /// Before which operation that changes the disk.
    pub write: u64,
}

/// A disk that does harm for a while. All but `Slow` need an engine over a simulated disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskHarm {
    /// Whose disk.
    pub replica: Party,
    /// What it does.
    pub harm: Harm,
    /// Until when, from the start of the run.
    pub until: Duration,
}

/// What a disk may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Harm {
    /// Bits of what is stored are flipped.
    BitRot,
    /// A write goes to another place.
    MisdirectedWrite,
    /// A read comes from another place.
    MisdirectedRead,
    /// Reads and writes fail.
    IoError,
    /// Nothing more fits.
    Full,
    /// A sync says that it is done, and is not.
    LyingSync,
    /// Every sync takes a hundred times as long.
    Slow,
}

impl Harm {
    /// Under which kind it is counted.
    #[must_use]
    pub const fn kind(self) -> FaultKind {
        match self {
            Self::BitRot => FaultKind::BitRot,
            Self::MisdirectedWrite => FaultKind::MisdirectedWrite,
            Self::MisdirectedRead => FaultKind::MisdirectedRead,
            Self::IoError => FaultKind::IoError,
            Self::Full => FaultKind::FullDisk,
            Self::LyingSync => FaultKind::LyingSync,
            Self::Slow => FaultKind::SlowDisk,
        }
    }

    /// Whether only a simulated disk can do it: the engine in memory can but be slow.
    #[must_use]
    pub const fn needs_a_disk(self) -> bool {
        !matches!(self, Self::Slow)
    }

    /// Why nothing can be promised of a replica on such a disk but that it harms nobody else; `None` where everything is.
    #[must_use]
    pub const fn breaks(self) -> Option<&'static str> {
        match self {
            Self::BitRot => Some("bits rot on its disk; it is replaced"),
            Self::MisdirectedWrite => Some("writes go astray on its disk; it is replaced"),
            Self::LyingSync => Some("its disk lies about syncs; it is replaced"),
            Self::MisdirectedRead => Some("reads go astray on its disk; it is replaced"),
            Self::IoError | Self::Full | Self::Slow => None,
        }
    }
}

/// What an operator asks of a replica, again and again until it is done: after a crash, and while something else runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Of which one.
    pub replica: Party,
    /// For what.
    pub act: OperatorAct,
}

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorAct {
    /// What is merged of the DAG of this name is purged.
    Purge(String),
    /// Everything is verified.
    Verify,
    /// All indexes are made anew from the blocks.
    Rebuild,
    /// From now on, each block is given up that the replica owes and that nobody serves: a hostile peer withholds it, or all who had it have purged it.
    Abandon,
    /// From now on, each block is imported that a hostile peer withholds and that the replica owes or has given up.
    Recover,
    /// All blocks are imported that another replica has: the one that has merged the most.
    Import,
}

impl OperatorAct {
    /// Under which kind it is counted.
    #[must_use]
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::Purge(_) => FaultKind::Purge,
            Self::Verify => FaultKind::Verify,
            Self::Rebuild => FaultKind::Rebuild,
            Self::Abandon => FaultKind::Abandon,
            Self::Recover => FaultKind::Recover,
            Self::Import => FaultKind::Import,
        }
    }
}

/// A wrong clock: what it shows is off, and the durations of the replica's timers are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Skew {
    /// Whose clock.
    pub replica: Party,
    /// How fast it goes: 2 makes every timer run out in half of its time, 0.5 in twice its time. From 0.01 to 100.
    pub speed: f64,
    /// How much it shows too little; added to every timer, too.
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
    /// Announces and serves a block that does not decode, upon an honest one, with a good block upon it and a good one beside it.
    BadBlocks,
    /// Announces and serves blocks of DAGs named `a/b`, `.`, `..`, `../h` and `/x`.
    OddDags,
    /// Announces and serves blocks that come from nowhere, and tombstones of what honest replicas wrote.
    Strangers,
    /// Announces honest heads, and answers who asks for them with another valid block, an old one, or garbage.
    WrongBlocks,
    /// Announces and serves a block of the DAG `withheld` upon a parent that it never serves, nor anyone else.
    Withheld,
    /// Behaves as go-ds-crdt does: takes blocks newest first, adopts heads early, deletes in the middle of a walk. Stands alone.
    GoLike,
}

impl HostileAct {
    /// All acts.
    pub const ALL: [Self; 10] = [
        Self::ForgedPriority,
        Self::OddKeys,
        Self::ForeignLinks,
        Self::EndlessHeads,
        Self::BadBlocks,
        Self::OddDags,
        Self::Strangers,
        Self::WrongBlocks,
        Self::Withheld,
        Self::GoLike,
    ];

    /// Under which kind it is counted.
    #[must_use]
    pub const fn kind(self) -> FaultKind {
        match self {
            Self::ForgedPriority => FaultKind::ForgedPriority,
            Self::OddKeys => FaultKind::OddKeys,
            Self::ForeignLinks => FaultKind::ForeignLinks,
            Self::EndlessHeads => FaultKind::EndlessHeads,
            Self::BadBlocks => FaultKind::BadBlocks,
            Self::OddDags => FaultKind::OddDags,
            Self::Strangers => FaultKind::Strangers,
            Self::WrongBlocks => FaultKind::WrongBlocks,
            Self::Withheld => FaultKind::Withheld,
            Self::GoLike => FaultKind::GoLike,
        }
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
