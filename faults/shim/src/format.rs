//! The log's binary format and the names of the environment's variables: one source for the shim, which writes, and for
//! `anabranch-faults`, which includes this file and reads.
//!
//! A log is a header and then records, all numbers little-endian:
//!
//! | header    | bytes | meaning                                                        |
//! |-----------|-------|----------------------------------------------------------------|
//! | magic     | 8     | [`MAGIC`]                                                      |
//! | version   | 4     | [`VERSION`]                                                    |
//! | length    | 4     | bytes of the root's path                                       |
//! | dev, ino  | 8 + 8 | the root folder's identity                                     |
//! | root      | …     | the root folder's path, absolute and without symbolic links    |
//!
//! | record    | bytes | meaning                                                        |
//! |-----------|-------|----------------------------------------------------------------|
//! | sequence  | 8     | 0, 1, 2 …                                                      |
//! | kind      | 1     | one of [`kind`]                                                |
//! | flags     | 1     | of [`flag`]                                                    |
//! | zero      | 2     |                                                                |
//! | errno     | 4     | 0: the operation took effect; else the error that it returned  |
//! | dev, ino  | 8 + 8 | the file's or folder's identity, zero where there is none      |
//! | offset    | 8     | the first byte written or allocated, in bytes                  |
//! | size      | 8     | the new length, or the count of bytes allocated                |
//! | lengths   | 4·3   | bytes of path, other path, data                                |
//! | path      | …     | relative to the root                                           |
//! | other     | …     | the second path of a rename or link, relative to the root      |
//! | data      | …     | the bytes that were written: of a short write, only those      |

/// The first bytes of a log.
pub(crate) const MAGIC: [u8; 8] = *b"ANABSHIM";
/// The format's version: a reader refuses any other.
pub(crate) const VERSION: u32 = 1;
/// Bytes of the header before the root's path.
pub(crate) const HEADER: usize = 32;
/// Bytes of a record before its first path.
pub(crate) const RECORD: usize = 60;

/// What a record tells of.
pub(crate) mod kind {
    /// Bytes written into a file.
    pub(crate) const WRITE: u8 = 1;
    /// A file cut or extended to `size`: by ftruncate, by truncate, or by an open with `O_TRUNC`.
    pub(crate) const SET_LENGTH: u8 = 2;
    /// Room allocated for `size` bytes from `offset`: the file grows to their end, unless [`super::flag::KEEP_SIZE`].
    pub(crate) const ALLOCATE: u8 = 3;
    /// fsync or fdatasync of a file or folder.
    pub(crate) const SYNC: u8 = 4;
    /// sync_file_range: makes nothing durable, by its own manual page.
    pub(crate) const SYNC_RANGE: u8 = 5;
    /// sync or syncfs: all of the folder.
    pub(crate) const SYNC_ALL: u8 = 6;
    /// A new, empty file under `path`.
    pub(crate) const CREATE: u8 = 7;
    /// A new, empty folder under `path`.
    pub(crate) const MAKE_DIR: u8 = 8;
    /// A second name `other` for the file at `path`.
    pub(crate) const LINK: u8 = 9;
    /// `path` becomes `other`, in place of what stood there.
    pub(crate) const RENAME: u8 = 10;
    /// A file's name removed.
    pub(crate) const UNLINK: u8 = 11;
    /// An empty folder removed.
    pub(crate) const REMOVE_DIR: u8 = 12;
    /// Bytes that the process wrote to its marks.
    pub(crate) const MARK: u8 = 13;
    /// A read that was made to fail: other reads are not recorded.
    pub(crate) const READ: u8 = 14;
}

/// Bits of a record's flags.
pub(crate) mod flag {
    /// The fault took effect here: the error was injected, or the write was cut short.
    pub(crate) const INJECTED: u8 = 1;
    /// The descriptor has `O_SYNC` or `O_DSYNC`: the write is durable when it returns.
    pub(crate) const DURABLE: u8 = 2;
    /// The object is a folder.
    pub(crate) const DIRECTORY: u8 = 4;
    /// The allocation leaves the file's length as it was.
    pub(crate) const KEEP_SIZE: u8 = 8;
}

/// Names of the environment's variables that rule the shim.
pub(crate) mod variable {
    /// The folder to watch: it must exist. Without it the shim passes all through.
    pub(crate) const ROOT: &str = "ANABRANCH_SHIM_ROOT";
    /// The log to write, outside the root: it must not exist, or hold no record yet.
    pub(crate) const LOG: &str = "ANABRANCH_SHIM_LOG";
    /// The file outside the root whose writes are marks: absolute, without symbolic links.
    pub(crate) const MARKS: &str = "ANABRANCH_SHIM_MARKS";
    /// `AT:ERRNO[:once][:half]`: the fault of operations that change or sync.
    pub(crate) const FAIL: &str = "ANABRANCH_SHIM_FAIL";
    /// `AT:ERRNO[:once]`: the fault of reads.
    pub(crate) const FAIL_READS: &str = "ANABRANCH_SHIM_FAIL_READS";
}
