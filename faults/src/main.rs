//! The program `anabranch-faults`: sweeps of crashes and errors over the engines, at length or quickly.

mod cli;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(cli::Cli::parse())
}
