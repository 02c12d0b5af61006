//! A library to preload (`LD_PRELOAD`) into a process: it records, in order, all that the process does to the files of
//! one folder, and fails the operations that it is told to. Another process then builds from the log the folders that a
//! power cut may leave. Its faces are environment variables and the log's format, both in `format.rs`.
//!
//! # What is watched
//!
//! The C library's functions that change or sync files: open with `O_CREAT` or `O_TRUNC`, write, ftruncate, fallocate,
//! rename, unlink, rmdir, link, mkdir, fsync, fdatasync, sync_file_range, sync and their variants. Each function asks the
//! kernel which file a descriptor stands for (`/proc/self/fd`), so duplicates, inherited descriptors and numbers used
//! again need no bookkeeping. A lock is held around each watched operation and its record: the log's order is the order
//! of the operations, and a sync covers just the writes recorded before it. The lock makes watched operations of several
//! threads wait for each other, and each costs some microseconds more.
//!
//! The real operation is the system call itself, not the next library's function: there is no symbol to look up, and so
//! nothing that could run too early or call back into the shim.
//!
//! # What is refused
//!
//! What the log cannot tell returns an error that callers know to step around: copy_file_range, sendfile and splice into
//! a watched file (`ENOSYS`, `EINVAL`), fallocate other than growing (`EOPNOTSUPP`), renameat2 with flags other than
//! `RENAME_NOREPLACE` (`EINVAL`). A shared writable mapping of a watched file, a symbolic link under the root, `O_TMPFILE`,
//! and a rename or link across the root's border end the process with a message: results without them would be wrong.
//!
//! # What passes by unseen
//!
//! System calls that do not go through the C library (io_uring, and `rustix` unless built with its feature `use-libc`),
//! and C's own streams (`fopen`). The reader of the log notices most of them, as names and files that do not fit.
//! Only one process may work on the folder: of two that share the environment, the reader refuses the log.
//!
//! # Targets
//!
//! Linux with the GNU C library on 64 bits. On all others the library is empty: preloading it does nothing.
#![cfg_attr(not(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64")), allow(unused))]

#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
mod data;
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
mod fault;
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
mod format;
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
mod names;
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
mod paths;
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
mod reads;
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
mod recorder;
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
mod syncs;
