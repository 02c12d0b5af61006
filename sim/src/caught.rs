//! Panics as results: a run that panics is a finding like any other.

use std::{
    cell::{Cell, RefCell},
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Does the job; `Err` when it panics, with one line that says where and why. The panic is not printed,
/// unless `RUST_BACKTRACE` is set.
///
/// # Errors
/// What the panic said.
pub fn caught<T>(job: impl FnOnce() -> T) -> Result<T, String> {
    keep_panics();
    let outer = CATCHING.replace(true);
    // The job owns all that it changes, or its caller takes it as it is: nothing half-changed is used afterwards.
    let result = panic::catch_unwind(AssertUnwindSafe(job));
    CATCHING.set(outer);
    result.map_err(|_| PANIC.take().unwrap_or_else(|| String::from("panic")))
}

/// From now on, a panic inside a job is kept for its result instead of printed.
fn keep_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHING.get() {
                let place = info.location().map_or(String::new(), |at| format!(" at {}:{}", at.file(), at.line()));
                let why = info.payload_as_str().unwrap_or("no message").replace('\n', "; ");
                PANIC.set(Some(format!("panic{place}: {why}")));
            }
            if !CATCHING.get() || std::env::var_os("RUST_BACKTRACE").is_some() {
                print(info);
            }
        }));
    });
}
