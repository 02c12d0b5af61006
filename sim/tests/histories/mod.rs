//! The 52 histories that go-ds-crdt v0.6.8 wrote, and the program.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// What was recorded of a history: all Go replicas, and fresh ones, agreed on it.
#[derive(Deserialize)]
pub struct Recorded {
    pub heads: Vec<String>,
    pub blocks: Vec<RecordedBlock>,
    pub state_value_hex: BTreeMap<String, String>,
}

#[derive(Deserialize)]
pub struct RecordedBlock {
    pub cid: String,
    pub bytes_hex: String,
}

pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// All histories: the CAR file, and what was recorded of it.
pub fn all() -> Vec<(PathBuf, Recorded)> {
    let folders = ["dags", "dags-where-go-diverges"].map(|folder| data().join(folder));
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let mut cars: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    cars.retain(|path| path.extension().is_some_and(|extension| extension == "car"));
    cars.sort();
    assert_eq!(cars.len(), 52);
    let recorded = |car: &Path| serde_json::from_slice(&std::fs::read(car.with_extension("json")).unwrap()).unwrap();
    cars.into_iter().map(|car| (car.clone(), recorded(&car))).collect()
}

pub struct Answer {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs the program.
pub fn anabranch<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Answer {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_anabranch")).args(arguments).output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Answer { code: status.code(), out: text(stdout), err: text(stderr) }
}

impl Answer {
    /// Exit code 2, nothing on stdout, and one line that holds all of these.
    #[track_caller]
    pub fn is_refused(&self, parts: &[&str]) {
        assert_eq!(self.code, Some(2), "{}{}", self.out, self.err);
        assert_eq!(self.out, "");
        assert_eq!(self.err.lines().count(), 1, "one line: {}", self.err);
        assert!(self.err.starts_with("error: "), "{}", self.err);
        for part in parts {
            assert!(self.err.contains(part), "no {part:?} in {}", self.err);
        }
    }
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs a scenario, named `slow`, that does not converge with this seed: its file, and the folder in which the failure is kept.
#[track_caller]
pub fn failure(name: &str, slow: &str, seed: u64) -> (PathBuf, PathBuf) {
    let file = scratch(name).join("slow.toml");
    std::fs::write(&file, slow).unwrap();
    let failures = file.with_file_name("failures");
    let answer = anabranch(["run", text(&file), "--seed", &seed.to_string(), "--failures", text(&failures)]);
    assert_eq!(answer.code, Some(3), "{}{}", answer.out, answer.err);
    let kept = failures.join(format!("slow-{seed}"));
    assert!(answer.out.contains(&format!("kept: {}", kept.display())), "{}", answer.out);
    (file, kept)
}

/// A folder of its own for a test, empty.
pub fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    folder
}
