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
        while let Some(sample) = samples.next_if(|sample| axis.column(sample.at_ns) <= column) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use anabranch_sim::outcome::{Moment, Progress, Sample, Verdict};
    use std::{collections::BTreeMap, time::Duration};

    const S: u64 = 1_000_000_000;

    /// 64 s, so that a column is a second: `b` is down from 16 s to 32 s, parted from 40 s to 48 s.
    fn report() -> RunReport {
        let moment = |at: u64, kind, what: &str| Moment { at_ns: at * S, what: String::from(what), kind };
        let sample = |second: u64| {
            let progress = |merged| Progress { merged, heads: 1, behind: 0 };
            let b = (!(16..32).contains(&second)).then(|| progress(second / 2));
            Sample { at_ns: second * S, replicas: vec![Some(progress(second)), b] }
        };
        RunReport {
            scenario: String::from("x"),
            seed: 1,
            verdict: Verdict::Passed,
            as_expected: true,
            trace: String::new(),
            events: 0,
            simulated_ns: 64 * S,
            converged_after_ns: Some(3 * S),
            wall: Duration::ZERO,
            replicas: vec![String::from("a"), String::from("b")],
            faults: BTreeMap::new(),
            messages: BTreeMap::new(),
            operations: BTreeMap::new(),
            summary: anabranch_sim::system::Summary::default(),
            marks: std::collections::BTreeMap::new(),
            suspended: Vec::new(),
            checks: BTreeMap::new(),
            timeline: vec![
                moment(16, MomentKind::Crashed, "b crashes"),
                moment(32, MomentKind::Restarted, "b is back"),
                moment(40, MomentKind::Parted, "west | east part"),
                moment(48, MomentKind::Healed, "west | east meet"),
                moment(60, MomentKind::FaultsEnd, "faults end"),
                moment(63, MomentKind::Converged, "converged"),
            ],
            samples: (0..=64).map(sample).collect(),
        }
    }

    #[test]
    fn lanes_show_progress_crashes_and_partitions() {
        let picture = lanes(&report());
        let lines: Vec<&str> = picture.lines().collect();
        let columns = |line: usize| lines[line].chars().skip(11).collect::<Vec<char>>();
        assert!(lines[0].starts_with("  a        ▁") && lines[0].ends_with('█'), "{picture}");
        assert!(columns(0).is_sorted(), "a replica only learns\n{picture}");
        let b = columns(1);
        assert_eq!((b[16], &b[17..31]), ('✗', &['·'; 14][..]), "{picture}");
        assert!(LEVELS.contains(&b[15]) && LEVELS.contains(&b[32]), "{picture}");
        let network = columns(2);
        assert_eq!((network[39], &network[40..48], network[49]), ('─', &['▒'; 8][..], '─'), "{picture}");
        assert_eq!((columns(3)[60], columns(3)[63]), ('┴', '✓'), "{picture}");
        let labels = lines[4];
        assert!(
            labels.contains("0 s") && labels.contains("60.0 s: faults end") && labels.contains("63.0 s: converged")
        );
    }

    #[test]
    fn a_run_in_which_nothing_happened_has_a_picture() {
        let empty = RunReport { samples: Vec::new(), timeline: Vec::new(), simulated_ns: 0, ..report() };
        assert_eq!(lanes(&empty).lines().count(), 5);
    }
}
