//! The limits that all replicas must share, because what a block is depends on them.
//!
//! They are constants and not settings: a replica with another limit would judge a block
//! otherwise than its peers do and end in another state.

/// Above this many bytes of encoded delta a batch is split into several blocks (go-ds-crdt's default, 1 MiB).
pub const DELTA_BYTES_MAX: usize = 1 << 20;
/// The largest block that we write, in bytes: bitswap carries no larger one (2 MiB).
pub const BLOCK_BYTES_WRITTEN_MAX: usize = 2 << 20;
/// The largest block whose delta we merge, in bytes (4 MiB); a larger one is void.
pub const BLOCK_BYTES_MERGED_MAX: usize = 4 << 20;
/// The longest key, in bytes after cleaning (32 KiB); an element with a longer one is void.
pub const KEY_BYTES_MAX: usize = 32 << 10;
/// The longest DAG name, in bytes (1 KiB); a block with a longer one is void.
pub const DAG_NAME_BYTES_MAX: usize = 1 << 10;
/// The most links that a block of ours carries: its name's highest heads.
pub const LINKS_WRITTEN_MAX: usize = 1024;
/// The largest announcement that we send, in bytes (512 KiB): pubsub carries 1 MiB.
pub const BROADCAST_BYTES_MAX: usize = 512 << 10;
/// We declare no priority at or above this one (2^62), so that Go peers can always outbid us.
pub const PRIORITY_DECLARED_END: u64 = 1 << 62;
/// The peers that one want remembers as likely to have it.
pub const PEERS_PER_WANT_MAX: usize = 8;
