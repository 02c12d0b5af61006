//! Operations on names: open with `O_CREAT` or `O_TRUNC`, rename, link, unlink, mkdir, rmdir.

use libc::{AT_FDCWD, c_char, c_int, c_uint, mode_t};

use crate::fault::Verdict;
use crate::format::kind;
use crate::paths::{self, resolve};
use crate::recorder::{Inode, Record, die, last_errno, lock, refuse};

/// All opens end here.
///
/// # Safety
///
/// `path` is null or a C string.
unsafe fn open_at(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's arguments: the kernel itself checks them.
    let real = || unsafe { libc::syscall(libc::SYS_openat, folder, path, flags, mode) };
    let temporary = flags & libc::O_TMPFILE == libc::O_TMPFILE;
    if flags & libc::O_PATH != 0 || (flags & (libc::O_CREAT | libc::O_TRUNC) == 0 && !temporary) {
        return real() as c_int;
    }
    // SAFETY: the caller's promise.
    let Some(name) = (unsafe { resolve(folder, path) }) else { return real() as c_int };
    if temporary {
        die(&["O_TMPFILE under the watched folder: not supported"]);
    }
    let mut held = lock();
    // SAFETY: not null, as it was resolved.
    let before = unsafe { paths::status_at(folder, path, true) };
    let kind = match &before {
        None if flags & libc::O_CREAT != 0 => kind::CREATE,
        Some(stat)
            if flags & libc::O_TRUNC != 0
                && flags & libc::O_ACCMODE != libc::O_RDONLY
                && flags & (libc::O_CREAT | libc::O_EXCL) != libc::O_CREAT | libc::O_EXCL
                && stat.st_mode & libc::S_IFMT == libc::S_IFREG =>
        {
            kind::SET_LENGTH
        }
        // Neither makes nor cuts a file: the open changes nothing.
        _ => return real() as c_int,
    };
    let inode = before.map(|stat| paths::watched(&stat).inode).unwrap_or_default();
    let record = Record { kind, inode, path: &name, ..Record::default() };
    if let Verdict::Fail(errno) = held.verdict(kind == kind::CREATE, 0) {
        return held.fail(record, errno) as c_int;
    }
    let fd = real();
    if fd < 0 {
        let errno = last_errno();
        held.record(Record { errno, ..record });
        return refuse(errno) as c_int;
    }
    let inode = paths::status(fd as c_int).map_or(inode, |stat| paths::watched(&stat).inode);
    held.record(Record { inode, ..record });
    fd as c_int
}

// The C declarations of open and openat take any number of arguments: on the 64-bit calling conventions of Linux the
// mode, where given, comes in the register of a third or fourth fixed one, and is not looked at where not given.

#[unsafe(no_mangle)]
unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { open_at(AT_FDCWD, path, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { open_at(AT_FDCWD, path, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __open_2(path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { open_at(AT_FDCWD, path, flags, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __open64_2(path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { open_at(AT_FDCWD, path, flags, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn openat(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { open_at(folder, path, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn openat64(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { open_at(folder, path, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn creat(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { open_at(AT_FDCWD, path, libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn creat64(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { open_at(AT_FDCWD, path, libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC, mode) }
}

/// The identity of what `path` names; zeros where it names nothing.
///
/// # Safety
///
/// `path` is a C string.
unsafe fn identity(folder: c_int, path: *const c_char) -> Inode {
    // SAFETY: the caller's promise.
    unsafe { paths::status_at(folder, path, false) }.map(|stat| paths::watched(&stat).inode).unwrap_or_default()
}

/// A rename or link: both names under the root, or neither.
///
/// # Safety
///
/// Both paths are null or C strings.
unsafe fn two_names(
    kind: u8,
    from: (c_int, *const c_char),
    to: (c_int, *const c_char),
    real: impl FnOnce() -> i64,
) -> c_int {
    // SAFETY: the caller's promise.
    let names = unsafe { (resolve(from.0, from.1), resolve(to.0, to.1)) };
    match names {
        (None, None) => real() as c_int,
        (Some(path), Some(other)) => {
            if path.is_empty() || other.is_empty() {
                die(&["the watched folder itself is renamed or replaced"]);
            }
            let mut held = lock();
            // SAFETY: not null, as it was resolved.
            let inode = unsafe { identity(from.0, from.1) };
            let record = Record { kind, inode, path: &path, other: &other, ..Record::default() };
            held.run(record, true, real) as c_int
        }
        _ => die(&["a rename or link across the border of the watched folder: not supported"]),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn renameat2(
    from_folder: c_int,
    from: *const c_char,
    to_folder: c_int,
    to: *const c_char,
    flags: c_uint,
) -> c_int {
    // SAFETY: null or C strings, by rename's contract.
    if flags & !libc::RENAME_NOREPLACE != 0 && unsafe { resolve(from_folder, from) }.is_some() {
        return refuse(libc::EINVAL) as c_int;
    }
    // SAFETY: the caller's arguments.
    unsafe {
        two_names(kind::RENAME, (from_folder, from), (to_folder, to), || {
            libc::syscall(libc::SYS_renameat2, from_folder, from, to_folder, to, flags)
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn renameat(from_folder: c_int, from: *const c_char, to_folder: c_int, to: *const c_char) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { renameat2(from_folder, from, to_folder, to, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { renameat2(AT_FDCWD, from, AT_FDCWD, to, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn linkat(
    from_folder: c_int,
    from: *const c_char,
    to_folder: c_int,
    to: *const c_char,
    flags: c_int,
) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe {
        two_names(kind::LINK, (from_folder, from), (to_folder, to), || {
            libc::syscall(libc::SYS_linkat, from_folder, from, to_folder, to, flags)
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn link(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { linkat(AT_FDCWD, from, AT_FDCWD, to, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn symlinkat(target: *const c_char, folder: c_int, path: *const c_char) -> c_int {
    // SAFETY: null or a C string, by symlink's contract.
    if unsafe { resolve(folder, path) }.is_some() {
        die(&["a symbolic link under the watched folder: not supported"]);
    }
    // SAFETY: the caller's arguments.
    unsafe { libc::syscall(libc::SYS_symlinkat, target, folder, path) as c_int }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn symlink(target: *const c_char, path: *const c_char) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { symlinkat(target, AT_FDCWD, path) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlinkat(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller's arguments: the kernel itself checks them.
    let real = || unsafe { libc::syscall(libc::SYS_unlinkat, folder, path, flags) };
    // SAFETY: null or a C string, by unlink's contract.
    let Some(name) = (unsafe { resolve(folder, path) }) else { return real() as c_int };
    if name.is_empty() {
        die(&["the watched folder itself is removed"]);
    }
    let mut held = lock();
    // SAFETY: not null, as it was resolved.
    let inode = unsafe { identity(folder, path) };
    let kind = if flags & libc::AT_REMOVEDIR == 0 { kind::UNLINK } else { kind::REMOVE_DIR };
    held.run(Record { kind, inode, path: &name, ..Record::default() }, false, real) as c_int
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { unlinkat(AT_FDCWD, path, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rmdir(path: *const c_char) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { unlinkat(AT_FDCWD, path, libc::AT_REMOVEDIR) }
}

/// C's own remove: a file or an empty folder.
#[unsafe(no_mangle)]
unsafe extern "C" fn remove(path: *const c_char) -> c_int {
    // SAFETY: the caller's arguments.
    let result = unsafe { unlink(path) };
    if result == 0 || last_errno() != libc::EISDIR {
        return result;
    }
    // SAFETY: the caller's arguments.
    unsafe { rmdir(path) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mkdirat(folder: c_int, path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the caller's arguments: the kernel itself checks them.
    let real = || unsafe { libc::syscall(libc::SYS_mkdirat, folder, path, mode) };
    // SAFETY: null or a C string, by mkdir's contract.
    let name = unsafe { resolve(folder, path) }.filter(|name| !name.is_empty());
    let Some(name) = name else { return real() as c_int };
    let mut held = lock();
    let record = Record { kind: kind::MAKE_DIR, path: &name, ..Record::default() };
    if let Verdict::Fail(errno) = held.verdict(true, 0) {
        return held.fail(record, errno) as c_int;
    }
    let result = real();
    let errno = if result < 0 { last_errno() } else { 0 };
    // SAFETY: not null, as it was resolved.
    let inode = if result < 0 { Inode::default() } else { unsafe { identity(folder, path) } };
    held.record(Record { inode, errno, ..record });
    if result < 0 { refuse(errno) as c_int } else { 0 }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { mkdirat(AT_FDCWD, path, mode) }
}
