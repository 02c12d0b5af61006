//! Marks of the code under test: where runs have been, and where none has.

use super::{exit::Stop, out::Out, report::list, text::number};
use anabranch_sim::reached::Reached;
use std::fmt::Write as _;

/// How many marks were reached, and which were missed; and all of them, if asked for.
pub(super) fn tell(marks: &Reached, all: bool, out: &mut Out) -> Result<(), Stop> {
    if marks.all().len() == 0 {
        return if all { out.line("marks: the system under test has none") } else { Ok(()) };
    }
    if all {
        let runs = marks.all().map(|(mark, runs)| format!("{mark} {}", number(runs)));
        list("marks", runs, "(runs that reached it)", out)?;
    }
    out.line(summary(marks))
}

fn summary(marks: &Reached) -> String {
    let (missed, all) = (marks.missed(), marks.all().len());
    let reached = format!("marks: {} of {} reached", number((all - missed.len()) as u64), number(all as u64));
    if missed.is_empty() { reached } else { format!("{reached}; missed: {}", missed.join(", ")) }
}

/// The same as a part of a Markdown text.
pub(super) fn markdown(marks: &Reached) -> String {
    let mut text = String::new();
    if marks.all().len() > 0 {
        let _ = write!(text, "\n{}\n\n| mark | runs that reached it |\n| --- | --- |\n", summary(marks));
    }
    for (mark, runs) in marks.all() {
        let _ = writeln!(text, "| {mark} | {} |", number(runs));
    }
    text
}
