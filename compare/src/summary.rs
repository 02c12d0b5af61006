//! From many runs to one table: medians and ratios.

use crate::{
    measurement::Measurement,
    workload::{Store, Workload},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// The store of ours that is set against one of Go's.
pub(crate) const MEMORY: Pair = Pair { go: Store::Map, ours: Store::Memory };
/// As [`MEMORY`], on disks.
pub(crate) const DISK: Pair = Pair { go: Store::Pebble, ours: Store::Disk };

/// As [`DISK`], with Pebble as it is set up when told nothing: a thirtieth of the memory.
pub(crate) const DISK_DEFAULTS: Pair = Pair { go: Store::PebbleDefaults, ours: Store::Disk };

/// Two stores that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) go: Store,
    pub(crate) ours: Store,
}

/// What the figures of a row are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Quantity {
    /// So many a second; more is better.
    PerSecond,
    /// Milliseconds each; less is better.
    Milliseconds,
    /// Bytes of memory at the peak; less is better.
    MemoryBytes,
    /// Bytes on the disk; less is better.
    DiskBytes,
}

/// What the runs of one workload, part and size gave, by store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) workload: Workload,
    pub(crate) part: String,
    pub(crate) keys: u64,
    pub(crate) quantity: Quantity,
    pub(crate) unit: String,
    pub(crate) cells: BTreeMap<Store, Cell>,
}

/// What the runs on one store gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Cell {
    /// One figure a run, in the order of the runs.
    pub(crate) runs: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rows_read: Option<u64>,
}

impl Cell {
    pub(crate) fn median(&self) -> Option<f64> {
        median(&self.runs)
    }
}

/// The middle one; of an even number, the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (below, above) = (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some(f64::midpoint(*below, *above))
}

impl Row {
    /// The median on a store.
    pub(crate) fn at(&self, store: Store) -> Option<f64> {
        self.cells.get(&store)?.median()
    }

    /// How many times as good ours is as Go's: above 1 ours is faster, or smaller.
    pub(crate) fn ratio(&self, pair: Pair) -> Option<f64> {
        let (go, ours) = (self.at(pair.go)?, self.at(pair.ours)?);
        let (good, bad) = if self.quantity == Quantity::PerSecond { (ours, go) } else { (go, ours) };
        (good > 0.0 && bad > 0.0).then_some(good / bad)
    }
}

/// All measurements, in the order in which they were made.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) rows: Vec<Row>,
}

impl Summary {
    /// Adds what one child measured.
    pub(crate) fn add(&mut self, workload: Workload, store: Store, lines: &[Measurement]) {
        for line in lines {
            let milliseconds = line.seconds * 1e3 / line.n.max(1) as f64;
            match workload {
                Workload::Size => {
                    self.put(workload, store, line, (Quantity::MemoryBytes, "bytes", line.rss_bytes as f64));
                    if !store.is_memory() {
                        self.put(workload, store, line, (Quantity::DiskBytes, "bytes", line.disk_bytes as f64));
                    }
                }
                Workload::Delete | Workload::Reopen => {
                    self.put(workload, store, line, (Quantity::Milliseconds, "ms", milliseconds));
                }
                _ => self.put(workload, store, line, (Quantity::PerSecond, &line.unit, line.rate)),
            }
        }
    }

    fn put(&mut self, workload: Workload, store: Store, line: &Measurement, figure: (Quantity, &str, f64)) {
        let (quantity, unit, value) = figure;
        let same = |row: &Row| {
            row.workload == workload && row.part == line.part && row.keys == line.keys && row.quantity == quantity
        };
        let at = self.rows.iter().position(same).unwrap_or_else(|| {
            let (part, unit) = (line.part.clone(), unit.to_owned());
            self.rows.push(Row { workload, part, keys: line.keys, quantity, unit, cells: BTreeMap::new() });
            self.rows.len() - 1
        });
        let cell = self.rows[at].cells.entry(store).or_default();
        cell.runs.push(value);
        cell.rows_read = cell.rows_read.max(line.rows_read);
    }

    /// The stores that were measured.
    pub(crate) fn stores(&self) -> Vec<Store> {
        let mut stores: Vec<Store> = self.rows.iter().flat_map(|row| row.cells.keys().copied()).collect();
        stores.sort_unstable();
        stores.dedup();
        stores
    }

    /// How our default store's rate goes with the number of keys, for each workload that was run at several sizes.
    pub(crate) fn slopes(&self) -> Vec<Slope> {
        let workloads = Workload::ALL.into_iter().filter(|workload| workload.shows_slope());
        let slope = |workload| {
            let rows = self.rows.iter().filter(|row| row.workload == workload);
            let mut points: Vec<(u64, f64)> = rows.filter_map(|row| Some((row.keys, row.at(DISK.ours)?))).collect();
            points.sort_unstable_by_key(|(keys, _)| *keys);
            (points.len() > 1).then_some(Slope { workload, points })
        };
        workloads.filter_map(slope).collect()
    }

    /// The share of the bare engine's rate that an ingest on it reaches, by number of keys.
    pub(crate) fn ceilings(&self) -> Vec<(u64, f64)> {
        let find = |workload, keys| {
            let row = self.rows.iter().find(|row| row.workload == workload && row.keys == keys)?;
            row.at(DISK.ours)
        };
        let raw = self.rows.iter().filter(|row| row.workload == Workload::RawFjall);
        raw.filter_map(|row| Some((row.keys, find(Workload::Ingest, row.keys)? / row.at(DISK.ours)?))).collect()
    }
}

/// A workload's figures at rising numbers of keys.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slope {
    pub(crate) workload: Workload,
    /// Keys, and the median.
    pub(crate) points: Vec<(u64, f64)>,
}

impl Slope {
    /// By what the figure is multiplied when the keys grow tenfold, over the last two sizes.
    pub(crate) fn per_tenfold(&self) -> Option<f64> {
        let [.., (few, before), (many, after)] = self.points[..] else { return None };
        let decades = (many as f64 / few as f64).log10();
        (before > 0.0 && after > 0.0 && decades > 0.0).then(|| (after / before).powf(1.0 / decades))
    }

    /// What it would be at so many keys if it went on like that.
    pub(crate) fn extended_to(&self, keys: u64) -> Option<f64> {
        let (last, value) = self.points.last()?;
        Some(value * self.per_tenfold()?.powf((keys as f64 / *last as f64).log10()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    pub(crate) fn line(keys: u64, rate: f64) -> Measurement {
        Measurement {
            workload: "x".into(),
            part: String::new(),
            store: "x".into(),
            keys,
            unit: "keys/s".into(),
            rate,
            seconds: 2.0,
            n: 4,
            rss_bytes: 30,
            disk_bytes: 70,
            rows_read: None,
        }
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(&[9.0, 1.0, 5.0, 2.0]), Some(3.5));
    }

    #[test]
    fn ratios_of_rates_are_ours_over_go() {
        let mut summary = Summary::default();
        for rate in [10.0, 30.0, 20.0] {
            summary.add(Workload::Ingest, Store::Pebble, &[line(1_000, rate)]);
            summary.add(Workload::Ingest, Store::Disk, &[line(1_000, rate * 5.0)]);
        }
        assert_eq!(summary.rows.len(), 1);
        assert_eq!(summary.rows[0].at(Store::Pebble), Some(20.0));
        assert_eq!(summary.rows[0].ratio(DISK), Some(5.0));
        assert_eq!(summary.rows[0].ratio(MEMORY), None);
    }

    #[test]
    fn of_times_and_sizes_less_is_better() {
        let mut summary = Summary::default();
        summary.add(Workload::Delete, Store::Map, &[Measurement { seconds: 8.0, ..line(1, 0.0) }]);
        summary.add(Workload::Delete, Store::Memory, &[line(1, 0.0)]);
        assert_eq!(summary.rows[0].at(Store::Memory), Some(500.0));
        assert_eq!(summary.rows[0].ratio(MEMORY), Some(4.0));
        summary.add(Workload::Size, Store::Pebble, &[Measurement { disk_bytes: 140, ..line(1, 0.0) }]);
        summary.add(Workload::Size, Store::Disk, &[line(1, 0.0)]);
        let ratios: Vec<_> = summary.rows[1..].iter().map(|row| (row.quantity, row.ratio(DISK))).collect();
        assert_eq!(ratios, [(Quantity::MemoryBytes, Some(1.0)), (Quantity::DiskBytes, Some(2.0))]);
    }

    #[test]
    fn memory_is_not_asked_for_its_disk() {
        let mut summary = Summary::default();
        summary.add(Workload::Size, Store::Memory, &[line(1, 0.0)]);
        assert_eq!(summary.rows.len(), 1);
    }

    #[test]
    fn the_slope_goes_by_tenfold_steps() {
        let mut summary = Summary::default();
        for (keys, rate) in [(10_000, 100.0), (1_000_000, 25.0)] {
            summary.add(Workload::Ingest, Store::Disk, &[line(keys, rate)]);
        }
        let slope = summary.slopes().remove(0);
        assert!((slope.per_tenfold().unwrap() - 0.5).abs() < 1e-9);
        assert!((slope.extended_to(100_000_000).unwrap() - 6.25).abs() < 1e-9);
    }

    #[test]
    fn the_ceiling_is_of_the_same_size() {
        let mut summary = Summary::default();
        summary.add(Workload::Ingest, Store::Disk, &[line(1_000, 30.0)]);
        summary.add(Workload::RawFjall, Store::Disk, &[line(1_000, 40.0)]);
        summary.add(Workload::RawFjall, Store::Disk, &[line(2_000, 40.0)]);
        assert_eq!(summary.ceilings(), [(1_000, 0.75)]);
    }
}
