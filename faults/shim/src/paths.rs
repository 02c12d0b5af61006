//! Which file a descriptor or a path stands for, as the kernel tells it.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use libc::{c_char, c_int};

use crate::recorder::{Inode, Settings, last_errno, settings};

/// A watched file or folder behind a descriptor.
#[derive(Clone, Copy)]
pub(crate) struct Watched {
    pub(crate) inode: Inode,
    pub(crate) size: u64,
    pub(crate) directory: bool,
}

/// What a descriptor stands for.
pub(crate) enum Target {
    /// Nothing of ours.
    Other,
    /// The marks.
    Marks,
    /// A file or folder under the root, or the root.
    Watched(Watched),
}

/// Longest path that the kernel tells, in bytes.
const PATH_MAX: usize = 4096;

/// What `fd` stands for now. A file that lost its name still counts as under the folder that had it.
pub(crate) fn target(fd: c_int) -> Target {
    let Some(settings) = settings() else { return Target::Other };
    let mut buffer = [0u8; PATH_MAX];
    let Some(path) = descriptor_path(fd, &mut buffer) else { return Target::Other };
    if settings.marks.as_deref() == Some(path) {
        return Target::Marks;
    }
    if relative(settings, path).is_none() {
        return Target::Other;
    }
    status(fd).map_or(Target::Other, |stat| Target::Watched(watched(&stat)))
}

/// The watched file or folder behind `fd`, if it is one.
pub(crate) fn watched_descriptor(fd: c_int) -> Option<Watched> {
    match target(fd) {
        Target::Watched(watched) => Some(watched),
        Target::Other | Target::Marks => None,
    }
}

/// The path of the folder at `path` without symbolic links, and its identity.
pub(crate) fn open_folder(path: &OsStr) -> Option<(Vec<u8>, Inode)> {
    let fd = open_path(libc::AT_FDCWD, &CString::new(path.as_bytes()).ok()?)?;
    let mut buffer = [0u8; PATH_MAX];
    let answer = descriptor_path(fd, &mut buffer).map(<[u8]>::to_vec).zip(status(fd).map(|stat| watched(&stat).inode));
    close(fd);
    answer
}

/// The path under the root, relative to it, that `path` as seen from `folder` names; `None` where it is not under the
/// root, or where its parent does not exist. The root itself is the empty path.
///
/// # Safety
///
/// `path` is null or a C string.
pub(crate) unsafe fn resolve(folder: c_int, path: *const c_char) -> Option<Vec<u8>> {
    let settings = settings()?;
    if path.is_null() {
        return None;
    }
    // SAFETY: not null, so a C string by the caller's promise.
    let path = unsafe { CStr::from_ptr(path) }.to_bytes();
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let start = path[..end].iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let name = &path[start..end];
    let whole = name.is_empty() || name == b"." || name == b"..";
    let parent = match (whole, start) {
        (true, _) => path,
        (false, 0) => b".",
        (false, _) => &path[..start],
    };
    let fd = open_path(folder, &CString::new(parent).ok()?)?;
    let mut buffer = [0u8; PATH_MAX];
    let mut full = descriptor_path(fd, &mut buffer).map(<[u8]>::to_vec);
    close(fd);
    if let Some(full) = full.as_mut().filter(|_| !whole) {
        if full.last() != Some(&b'/') {
            full.push(b'/');
        }
        full.extend_from_slice(name);
    }
    relative(settings, &full?).map(<[u8]>::to_vec)
}

/// The status of what `path` names, following a symbolic link only if told to.
///
/// # Safety
///
/// `path` is a C string.
pub(crate) unsafe fn status_at(folder: c_int, path: *const c_char, follow: bool) -> Option<libc::stat> {
    let flags = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
    // SAFETY: all-zero bytes are a valid `stat`.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: a C string by the caller's promise, and room for the answer.
    let result = unsafe { libc::fstatat(folder, path, &mut stat, flags) };
    (result == 0).then_some(stat)
}

/// The status of what `fd` stands for.
pub(crate) fn status(fd: c_int) -> Option<libc::stat> {
    // SAFETY: all-zero bytes are a valid `stat`.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: room for the answer; a wrong number is an error.
    (unsafe { libc::fstat(fd, &mut stat) } == 0).then_some(stat)
}

/// What a status says of a file or folder.
pub(crate) fn watched(stat: &libc::stat) -> Watched {
    Watched {
        inode: Inode { dev: stat.st_dev, ino: stat.st_ino },
        size: u64::try_from(stat.st_size).unwrap_or(0),
        directory: stat.st_mode & libc::S_IFMT == libc::S_IFDIR,
    }
}

/// `path` relative to the root, if it is under it.
fn relative<'a>(settings: &Settings, path: &'a [u8]) -> Option<&'a [u8]> {
    match path.strip_prefix(settings.root.as_slice())? {
        [] => Some(&[]),
        [b'/', rest @ ..] => Some(rest),
        _ => None,
    }
}

/// Opens the folder `path` only to ask what it is.
fn open_path(folder: c_int, path: &CStr) -> Option<c_int> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: a C string that outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_openat, folder, path.as_ptr(), flags, 0) };
    if fd < 0 && matches!(last_errno(), libc::EMFILE | libc::ENFILE | libc::ENOMEM) {
        crate::recorder::die(&["no descriptor left to tell whether a path is watched"]);
    }
    c_int::try_from(fd).ok().filter(|fd| *fd >= 0)
}

fn close(fd: c_int) {
    // SAFETY: only called with descriptors that this module opened, once.
    unsafe { libc::syscall(libc::SYS_close, fd) };
}

/// The path behind `fd`, as `/proc` tells it.
fn descriptor_path(fd: c_int, buffer: &mut [u8; PATH_MAX]) -> Option<&[u8]> {
    let mut link = *b"/proc/self/fd/..........\0";
    let mut rest = u32::try_from(fd).ok()?;
    let digits = rest.checked_ilog10().unwrap_or(0) as usize + 1;
    for place in (0..digits).rev() {
        link[14 + place] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    link[14 + digits] = 0;
    // SAFETY: `link` ends in a zero byte, and the buffer has the room that is told.
    let length = unsafe { libc::readlink(link.as_ptr().cast(), buffer.as_mut_ptr().cast(), buffer.len()) };
    buffer.get(..usize::try_from(length).ok()?)
}
