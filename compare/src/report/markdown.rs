//! The table.

use super::{figure, milliseconds, short, size, times, title};
use crate::{
    machine::Machine,
    summary::{DISK, DISK_DEFAULTS, MEMORY, Pair, Row, Summary},
    workload::{Store, Workload},
};
use std::fmt::Write;

/// The largest deployment that go-ds-crdt tells of.
const LARGEST: u64 = 100_000_000;

/// A column beside the row's title.
enum Column {
    Figure(Store),
    Ratio(Pair),
}

impl Column {
    fn heading(&self) -> &'static str {
        match self {
            Self::Figure(Store::Map) => "Go, map",
            Self::Figure(Store::Memory) => "ours, memory",
            Self::Figure(Store::Pebble) => "Go, Pebble",
            Self::Figure(Store::PebbleDefaults) => "Go, Pebble's defaults",
            Self::Figure(Store::Disk) => "ours, disk",
            Self::Figure(Store::DiskUnchecked) => "ours, disk without checksums",
            Self::Ratio(DISK_DEFAULTS) => "ratio to Pebble's defaults",
            Self::Ratio(_) => "ratio",
        }
    }

    fn text(&self, row: &Row) -> String {
        match self {
            Self::Figure(store) => row.at(*store).map(|value| figure(row, value)),
            Self::Ratio(pair) => row.ratio(*pair).map(|ratio| format!("**{}**", times(ratio))),
        }
        .unwrap_or_default()
    }
}

/// The table, the machine above it and what else there is to say below.
pub(crate) fn markdown(summary: &Summary, machine: &Machine, runs: u32) -> String {
    let columns = columns(&summary.stores());
    let medians = if runs == 1 { String::from("One run each") } else { format!("Medians of {runs} runs") };
    let mut text = format!(
        "{medians} on {}. Keys of 39 bytes, values of 100, batches of 1,000. \
         A ratio tells how many times as fast, or as small, ours is.\n\n| workload | keys |",
        machine.line()
    );
    let rules: String = columns.iter().map(|_| " ---: |").collect();
    columns.iter().for_each(|column| push(&mut text, format_args!(" {} |", column.heading())));
    push(&mut text, format_args!("\n| --- | ---: |{rules}\n"));
    for row in &summary.rows {
        push(&mut text, format_args!("| {} | {} |", title(row), size(row)));
        columns.iter().for_each(|column| push(&mut text, format_args!(" {} |", column.text(row))));
        text.push('\n');
    }
    let notes = notes(summary);
    if !notes.is_empty() {
        push(&mut text, format_args!("\n{}\n", notes.join("\n")));
    }
    text
}

fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(more);
}

fn columns(stores: &[Store]) -> Vec<Column> {
    let mut columns = Vec::new();
    for store in stores {
        columns.push(Column::Figure(*store));
        let pairs = [MEMORY, DISK, DISK_DEFAULTS].into_iter();
        columns.extend(pairs.filter(|pair| pair.ours == *store && stores.contains(&pair.go)).map(Column::Ratio));
    }
    columns
}

fn notes(summary: &Summary) -> Vec<String> {
    let mut notes = Vec::new();
    for (keys, share) in summary.ceilings() {
        notes.push(format!(
            "- Ingest on disk reaches {:.0} % of raw fjall at {} keys: the bare engine, given exactly the same rows, commits and syncs.",
            share * 100.0,
            super::count(keys)
        ));
    }
    for row in summary.rows.iter().filter(|row| row.workload == Workload::Reopen) {
        if let Some(rows) = row.cells.get(&Store::Disk).and_then(|cell| cell.rows_read) {
            notes.push(format!(
                "- Reopening at {} keys and reading one of them reads {rows} rows.",
                super::count(row.keys)
            ));
        }
    }
    let puts = |workload, store| summary.rows.iter().find(|row| row.workload == workload).and_then(|row| row.at(store));
    if let (Some(go), Some(ours)) = (puts(Workload::Put1, DISK.go), puts(Workload::Put64, DISK.ours)) {
        let ratio = times(ours / go);
        notes.push(format!(
            "- 64 callers at once make {ratio} as many durable puts with ours as one caller does with Go on Pebble."
        ));
    }
    for slope in summary.slopes() {
        let show = |value| {
            if slope.workload == Workload::Reopen { milliseconds(value) } else { format!("{}/s", short(value)) }
        };
        let points: Vec<String> = slope
            .points
            .iter()
            .map(|(keys, value)| format!("{} at {} keys", show(*value), super::count(*keys)))
            .collect();
        let beyond = slope.extended_to(LARGEST).filter(|_| slope.points.iter().all(|(keys, _)| *keys < LARGEST));
        let beyond = beyond.map_or(String::new(), |value| {
            format!("; going on like this, {} at {} keys", show(value), super::count(LARGEST))
        });
        notes.push(format!("- Slope of {} on disk: {}{beyond}.", slope.workload, points.join(", ")));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::tests::line;

    fn machine() -> Machine {
        Machine {
            cores: 2,
            cpu: "A CPU".into(),
            memory_bytes: 8 << 30,
            system: "linux x86_64".into(),
            rust: "1.95.0".into(),
            go: Some("go1.26.8".into()),
            commit: "0123456789ab".into(),
            date: "2026-11-23 22:00 UTC".into(),
        }
    }

    #[test]
    fn the_table_has_a_ratio_for_each_pair() {
        let mut summary = Summary::default();
        let rates = [(Store::Map, 48e3), (Store::Memory, 480e3), (Store::Pebble, 16e3), (Store::Disk, 88e3)];
        for (store, rate) in rates {
            summary.add(Workload::Ingest, store, &[line(1_000_000, rate)]);
        }
        summary.add(Workload::RawFjall, Store::Disk, &[line(1_000_000, 160e3)]);
        summary.add(Workload::Put1, Store::Pebble, &[line(10_000, 4e3)]);
        summary.add(Workload::Put64, Store::Disk, &[line(64_000, 48e3)]);
        let text = markdown(&summary, &machine(), 3);
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).take(4).collect();
        assert_eq!(
            rows,
            [
                "| workload | keys | Go, map | ours, memory | ratio | Go, Pebble | ours, disk | ratio |",
                "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
                "| ingest | 1 M | 48.0 k/s | 480 k/s | **10×** | 16.0 k/s | 88.0 k/s | **5.5×** |",
                "| raw fjall, the same rows | 1 M |  |  |  |  | 160 k/s |  |",
            ]
        );
        assert!(text.starts_with("Medians of 3 runs on A CPU (2 cores, 8 GiB, linux x86_64), Rust 1.95.0, Go 1.26.8,"));
        assert!(text.contains("Ingest on disk reaches 55 % of raw fjall at 1 M keys"), "{text}");
        assert!(text.contains("64 callers at once make 12× as many durable puts"), "{text}");
    }

    #[test]
    fn without_go_there_is_no_ratio() {
        let mut summary = Summary::default();
        summary.add(Workload::Get, Store::Disk, &[line(1_000, 5.0)]);
        summary.add(Workload::Get, Store::Disk, &[line(10_000, 4.0)]);
        let text = markdown(&summary, &machine(), 1);
        assert!(text.starts_with("One run each") && !text.contains("| ratio"), "{text}");
        assert!(text.contains("- Slope of get on disk: 5.00/s at 1 k keys, 4.00/s at 10 k keys; going on like this, 1.64/s at 100 M keys."), "{text}");
    }
}
