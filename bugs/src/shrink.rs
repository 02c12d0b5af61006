//! The first failure of a hunt, made small by the simulator's own shrinker.

use crate::report::Size;
use std::{
    path::Path,
    process::{Command, Stdio},
};

/// Shrinks the run of a scenario with a seed for so many seconds at most, and says what is left. The small scenario is written to `target`.
///
/// # Errors
/// What the simulator says when it cannot.
pub fn shrink(
    program: &Path,
    (scenario, seed): (&Path, u64),
    jobs: usize,
    seconds: u64,
    target: &Path,
) -> Result<Size, String> {
    let output = Command::new(program)
        .arg("shrink")
        .arg(scenario)
        .args(["--fresh", "--until", &format!("{seconds}s")])
        .args(["--seed", &seed.to_string(), "--jobs", &jobs.to_string(), "--out"])
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
    let so_far = text.contains(" so far ");
    Some(Size { operations: count("operation")?, faults: count("fault")?, so_far })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_read() {
        let text = "  2 operations, 1 fault, 3 replicas, 17 deliveries  (in 99 runs)";
        assert_eq!(size(text), Some(Size { operations: 2, faults: 1, so_far: false }));
        let text = "  1\u{202f}210 operations, 0 faults, 3 replicas, 17 deliveries, 2 choices so far  (in 99 runs)";
        let read = size(text).unwrap();
        assert_eq!(
            (read, read.to_string().as_str()),
            (Size { operations: 1_210, faults: 0, so_far: true }, "1210 operations, 0 faults (so far)")
        );
        assert_eq!(size("nothing"), None);
    }
}
