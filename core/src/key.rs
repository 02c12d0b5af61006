//! Keys.

use alloc::{string::String, vec::Vec};
use bytes::Bytes;
use core::fmt;

/// A key, cleaned as go-datastore's `NewKey` cleans it: a leading slash, no empty, `.` or `..`
/// part, no slash at the end (`/` alone is the root key). Any bytes else: nothing is folded,
/// decoded or normalised, and the bytes need not be UTF-8 (but what is not cannot be written to the wire).
///
/// Keys are equal and ordered by their cleaned bytes. There is no limit here; what may be written or
/// merged has at most [`KEY_BYTES_MAX`](crate::limits::KEY_BYTES_MAX) bytes. A clone shares the bytes.
///
/// ```
/// use anabranch_core::Key;
///
/// assert_eq!(Key::new("a//b/").as_bytes(), b"/a/b");
/// assert_eq!(Key::new("/../../h/./X"), Key::new("h/X"));
/// assert_eq!(Key::new("").as_bytes(), b"/");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Bytes);

impl Key {
    /// Cleans these bytes into a key. Copies them once.
    #[must_use]
    pub fn new(raw: impl AsRef<[u8]>) -> Self {
        let raw = raw.as_ref();
        if is_clean(raw) { Self(Bytes::copy_from_slice(raw)) } else { Self(clean(raw).into()) }
    }

    /// Cleans these bytes into a key, without a copy when they are clean: the key then shares, and keeps
    /// alive, the buffer that they came from.
    #[must_use]
    pub fn from_bytes(raw: Bytes) -> Self {
        if is_clean(&raw) { Self(raw) } else { Self(clean(&raw).into()) }
    }

    /// A key from bytes that were cleaned before.
    pub(crate) const fn cleaned(bytes: Bytes) -> Self {
        Self(bytes)
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

impl AsRef<[u8]> for Key {
    /// The cleaned bytes: what takes raw bytes for a key takes a key too.
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Whether cleaning would change nothing.
fn is_clean(raw: &[u8]) -> bool {
    let [b'/', .., last] = raw else { return raw == b"/" };
    // Nearly all keys are clean, and this loop has no branch, so it looks at many bytes at once.
    let has_odd_part = raw
        .iter()
        .zip(&raw[1..])
        .fold(false, |odd, (&byte, &next)| odd | ((byte == b'/') & ((next == b'/') | (next == b'.'))));
    *last != b'/'
        && (!has_odd_part || raw[1..].split(|&byte| byte == b'/').all(|part| !matches!(part, b"" | b"." | b"..")))
}

/// `path.Clean("/" + raw)` of Go: a `..` at the root goes nowhere.
fn clean(raw: &[u8]) -> Vec<u8> {
    let mut cleaned = Vec::with_capacity(raw.len() + 1);
    for part in raw.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                let parent = cleaned.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                cleaned.truncate(parent);
            }
            _ => {
                cleaned.push(b'/');
                cleaned.extend_from_slice(part);
            }
        }
    }
    if cleaned.is_empty() {
        cleaned.push(b'/');
    }
    cleaned
}

impl fmt::Display for Key {
    /// The key as text; bytes that are no UTF-8 show as the replacement character.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Key {
    /// `Key("/text")`, or `Key(b"/\xff")` where the bytes are no UTF-8: different keys show differently.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match core::str::from_utf8(&self.0) {
            Ok(text) => write!(f, "Key({text:?})"),
            Err(_) => write!(f, "Key({:?})", self.0),
        }
    }
}
