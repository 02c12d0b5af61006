//! Operations on a file's bytes: write and its variants, ftruncate, fallocate, and those that are refused.

use std::borrow::Cow;

use libc::{c_char, c_int, c_uint, c_void, iovec, off_t, size_t, ssize_t};

use crate::fault::Verdict;
use crate::format::{flag, kind};
use crate::paths::{self, Target, Watched, watched_descriptor};
use crate::recorder::{Record, die, last_errno, lock, refuse};

/// The bytes of `parts`, in one piece.
///
/// # Safety
///
/// Each part is readable memory, as writev demands.
unsafe fn gather<'a>(parts: &'a [iovec]) -> Cow<'a, [u8]> {
    let slice = |part: &'a iovec| -> &'a [u8] {
        if part.iov_len == 0 {
            return &[];
        }
        // SAFETY: readable memory of this length by the caller's promise.
        unsafe { std::slice::from_raw_parts(part.iov_base.cast::<u8>(), part.iov_len) }
    };
    match parts {
        [part] => Cow::Borrowed(slice(part)),
        parts => Cow::Owned(parts.iter().flat_map(slice).copied().collect()),
    }
}

/// All writes end here: `at` is the offset, or the descriptor's own; `pass` is the plain system call.
///
/// # Safety
///
/// The parts are readable memory.
unsafe fn put(fd: c_int, parts: &[iovec], at: Option<off_t>, pass: impl FnOnce() -> i64) -> ssize_t {
    match paths::target(fd) {
        Target::Other => pass() as ssize_t,
        Target::Marks => {
            let mut held = lock();
            let wrote = pass();
            if let Ok(count) = usize::try_from(wrote) {
                // SAFETY: the caller's promise.
                let data = unsafe { gather(parts) };
                held.record(Record { kind: kind::MARK, data: &data[..count.min(data.len())], ..Record::default() });
            }
            wrote as ssize_t
        }
        // SAFETY: the caller's promise.
        Target::Watched(file) => put_watched(fd, file, &unsafe { gather(parts) }, at) as ssize_t,
    }
}

fn put_watched(fd: c_int, file: Watched, data: &[u8], at: Option<off_t>) -> i64 {
    let mut held = lock();
    // SAFETY: asks for the descriptor's flags, has no conditions.
    let status = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    let durable = if status & libc::O_DSYNC == 0 { 0 } else { flag::DURABLE };
    // Linux appends whatever offset it is given. The size under the lock: another thread may have appended meanwhile.
    let at = match at {
        Some(_) if status & libc::O_APPEND != 0 => paths::status(fd).map(|stat| stat.st_size),
        at => at,
    };
    let start = u64::try_from(at.unwrap_or(0)).unwrap_or(0);
    let record = Record { kind: kind::WRITE, flags: durable, inode: file.inode, offset: start, ..Record::default() };
    let (data, injected) = match held.verdict(true, data.len()) {
        Verdict::Fail(errno) => return held.fail(record, errno),
        Verdict::Half => (&data[..data.len() / 2], flag::INJECTED),
        Verdict::Pass => (data, 0),
    };
    // SAFETY: the slice lives through the call.
    let wrote = unsafe {
        match at {
            None => libc::syscall(libc::SYS_write, fd, data.as_ptr(), data.len()),
            Some(at) => libc::syscall(libc::SYS_pwrite64, fd, data.as_ptr(), data.len(), at),
        }
    };
    let Ok(count) = usize::try_from(wrote) else {
        let errno = last_errno();
        held.record(Record { errno, ..record });
        return refuse(errno);
    };
    let offset = match at {
        Some(_) => start,
        // The descriptor now stands after what was written, in append mode also.
        // SAFETY: asks for the descriptor's offset, has no conditions.
        None => u64::try_from(unsafe { libc::lseek(fd, 0, libc::SEEK_CUR) }).unwrap_or(0).saturating_sub(count as u64),
    };
    held.record(Record { flags: durable | injected, offset, data: &data[..count], ..record });
    wrote
}

/// The parts that a vectored call names.
///
/// # Safety
///
/// `parts` is `count` readable entries, or `count` is not positive.
unsafe fn vector<'a>(parts: *const iovec, count: c_int) -> &'a [iovec] {
    match usize::try_from(count) {
        // SAFETY: the caller's promise.
        Ok(count) if count > 0 && !parts.is_null() => unsafe { std::slice::from_raw_parts(parts, count) },
        _ => &[],
    }
}

fn part(data: *const c_void, length: size_t) -> [iovec; 1] {
    [iovec { iov_base: data.cast_mut(), iov_len: length }]
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(fd: c_int, data: *const c_void, length: size_t) -> ssize_t {
    // SAFETY: the caller's arguments, by write's contract.
    unsafe { put(fd, &part(data, length), None, || libc::syscall(libc::SYS_write, fd, data, length)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: the caller's arguments, by writev's contract.
    unsafe { put(fd, vector(parts, count), None, || libc::syscall(libc::SYS_writev, fd, parts, count)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite64(fd: c_int, data: *const c_void, length: size_t, at: off_t) -> ssize_t {
    // SAFETY: the caller's arguments, by pwrite's contract.
    unsafe { put(fd, &part(data, length), Some(at), || libc::syscall(libc::SYS_pwrite64, fd, data, length, at)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite(fd: c_int, data: *const c_void, length: size_t, at: off_t) -> ssize_t {
    // SAFETY: the same contract.
    unsafe { pwrite64(fd, data, length, at) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwritev64(fd: c_int, parts: *const iovec, count: c_int, at: off_t) -> ssize_t {
    // SAFETY: the caller's arguments, by pwritev's contract. The last number is the offset's upper half on 32 bits.
    unsafe { put(fd, vector(parts, count), Some(at), || libc::syscall(libc::SYS_pwritev, fd, parts, count, at, 0)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwritev(fd: c_int, parts: *const iovec, count: c_int, at: off_t) -> ssize_t {
    // SAFETY: the same contract.
    unsafe { pwritev64(fd, parts, count, at) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwritev64v2(fd: c_int, parts: *const iovec, count: c_int, at: off_t, flags: c_int) -> ssize_t {
    if flags != 0 && watched_descriptor(fd).is_some() {
        return refuse(libc::EOPNOTSUPP) as ssize_t;
    }
    let position = (at != -1).then_some(at);
    // SAFETY: the caller's arguments, by pwritev2's contract.
    unsafe {
        put(fd, vector(parts, count), position, || libc::syscall(libc::SYS_pwritev2, fd, parts, count, at, 0, flags))
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwritev2(fd: c_int, parts: *const iovec, count: c_int, at: off_t, flags: c_int) -> ssize_t {
    // SAFETY: the same contract.
    unsafe { pwritev64v2(fd, parts, count, at, flags) }
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate64(fd: c_int, length: off_t) -> c_int {
    // SAFETY: plain numbers.
    let real = || unsafe { libc::syscall(libc::SYS_ftruncate, fd, length) };
    let Some(file) = watched_descriptor(fd) else { return real() as c_int };
    let size = u64::try_from(length).unwrap_or(0);
    let record = Record { kind: kind::SET_LENGTH, inode: file.inode, size, ..Record::default() };
    lock().run(record, size > file.size, real) as c_int
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate(fd: c_int, length: off_t) -> c_int {
    ftruncate64(fd, length)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn truncate64(path: *const c_char, length: off_t) -> c_int {
    // SAFETY: the caller's arguments, by truncate's contract.
    let real = || unsafe { libc::syscall(libc::SYS_truncate, path, length) };
    // SAFETY: null or a C string, by truncate's contract.
    let found = unsafe { paths::resolve(libc::AT_FDCWD, path) }
        // SAFETY: not null, as it was resolved.
        .and_then(|_| unsafe { paths::status_at(libc::AT_FDCWD, path, true) });
    let Some(stat) = found else { return real() as c_int };
    let file = paths::watched(&stat);
    let size = u64::try_from(length).unwrap_or(0);
    let record = Record { kind: kind::SET_LENGTH, inode: file.inode, size, ..Record::default() };
    lock().run(record, size > file.size, real) as c_int
}

#[unsafe(no_mangle)]
unsafe extern "C" fn truncate(path: *const c_char, length: off_t) -> c_int {
    // SAFETY: the same contract.
    unsafe { truncate64(path, length) }
}

#[unsafe(no_mangle)]
extern "C" fn fallocate64(fd: c_int, mode: c_int, offset: off_t, length: off_t) -> c_int {
    // SAFETY: plain numbers.
    let real = || unsafe { libc::syscall(libc::SYS_fallocate, fd, mode, offset, length) };
    let Some(file) = watched_descriptor(fd) else { return real() as c_int };
    if mode & !libc::FALLOC_FL_KEEP_SIZE != 0 {
        return refuse(libc::EOPNOTSUPP) as c_int;
    }
    let record = Record {
        kind: kind::ALLOCATE,
        flags: if mode == 0 { 0 } else { flag::KEEP_SIZE },
        inode: file.inode,
        offset: u64::try_from(offset).unwrap_or(0),
        size: u64::try_from(length).unwrap_or(0),
        ..Record::default()
    };
    lock().run(record, true, real) as c_int
}

#[unsafe(no_mangle)]
extern "C" fn fallocate(fd: c_int, mode: c_int, offset: off_t, length: off_t) -> c_int {
    fallocate64(fd, mode, offset, length)
}

/// Returns the error itself, and leaves errno. Without the C library's own stand-in for file systems that cannot
/// allocate: there it returns `EOPNOTSUPP`.
#[unsafe(no_mangle)]
extern "C" fn posix_fallocate64(fd: c_int, offset: off_t, length: off_t) -> c_int {
    let before = last_errno();
    let result = fallocate64(fd, 0, offset, length);
    let errno = if result < 0 { last_errno() } else { 0 };
    refuse(before);
    errno
}

#[unsafe(no_mangle)]
extern "C" fn posix_fallocate(fd: c_int, offset: off_t, length: off_t) -> c_int {
    posix_fallocate64(fd, offset, length)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn copy_file_range(
    from: c_int,
    from_at: *mut off_t,
    to: c_int,
    to_at: *mut off_t,
    length: size_t,
    flags: c_uint,
) -> ssize_t {
    if watched_descriptor(to).is_some() {
        return refuse(libc::ENOSYS) as ssize_t;
    }
    // SAFETY: the caller's arguments.
    unsafe { libc::syscall(libc::SYS_copy_file_range, from, from_at, to, to_at, length, flags) as ssize_t }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendfile64(to: c_int, from: c_int, from_at: *mut off_t, length: size_t) -> ssize_t {
    if watched_descriptor(to).is_some() {
        return refuse(libc::EINVAL) as ssize_t;
    }
    // SAFETY: the caller's arguments.
    unsafe { libc::syscall(libc::SYS_sendfile, to, from, from_at, length) as ssize_t }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendfile(to: c_int, from: c_int, from_at: *mut off_t, length: size_t) -> ssize_t {
    // SAFETY: the same contract.
    unsafe { sendfile64(to, from, from_at, length) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn splice(
    from: c_int,
    from_at: *mut off_t,
    to: c_int,
    to_at: *mut off_t,
    length: size_t,
    flags: c_uint,
) -> ssize_t {
    if watched_descriptor(to).is_some() {
        return refuse(libc::EINVAL) as ssize_t;
    }
    // SAFETY: the caller's arguments.
    unsafe { libc::syscall(libc::SYS_splice, from, from_at, to, to_at, length, flags) as ssize_t }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mmap64(
    place: *mut c_void,
    length: size_t,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    at: off_t,
) -> *mut c_void {
    // Bit 0 of the flags: shared, by the file or checked for it.
    let writes =
        flags & libc::MAP_SHARED != 0 && flags & libc::MAP_ANONYMOUS == 0 && protection & libc::PROT_WRITE != 0;
    if writes && watched_descriptor(fd).is_some() {
        die(&["a shared writable mapping of a watched file: its writes cannot be recorded"]);
    }
    // SAFETY: the caller's arguments.
    unsafe { libc::syscall(libc::SYS_mmap, place, length, protection, flags, fd, at) as *mut c_void }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mmap(
    place: *mut c_void,
    length: size_t,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    at: off_t,
) -> *mut c_void {
    // SAFETY: the same contract.
    unsafe { mmap64(place, length, protection, flags, fd, at) }
}
