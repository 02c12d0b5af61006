//! The oracles: who says that something is wrong. Each is a file of its own.
//!
//! An oracle is a function from what was seen to `Ok`, or to a line that says what is wrong. It shares no state with the
//! others and does not know how what it sees came about.

pub mod acknowledged;
pub mod ancestors;
pub mod bounds;
pub mod canonical;
pub mod changes;
pub mod convergence;
pub mod corrupt;
pub mod feed;
pub mod fold;
pub mod known;
mod observed;
pub mod sessions;
pub mod tips;

pub use observed::{Observed, facts, merged};

use crate::{
    engine::{Time, nanoseconds},
    scenario::{Party, Suspension},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// What an oracle finds: nothing, or what is wrong, in one line.
pub type Finding = Result<(), String>;

/// An oracle, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Oracle {
    /// Replicas that have merged the same blocks have equal heads and equal states.
    Convergence,
    /// A replica's state and heads are those of the naive fold over its merged blocks.
    StateIsFold,
    /// A replica's heads are its merged good blocks to which no merged block of their DAG links.
    HeadsAreTips,
    /// The ancestors of a merged block are merged.
    AncestorsMerged,
    /// What was acknowledged is there after a crash.
    AcknowledgedWrites,
    /// The bytes of a merged block hash to its CID, and are those that its author made.
    NoCorruptBlock,
    /// A block that was merged and synced stays merged.
    KnownBlocks,
    /// A program that reads what it has written sees it, or what came after.
    ReadYourWrites,
    /// A program that reads again sees what it saw, or what came after.
    MonotonicReads,
    /// What a program writes comes after what it has read.
    WritesFollowReads,
    /// Hooks are told of every visible change, once, and of nothing else.
    HooksMatchChanges,
    /// The feed tells who follows it all that was merged since his token, in its order, also after a restart.
    FeedTellsAll,
    /// What a replica owes it pursues.
    ObligationsPursued,
    /// A replica keeps to its limits.
    LimitsHold,
    /// What a replica writes is written as it should be.
    CanonicalBlocks,
}

impl Oracle {
    /// All oracles.
    pub const ALL: [Self; 15] = [
        Self::Convergence,
        Self::StateIsFold,
        Self::HeadsAreTips,
        Self::AncestorsMerged,
        Self::AcknowledgedWrites,
        Self::NoCorruptBlock,
        Self::KnownBlocks,
        Self::ReadYourWrites,
        Self::MonotonicReads,
        Self::WritesFollowReads,
        Self::HooksMatchChanges,
        Self::FeedTellsAll,
        Self::ObligationsPursued,
        Self::LimitsHold,
        Self::CanonicalBlocks,
    ];
}

impl Oracle {
    /// Those that judge one replica by what is on its disk: all but convergence.
    pub const OF_ONE: &'static [Self] = Self::ALL.split_at(1).1;
}

impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Convergence => "convergence",
            Self::StateIsFold => "state-is-fold",
            Self::HeadsAreTips => "heads-are-tips",
            Self::AncestorsMerged => "ancestors-merged",
            Self::AcknowledgedWrites => "acknowledged-writes",
            Self::NoCorruptBlock => "no-corrupt-block",
            Self::KnownBlocks => "known-blocks",
            Self::ReadYourWrites => "read-your-writes",
            Self::MonotonicReads => "monotonic-reads",
            Self::WritesFollowReads => "writes-follow-reads",
            Self::HooksMatchChanges => "hooks-match-changes",
            Self::FeedTellsAll => "feed-tells-all",
            Self::ObligationsPursued => "obligations-pursued",
            Self::LimitsHold => "limits-hold",
            Self::CanonicalBlocks => "canonical-blocks",
        })
    }
}

/// What an oracle objects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which oracle.
    pub oracle: Oracle,
    /// The replica; `None` when it is about several.
    pub replica: Option<Party>,
    /// What is wrong, in one line.
    pub message: String,
}

/// All oracles of a run: asks them, counts how often, and passes over those that are suspended.
#[derive(Clone, Debug)]
pub struct Panel {
    suspensions: Vec<Suspension>,
    checks: BTreeMap<Oracle, u64>,
}

impl Panel {
    /// With these suspensions.
    #[must_use]
    pub fn new(suspensions: Vec<Suspension>) -> Self {
        Self { suspensions, checks: Oracle::ALL.map(|oracle| (oracle, 0)).into() }
    }

    /// Asks an oracle, unless it is suspended.
    ///
    /// # Errors
    /// What it objects to.
    pub fn ask(
        &mut self,
        oracle: Oracle,
        replica: Option<Party>,
        now: Time,
        check: impl FnOnce() -> Finding,
    ) -> Result<(), Violation> {
        if self.is_suspended(oracle, replica, now) {
            return Ok(());
        }
        *self.checks.entry(oracle).or_default() += 1;
        check().map_err(|message| Violation { oracle, replica, message })
    }

    fn is_suspended(&self, oracle: Oracle, replica: Option<Party>, now: Time) -> bool {
        self.suspensions.iter().any(|suspension| {
            suspension.oracle == oracle
                && (suspension.replicas.is_empty()
                    || replica.is_some_and(|replica| suspension.replicas.contains(&replica)))
                && nanoseconds(suspension.from) <= now
                && suspension.until.is_none_or(|until| now <= nanoseconds(until))
        })
    }

    /// The suspensions, and how often each oracle was asked.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Suspension>, BTreeMap<Oracle, u64>) {
        (self.suspensions, self.checks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_suspended_oracle_is_not_asked() {
        let suspension = Suspension {
            oracle: Oracle::KnownBlocks,
            replicas: vec![Party(1)],
            from: Duration::from_secs(1),
            until: Some(Duration::from_secs(2)),
            why: String::from("its disk is wiped"),
        };
        let mut panel = Panel::new(vec![suspension]);
        let mut objects =
            |oracle, replica, now| panel.ask(oracle, Some(Party(replica)), now, || Err(String::from("wrong"))).is_err();
        assert!(!objects(Oracle::KnownBlocks, 1, 1_500_000_000));
        assert!(objects(Oracle::KnownBlocks, 0, 1_500_000_000), "another replica");
        assert!(objects(Oracle::KnownBlocks, 1, 500_000_000), "before");
        assert!(objects(Oracle::KnownBlocks, 1, 2_500_000_000), "after");
        assert!(objects(Oracle::AncestorsMerged, 1, 1_500_000_000), "another oracle");
        assert_eq!(panel.into_parts().1[&Oracle::KnownBlocks], 3);
    }
}
