//! A run as a picture in text: one lane a replica, time from left to right.

use anabranch_sim::outcome::{MomentKind, RunReport};
use std::fmt::Write;

/// How many columns a lane has.
const WIDTH: usize = 64;
/// From the fewest blocks to all there will be.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What the signs mean.
pub(super) const LEGEND: &str = "▁▃▅█ how much of the history a replica has merged   ✗ crash   · absent   ▒ parted";

/// The picture, in lines of at most 80 columns where names are short.
pub(super) fn lanes(report: &RunReport) -> String {
    let axis = Axis { end_ns: report.simulated_ns.max(1) };
    let most = report.samples.iter().flat_map(|sample| sample.replicas.iter().flatten()).map(|p| p.merged).max();
    let label_width = report.replicas.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("network".len());
    let mut picture = String::new();
    let mut lane = |label: &str, cells: &[char]| {
        let cells: String = cells.iter().collect();
        // Writing to a string cannot fail.
        let _ = writeln!(picture, "  {label:<label_width$}  {}", cells.trim_end());
    };
    for (number, name) in report.replicas.iter().enumerate() {
        lane(name, &replica(report, &axis, number, name, most.unwrap_or(0)));
    }
    lane("network", &network(report, &axis));
    lane("", &ticks(report, &axis));
    let _ = write!(picture, "{}", axis.labels(report, label_width + 4));
    picture
}

/// Columns of a picture.
struct Axis {
    end_ns: u64,
}

impl Axis {
    fn column(&self, at_ns: u64) -> usize {
        let column = u128::from(at_ns) * WIDTH as u128 / u128::from(self.end_ns);
        (column as usize).min(WIDTH - 1)
    }

    /// Time at the end of the column.
    fn end_of(&self, column: usize) -> u64 {
        let end = u128::from(self.end_ns) * (column as u128 + 1) / WIDTH as u128;
        u64::try_from(end).unwrap_or(u64::MAX)
    }

    /// The line below: when it began, when faults ended, when all had converged.
    fn labels(&self, report: &RunReport, indent: usize) -> String {
        let mut line = vec![' '; WIDTH + 32];
        let mut place = |column: usize, text: &str| {
            let free = |at: usize| line[at.saturating_sub(1)..at + text.chars().count()].iter().all(|c| *c == ' ');
            // A label that has no room moves to the right.
            let at = (column..line.len() - text.chars().count()).find(|at| free(*at));
            for (cell, c) in line.iter_mut().skip(at.unwrap_or(column)).zip(text.chars()) {
                *cell = c;
            }
        };
        place(0, "0 s");
        for moment in &report.timeline {
            let text = match moment.kind {
                MomentKind::FaultsEnd => "faults end",
                MomentKind::Converged => "converged",
                MomentKind::Failed => "failed",
                _ => continue,
            };
            let at = super::text::simulated(moment.at_ns);
            let text = format!("{at}: {text}");
            place(self.column(moment.at_ns).saturating_sub(text.chars().count() / 2), &text);
        }
        let line: String = line.iter().collect();
        format!("{:indent$}{}\n", "", line.trim_end())
    }
}

/// How far the replica was in each column, and where it crashed.
fn replica(report: &RunReport, axis: &Axis, number: usize, name: &str, most: u64) -> Vec<char> {
    let mut cells = vec!['·'; WIDTH];
    let mut samples = report.samples.iter().peekable();
    let mut latest = None;
    for (column, cell) in cells.iter_mut().enumerate() {
        while let Some(sample) = samples.next_if(|sample| sample.at_ns <= axis.end_of(column)) {
            latest = sample.replicas.get(number).copied().flatten();
        }
        if let Some(progress) = latest {
            *cell = LEVELS[(progress.merged * 7).checked_div(most).unwrap_or(0).min(7) as usize];
        }
    }
    for moment in report.timeline.iter().filter(|moment| moment.what.split(' ').next() == Some(name)) {
        if moment.kind == MomentKind::Crashed {
            cells[axis.column(moment.at_ns)] = '✗';
        }
    }
    cells
}

/// Where the network was parted.
fn network(report: &RunReport, axis: &Axis) -> Vec<char> {
    let mut cells = vec!['─'; WIDTH];
    let mut parted_since = Vec::new();
    for moment in &report.timeline {
        match moment.kind {
            MomentKind::Parted => parted_since.push(moment.at_ns),
            MomentKind::Healed | MomentKind::FaultsEnd => {
                for since in parted_since.drain(..) {
                    cells[axis.column(since)..=axis.column(moment.at_ns)].fill('▒');
                }
            }
            _ => {}
        }
    }
    cells
}

/// The ends of the two phases.
fn ticks(report: &RunReport, axis: &Axis) -> Vec<char> {
    let mut cells = vec![' '; WIDTH];
    cells[0] = '┴';
    for moment in &report.timeline {
        match moment.kind {
            MomentKind::FaultsEnd => cells[axis.column(moment.at_ns)] = '┴',
            MomentKind::Converged => cells[axis.column(moment.at_ns)] = '✓',
            MomentKind::Failed => cells[axis.column(moment.at_ns)] = '✗',
            _ => {}
        }
    }
    cells
}
