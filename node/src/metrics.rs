//! The metrics that a datastore reports through the [`metrics`](https://docs.rs/metrics) facade.
//!
//! Install any recorder (a Prometheus exporter, say) before the datastore is opened; without one they cost next to nothing.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use anabranch::Datastore;
//! use metrics_util::debugging::{DebugValue, DebuggingRecorder};
//!
//! let recorder = DebuggingRecorder::new();
//! let seen = recorder.snapshotter();
//! recorder.install()?;
//! let store = Datastore::builder().memory().await?;
//! store.put("/k", "v").await?;
//! let all = seen.snapshot().into_vec();
//! let commits = all.iter().find(|(key, ..)| key.key().name() == "anabranch_commits_total");
//! assert!(matches!(commits, Some((_, _, _, DebugValue::Counter(1)))));
//! # Ok(())
//! # }
//! ```
//!
//! | name | kind | unit | what |
//! | --- | --- | --- | --- |
//! | `anabranch_commits_total` | counter | commits | commits that are durable |
//! | `anabranch_commits_behind_total` | counter | commits | commits that were made while known blocks were missing |
//! | `anabranch_commits_refused_total` | counter | calls | commits and other calls that were refused |
//! | `anabranch_reads_total` | counter | reads | reads of values, queries, heads and blocks, those of peers too |
//! | `anabranch_syncs_total` | counter | syncs | syncs of the store |
//! | `anabranch_sync_seconds` | histogram | s | how long a sync takes |
//! | `anabranch_group_commits` | histogram | commits | commits and other calls that shared a sync |
//! | `anabranch_blocks_merged_total` | counter | blocks | blocks merged, local ones too |
//! | `anabranch_blocks_void_total` | counter | blocks | void blocks merged |
//! | `anabranch_blocks_wrong_total` | counter | blocks | answers of peers that did not hash to their CID |
//! | `anabranch_blocks_parked_total` | counter | blocks | times that nobody served a block |
//! | `anabranch_broadcasts_sent_total` | counter | messages | announcements sent |
//! | `anabranch_broadcasts_sent_bytes_total` | counter | B | their bytes |
//! | `anabranch_broadcasts_failed_total` | counter | messages | announcements that the broadcaster failed to send |
//! | `anabranch_broadcasts_dropped_total` | counter | messages | announcements dropped because the broadcaster did not keep up |
//! | `anabranch_broadcasts_received_total` | counter | messages | announcements received |
//! | `anabranch_broadcasts_bad_total` | counter | messages | announcements received that were wholly or partly bad |
//! | `anabranch_fetches_started_total` | counter | fetches | fetches started |
//! | `anabranch_fetches_failed_total` | counter | fetches | fetches that failed or were given up |
//! | `anabranch_fetch_seconds` | histogram | s | how long a successful fetch takes |
//! | `anabranch_fetches_running` | gauge | fetches | fetches in flight |
//! | `anabranch_heads` | gauge | blocks | heads, of all DAG names |
//! | `anabranch_height_max` | gauge | | the greatest height of a merged block |
//! | `anabranch_obligations` | gauge | blocks | blocks that must still be fetched or merged: 0 when not behind |
//! | `anabranch_pending_bytes` | gauge | B | bodies of pending blocks in the store |
//! | `anabranch_early_tombstones` | gauge | tombstones | tombstones that wait for their target |
//! | `anabranch_stopped_total` | counter | times | times that the store failed and the datastore stopped |

use anabranch_core::{Event, Stats};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use std::time::Duration;

enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// What a recorder is told of each: as in the table above.
const DESCRIPTIONS: &[(&str, Kind, Unit, &str)] = &[
    ("anabranch_commits_total", Kind::Counter, Unit::Count, "commits that are durable"),
    (
        "anabranch_commits_behind_total",
        Kind::Counter,
        Unit::Count,
        "commits that were made while known blocks were missing",
    ),
    ("anabranch_commits_refused_total", Kind::Counter, Unit::Count, "commits and other calls that were refused"),
    (
        "anabranch_reads_total",
        Kind::Counter,
        Unit::Count,
        "reads of values, queries, heads and blocks, those of peers too",
    ),
    ("anabranch_syncs_total", Kind::Counter, Unit::Count, "syncs of the store"),
    ("anabranch_sync_seconds", Kind::Histogram, Unit::Seconds, "how long a sync takes"),
    ("anabranch_group_commits", Kind::Histogram, Unit::Count, "commits and other calls that shared a sync"),
    ("anabranch_blocks_merged_total", Kind::Counter, Unit::Count, "blocks merged, local ones too"),
    ("anabranch_blocks_void_total", Kind::Counter, Unit::Count, "void blocks merged"),
    ("anabranch_blocks_wrong_total", Kind::Counter, Unit::Count, "answers of peers that did not hash to their CID"),
    ("anabranch_blocks_parked_total", Kind::Counter, Unit::Count, "times that nobody served a block"),
    ("anabranch_broadcasts_sent_total", Kind::Counter, Unit::Count, "announcements sent"),
    ("anabranch_broadcasts_sent_bytes_total", Kind::Counter, Unit::Bytes, "their bytes"),
    (
        "anabranch_broadcasts_failed_total",
        Kind::Counter,
        Unit::Count,
        "announcements that the broadcaster failed to send",
    ),
    (
        "anabranch_broadcasts_dropped_total",
        Kind::Counter,
        Unit::Count,
        "announcements dropped because the broadcaster did not keep up",
    ),
    ("anabranch_broadcasts_received_total", Kind::Counter, Unit::Count, "announcements received"),
    (
        "anabranch_broadcasts_bad_total",
        Kind::Counter,
        Unit::Count,
        "announcements received that were wholly or partly bad",
    ),
    ("anabranch_fetches_started_total", Kind::Counter, Unit::Count, "fetches started"),
    ("anabranch_fetches_failed_total", Kind::Counter, Unit::Count, "fetches that failed or were given up"),
    ("anabranch_fetch_seconds", Kind::Histogram, Unit::Seconds, "how long a successful fetch takes"),
    ("anabranch_fetches_running", Kind::Gauge, Unit::Count, "fetches in flight"),
    ("anabranch_heads", Kind::Gauge, Unit::Count, "heads, of all DAG names"),
    ("anabranch_height_max", Kind::Gauge, Unit::Count, "the greatest height of a merged block"),
    (
        "anabranch_obligations",
        Kind::Gauge,
        Unit::Count,
        "blocks that must still be fetched or merged: 0 when not behind",
    ),
    ("anabranch_pending_bytes", Kind::Gauge, Unit::Bytes, "bodies of pending blocks in the store"),
    ("anabranch_early_tombstones", Kind::Gauge, Unit::Count, "tombstones that wait for their target"),
    ("anabranch_stopped_total", Kind::Counter, Unit::Count, "times that the store failed and the datastore stopped"),
];

/// Tells the recorder, if there is one, what is what.
pub(crate) fn describe() {
    for (name, kind, unit, what) in DESCRIPTIONS {
        match kind {
            Kind::Counter => describe_counter!(*name, *unit, *what),
            Kind::Gauge => describe_gauge!(*name, *unit, *what),
            Kind::Histogram => describe_histogram!(*name, *unit, *what),
        }
    }
}

pub(crate) fn synced(took: Duration, commits: usize) {
    counter!("anabranch_syncs_total").increment(1);
    histogram!("anabranch_sync_seconds").record(took.as_secs_f64());
    if commits > 0 {
        histogram!("anabranch_group_commits").record(commits as f64);
    }
}

pub(crate) fn committed(behind: u64) {
    counter!("anabranch_commits_total").increment(1);
    counter!("anabranch_commits_behind_total").increment(u64::from(behind > 0));
}

#[allow(clippy::cast_precision_loss, reason = "gauges are floats")]
pub(crate) fn state(stats: &Stats, fetches: usize) {
    gauge!("anabranch_fetches_running").set(fetches as f64);
    gauge!("anabranch_heads").set(stats.heads as f64);
    gauge!("anabranch_height_max").set(stats.height_max as f64);
    gauge!("anabranch_obligations").set(stats.obligations as f64);
    gauge!("anabranch_pending_bytes").set(stats.pending_bytes as f64);
    gauge!("anabranch_early_tombstones").set(stats.early_tombstones as f64);
}

pub(crate) fn read() {
    counter!("anabranch_reads_total").increment(1);
}

pub(crate) fn refused() {
    counter!("anabranch_commits_refused_total").increment(1);
}

pub(crate) fn stopped() {
    counter!("anabranch_stopped_total").increment(1);
}

pub(crate) fn event(event: &Event) {
    match event {
        Event::Merged { void, .. } => {
            counter!("anabranch_blocks_merged_total").increment(1);
            counter!("anabranch_blocks_void_total").increment(u64::from(*void));
        }
        Event::WrongBytes { .. } => counter!("anabranch_blocks_wrong_total").increment(1),
        Event::BadBroadcast { .. } => counter!("anabranch_broadcasts_bad_total").increment(1),
        Event::Parked { .. } => counter!("anabranch_blocks_parked_total").increment(1),
        _ => {}
    }
}

pub(crate) fn broadcast_sent(bytes: usize) {
    counter!("anabranch_broadcasts_sent_total").increment(1);
    counter!("anabranch_broadcasts_sent_bytes_total").increment(bytes as u64);
}

pub(crate) fn broadcast_failed() {
    counter!("anabranch_broadcasts_failed_total").increment(1);
}

pub(crate) fn broadcast_dropped() {
    counter!("anabranch_broadcasts_dropped_total").increment(1);
}

pub(crate) fn broadcast_received() {
    counter!("anabranch_broadcasts_received_total").increment(1);
}

pub(crate) fn fetch_started() {
    counter!("anabranch_fetches_started_total").increment(1);
}

pub(crate) fn fetch_failed() {
    counter!("anabranch_fetches_failed_total").increment(1);
}

pub(crate) fn fetch_done(took: Duration) {
    histogram!("anabranch_fetch_seconds").record(took.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The table names what the code reports and what a recorder is told, and nothing else.
    #[test]
    fn the_table_is_complete() {
        let source = include_str!("metrics.rs");
        let rows: BTreeSet<&str> = source.lines().filter(|line| line.starts_with("//! | `anabranch")).collect();
        let told = DESCRIPTIONS.iter().map(|(name, kind, unit, what)| {
            let kind = match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let of_units = |row: &&&str| match unit {
                Unit::Seconds => row.contains("| s |"),
                Unit::Bytes => row.contains("| B |"),
                _ => !row.contains("| s |") && !row.contains("| B |"),
            };
            let (start, end) = (format!("//! | `{name}` | {kind} | "), format!(" | {what} |"));
            let row = rows.iter().filter(of_units).find(|row| row.starts_with(&start) && row.ends_with(&end));
            assert!(row.is_some(), "{name} is not in the table, or otherwise");
            *name
        });
        let told: BTreeSet<_> = told.collect();
        let code = source.split("!(\"").skip(1).filter_map(|rest| rest.split('"').next());
        let code: BTreeSet<_> = code.filter(|name| name.starts_with("anabranch_")).collect();
        assert!(told.len() > 20 && told.len() == rows.len(), "{} metrics, {} rows", told.len(), rows.len());
        assert_eq!(told, code);
    }
}
