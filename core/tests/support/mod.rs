//! A deterministic driver for replicas, builders of blocks, and the naive fold.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test binary uses its own part of this module")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod blocks;
pub mod check;
pub mod disk;
pub mod fold;
pub mod net;
pub mod node;
pub mod recount;
pub mod rng;

pub use blocks::{World, block, cid, hex, put_block, tombstone_block};
pub use disk::{Disk, Ops};
pub use fold::{Facts, Fold, fold, fold_with};
pub use net::Net;
pub use node::{Fetch, Node};
pub use rng::Rng;
