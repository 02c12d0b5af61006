//! What came of a run.
//!
//! A report holds simulated facts only, but for [`RunReport::wall`]: two runs of one scenario with
//! one seed give equal reports but for that field. Times are nanoseconds of simulated time from the start
//! of the run.

use crate::{
    oracles::Oracle,
    scenario::{FaultKind, Suspension},
    system::Summary,
};
use anabranch_core::Cid;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, time::Duration};

/// What came of one run.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// How it ended.
    pub verdict: Verdict,
    /// Whether it ended as the scenario expects, the pinned trace included.
    pub as_expected: bool,
    /// sha2-256 over all events in their order, in hex.
    pub trace: String,
    /// Events of the loop.
    pub events: u64,
    /// Simulated time, in nanoseconds.
    pub simulated_ns: u64,
    /// Simulated time from the end of the faults until all had converged, in nanoseconds; `None` when they did not.
    pub converged_after_ns: Option<u64>,
    /// How long the run took for real. Differs from run to run, and nothing depends on it.
    #[serde(rename = "wall_seconds", serialize_with = "as_seconds")]
    pub wall: Duration,
    /// The replicas' names, in the order of all that is given per replica.
    pub replicas: Vec<String>,
    /// Faults by kind. Kinds that the scenario does not ask for are left out.
    pub faults: BTreeMap<FaultKind, FaultCount>,
    /// Messages by kind.
    pub messages: BTreeMap<MessageKind, MessageCount>,
    /// Operations by kind.
    pub operations: BTreeMap<OperationKind, OperationCount>,
    /// The state at the end, at the replica that has the most. In JSON its fields stand among those of the report.
    #[serde(flatten)]
    pub summary: Summary,
    /// Oracles that were suspended.
    pub suspended: Vec<Suspension>,
    /// How often each oracle was asked.
    pub checks: BTreeMap<Oracle, u64>,
    /// The marks of the code under test, and whether each was reached.
    pub marks: BTreeMap<&'static str, bool>,
    /// What happened that a reader wants to know of, in order: faults that begin and end, replicas that come and go, convergence.
    pub timeline: Vec<Moment>,
    /// How far each replica was, at even intervals: enough to draw a picture.
    pub samples: Vec<Sample>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Verdict {
    /// Every oracle is content, all replicas converged, and every fault took effect.
    Passed,
    /// An oracle objects.
    BrokenInvariant {
        /// Which.
        oracle: Oracle,
        /// The replica that it objects to; `None` when it is about several.
        replica: Option<String>,
        /// What it found, in one line.
        message: String,
        /// When it found it.
        at_ns: u64,
    },
    /// Replicas differ, and nothing has been merged for longer than the budget.
    NotConverged {
        /// When something was merged last.
        last_progress_ns: u64,
        /// The budget.
        budget_ns: u64,
        /// What differs, in one line.
        message: String,
    },
    /// Faults that the scenario asks for never took effect: it tests less than it says.
    InertFaults {
        /// Their kinds.
        kinds: Vec<FaultKind>,
    },
    /// The core or its store failed where nothing was made to fail, or replicas provoke each other without end.
    ReplicaFailed {
        /// Which.
        replica: String,
        /// The error.
        message: String,
        /// When.
        at_ns: u64,
    },
}

impl Verdict {
    /// Its name in reports and scenario files.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::BrokenInvariant { .. } => "broken-invariant",
            Self::NotConverged { .. } => "not-converged",
            Self::InertFaults { .. } => "inert-faults",
            Self::ReplicaFailed { .. } => "replica-failed",
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_passed(&self) -> bool {
        matches!(self, Self::Passed)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::BrokenInvariant { oracle, replica, message, at_ns } => {
                let replica = replica.as_deref().unwrap_or("the cluster");
                write!(f, "broken invariant: {oracle} at {replica} after {}: {message}", Seconds(*at_ns))
            }
            Self::NotConverged { last_progress_ns, budget_ns, message } => write!(
                f,
                "no convergence: nothing merged for {} after {}: {message}",
                Seconds(*budget_ns),
                Seconds(*last_progress_ns)
            ),
            Self::InertFaults { kinds } => {
                f.write_str("inert faults: asked for, but without effect:")?;
                kinds.iter().try_for_each(|kind| write!(f, " {kind}"))
            }
            Self::ReplicaFailed { replica, message, at_ns } => {
                write!(f, "replica failed: {replica} after {}: {message}", Seconds(*at_ns))
            }
        }
    }
}

/// Simulated nanoseconds, shown as seconds with three digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} s", self.0 / 1_000_000_000, self.0 / 1_000_000 % 1_000)
    }
}

/// How often a kind of fault was asked for, and how often it changed something. What counts as a change is said at each [`FaultKind`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultCount {
    /// How often it was asked for.
    pub requested: u64,
    /// How often it took effect.
    pub effective: u64,
}

impl std::ops::AddAssign for FaultCount {
    fn add_assign(&mut self, other: Self) {
        self.requested += other.requested;
        self.effective += other.effective;
    }
}

/// The kinds of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MessageKind {
    /// An announcement of heads, one message a receiver.
    Broadcast,
    /// A request for a block.
    Request,
    /// A block.
    Block,
    /// The answer of a peer that does not have the block.
    NotFound,
    /// A message of a system that is not ours.
    Other,
}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Broadcast => "broadcast",
            Self::Request => "request",
            Self::Block => "block",
            Self::NotFound => "not-found",
            Self::Other => "other",
        })
    }
}

/// What became of the messages of one kind. A message may count for several fates: duplicated and delivered, say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MessageCount {
    /// Sent.
    pub sent: u64,
    /// Delivered, second copies included.
    pub delivered: u64,
    /// Lost on the way by chance.
    pub dropped: u64,
    /// Copied on the way.
    pub duplicated: u64,
    /// Held back so that others might overtake it.
    pub delayed: u64,
    /// Changed on the way.
    pub corrupted: u64,
    /// Stopped by a partition and lost.
    pub cut: u64,
    /// Stopped by a partition and delivered when it healed.
    pub held: u64,
    /// Lost because the receiver was down or had left.
    pub unreachable: u64,
}

/// The kinds of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    /// One key gets a value.
    Put,
    /// One key is deleted.
    Delete,
    /// Several writes in one commit.
    Batch,
    /// One key is read.
    Get,
}

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Put => "put",
            Self::Delete => "delete",
            Self::Batch => "batch",
            Self::Get => "get",
        })
    }
}

/// What became of the operations of one kind. Each counts once beside `requested`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OperationCount {
    /// Asked for.
    pub requested: u64,
    /// Acknowledged, or answered.
    pub done: u64,
    /// Refused by the core.
    pub refused: u64,
    /// Not tried, because the replica was down.
    pub unavailable: u64,
    /// Begun, and neither acknowledged nor refused before the replica crashed or the run ended.
    pub unknown: u64,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// When.
    pub at_ns: u64,
    /// What, in a few words: `"r1 crashes"`, `"west | east part"`, `"converged"`.
    pub what: String,
    /// Which kind of moment.
    pub kind: MomentKind,
}

/// Kinds of moments, for pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MomentKind {
    /// A partition begins.
    Parted,
    /// A partition heals.
    Healed,
    /// A replica crashes.
    Crashed,
    /// A crashed replica is back.
    Restarted,
    /// A replica joins.
    Joined,
    /// A replica leaves.
    Left,
    /// A clock goes wrong or right.
    Clock,
    /// A disk begins to do harm, or ends.
    Disk,
    /// A hostile peer begins or falls silent.
    Hostile,
    /// The first phase ends: no more faults, no more operations.
    FaultsEnd,
    /// All replicas have equal heads and equal states.
    Converged,
    /// The run failed.
    Failed,
}

/// How far each replica was at one time, in the order of [`RunReport::replicas`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// When.
    pub at_ns: u64,
    /// One for each replica; `None` while it is down, has left or has not joined.
    pub replicas: Vec<Option<Progress>>,
}

/// How far a replica was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Blocks merged.
    pub merged: u64,
    /// Heads.
    pub heads: u64,
    /// Obligations: blocks that it knows it misses.
    pub behind: u64,
}

/// A CID as reports show it: its last ten characters.
#[must_use]
pub fn short(cid: &Cid) -> String {
    let text = cid.to_string();
    let start = text.len().saturating_sub(10);
    format!("…{}", &text[start..])
}

fn as_seconds<S: serde::Serializer>(wall: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(wall.as_secs_f64())
}
