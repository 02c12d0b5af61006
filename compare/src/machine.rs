//! The machine that was measured.

use crate::golang;
use serde::Serialize;
use std::{
    fs,
    process::{Command, Stdio},
};

/// What a reader of the figures needs to know of the machine, and of what was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) cpu: String,
    pub(crate) memory_bytes: u64,
    pub(crate) system: String,
    pub(crate) rust: String,
    pub(crate) go: Option<String>,
    /// Of the checkout; with `+` when it had changes.
    pub(crate) commit: String,
    /// UTC, when the run began.
    pub(crate) date: String,
}

const UNKNOWN: &str = "unknown";

impl Machine {
    pub(crate) fn look() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib = field(&meminfo, "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: field(&cpuinfo, "model name").unwrap_or(UNKNOWN).to_owned(),
            memory_bytes: kib.map_or(0, |kib| kib << 10),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            rust: said("rustc", &["--version"])
                .and_then(|text| Some(text.split(' ').nth(1)?.to_owned()))
                .unwrap_or(UNKNOWN.into()),
            go: golang::version(),
            commit: commit().unwrap_or(UNKNOWN.into()),
            date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
        }
    }

    /// In one line.
    pub(crate) fn line(&self) -> String {
        let go = self.go.as_ref().map_or(String::from("no Go"), |version| version.replacen("go", "Go ", 1));
        format!(
            "{} ({} cores, {:.0} GiB, {}), Rust {}, {go}, {}, commit {}",
            self.cpu,
            self.cores,
            self.memory_bytes as f64 / f64::from(1 << 30),
            self.system,
            self.rust,
            self.date,
            self.commit
        )
    }
}

/// The value of `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim_start().strip_prefix(':')?.trim()))
}

fn said(program: &str, args: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(args).stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn commit() -> Option<String> {
    let commit = said("git", &["rev-parse", "--short=12", "HEAD"])?;
    let changed = said("git", &["status", "--porcelain"]).is_some_and(|text| !text.is_empty());
    Some(if changed { commit + "+" } else { commit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        let text = "processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nMemTotal:       24000 kB\n";
        assert_eq!(field(text, "model name"), Some("A CPU @ 2 GHz"));
        assert_eq!(field(text, "MemTotal"), Some("24000 kB"));
        assert_eq!(field(text, "model"), None);
    }

    #[test]
    fn the_date_is_utc_to_the_minute() {
        let date = Machine::look().date;
        assert!(date.len() == 20 && date.starts_with("20") && date.ends_with(" UTC"), "{date}");
    }
}
