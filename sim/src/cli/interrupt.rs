//! Ctrl-C: the first one asks the work to stop in an orderly way, the second one ends the program.

use super::exit::Stop;
use std::{
    process,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// What a shell reports for a program that Ctrl-C ended.
pub(super) const CODE: u8 = 130;

/// From now on Ctrl-C (or a request to terminate) is heeded between two runs.
pub(super) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Without a handler Ctrl-C ends the program at once, and drafts stay under names of their own: no harm.
        let _ = ctrlc::set_handler(|| {
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                process::exit(CODE.into());
            }
        });
    });
}

/// Whether Ctrl-C was pressed.
pub(super) fn is_pressed() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Stops where Ctrl-C was pressed. `what` says what is left and how to go on.
pub(super) fn check(what: &str) -> Result<(), Stop> {
    if is_pressed() { Err(Stop::Interrupted(what.to_owned())) } else { Ok(()) }
}
