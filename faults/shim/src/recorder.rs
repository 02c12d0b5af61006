//! The shim's settings, its lock, and the log.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use libc::{c_int, iovec};

use crate::fault::{Plan, Verdict};
use crate::format::{HEADER, MAGIC, RECORD, VERSION, flag, variable};
use crate::paths;

/// What the environment asked for: fixed when the process starts.
pub(crate) struct Settings {
    /// The watched folder's path as the kernel tells it.
    pub(crate) root: Vec<u8>,
    /// The file whose writes are marks.
    pub(crate) marks: Option<Vec<u8>>,
    /// Whether reads may be made to fail: else they are not looked at.
    pub(crate) fail_reads: bool,
}

/// What changes with each operation, under the lock.
pub(crate) struct Recorder {
    log: c_int,
    sequence: u64,
    operations: u64,
    reads: u64,
    fail: Option<Plan>,
    fail_reads: Option<Plan>,
}

/// A file's or folder's identity.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Inode {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
}

/// A record to write. Fields that a kind does not use stay empty.
#[derive(Clone, Copy, Default)]
pub(crate) struct Record<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) errno: c_int,
    pub(crate) inode: Inode,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) path: &'a [u8],
    pub(crate) other: &'a [u8],
    pub(crate) data: &'a [u8],
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();
static RECORDER: Mutex<Option<Recorder>> = Mutex::new(None);

/// Runs before the process's `main`, as the dynamic linker runs all in this section.
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

extern "C" fn start() {
    let Some(root) = std::env::var_os(variable::ROOT) else { return };
    let Some(log) = std::env::var_os(variable::LOG) else { die(&["ANABRANCH_SHIM_LOG is not set"]) };
    let Some((root, inode)) = paths::open_folder(&root) else {
        die(&["ANABRANCH_SHIM_ROOT is no folder, or /proc is not mounted: ", &root.to_string_lossy()])
    };
    let log = open_log(&log, &root, inode);
    let fail = plan(variable::FAIL);
    let fail_reads = plan(variable::FAIL_READS);
    let marks = std::env::var_os(variable::MARKS).map(OsString::into_vec);
    let settings = Settings { root, marks, fail_reads: fail_reads.is_some() };
    *RECORDER.lock().unwrap_or_else(PoisonError::into_inner) =
        Some(Recorder { log, sequence: 0, operations: 0, reads: 0, fail, fail_reads });
    // Set once, here: the result can only be Ok.
    let _ = SETTINGS.set(settings);
}

fn plan(variable: &str) -> Option<Plan> {
    let text = std::env::var_os(variable)?;
    let plan = text.to_str().and_then(Plan::parse);
    if plan.is_none() {
        die(&[variable, " is not AT:ENOSPC|EIO|EROFS[:once][:half]: ", &text.to_string_lossy()]);
    }
    plan
}

fn open_log(path: &OsString, root: &[u8], inode: Inode) -> c_int {
    let Ok(name) = std::ffi::CString::new(path.as_bytes()) else { die(&["ANABRANCH_SHIM_LOG holds a zero byte"]) };
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC;
    // SAFETY: `name` ends in a zero byte and outlives the call.
    let low = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, name.as_ptr(), flags, 0o644) } as c_int;
    if low < 0 {
        die(&["cannot open the log: ", &path.to_string_lossy()]);
    }
    // Away from the low numbers: programs expect those to be given in order.
    // SAFETY: plain numbers; the descriptor is this function's own.
    let log = unsafe { libc::fcntl(low, libc::F_DUPFD_CLOEXEC, 900) };
    let log = if log < 0 {
        low
    } else {
        // SAFETY: `low` is this function's own, and no longer used.
        unsafe { libc::syscall(libc::SYS_close, low) };
        log
    };
    let mut header = [0u8; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&(root.len() as u32).to_le_bytes());
    header[16..24].copy_from_slice(&inode.dev.to_le_bytes());
    header[24..32].copy_from_slice(&inode.ino.to_le_bytes());
    match paths::status(log).and_then(|stat| usize::try_from(stat.st_size).ok()) {
        Some(0) => append(log, &[&header, root]),
        // A launcher that replaced itself with this process and did nothing to the folder: it goes on.
        Some(size) if size == HEADER + root.len() => {}
        _ => die(&["the log holds records of another process: ", &path.to_string_lossy()]),
    }
    log
}

/// The settings, where the shim is active.
pub(crate) fn settings() -> Option<&'static Settings> {
    SETTINGS.get()
}

/// The lock that orders all watched operations.
pub(crate) struct Held(MutexGuard<'static, Option<Recorder>>);

/// Takes the lock: hold it around the real operation and its record.
pub(crate) fn lock() -> Held {
    Held(RECORDER.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Held {
    fn recorder(&mut self) -> &mut Recorder {
        match self.0.as_mut() {
            Some(recorder) => recorder,
            // Set before the settings, without which no watched operation comes here.
            None => die(&["used before it started"]),
        }
    }

    /// Counts an operation and says what becomes of it.
    pub(crate) fn verdict(&mut self, needs_room: bool, bytes: usize) -> Verdict {
        let recorder = self.recorder();
        let index = recorder.operations;
        recorder.operations += 1;
        recorder.fail.as_mut().map_or(Verdict::Pass, |plan| plan.strike(index, needs_room, bytes))
    }

    /// Counts a read and says what becomes of it.
    pub(crate) fn read_verdict(&mut self) -> Verdict {
        let recorder = self.recorder();
        let index = recorder.reads;
        recorder.reads += 1;
        recorder.fail_reads.as_mut().map_or(Verdict::Pass, |plan| plan.strike(index, false, 0))
    }

    /// An operation that either fails as told or runs as `real`; recorded both ways. `real` returns a negative number
    /// and sets errno where it fails.
    pub(crate) fn run(&mut self, record: Record<'_>, needs_room: bool, real: impl FnOnce() -> i64) -> i64 {
        match self.verdict(needs_room, 0) {
            Verdict::Fail(errno) => self.fail(record, errno),
            Verdict::Pass | Verdict::Half => {
                let result = real();
                let errno = if result < 0 { last_errno() } else { 0 };
                self.record(Record { errno, ..record });
                if result < 0 { refuse(errno) } else { result }
            }
        }
    }

    /// Records an injected failure, and returns it to the caller.
    pub(crate) fn fail(&mut self, record: Record<'_>, errno: c_int) -> i64 {
        self.record(Record { errno, flags: record.flags | flag::INJECTED, data: &[], ..record });
        refuse(errno)
    }

    /// Appends a record to the log.
    pub(crate) fn record(&mut self, record: Record<'_>) {
        let recorder = self.recorder();
        let mut head = [0u8; RECORD];
        head[..8].copy_from_slice(&recorder.sequence.to_le_bytes());
        head[8] = record.kind;
        head[9] = record.flags;
        head[12..16].copy_from_slice(&record.errno.to_le_bytes());
        head[16..24].copy_from_slice(&record.inode.dev.to_le_bytes());
        head[24..32].copy_from_slice(&record.inode.ino.to_le_bytes());
        head[32..40].copy_from_slice(&record.offset.to_le_bytes());
        head[40..48].copy_from_slice(&record.size.to_le_bytes());
        for (place, part) in [(48, record.path), (52, record.other), (56, record.data)] {
            // Paths are below 4096 bytes, and one write moves at most 2 GiB.
            head[place..place + 4].copy_from_slice(&(part.len() as u32).to_le_bytes());
        }
        recorder.sequence += 1;
        append(recorder.log, &[&head, record.path, record.other, record.data]);
    }
}

/// Appends to the log, or ends the process: a log with gaps would tell of disks that cannot be.
fn append(log: c_int, parts: &[&[u8]]) {
    let mut at = 0;
    let total: usize = parts.iter().map(|part| part.len()).sum();
    while at < total {
        let mut skip = at;
        let mut vector = [iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; 4];
        for (slot, part) in vector.iter_mut().zip(parts) {
            let cut = skip.min(part.len());
            skip -= cut;
            *slot = iovec { iov_base: part[cut..].as_ptr().cast_mut().cast(), iov_len: part.len() - cut };
        }
        // SAFETY: each entry of `vector` is a live slice or empty, and the kernel only reads them.
        let wrote = unsafe { libc::syscall(libc::SYS_writev, log, vector.as_ptr(), vector.len()) };
        match usize::try_from(wrote) {
            Ok(wrote) => at += wrote,
            Err(_) if last_errno() == libc::EINTR => {}
            Err(_) => die(&["cannot write the log: is its disk full?"]),
        }
    }
}

/// The calling thread's errno.
pub(crate) fn last_errno() -> c_int {
    // SAFETY: the C library's pointer to this thread's own variable.
    unsafe { *libc::__errno_location() }
}

/// Sets errno and returns -1, as the C library's functions do.
pub(crate) fn refuse(errno: c_int) -> i64 {
    // SAFETY: the C library's pointer to this thread's own variable.
    unsafe { *libc::__errno_location() = errno };
    -1
}

/// Ends the process with a message on standard error.
pub(crate) fn die(parts: &[&str]) -> ! {
    let mut message = String::from("anabranch-faults-shim: ");
    parts.iter().for_each(|part| message.push_str(part));
    message.push('\n');
    // SAFETY: the message lives through the call. The raw call, so as not to come back into the shim.
    unsafe { libc::syscall(libc::SYS_write, 2, message.as_ptr(), message.len()) };
    // SAFETY: ends the process, has no conditions.
    unsafe { libc::abort() }
}
