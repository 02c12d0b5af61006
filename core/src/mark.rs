//! Marks: named places that whoever tests a replica wants to have reached.
//!
//! A campaign of random runs says little unless it is known where it has been. Each mark stands at a place that only an unlikely
//! order of events reaches; a replica notes which of them it has reached since it was opened, at the cost of setting a bit. Nothing
//! depends on it: marks are left out where replicas are compared and hashed.

use core::{
    fmt,
    hash::{Hash, Hasher},
};

/// Declares the marks, their list and their names in one place.
macro_rules! marks {
    ($($(#[$doc:meta])* $mark:ident = $name:literal,)*) => {
        /// A named place in the code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Mark {
            $($(#[$doc])* $mark,)*
        }

        impl Mark {
            /// All marks.
            pub const ALL: &'static [Self] = &[$(Self::$mark,)*];

            /// Its name in reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$mark => $name,)*
                }
            }
        }
    };
}

marks! {
    /// A head was left out of a round, since others had announced it.
    HeadLeftOut = "head-left-out",
    /// A head that others had announced was announced all the same: it had been left out twice.
    HeadNotStarved = "head-not-starved",
    /// Someone who announced only old blocks was answered with our heads.
    LaggardAnswered = "laggard-answered",
    /// A head was left out of such an answer, since others had announced it meanwhile.
    AnswerSpared = "answer-spared",
    /// A peer announced what is owed here, and was asked for what is missing below it.
    AskedBelow = "asked-below",
    /// A good block came that was neither announced nor owed.
    UnaskedBlock = "unasked-block",
    /// Bytes came that are not the block that they were said to be.
    WrongBytes = "wrong-bytes",
    /// A block that breaks a rule came, and nothing good was known to build upon it.
    VoidLeft = "void-left",
    /// A void block was merged for the sake of a good one.
    VoidMerged = "void-merged",
    /// A block took the headship of one below a void block.
    HeadBelowVoid = "head-below-void",
    /// A block waited for more parents than its own row names.
    ManyParents = "many-parents",
    /// The body of a pending block was dropped for want of room.
    BodyDropped = "body-dropped",
    /// A dropped body was asked for again because there was room.
    BodyForRoom = "body-for-room",
    /// A dropped body was asked for again because it was its turn to be merged.
    BodyForMerge = "body-for-merge",
    /// A dropped body was back before it was its turn.
    BodyBackEarly = "body-back-early",
    /// A step merged as much as it may, and left the rest for the next.
    StepCutShort = "step-cut-short",
    /// A block was merged that an earlier step had left.
    ReadyResumed = "ready-resumed",
    /// A block declared more than its height.
    Overstated = "overstated",
    /// A block declared less than its height.
    Understated = "understated",
    /// A tombstone came before its target.
    EarlyTombstone = "early-tombstone",
    /// A version came after its tombstone, and never showed.
    EarlyTombstoneMet = "early-tombstone-met",
    /// The winner of a key was removed, and another version took over.
    TakenOver = "taken-over",
    /// A value was read from its block, for it did not fit beside the winner.
    ValueFromBlock = "value-from-block",
    /// The versions of a key became rows of their own.
    VersionsSpilled = "versions-spilled",
    /// So few versions were left that they came back from their rows.
    VersionsBack = "versions-back",
    /// A version that has a row of its own was removed.
    VersionRowRemoved = "version-row-removed",
    /// A batch became several blocks.
    BatchSplit = "batch-split",
    /// A commit was made while blocks were known to be missing.
    WrittenBehind = "written-behind",
    /// A fetch was not answered in time.
    FetchTimedOut = "fetch-timed-out",
    /// Another peer was asked after one had failed.
    NextPeerAsked = "next-peer-asked",
    /// A peer that answers nothing was passed over, since it was being asked for another block.
    SilentSpared = "silent-spared",
    /// A peer that had answered nothing for a while answered again.
    SilentBack = "silent-back",
    /// A block was asked for of whoever may have it.
    AnyoneAsked = "anyone-asked",
    /// All peers had failed, and the fetch paused.
    FetchPaused = "fetch-paused",
    /// A rumour was left alone, for nobody serves it.
    RumourParked = "rumour-parked",
    /// A rumour made room for another.
    RumourEvicted = "rumour-evicted",
    /// A fetch in flight made way for news.
    MadeWay = "made-way",
    /// Fetches that paused went on, for someone announced what they are for.
    PauseCutShort = "pause-cut-short",
    /// Obligations were taken from the store.
    ObligationsLoaded = "obligations-loaded",
    /// A store of an older format was opened.
    Upgraded = "upgraded",
    /// A part of a task did as much as it may, and left the rest for the next step.
    TaskCutShort = "task-cut-short",
    /// A task went on that a crash had left.
    TaskResumed = "task-resumed",
    /// A rebuild began while another task, or another rebuild, ran.
    TaskInterrupted = "task-interrupted",
    /// A good block was merged while a purge gathered or settled keys.
    MergedWhilePurging = "merged-while-purging",
    /// A block of the DAG that is being purged was merged since that began, and stays.
    KeptFromPurge = "kept-from-purge",
    /// A purge gave a key another value, or took its value away.
    SettledAnew = "settled-anew",
    /// A purge took away the last block that had a tombstone that waited.
    EarlyTombstonePurged = "early-tombstone-purged",
    /// While a purge ran, a version would have taken over whose value went with the bytes of its block.
    HeirPurged = "heir-purged",
    /// A good block was merged while a store was verified.
    MergedWhileVerifying = "merged-while-verifying",
    /// A peer was not listened to during a rebuild.
    UnheardInRebuild = "unheard-in-rebuild",
    /// A rebuild took a purged or abandoned block over.
    StubRestored = "stub-restored",
    /// A rebuild passed a void block over, and took it in when something turned out to need it.
    VoidNeeded = "void-needed",
    /// A rebuild removed a void block that nothing needed.
    VoidUnneeded = "void-unneeded",
    /// A rebuild left a block owed of which it had neither bytes nor a child.
    OwedAgain = "owed-again",
    /// An abandoned block turned up, and was merged in its place.
    BackInPlace = "back-in-place",
    /// An abandoned block turned up, and all was merged anew.
    BackByRebuild = "back-by-rebuild",
    /// A file brought a block that was owed.
    ImportedOwed = "imported-owed",
    /// A file brought a block that was neither known nor owed.
    ImportedUnknown = "imported-unknown",
}

/// A set of marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Marks(u64);

// A set has a bit for each.
const _: () = assert!(Mark::ALL.len() <= u64::BITS as usize);

impl Marks {
    /// Whether the mark is in the set.
    #[must_use]
    pub const fn has(self, mark: Mark) -> bool {
        self.0 & 1 << mark as u8 != 0
    }

    /// All marks of both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn hit(&mut self, mark: Mark) {
        self.0 |= 1 << mark as u8;
    }

    pub(crate) const fn hit_all(&mut self, other: Self) {
        *self = self.and(other);
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The marks that something has reached, where it is compared and hashed: equal to every other trail, since nothing depends on it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trail(pub(crate) Marks);

impl PartialEq for Trail {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Trail {}

impl Hash for Trail {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}
