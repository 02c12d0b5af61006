//! What may differ from replica to replica without changing what they agree on.

use core::time::Duration;

/// Settings of one replica. None of them changes the state that a set of blocks gives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// The mean time between two rounds of announcing our heads (default 1 min, as in go-ds-crdt).
    pub rebroadcast_interval: Duration,
    /// How far a round may come early or late, in percent of the interval (default 30).
    pub rebroadcast_jitter_percent: u8,
    /// How long a fetch may stay unanswered before the next peer is asked (default 10 s). An answer
    /// that comes later still counts when its bytes are right.
    pub fetch_timeout: Duration,
    /// Into how many rounds of the fetch timer the timeout is cut (default 4, at least 1).
    pub fetch_timeout_ticks: u8,
    /// Fetches in flight at once (default 256).
    pub fetches_max: usize,
    /// Fetches in flight at once for what one peer announced (default 32).
    pub fetches_per_peer_max: usize,
    /// Rumours (announced CIDs whose bytes have not come) kept for one peer (default 1,024).
    pub rumours_per_peer_max: usize,
    /// Bytes of pending blocks' bodies that the store may hold (default 64 MiB). What is over it is
    /// dropped, nearest the heads first, and fetched again when its turn to merge is near.
    pub pending_bytes_max: u64,
    /// After merging this many bytes of blocks one step ends with [`Progress::More`](crate::Progress::More) (default 1 MiB).
    pub step_bytes_max: u64,
    /// What becomes of a commit while the replica [is behind](crate::Replica::is_behind) (default `Allow`).
    pub when_behind: WhenBehind,
    /// Bytes of commits that may wait for the replica to catch up (default 16 MiB, each write counted as its key, its
    /// value and 64 bytes). A commit over it is refused, as [`Refusal::Behind`](crate::Refusal::Behind).
    pub waiting_bytes_max: u64,
    /// Whether each change of a visible value is told as [`Event::Changed`](crate::Event::Changed) (default no).
    /// Merging and local writes read no more for it; deriving keys anew (a purge) reads each once more.
    pub report_changes: bool,
    /// Whether the order in which blocks are merged is kept, so that a program can follow the changes
    /// across restarts (default no). Costs a row of 72 bytes a block, for ever.
    pub feed: bool,
}

/// What becomes of a commit while there are obligations: blocks that are known to be missing. What is
/// written then may be outranked by history that it has not seen.
///
/// ```
/// use anabranch_core::{Batch, Config, Effect, Input, Peer, Refusal, Replica, Token, WhenBehind, store::MemoryStore};
///
/// # fn main() -> Result<(), anabranch_core::Error> {
/// # let mut out = Vec::new();
/// # let mut alice = Replica::open(MemoryStore::new(), Config::default(), &mut out)?;
/// # for value in ["old", "new"] {
/// #     let _ = alice.step(Input::Commit { token: Token(1), batch: Batch::new().put("/k", value) }, &mut out)?;
/// # }
/// # let cid = alice.heads()?[0].cid;
/// # let bytes = alice.block(&cid)?.expect("her own");
/// let config = Config { when_behind: WhenBehind::Refuse, ..Config::default() };
/// let mut bob = Replica::open(MemoryStore::new(), config, &mut out)?;
/// // A block of Alice's comes, and the one below it has not: Bob knows that he is behind.
/// let _ = bob.step(Input::Block { from: Peer(1), cid, bytes, attempt: 0 }, &mut out)?;
/// assert!(bob.is_behind());
///
/// out.clear();
/// let _ = bob.step(Input::Commit { token: Token(7), batch: Batch::new().put("/k", "mine") }, &mut out)?;
/// // Both blocks are owed: the one that is missing, and the one that waits for it.
/// assert!(out.contains(&Effect::Refused { token: Token(7), why: Refusal::Behind { obligations: 2 } }));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WhenBehind {
    /// It is made at once; [`Effect::Committed`](crate::Effect::Committed) says how many blocks it has not seen.
    #[default]
    Allow,
    /// It waits until the obligations that were known when it came are merged, but no longer than this (and no
    /// less than seven eighths of it); then it is made all the same. Waiting commits are made in the order in which they
    /// came. A crash or [`into_store`](crate::Replica::into_store) forgets them: they were not acknowledged.
    Wait(Duration),
    /// It is refused, as [`Refusal::Behind`](crate::Refusal::Behind).
    Refuse,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rebroadcast_interval: Duration::from_secs(60),
            rebroadcast_jitter_percent: 30,
            fetch_timeout: Duration::from_secs(10),
            fetch_timeout_ticks: 4,
            fetches_max: 256,
            fetches_per_peer_max: 32,
            rumours_per_peer_max: 1024,
            pending_bytes_max: 64 << 20,
            step_bytes_max: 1 << 20,
            when_behind: WhenBehind::Allow,
            waiting_bytes_max: 16 << 20,
            report_changes: false,
            feed: false,
        }
    }
}
