//! Whether a run repeats: its events, told by two processes, compared one by one.
//!
//! Two hashes that differ say that a run does not repeat, not where. So each process tells every event as a line, and the first line that
//! differs is named.

use crate::{
    observe::{Observer, Seen},
    outcome::Seconds,
};
use std::{
    fmt,
    io::{self, BufRead, Write},
};

/// Tells every event of a run as one line of JSON.
#[derive(Debug)]
pub struct Lines<W> {
    out: W,
    failed: Option<io::Error>,
}

impl<W: Write> Lines<W> {
    /// To be written here.
    pub const fn new(out: W) -> Self {
        Self { out, failed: None }
    }

    /// Ends the lines with one more, the trace hash say.
    ///
    /// # Errors
    /// When a line could not be written.
    pub fn finish(mut self, last: &str) -> io::Result<()> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        writeln!(self.out, "{last}")?;
        self.out.flush()
    }
}

impl<W: Write> Observer for Lines<W> {
    fn saw(&mut self, seen: Seen) {
        if self.failed.is_none() {
            let line = serde_json::to_string(&seen).map_err(io::Error::other);
            self.failed = line.and_then(|line| writeln!(self.out, "{line}")).err();
        }
    }
}

/// Where two runs first differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The number of the event, counted from 0.
    pub event: u64,
    /// It as the first run tells it; `None` when that has ended.
    pub first: Option<String>,
    /// And the second.
    pub second: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |line: &Option<String>| line.as_deref().map_or_else(|| String::from("the end"), shown);
        write!(f, "event {} differs: one run has {}, the other {}", self.event, show(&self.first), show(&self.second))
    }
}

/// An event in words: when, who, what.
fn shown(line: &str) -> String {
    const SHOWN: usize = 240;
    let short = |text: String| {
        if text.chars().count() > SHOWN { text.chars().take(SHOWN).collect::<String>() + "…" } else { text }
    };
    match serde_json::from_str::<Seen>(line) {
        Ok(Seen { at, party, what, .. }) => {
            let who = party.map_or_else(String::new, |party| format!(" at party {}", party.0));
            short(format!("after {}{who}: {what:?}", Seconds(at)))
        }
        Err(_) => short(line.to_owned()),
    }
}

/// Compares what two runs tell, line by line. `None` when they tell the same.
///
/// # Errors
/// When one of them cannot be read.
pub fn first_difference(first: impl BufRead, second: impl BufRead) -> io::Result<Option<Difference>> {
    let (mut first, mut second) = (first.lines(), second.lines());
    for event in 0.. {
        let (one, other) = (first.next().transpose()?, second.next().transpose()?);
        if one != other {
            return Ok(Some(Difference { event, first: one, second: other }));
        }
        if one.is_none() {
            break;
        }
    }
    Ok(None)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_named() {
        let compare = |one: &str, other: &str| first_difference(one.as_bytes(), other.as_bytes()).unwrap();
        assert_eq!(compare("a\nb\n", "a\nb\n"), None);
        let difference = compare("a\nb\nc\n", "a\nx\nc\n").unwrap();
        assert_eq!(difference.to_string(), "event 1 differs: one run has b, the other x");
        assert_eq!(compare("a\n", "a\nb\n").unwrap().to_string(), "event 1 differs: one run has the end, the other b");
    }
}
