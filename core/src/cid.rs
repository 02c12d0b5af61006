//! Content identifiers of blocks.

use alloc::string::String;
use bytes::Bytes;
use core::{fmt, str::FromStr};
use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};

/// What a multihash of sha2-256 begins with: its code, and the length of the digest.
const MULTIHASH: [u8; 2] = [0x12, 0x20];
/// What a CID of version 1 begins with: the version, and the code of dag-pb.
const VERSION_1_DAG_PB: [u8; 2] = [0x01, 0x70];

/// The CID of a block: dag-pb with sha2-256, the only kind that this system merges.
///
/// Identity is the multihash: version 0 and version 1 of a CID are equal here. We write version 1
/// (36 bytes; as text `bafybei…`). Any other kind of CID is nobody's block here, so there is no
/// value for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cid([u8; 32]);

impl Cid {
    /// The CID of these bytes. Costs a sha2-256 over them.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The CID with this sha2-256 digest.
    #[must_use]
    pub const fn from_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The sha2-256 digest.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads a binary CID of version 0 (34 bytes) or 1 (36 bytes). `None` for any other kind of CID, for
    /// trailing bytes, and for what is no CID.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        // A version 0 is the bare multihash. Both forms have one encoding only, so prefixes decide.
        let multihash = bytes.strip_prefix(&VERSION_1_DAG_PB).unwrap_or(bytes);
        Self::from_multihash(multihash)
    }

    fn from_multihash(multihash: &[u8]) -> Option<Self> {
        multihash.strip_prefix(&MULTIHASH)?.try_into().ok().map(Self)
    }

    /// The binary CID of version 1.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 36] {
        let mut bytes = [0; 36];
        bytes[..2].copy_from_slice(&VERSION_1_DAG_PB);
        bytes[2..4].copy_from_slice(&MULTIHASH);
        bytes[4..].copy_from_slice(&self.0);
        bytes
    }

    /// The block id, as tombstones carry it: a slash and the *multihash* in upper-case base32 without
    /// padding, 56 bytes (`/CIQ…`).
    #[must_use]
    pub fn block_id(&self) -> Bytes {
        let mut id = String::with_capacity(BLOCK_ID_BYTES);
        id.push('/');
        BASE32_NOPAD.encode_append(&self.to_bytes()[2..], &mut id);
        id.into()
    }

    /// Reads a block id, with or without its slash. `None` when it is no sha2-256 multihash in
    /// upper-case base32, written in the one way in which it is written.
    #[must_use]
    pub fn from_block_id(id: &[u8]) -> Option<Self> {
        let id = id.strip_prefix(b"/").unwrap_or(id);
        let mut multihash = [0; 34];
        if id.len() != BLOCK_ID_BYTES - 1 {
            return None;
        }
        // Upper case alone, and bits at the end that are not zero are refused.
        BASE32_NOPAD.decode_mut(id, &mut multihash).ok()?;
        Self::from_multihash(&multihash)
    }
}

/// The length of a CID of version 1.
pub(crate) const V1_BYTES: usize = 36;
/// The length of a block id, slash included.
pub(crate) const BLOCK_ID_BYTES: usize = 56;

impl fmt::Display for Cid {
    /// The CID of version 1 in lower-case base32 with its multibase prefix: `bafybei…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = BASE32_NOPAD.encode(&self.to_bytes());
        text.make_ascii_lowercase();
        text.insert(0, 'b');
        f.pad(&text)
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no CID of a dag-pb block with sha2-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParseCidError;

impl fmt::Display for ParseCidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no CID of a block: expected version 1, dag-pb, sha2-256, in lower-case base32 (`bafybei…`); `ipfs cid base32` converts others")
    }
}

impl core::error::Error for ParseCidError {}

impl FromStr for Cid {
    type Err = ParseCidError;

    /// Reads what [`Display`](fmt::Display) writes. Version 0 as text (`Qm…`) is not read: convert it to version 1.
    fn from_str(text: &str) -> Result<Self, ParseCidError> {
        let base32 = text.strip_prefix('b').filter(|rest| !rest.bytes().any(|byte| byte.is_ascii_uppercase()));
        let bytes = BASE32_NOPAD.decode(base32.ok_or(ParseCidError)?.to_ascii_uppercase().as_bytes());
        bytes.ok().filter(|bytes| bytes.len() == 36).and_then(|bytes| Self::from_bytes(&bytes)).ok_or(ParseCidError)
    }
}
