//! Reads: looked at only where they may be made to fail.

use libc::{c_int, c_void, iovec, off_t, size_t, ssize_t};

use crate::fault::Verdict;
use crate::format::kind;
use crate::paths::watched_descriptor;
use crate::recorder::{Record, lock, settings};

/// Whether this read of `fd` fails: then errno is set and the record written.
fn fails(fd: c_int) -> bool {
    if !settings().is_some_and(|settings| settings.fail_reads) {
        return false;
    }
    let Some(file) = watched_descriptor(fd) else { return false };
    let mut held = lock();
    match held.read_verdict() {
        Verdict::Fail(errno) => {
            held.fail(Record { kind: kind::READ, inode: file.inode, ..Record::default() }, errno);
            true
        }
        Verdict::Pass | Verdict::Half => false,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn read(fd: c_int, room: *mut c_void, length: size_t) -> ssize_t {
    if fails(fd) {
        return -1;
    }
    // SAFETY: the caller's arguments.
    unsafe { libc::syscall(libc::SYS_read, fd, room, length) as ssize_t }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn readv(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    if fails(fd) {
        return -1;
    }
    // SAFETY: the caller's arguments.
    unsafe { libc::syscall(libc::SYS_readv, fd, parts, count) as ssize_t }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pread64(fd: c_int, room: *mut c_void, length: size_t, at: off_t) -> ssize_t {
    if fails(fd) {
        return -1;
    }
    // SAFETY: the caller's arguments.
    unsafe { libc::syscall(libc::SYS_pread64, fd, room, length, at) as ssize_t }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pread(fd: c_int, room: *mut c_void, length: size_t, at: off_t) -> ssize_t {
    // SAFETY: the same contract.
    unsafe { pread64(fd, room, length, at) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn preadv64(fd: c_int, parts: *const iovec, count: c_int, at: off_t) -> ssize_t {
    if fails(fd) {
        return -1;
    }
    // SAFETY: the caller's arguments. The last number is the offset's upper half on 32 bits.
    unsafe { libc::syscall(libc::SYS_preadv, fd, parts, count, at, 0) as ssize_t }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn preadv(fd: c_int, parts: *const iovec, count: c_int, at: off_t) -> ssize_t {
    // SAFETY: the same contract.
    unsafe { preadv64(fd, parts, count, at) }
}
