//! What one run of one workload gives: the lines that a child process prints, ours and Go's alike.

use serde::{Deserialize, Serialize};
use std::{fs, io, path::Path};

/// One line of a child's output, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measurement {
    /// The workload.
    pub(crate) workload: String,
    /// What tells the lines of one workload apart: `800 versions`, `first tenth`. Often empty.
    #[serde(default)]
    pub(crate) part: String,
    /// The store.
    pub(crate) store: String,
    /// Keys in the store, or operations made where a workload has a number of its own.
    pub(crate) keys: u64,
    /// What is counted, a second: `keys/s`, `puts/s`.
    pub(crate) unit: String,
    /// `n` over `seconds`.
    pub(crate) rate: f64,
    /// How long it took.
    pub(crate) seconds: f64,
    /// How many of the unit were done.
    pub(crate) n: u64,
    /// The peak of the process's resident memory; 0 where the system does not tell.
    pub(crate) rss_bytes: u64,
    /// What the folder takes on the disk, all replicas of the run together.
    pub(crate) disk_bytes: u64,
    /// Rows that were read from the store, where they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rows_read: Option<u64>,
}

/// The peak of this process's resident memory. Linux counts it from the moment of exec.
pub(crate) fn rss_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(0, |kib| kib << 10)
}

/// What the files below a folder take on the disk. Engines reserve room ahead, some by allocating blocks beyond the end of a
/// file and some by moving the end beyond what is allocated: of a file's length and its allocated blocks the smaller counts.
pub(crate) fn disk_bytes(dir: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        match path.symlink_metadata() {
            Ok(found) if found.is_dir() => sum += disk_bytes(&path)?,
            Ok(found) => sum += file_bytes(&found),
            // The engine cleans up meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
}

#[cfg(unix)]
fn file_bytes(found: &fs::Metadata) -> u64 {
    found.len().min(std::os::unix::fs::MetadataExt::blocks(found) * 512)
}

#[cfg(not(unix))]
fn file_bytes(found: &fs::Metadata) -> u64 {
    found.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_line_of_the_go_side_is_understood() {
        let line = r#"{"workload":"ingest","part":"","store":"map","keys":10000,"unit":"keys/s","rate":74702.26,"seconds":0.13,"n":10000,"rss_bytes":42287104,"disk_bytes":0}"#;
        let read: Measurement = serde_json::from_str(line).unwrap();
        assert_eq!((read.workload.as_str(), read.n, read.rows_read), ("ingest", 10_000, None));
    }

    #[test]
    fn room_reserved_ahead_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("below")).unwrap();
        fs::write(dir.path().join("below/file"), [1; 5_000]).unwrap();
        fs::File::create(dir.path().join("reserved")).unwrap().set_len(1 << 30).unwrap();
        let bytes = disk_bytes(dir.path()).unwrap();
        assert!((5_000..100_000).contains(&bytes), "{bytes}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_told() {
        assert!(rss_bytes() > 100_000);
    }
}
