//! The program `anabranch`: runs scenarios, and looks into histories.

mod cli;

use std::process::ExitCode;

/// A run allocates several times an event: glibc spends a fifth of its time on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let (mut out, mut err) = (cli::Out::stdout(), cli::Out::stderr());
    let result = cli::parse(std::env::args_os()).and_then(|command| cli::execute(command, &mut out, &mut err));
    let result = result.and_then(|code| out.flush().map(|()| code));
    cli::exit_code(result, &mut out, &mut err)
}
