//! fsync and its kin.

use libc::{c_int, c_uint, off_t};

use crate::format::{flag, kind};
use crate::paths::{Watched, watched_descriptor};
use crate::recorder::{Record, lock, settings};

fn sync_record(file: Watched) -> Record<'static> {
    let flags = if file.directory { flag::DIRECTORY } else { 0 };
    Record { kind: kind::SYNC, flags, inode: file.inode, ..Record::default() }
}

#[unsafe(no_mangle)]
extern "C" fn fsync(fd: c_int) -> c_int {
    // SAFETY: a plain number.
    let real = || unsafe { libc::syscall(libc::SYS_fsync, fd) };
    let Some(file) = watched_descriptor(fd) else { return real() as c_int };
    lock().run(sync_record(file), false, real) as c_int
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(fd: c_int) -> c_int {
    // SAFETY: a plain number.
    let real = || unsafe { libc::syscall(libc::SYS_fdatasync, fd) };
    let Some(file) = watched_descriptor(fd) else { return real() as c_int };
    lock().run(sync_record(file), false, real) as c_int
}

#[unsafe(no_mangle)]
extern "C" fn sync_file_range(fd: c_int, offset: off_t, length: off_t, flags: c_uint) -> c_int {
    // SAFETY: plain numbers.
    let real = || unsafe { libc::syscall(libc::SYS_sync_file_range, fd, offset, length, flags) };
    let Some(file) = watched_descriptor(fd) else { return real() as c_int };
    let record = Record { kind: kind::SYNC_RANGE, inode: file.inode, ..Record::default() };
    lock().run(record, false, real) as c_int
}

#[unsafe(no_mangle)]
extern "C" fn syncfs(fd: c_int) -> c_int {
    // SAFETY: a plain number.
    let real = || unsafe { libc::syscall(libc::SYS_syncfs, fd) };
    if watched_descriptor(fd).is_none() {
        return real() as c_int;
    }
    lock().run(Record { kind: kind::SYNC_ALL, ..Record::default() }, false, real) as c_int
}

#[unsafe(no_mangle)]
extern "C" fn sync() {
    // SAFETY: has no arguments.
    let real = || unsafe { libc::syscall(libc::SYS_sync) };
    if settings().is_some() {
        lock().run(Record { kind: kind::SYNC_ALL, ..Record::default() }, false, real);
    } else {
        real();
    }
}
