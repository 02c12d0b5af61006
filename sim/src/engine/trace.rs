//! The trace of a run, as one hash.

use super::Time;
use sha2::{Digest, Sha256};

/// Entries are gathered up to this many bytes before they are hashed: one call of the hash costs more than a small entry.
const BUFFER_BYTES: usize = 16 << 10;

/// sha2-256 over every entry's canonical bytes, in order. Two runs with equal hashes did the same.
#[derive(Clone, Debug)]
pub struct Trace {
    hasher: Sha256,
    buffer: Vec<u8>,
    entries: u64,
}

impl Default for Trace {
    fn default() -> Self {
        Self { hasher: Sha256::new(), buffer: Vec::with_capacity(2 * BUFFER_BYTES), entries: 0 }
    }
}

impl Trace {
    /// An empty trace.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins an entry: its time and a tag that says what follows. Numbers are little-endian, and everything of
    /// varying length is preceded by its length, so that no two traces have the same bytes.
    pub fn entry(&mut self, at: Time, tag: u8) -> Entry<'_> {
        if self.buffer.len() >= BUFFER_BYTES {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
        self.entries += 1;
        Entry(&mut self.buffer).u64(at).u8(tag)
    }

    /// How many entries there are.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.entries
    }

    /// The hash, in hex.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.hasher.update(&self.buffer);
        hex(&self.hasher.finalize())
    }
}

/// An entry being written.
#[derive(Debug)]
pub struct Entry<'a>(&'a mut Vec<u8>);

impl Entry<'_> {
    /// One byte.
    #[allow(clippy::return_self_not_must_use)] // The bytes are written already.
    pub fn u8(self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    /// Two bytes.
    #[allow(clippy::return_self_not_must_use)]
    pub fn u16(self, value: u16) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Eight bytes.
    #[allow(clippy::return_self_not_must_use)]
    pub fn u64(self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Bytes with their length.
    #[allow(clippy::return_self_not_must_use)]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let entry = self.u64(bytes.len() as u64);
        entry.0.extend_from_slice(bytes);
        entry
    }
}

/// Bytes in hex, lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha2_256_of_the_entries_and_does_not_depend_on_the_buffer() {
        let mut trace = Trace::new();
        let mut plain = Vec::new();
        for number in 0..5000_u64 {
            trace.entry(number, 3).u16(7).bytes(b"payload");
            plain.extend_from_slice(&number.to_le_bytes());
            plain.extend_from_slice(&[3, 7, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
            plain.extend_from_slice(b"payload");
        }
        assert_eq!(trace.entries(), 5000);
        assert_eq!(trace.finish(), hex(&Sha256::digest(&plain)));
    }

    #[test]
    fn any_difference_shows() {
        let hash = |time, tag, bytes: &[&[u8]]| {
            let mut trace = Trace::new();
            let entry = trace.entry(time, tag);
            bytes.iter().fold(entry, |entry, bytes| entry.bytes(bytes));
            trace.finish()
        };
        let base = hash(1, 2, &[b"ab", b"c"]);
        assert_eq!(base, hash(1, 2, &[b"ab", b"c"]));
        for other in
            [hash(2, 2, &[b"ab", b"c"]), hash(1, 3, &[b"ab", b"c"]), hash(1, 2, &[b"a", b"bc"]), hash(1, 2, &[b"abc"])]
        {
            assert_ne!(base, other);
        }
    }
}
