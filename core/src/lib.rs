//! A Merkle-CRDT key-value replica as a pure function of its inputs.
//!
//! Read two types first: [`Replica`], which takes an [`Input`] and gives [`Effect`]s, and
//! [`Store`](store::Store), which is all that it asks of a disk. It speaks the wire format of
//! go-ds-crdt ([`wire`]) and means the same by it: a delta add-wins observed-remove set inside a
//! Merkle-DAG ([arXiv 2004.00107](https://arxiv.org/abs/2004.00107)).
//!
//! There is no clock, no randomness, no thread and no socket here. A driver brings them: it steps
//! the replica, syncs, carries the effects out, and comes back with what peers answer. Two replicas
//! and a driver of a few lines:
//!
//! ```
//! use anabranch_core::{Batch, Config, Effect, Input, Key, Peer, Replica, Token, store::MemoryStore};
//!
//! # fn main() -> Result<(), anabranch_core::Error> {
//! let mut out = Vec::new();
//! let mut alice = Replica::open(MemoryStore::new(), Config::default(), &mut out)?;
//! let mut bob = Replica::open(MemoryStore::new(), Config::default(), &mut out)?;
//! out.clear();
//!
//! // Alice writes. The commit is acknowledged, and its block announced, once the store is synced.
//! let batch = Batch::new().put("/greeting", "hello").put("colour", "green");
//! let _ = alice.step(Input::Commit { token: Token(1), batch }, &mut out)?;
//! alice.sync()?;
//!
//! // Bob hears the announcement, asks for the block, and merges it.
//! let (alice_peer, mut to_bob) = (Peer(1), Vec::new());
//! for effect in out.drain(..) {
//!     if let Effect::Broadcast(payload) = effect {
//!         let _ = bob.step(Input::Broadcast { from: alice_peer, payload }, &mut to_bob)?;
//!     }
//! }
//! for effect in to_bob.drain(..) {
//!     if let Effect::Fetch { cid, attempt, .. } = effect {
//!         let bytes = alice.block(&cid)?.expect("alice has what she announced");
//!         let _ = bob.step(Input::Block { from: alice_peer, cid, bytes, attempt }, &mut out)?;
//!     }
//! }
//! assert_eq!(bob.get(&Key::new("/greeting"))?.as_deref(), Some(&b"hello"[..]));
//! assert_eq!(bob.heads()?, alice.heads()?);
//! # Ok(())
//! # }
//! ```
//!
//! What holds, and why, is in `ARCHITECTURE.md` at the root of the repository.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod cid;
mod codec;
mod config;
mod dag;
mod effect;
mod error;
mod feed;
mod fetch;
mod gossip;
mod input;
mod key;
pub mod limits;
mod mark;
pub mod picture;
mod query;
mod replica;
mod set;
pub mod store;
mod task;
mod validator;
pub mod wire;

pub use bytes::Bytes;
pub use cid::{Cid, ParseCidError};
pub use codec::{Codec, ProtobufCodec};
pub use config::{Config, WhenBehind};
pub use dag::stubs::Stub;
pub use effect::{Effect, Event, Outcome, Refusal};
pub use error::Error;
pub use feed::{Feed, FeedError, FeedToken};
pub use input::{Batch, DagName, Input, Peer, Timer, Token, Write};
pub use key::Key;
pub use mark::{Mark, Marks};
pub use query::{Filter, Is, Order, Query, Row, Rows};
pub use replica::{Blocking, Head, Progress, Replica, Stats, Traverse, View, Visited};
pub use task::{Damage, Phase, TaskKind, TaskStatus};
pub use validator::{MergeAll, Validator, Verdict};
