//! What can be watched of a run: every event, with its time, who it happened to, and what caused it.
//!
//! Watching changes nothing: a run has the same trace hash watched and unwatched. Where nobody watches, no event is made.

use crate::{
    choices::Choice,
    engine::{Cause, Fate, MessageKey, Time},
    oracles::Oracle,
    outcome::{MomentKind, OperationKind},
    scenario::Party,
};
use anabranch_core::Cid;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, collections::BTreeSet};

/// Watches a run.
pub trait Observer {
    /// Whether it wants to see anything. Asked once, at the beginning.
    fn is_watching(&self) -> bool {
        true
    }

    /// Something happened. Events come in the order in which they happen.
    fn saw(&mut self, seen: Seen);
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Observer for Nobody {
    fn is_watching(&self) -> bool {
        false
    }

    fn saw(&mut self, _seen: Seen) {}
}

/// An event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// When, in nanoseconds of simulated time from the start of the run.
    pub at: Time,
    /// Who it happened to; the sender of a message that is sent. `None` when it is about several.
    pub party: Option<Party>,
    /// What it all goes back to.
    pub cause: Option<Cause>,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum What {
    /// A replica was opened, for the first time or again, or has been rebuilt.
    Started {
        /// The blocks that its disk has merged, without those that are purged: a crash may have taken some, a rebuild may have
        /// brought some.
        merged: Vec<Id>,
    },
    /// What is decided at a replica of blocks without their bytes, all of it, told whenever it has changed.
    Decided {
        /// Purged blocks, with the heights that they had.
        purged: Vec<(Id, u64)>,
        /// Blocks that were given up and have not come back.
        abandoned: Vec<Id>,
    },
    /// A local program asked for something.
    Operation {
        /// Its number.
        number: u64,
        /// Its kind.
        kind: OperationKind,
        /// The DAG that is written to.
        dag: String,
        /// The keys, each with what is put; nothing for a delete or a read.
        writes: Vec<(String, Option<Blob>)>,
        /// Whether the replica was up. If not, nothing came of it.
        is_up: bool,
    },
    /// A read was answered.
    Read {
        /// Its number.
        number: u64,
        /// The key.
        key: String,
        /// The value; nothing when there was none.
        value: Option<Blob>,
    },
    /// A commit was acknowledged.
    Acknowledged {
        /// The number of its operation.
        number: u64,
        /// The blocks that it made.
        blocks: Vec<Id>,
    },
    /// A commit was refused.
    Refused {
        /// The number of its operation.
        number: u64,
        /// Why.
        why: String,
    },
    /// A block was made.
    Made {
        /// The block.
        block: Id,
        /// Its bytes.
        bytes: Blob,
    },
    /// A message was given to the network.
    Sent {
        /// Its name.
        message: MessageKey,
        /// What it says.
        says: Says,
        /// Its fate, as far as chance has a say in it.
        fate: Fate,
        /// The number of the fault that stops it, a partition say.
        stopped_by: Option<u32>,
        /// When it arrives, and when its copy does. Nothing when it does not, or only when the fault that holds it ends.
        arrives: (Option<Time>, Option<Time>),
    },
    /// A message came.
    Arrived {
        /// Its name.
        message: MessageKey,
        /// It is the second copy.
        copy: bool,
        /// A bit was flipped on the way.
        corrupted: bool,
        /// Whether the receiver was there to take it.
        taken: bool,
    },
    /// A replica merged a block, a local one too.
    Merged {
        /// The block.
        block: Id,
        /// Whether it breaks a rule.
        void: bool,
    },
    /// What a replica shows after what happened last.
    Shows {
        /// All of its heads.
        heads: Vec<Id>,
        /// The keys that may have changed, each with its value; all keys that have one when `all` is set.
        values: Vec<(String, Option<Blob>)>,
        /// Whether the replica has no other keys.
        all: bool,
        /// Whether that is a function of its blocks: not in the middle of a purge or a rebuild, nor when its disk cannot be trusted.
        settled: bool,
    },
    /// The core told of something that is not good.
    Noticed {
        /// What, in one line.
        what: String,
    },
    /// A disk was synced.
    Synced {
        /// How many commits that made durable.
        commits: u64,
    },
    /// A replica crashed.
    Crashed {
        /// Unsynced commits that its disk kept.
        kept: u64,
        /// Those that were lost.
        lost: u64,
        /// Its disk is empty now.
        wiped: bool,
    },
    /// A timer ran out.
    Timer,
    /// Something that the scenario leaves open was chosen.
    Chose {
        /// What.
        choice: Choice,
        /// Which of several choices of that kind, cause and party.
        n: u64,
        /// What was chosen.
        value: u64,
    },
    /// A fault began.
    FaultBegins {
        /// Its number in the plan.
        number: u32,
    },
    /// A fault ended.
    FaultEnds {
        /// Its number in the plan.
        number: u32,
    },
    /// What the timeline of the report says.
    Noted {
        /// Which kind of moment.
        kind: MomentKind,
        /// What, in a few words.
        what: String,
    },
    /// An oracle objects: the run ends here.
    Objected {
        /// Which.
        oracle: Oracle,
        /// What it found.
        message: String,
    },
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Says {
    /// These are heads.
    Heads(Vec<Id>),
    /// Give me this block.
    Give(Id),
    /// Here is the block.
    Block(Id),
    /// I do not have the block.
    NotFound(Id),
    /// So many bytes of another system.
    Bytes(u64),
}

/// A CID in a recording: its digest where bytes are kept, its text in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub Cid);

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&self.0)
        } else {
            serializer.serialize_bytes(self.0.digest())
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = Cow::<'de, str>::deserialize(deserializer)?;
            return text.parse().map(Id).map_err(de::Error::custom);
        }
        let digest = serde_bytes::ByteArray::<32>::deserialize(deserializer)?;
        Ok(Self(Cid::from_digest(digest.into_array())))
    }
}

/// Bytes in a recording: as they are where bytes are kept, in hex in JSON and in scenario files.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Blob(pub Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&data_encoding::HEXLOWER.encode(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = Cow::<'de, str>::deserialize(deserializer)?;
            let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes());
            return bytes
                .map(Blob)
                .map_err(|_| de::Error::custom(format!("`{text}` is not hex, expected pairs of hex digits")));
        }
        serde_bytes::ByteBuf::deserialize(deserializer).map(|bytes| Self(bytes.into_vec()))
    }
}

/// The observer of a run, and what it is to be shown when a step is done.
pub(crate) struct Watch<'a> {
    observer: &'a mut dyn Observer,
    is_on: bool,
    /// The keys that merges of the present step may have changed.
    touched: BTreeSet<anabranch_core::Key>,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(observer: &'a mut dyn Observer) -> Self {
        let is_on = observer.is_watching();
        Self { observer, is_on, touched: BTreeSet::new() }
    }

    pub(crate) const fn is_on(&self) -> bool {
        self.is_on
    }

    /// Tells of an event. It is made only when someone watches.
    pub(crate) fn tell(&mut self, at: Time, party: Option<Party>, cause: Option<Cause>, what: impl FnOnce() -> What) {
        if self.is_on {
            self.observer.saw(Seen { at, party, cause, what: what() });
        }
    }

    /// A merge may have changed these keys.
    pub(crate) fn touch(&mut self, keys: impl IntoIterator<Item = anabranch_core::Key>) {
        self.touched.extend(keys);
    }

    pub(crate) fn take_touched(&mut self) -> BTreeSet<anabranch_core::Key> {
        std::mem::take(&mut self.touched)
    }
}
