//! Marks of the code under test: where runs have been, and where none has.

use super::{exit::Stop, out::Out, report::list, text::number};
use std::{collections::BTreeMap, fmt::Write as _};

/// Marks, and in how many runs each was reached.
pub(super) type Reached = BTreeMap<String, u64>;

/// How many marks were reached, and which were missed; and all of them, if asked for.
pub(super) fn tell(marks: &Reached, all: bool, out: &mut Out) -> Result<(), Stop> {
    if marks.is_empty() {
        return if all { out.line("marks: the system under test has none") } else { Ok(()) };
    }
    if all {
        let runs = marks.iter().map(|(mark, runs)| format!("{mark} {}", number(*runs)));
        list("marks", runs, "(runs that reached it)", out)?;
    }
    out.line(summary(marks))
}

fn summary(marks: &Reached) -> String {
    let missed: Vec<&str> = marks.iter().filter(|(_, runs)| **runs == 0).map(|(mark, _)| mark.as_str()).collect();
    let reached =
        format!("marks: {} of {} reached", number((marks.len() - missed.len()) as u64), number(marks.len() as u64));
    if missed.is_empty() { reached } else { format!("{reached}; missed: {}", missed.join(", ")) }
}

/// The same as a part of a Markdown text.
pub(super) fn markdown(marks: &Reached) -> String {
    let mut text = String::new();
    if !marks.is_empty() {
        let _ = write!(text, "\n{}\n\n| mark | runs that reached it |\n| --- | --- |\n", summary(marks));
    }
    for (mark, runs) in marks {
        let _ = writeln!(text, "| {mark} | {} |", number(*runs));
    }
    text
}
