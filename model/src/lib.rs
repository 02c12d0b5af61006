//! Every order of every event in a small cluster, over the very same [`Replica`](anabranch_core::Replica)
//! that programs run.
//!
//! [`Cluster`] is the state of the world: replicas, their timers, and the messages under way.
//! [`Clusters`] says which worlds there are and what must hold in them; stateright visits them all.
//! What makes that possible is the core's purity: a replica can be cloned, compared and hashed,
//! and holds nothing that does not change a later effect.

mod cluster;
mod fold;
mod model;

pub use cluster::{Body, Cluster, Message, Node};
pub use model::{Action, Clusters, Op};
