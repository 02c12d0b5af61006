//! What a scenario leaves open and no message is concerned with: drawn from the seed, or listed.

use crate::{
    engine::{Cause, Key},
    scenario::Party,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// The kinds of choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// How long a timer takes, in nanoseconds, by a right clock.
    Timer,
    /// How long after a step the disk is synced, in nanoseconds.
    Sync,
    /// How many unsynced commits a crash leaves.
    Kept,
    /// Who is asked for a block when nobody in particular is to be: the number of a party.
    Peer,
    /// What a process draws: which key a hostile peer writes, say.
    Process,
    /// From what the harm is drawn that a crash does to a disk.
    Harm,
}

impl Choice {
    /// The name below the root key under which it is drawn.
    const fn stream(self) -> &'static str {
        match self {
            Self::Timer => "timers",
            Self::Sync => "syncs",
            Self::Kept => "crashes",
            Self::Peer => "peers",
            Self::Process => "processes",
            Self::Harm => "harm",
        }
    }

    /// Its place in the stream of its cause. Timers and crashes have their party in the cause.
    const fn place(self, party: Party, n: u64) -> u64 {
        match self {
            Self::Timer | Self::Kept | Self::Harm => 0,
            Self::Sync | Self::Peer | Self::Process => n << 16 | party.0 as u64,
        }
    }

    /// All kinds.
    pub const ALL: [Self; 6] = [Self::Timer, Self::Sync, Self::Kept, Self::Peer, Self::Process, Self::Harm];
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Timer => "timer",
            Self::Sync => "sync",
            Self::Kept => "kept",
            Self::Peer => "peer",
            Self::Process => "process",
            Self::Harm => "harm",
        })
    }
}

/// A choice by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChoiceKey {
    /// Which kind.
    pub choice: Choice,
    /// Who it is made for.
    pub party: Party,
    /// What it goes back to.
    pub cause: Cause,
    /// Which of several of that kind, party and cause.
    pub n: u64,
}

/// All choices of a run.
#[derive(Clone, Debug)]
pub(crate) enum Choices {
    /// Drawn from the seed.
    Drawn(BTreeMap<Choice, Key>),
    /// Listed. What is not listed is the least that is possible.
    Listed(Arc<BTreeMap<ChoiceKey, u64>>),
}

impl Choices {
    pub(crate) fn drawn(root: &Key) -> Self {
        Self::Drawn(Choice::ALL.map(|choice| (choice, root.fork(choice.stream()))).into())
    }

    /// A number from `least` to `most`, both included.
    pub(crate) fn between(&self, key: &ChoiceKey, least: u64, most: u64) -> u64 {
        match self {
            Self::Drawn(keys) => {
                let ChoiceKey { choice, party, cause, n } = *key;
                keys.get(&choice)
                    .map_or(least, |stream| stream.at(cause.number(), choice.place(party, n)).between(least, most))
            }
            Self::Listed(list) => list.get(key).map_or(least, |value| (*value).clamp(least, most)),
        }
    }

    /// One of these parties; `None` when there is none.
    pub(crate) fn among(&self, key: &ChoiceKey, parties: &[Party]) -> Option<Party> {
        match self {
            Self::Drawn(_) if parties.is_empty() => None,
            Self::Drawn(_) => parties.get(self.between(key, 0, parties.len() as u64 - 1) as usize).copied(),
            Self::Listed(list) => {
                let listed = list.get(key).and_then(|value| u16::try_from(*value).ok()).map(Party);
                listed.filter(|party| parties.contains(party)).or_else(|| parties.first().copied())
            }
        }
    }
}
