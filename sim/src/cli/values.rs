//! Values of options, read so that what is wrong is said in the words of this program.

use std::{
    num::{NonZeroU64, NonZeroUsize},
    ops::Range,
    time::Duration,
};

/// Reads a seed.
pub(super) fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("expected a number from 0 to {}", u64::MAX))
}

/// Reads a number of threads.
pub(super) fn jobs(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| String::from("expected a number of threads, 1 or more"))
}

/// Reads a step from one write to the next.
pub(super) fn every(text: &str) -> Result<NonZeroU64, String> {
    text.parse().map_err(|_| String::from("expected a number of writes, 1 or more: 3 is every third"))
}

/// Reads `3..10` or `3..=9`.
pub(super) fn seeds(text: &str) -> Result<Range<u64>, String> {
    let expected = || String::from("expected two numbers, such as 0..100: from the first to below the second");
    let (from, to) = text.split_once("..").ok_or_else(expected)?;
    let (to, inclusive) = to.strip_prefix('=').map_or((to, false), |to| (to, true));
    let from: u64 = from.parse().map_err(|_| expected())?;
    let to: u64 = to.parse().map_err(|_| expected())?;
    let to = if inclusive { to.checked_add(1).ok_or_else(expected)? } else { to };
    if from >= to {
        return Err(format!("no seed is in it; expected the second number to be over {from}"));
    }
    Ok(from..to)
}

/// Reads `90s`, `30m`, `1.5h` or `2d`.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let expected = || String::from("expected a number and a unit (s, m, h, d), such as 90s, 30m or 8h");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(expected)?;
    let (value, unit) = text.split_at(digits);
    let unit = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return Err(expected()),
    };
    let value: f64 = value.parse().map_err(|_| expected())?;
    Duration::try_from_secs_f64(value * unit).map_err(|_| expected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_seeds() {
        assert_eq!(seeds("3..10"), Ok(3..10));
        assert_eq!(seeds("3..=9"), Ok(3..10));
        assert_eq!(seeds("0..18446744073709551615"), Ok(0..u64::MAX));
        for bad in ["", "3", "3..", "..3", "3..3", "5..2", "a..b", "3...5", "-1..3", "0..=18446744073709551615"] {
            assert!(seeds(bad).is_err(), "{bad:?} is taken");
        }
    }

    #[test]
    fn spans_of_time() {
        assert_eq!(span("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(span("1.5h"), Ok(Duration::from_secs(5_400)));
        for bad in ["", "90", "s", "1x", "-1s", "1e3s", "1..2s"] {
            assert!(span(bad).is_err(), "{bad:?} is taken");
        }
    }
}
