//! The event loop of the simulator beside madsim's: one workload on both, in one run.
//!
//! ```console
//! $ cd benches/madsim && cargo run --release
//! ```
//!
//! Clients at one node send 64 bytes each to a server at another, which sends them back changed; a client that hears nothing for 200 ms
//! sends anew. A message takes 1 to 50 ms, and one in ten is lost. Whatever is sent, arrives or runs out goes into a sha2-256, with its
//! simulated time: the same entries on both sides. What differs is how each simulates: madsim runs tasks, and lets each message wait some microseconds
//! before it is sent, as it does by itself; ours handles events. What is counted is messages that arrived.

#[cfg(not(madsim))]
compile_error!(
    "madsim simulates only under its own cfg: call cargo in benches/madsim, without a variable RUSTFLAGS, or with `--cfg madsim` in it"
);

mod journal;
#[cfg(madsim)]
mod ours;
#[cfg(madsim)]
mod theirs;

use clap::Parser;
use journal::Echoes;
use std::{
    io::Write,
    process::ExitCode,
    time::{Duration, Instant},
};

/// The bytes of a message.
const PAYLOAD_BYTES: usize = 64;
/// Clients.
const CLIENTS: u64 = 64;
/// How long a client waits.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// How long a message takes, and how many of a hundred are lost.
const LATENCY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));
const LOST_PERCENT: u32 = 10;

/// Measures the simulator's event loop beside madsim's, and prints the ratio.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// Echoes that are to be answered, in each run
    #[arg(long, default_value_t = 200_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    echoes: u64,
    /// Runs of each, in turn; the best one counts
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// The seed of both
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
}

/// A program that echoes: seed and echoes in, what came of it out.
type Program = fn(u64, u64) -> Echoes;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let programs: [(&str, Program); 2] = [("anabranch", ours::run), ("madsim", theirs::run)];
    let mut best = [f64::INFINITY; 2];
    let mut first: [Option<Echoes>; 2] = [None, None];
    for _ in 0..cli.runs {
        for (which, (name, program)) in programs.iter().enumerate() {
            let begun = Instant::now();
            let echoes = program(cli.seed, cli.echoes);
            best[which] = best[which].min(begun.elapsed().as_secs_f64() / echoes.delivered as f64);
            if first[which].get_or_insert_with(|| echoes.clone()) != &echoes {
                say(&format!("{name}: two runs with seed {} differ", cli.seed));
                return ExitCode::FAILURE;
            }
        }
    }
    for ((name, _), (seconds, echoes)) in programs.iter().zip(best.iter().zip(&first)) {
        let Some(Echoes { delivered, resent, trace }) = echoes else { continue };
        say(&format!(
            "{name:<10} {:>6.2} M messages/s, {delivered} arrived, {resent} times sent anew, trace {}…",
            1e-6 / seconds,
            &trace[..16]
        ));
    }
    say(&format!("ratio      {:>6.2}  (best of {} runs each, taken in turn)", best[1] / best[0], cli.runs));
    ExitCode::SUCCESS
}

/// Nobody listens any more when standard output is closed.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// What the server answers.
fn answer(mut payload: [u8; PAYLOAD_BYTES]) -> [u8; PAYLOAD_BYTES] {
    payload.rotate_left(1);
    payload[0] = payload[0].wrapping_add(1);
    payload
}

/// What a client sends first, and after a message is lost.
fn beginning(client: u64) -> [u8; PAYLOAD_BYTES] {
    [client as u8; PAYLOAD_BYTES]
}
