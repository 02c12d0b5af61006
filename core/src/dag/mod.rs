//! The Merkle-DAG: what is known of each block, the heads, and the pending graph.

pub(crate) mod counts;
pub(crate) mod heads;
pub(crate) mod node;
pub(crate) mod pending;
pub(crate) mod stubs;
