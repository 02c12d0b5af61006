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
    pub fn new(_raw: impl AsRef<[u8]>) -> Self {
        todo!()
    }

    /// Cleans these bytes into a key, without a copy when they are clean.
    #[must_use]
    pub fn from_bytes(_raw: Bytes) -> Self {
        todo!()
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
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
