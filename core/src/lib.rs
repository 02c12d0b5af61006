//! A Merkle-CRDT key-value replica as a pure function of its inputs.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod cid;
mod config;
mod dag;
mod effect;
mod error;
mod fetch;
mod gossip;
mod input;
mod key;
pub mod limits;
pub mod query;
mod replica;
mod set;
pub mod store;
mod validator;
pub mod wire;

pub use bytes::Bytes;
pub use cid::{Cid, ParseCidError};
pub use config::Config;
pub use effect::{Effect, Event, Refusal};
pub use error::Error;
pub use input::{Batch, DagName, Input, Peer, Timer, Token, Write};
pub use key::Key;
pub use query::{Filter, Order, Query, Row};
pub use replica::{Head, Progress, Replica, Stats, View};
pub use validator::{MergeAll, Validator, Verdict};
