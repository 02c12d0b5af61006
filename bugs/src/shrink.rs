//! The first failure of a hunt, made small by the simulator's own shrinker.

use crate::report::Size;
use std::{
    path::Path,
    process::{Command, Stdio},
};

/// Shrinks the run of a scenario with a seed, and says what is left. The small scenario is written to `target`.
///
/// # Errors
/// What the simulator says when it cannot.
pub fn shrink(program: &Path, scenario: &Path, seed: u64, jobs: usize, target: &Path) -> Result<Size, String> {
    let output = Command::new(program)
        .arg("shrink")
        .arg(scenario)
        .args(["--fresh", "--seed", &seed.to_string(), "--jobs", &jobs.to_string(), "--out"])
        .arg(target)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let to = said.lines().find_map(|line| line.strip_prefix("to ")).and_then(size);
    to.ok_or_else(|| {
        let complaint = String::from_utf8_lossy(&output.stderr);
        format!("the failure was not shrunk: {}", complaint.lines().next().unwrap_or("no word why"))
    })
}

/// Reads `2 operations, 1 fault, …`.
fn size(text: &str) -> Option<Size> {
    let count = |what: &str| {
        text.split(',').map(str::trim).find_map(|part| {
            let (number, name) = part.split_once(' ')?;
            name.trim_start().starts_with(what).then(|| number.replace('\u{202f}', "").parse().ok())?
        })
    };
    Some(Size { operations: count("operation")?, faults: count("fault")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_read() {
        let text = "  2 operations, 1 fault, 3 replicas, 17 deliveries  (in 99 runs)";
        assert_eq!(size(text), Some(Size { operations: 2, faults: 1 }));
        assert_eq!(size("nothing"), None);
    }
}
