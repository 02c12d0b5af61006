//! The command line.

use crate::{
    child::RunArgs,
    workload::{Store, Workload},
};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Runs the same workloads on Anabranch and on go-ds-crdt, in turn, and shows how they compare.
///
/// Each run is a process of its own with stores in a fresh folder. Where there is no `go`, Anabranch runs alone.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) compare: CompareArgs,
    #[command(subcommand)]
    pub(crate) hidden: Option<Hidden>,
}

/// What the program does for itself, in its child processes.
#[derive(Debug, Subcommand)]
pub(crate) enum Hidden {
    /// Run one workload on our side and print what it measured
    #[command(hide = true)]
    Run(RunArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Small sizes, one run, the default stores only: a smoke test of under a minute
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only these workloads
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WORKLOAD,...")]
    pub(crate) only: Vec<Workload>,
    /// Only these stores
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STORE,...")]
    pub(crate) stores: Vec<Store>,
    /// How often each is run; the table shows medians [default: 3, with --quick 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) runs: Option<u32>,
    /// Numbers of keys, such as 500, 100k or 1m; above 2m ours runs alone [default: 100k,1m,10m, with --quick 10k]
    #[arg(long, value_delimiter = ',', value_parser = keys, value_name = "N,...")]
    pub(crate) keys: Vec<u64>,
    /// Write the results as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the table as Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Draw the ratios as a bar chart
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// The folder in which the folders of the runs are made [default: the system's for temporary files]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) temp: Option<PathBuf>,
}

/// `500`, `100k`, `1m`.
fn keys(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let (digits, unit) = match lower.strip_suffix('k') {
        Some(digits) => (digits, 1_000),
        None => lower.strip_suffix('m').map_or((lower.as_str(), 1), |digits| (digits, 1_000_000)),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    match number {
        Some(number @ 1_000..=1_000_000_000) => Ok(number),
        Some(_) => Err("expected a number from 1000 to 1000m".into()),
        None => Err("expected a number such as 5000, 100k or 1m".into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn numbers_of_keys_may_be_short() {
        assert_eq!(["5000", "100k", "1m", "10M"].map(keys), [Ok(5_000), Ok(100_000), Ok(1_000_000), Ok(10_000_000)]);
        for bad in ["", "k", "1g", "-1", "0", "999", "1001m", "99999999999999999999", "99999999999999999m"] {
            assert!(keys(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_take_commas() {
        let cli = Cli::try_parse_from(["compare", "--only", "ingest,cold-sync", "--keys", "10k,1m"]).unwrap();
        assert_eq!(cli.compare.only, [Workload::Ingest, Workload::ColdSync]);
        assert_eq!(cli.compare.keys, [10_000, 1_000_000]);
        assert!(Cli::try_parse_from(["compare", "--only", "digest"]).is_err());
    }
}
