//! What a comparison leaves behind: a table, a file for machines, a picture.

mod json;
mod markdown;
mod svg;

pub(crate) use json::json;
pub(crate) use markdown::markdown;
pub(crate) use svg::svg;

use crate::{
    summary::{Quantity, Row},
    workload::Workload,
};

/// Three digits that count, with k, M, G: `1.23 M`.
fn short(value: f64) -> String {
    let (scaled, unit) = match value {
        _ if value >= 999.5e6 => (value / 1e9, " G"),
        _ if value >= 999.5e3 => (value / 1e6, " M"),
        _ if value >= 999.5 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    format!("{}{unit}", digits(scaled))
}

/// Three digits that count.
fn digits(value: f64) -> String {
    match value {
        _ if value >= 99.95 => format!("{value:.0}"),
        _ if value >= 9.995 => format!("{value:.1}"),
        _ if value >= 0.995 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// A count of keys: `100 k`, `1 M`.
fn count(keys: u64) -> String {
    match keys {
        _ if keys >= 1_000_000 && keys.is_multiple_of(100_000) => format!("{} M", keys as f64 / 1e6),
        _ if keys >= 1_000 && keys.is_multiple_of(100) => format!("{} k", keys as f64 / 1e3),
        _ => keys.to_string(),
    }
}

/// `5.2×`.
fn times(ratio: f64) -> String {
    match ratio {
        _ if ratio >= 999.5 => format!("{:.0},{:03}×", (ratio.round() / 1e3).floor(), ratio.round() % 1e3),
        _ if ratio >= 9.95 => format!("{ratio:.0}×"),
        _ if ratio >= 0.995 => format!("{ratio:.1}×"),
        _ if ratio >= 0.0995 => format!("{ratio:.2}×"),
        _ => format!("{ratio:.3}×"),
    }
}

/// A figure with its unit.
fn figure(row: &Row, value: f64) -> String {
    match row.quantity {
        Quantity::PerSecond => format!("{}/s", short(value)),
        Quantity::Milliseconds => milliseconds(value),
        Quantity::MemoryBytes | Quantity::DiskBytes => format!("{}B", short_bytes(value)),
    }
}

/// `0.452 ms`, `3.05 s`.
fn milliseconds(value: f64) -> String {
    if value >= 999.5 { format!("{} s", digits(value / 1e3)) } else { format!("{} ms", digits(value)) }
}

fn short_bytes(value: f64) -> String {
    let text = short(value);
    if text.ends_with(|last: char| last.is_ascii_digit()) { text + " " } else { text }
}

/// What a row is called.
fn title(row: &Row) -> String {
    let name = match (row.workload, row.quantity) {
        (_, Quantity::MemoryBytes) => "peak memory",
        (_, Quantity::DiskBytes) => "disk space",
        (Workload::Ingest, _) => "ingest",
        (Workload::RawFjall, _) => "raw fjall, the same rows",
        (Workload::Get, _) => "get",
        (Workload::Scan, _) => "scan of a prefix",
        (Workload::ColdSync, _) => "cold sync",
        (Workload::Live, _) => "live, writer to reader",
        (Workload::Put1, _) => "durable puts, one caller",
        (Workload::Put64, _) => "durable puts, 64 callers",
        (Workload::Chain, _) => "cold sync of single-put blocks",
        (Workload::Delete, _) => "delete",
        (Workload::SameKey, _) => "puts of one key",
        (Workload::Reopen, _) => "reopen after a crash",
        (Workload::Size | Workload::Crash, _) => "size",
    };
    if row.part.is_empty() { name.to_owned() } else { format!("{name}, {}", row.part) }
}

/// The keys of a row; nothing where its title says it all.
fn size(row: &Row) -> String {
    if row.keys > 1 { count(row.keys) } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        assert_eq!([0.0123, 1.0, 9.996, 99.96, 999.4].map(short), ["0.012", "1.00", "10.0", "100", "999"]);
        assert_eq!([999.6, 12_345.0, 999_600.0, 2.5e9].map(short), ["1.00 k", "12.3 k", "1.00 M", "2.50 G"]);
    }

    #[test]
    fn long_times_are_in_seconds() {
        assert_eq!([0.4521, 807.2, 999.6, 5_073.0].map(milliseconds), ["0.452 ms", "807 ms", "1.00 s", "5.07 s"]);
    }

    #[test]
    fn counts_and_ratios_are_short() {
        assert_eq!(
            [999, 1_000, 6_400, 100_000, 1_000_000, 1_234_567].map(count),
            ["999", "1 k", "6.4 k", "100 k", "1 M", "1234567"]
        );
        assert_eq!(
            [0.0034, 0.5, 0.996, 5.23, 9.96, 42.4, 999.6, 1234.4].map(times),
            ["0.003×", "0.50×", "1.0×", "5.2×", "10×", "42×", "1,000×", "1,234×"]
        );
    }
}
