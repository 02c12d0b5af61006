//! What happens, counted and hashed: the same entries, whoever simulates.

use super::PAYLOAD_BYTES;
use sha2::{Digest, Sha256};

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Echoes {
    /// Messages that arrived.
    pub(crate) delivered: u64,
    /// Times that a client waited in vain.
    pub(crate) resent: u64,
    /// sha2-256 over all entries, in hex.
    pub(crate) trace: String,
}

/// An entry's kind.
#[derive(Clone, Copy)]
pub(crate) enum What {
    Sent = 1,
    Arrived = 2,
    RanOut = 3,
}

/// Counts and hashes.
pub(crate) struct Journal {
    hasher: Sha256,
    delivered: u64,
    resent: u64,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self { hasher: Sha256::new(), delivered: 0, resent: 0 }
    }

    /// Takes down one thing: when, what, at which node, of which client.
    pub(crate) fn enter(&mut self, now: u64, what: What, node: u16, client: u64, payload: &[u8; PAYLOAD_BYTES]) {
        match what {
            What::Sent => {}
            What::Arrived => self.delivered += 1,
            What::RanOut => self.resent += 1,
        }
        let mut entry = [0; 8 + 1 + 2 + 8 + PAYLOAD_BYTES];
        entry[..8].copy_from_slice(&now.to_le_bytes());
        entry[8] = what as u8;
        entry[9..11].copy_from_slice(&node.to_le_bytes());
        entry[11..19].copy_from_slice(&client.to_le_bytes());
        entry[19..].copy_from_slice(payload);
        self.hasher.update(entry);
    }

    pub(crate) fn finish(self) -> Echoes {
        let trace = self.hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Echoes { delivered: self.delivered, resent: self.resent, trace }
    }
}
