//! The results for machines.

use crate::{
    machine::Machine,
    summary::{Cell, DISK, DISK_DEFAULTS, MEMORY, Quantity, Row, Summary},
    workload::Store,
};
use serde::Serialize;

/// The whole file.
#[derive(Serialize)]
struct File<'a> {
    machine: &'a Machine,
    runs: u32,
    rows: Vec<JsonRow<'a>>,
    /// What an ingest on disk reaches of the bare engine's rate.
    ceilings: Vec<Ceiling>,
    slopes: Vec<JsonSlope>,
}

#[derive(Serialize)]
struct JsonRow<'a> {
    workload: String,
    part: &'a str,
    keys: u64,
    quantity: Quantity,
    unit: &'a str,
    results: Vec<JsonResult<'a>>,
    /// How many times as good ours is in memory as Go's on a map.
    ratio_memory: Option<f64>,
    /// How many times as good ours is on disk as Go's on Pebble.
    ratio_disk: Option<f64>,
    /// The same against Pebble's defaults.
    ratio_disk_defaults: Option<f64>,
}

#[derive(Serialize)]
struct JsonResult<'a> {
    system: &'static str,
    store: String,
    median: Option<f64>,
    #[serde(flatten)]
    cell: &'a Cell,
}

#[derive(Serialize)]
struct Ceiling {
    keys: u64,
    share_of_raw: f64,
}

#[derive(Serialize)]
struct JsonSlope {
    workload: String,
    /// Keys and medians.
    points: Vec<(u64, f64)>,
    factor_per_tenfold: Option<f64>,
}

fn system(store: Store) -> &'static str {
    if store.is_go() { "go-ds-crdt" } else { "anabranch" }
}

fn row(row: &Row) -> JsonRow<'_> {
    let result = |(store, cell): (&Store, _)| JsonResult {
        system: system(*store),
        store: store.to_string(),
        median: Cell::median(cell),
        cell,
    };
    JsonRow {
        workload: row.workload.to_string(),
        part: &row.part,
        keys: row.keys,
        quantity: row.quantity,
        unit: &row.unit,
        results: row.cells.iter().map(result).collect(),
        ratio_memory: row.ratio(MEMORY),
        ratio_disk: row.ratio(DISK),
        ratio_disk_defaults: row.ratio(DISK_DEFAULTS),
    }
}

/// All figures of all runs.
pub(crate) fn json(summary: &Summary, machine: &Machine, runs: u32) -> Result<String, serde_json::Error> {
    let ceiling = |(keys, share_of_raw)| Ceiling { keys, share_of_raw };
    let file = File {
        machine,
        runs,
        rows: summary.rows.iter().map(row).collect(),
        ceilings: summary.ceilings().into_iter().map(ceiling).collect(),
        slopes: summary
            .slopes()
            .into_iter()
            .map(|slope| JsonSlope {
                workload: slope.workload.to_string(),
                factor_per_tenfold: slope.per_tenfold(),
                points: slope.points,
            })
            .collect(),
    };
    Ok(serde_json::to_string_pretty(&file)? + "\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{summary::tests::line, workload::Workload};

    #[test]
    fn every_run_is_kept() {
        let mut summary = Summary::default();
        for rate in [1.0, 3.0] {
            summary.add(Workload::Get, Store::Pebble, &[line(1_000, rate)]);
            summary.add(Workload::Get, Store::Disk, &[line(1_000, rate * 10.0)]);
        }
        let text = json(&summary, &Machine::look(), 2).unwrap();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["rows"][0]["results"][1]["runs"], serde_json::json!([10.0, 30.0]));
        assert_eq!(read["rows"][0]["results"][0]["system"], "go-ds-crdt");
        assert_eq!(read["rows"][0]["ratio_disk"], 10.0);
        assert!(read["rows"][0]["ratio_memory"].is_null());
        assert!(read["machine"]["cores"].as_u64().unwrap() > 0);
    }
}
