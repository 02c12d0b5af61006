//! Keys.

use bytes::Bytes;
use core::fmt;

/// A key, cleaned as go-datastore's `NewKey` cleans it: a leading slash, no empty, `.` or `..`
/// part, no slash at the end (`/` alone is the root key). Any bytes else.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Bytes);

impl Key {
    /// Cleans these bytes into a key.
    #[must_use]
    pub fn new(raw: impl AsRef<[u8]>) -> Self {
        Self::from_bytes(Bytes::copy_from_slice(raw.as_ref()))
    }

    /// Cleans these bytes into a key, without a copy when they are clean.
    #[must_use]
    pub fn from_bytes(raw: Bytes) -> Self {
        if is_clean(&raw) {
            return Self(raw);
        }
        let mut parts: alloc::vec::Vec<&[u8]> = alloc::vec::Vec::new();
        for part in raw.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        let mut clean = alloc::vec::Vec::with_capacity(raw.len() + 1);
        for part in &parts {
            clean.push(b'/');
            clean.extend_from_slice(part);
        }
        if clean.is_empty() {
            clean.push(b'/');
        }
        Self(clean.into())
    }

    /// The cleaned bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The cleaned bytes, shared.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Display for Key {
    /// The key as text; bytes that are no UTF-8 show as the replacement character.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&alloc::string::String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&alloc::string::String::from_utf8_lossy(&self.0))
    }
}

fn is_clean(raw: &[u8]) -> bool {
    match raw {
        b"/" => true,
        [b'/', rest @ ..] => !rest.split(|byte| *byte == b'/').any(|part| matches!(part, b"" | b"." | b"..")),
        _ => false,
    }
}
