//! Keys.

use alloc::{string::String, vec::Vec};
use bytes::Bytes;
use core::fmt;

/// A key, cleaned as go-datastore's `NewKey` cleans it: a leading slash, no empty, `.` or `..`
/// part, no slash at the end (`/` alone is the root key); any bytes else.
///
/// Keys are compared after cleaning: `foo`, `/foo` and `/foo/` are one key, and `/../../h/X` is
/// `/h/X`. No key leads out of the store. What we write must be UTF-8 and at most
/// [`KEY_BYTES_MAX`](crate::limits::KEY_BYTES_MAX) long; a commit says so, not this type.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Bytes);

impl Key {
    /// Cleans these bytes into a key.
    #[must_use]
    pub fn new(raw: impl AsRef<[u8]>) -> Self {
        let raw = raw.as_ref();
        if is_clean(raw) { Self(Bytes::copy_from_slice(raw)) } else { Self(clean(raw)) }
    }

    /// Cleans these bytes into a key, without a copy when they are clean.
    #[must_use]
    pub fn from_bytes(raw: Bytes) -> Self {
        if is_clean(&raw) { Self(raw) } else { Self(clean(&raw)) }
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

fn is_clean(raw: &[u8]) -> bool {
    match raw {
        b"/" => true,
        [b'/', parts @ ..] => !parts.split(|byte| *byte == b'/').any(|part| matches!(part, b"" | b"." | b"..")),
        _ => false,
    }
}

fn clean(raw: &[u8]) -> Bytes {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in raw.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        return Bytes::from_static(b"/");
    }
    let mut clean = Vec::with_capacity(raw.len() + 1);
    for part in parts {
        clean.push(b'/');
        clean.extend_from_slice(part);
    }
    clean.into()
}

impl fmt::Display for Key {
    /// The key as text; bytes that are no UTF-8 show as the replacement character.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}
