//! The program `anabranch`: runs scenarios, and looks into histories.

mod cli;

use std::process::ExitCode;

/// A run allocates several times an event: glibc spends a fifth of its time on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc.h, which the crate gives no name: after how many milliseconds unused memory goes back.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> ExitCode {
    // What a run gives back the next one takes again: the kernel would clear it each time, which is a tenth of a campaign's time.
    // SAFETY: it stores a number in a table of the allocator, and no other thread runs yet.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
    let (mut out, mut err) = (cli::Out::stdout(), cli::Out::stderr());
    let result = cli::parse(std::env::args_os()).and_then(|command| cli::execute(command, &mut out, &mut err));
    let result = result.and_then(|code| out.flush().map(|()| code));
    cli::exit_code(result, &mut out, &mut err)
}
