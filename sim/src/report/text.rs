//! Small pieces of text: numbers and times.

use std::time::Duration;

/// A number with a comma after every third digit.
#[must_use]
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number and what is counted, in the singular for 1.
#[must_use]
pub fn count(n: u64, what: &str) -> String {
    format!("{} {what}{}", number(n), if n == 1 { "" } else { "s" })
}

/// A time with three significant parts at most: `43 ms`, `70.2 s`, `1 h 02 min`.
#[must_use]
pub fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 if time.as_millis() < 10 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        0 => format!("{} ms", time.as_millis()),
        1..600 => format!("{:.1} s", time.as_secs_f64()),
        600..3600 => format!("{} min", seconds / 60),
        _ => format!("{} h {:02} min", number(seconds / 3600), seconds / 60 % 60),
    }
}

/// A simulated time in nanoseconds, as [`time`].
#[must_use]
pub fn simulated(ns: u64) -> String {
    time(Duration::from_nanos(ns))
}

/// How many times faster than simulated time a run was; nothing where it took no time.
#[must_use]
pub fn speed(simulated_ns: u64, wall: Duration) -> Option<String> {
    // One microsecond is the least that a wall clock tells here.
    let wall_us = u64::try_from(wall.as_micros()).ok().filter(|us| *us > 0)?;
    Some(format!("{} times as fast as real time", number(simulated_ns / 1_000 / wall_us)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        assert_eq!([0, 12, 999, 1_000, 1_234_567].map(number), ["0", "12", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn times_keep_their_leading_parts() {
        let times = [
            (0, "0.0 ms"),
            (1_500, "1.5 ms"),
            (43_000, "43 ms"),
            (70_240_000, "70.2 s"),
            (3_725_000_000, "1 h 02 min"),
        ];
        for (us, text) in times {
            assert_eq!(time(Duration::from_micros(us)), text);
        }
    }
}
