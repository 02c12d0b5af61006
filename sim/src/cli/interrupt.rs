//! Ctrl-C: the first one asks the work to stop in an orderly way, the second one ends the program.

use super::exit::Stop;
use std::{
    collections::BTreeSet,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process,
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Files that are written under a name of their own for as long as the work lasts.
static DRAFTS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// What a shell reports for a program that Ctrl-C ended.
pub(super) const CODE: u8 = 130;

/// From now on Ctrl-C (or a request to terminate) is heeded between two runs, and says so.
pub(super) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Without a handler Ctrl-C ends the program at once, and drafts stay under names of their own: no harm.
        let _ = ctrlc::set_handler(|| {
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                // Held until the end: no draft is begun any more.
                let drafts = DRAFTS.lock().unwrap_or_else(PoisonError::into_inner);
                // Nothing can be done about a draft that cannot be removed.
                drafts.iter().for_each(|draft| drop(std::fs::remove_file(draft)));
                say("interrupted: stopped at once, the runs under way are lost; outputs are whole or not written");
                process::exit(CODE.into());
            }
            say("Ctrl-C: finishing the runs under way; press again to stop at once");
        });
    });
}

/// A line on stderr; nobody is left to be told when that fails.
fn say(line: &str) {
    let mut to = io::stderr();
    // A progress bar stands in this line, and what the terminal shows for Ctrl-C.
    let before = if to.is_terminal() { "\r\x1b[K" } else { "" };
    let _ = writeln!(to, "{before}{line}");
}

/// This file is a draft from now on: who stops at once removes it.
pub(super) fn is_draft(path: &Path) {
    DRAFTS.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
}

/// This file is no draft any more: it has its name, or is gone.
pub(super) fn is_no_draft(path: &Path) {
    DRAFTS.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
}

/// Whether Ctrl-C was pressed.
pub(super) fn is_pressed() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Stops where Ctrl-C was pressed. `what` says what is left and how to go on.
pub(super) fn check(what: &str) -> Result<(), Stop> {
    if is_pressed() { Err(Stop::Interrupted(what.to_owned())) } else { Ok(()) }
}
