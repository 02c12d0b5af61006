//! The core is pure: this is the mechanical part of the proof; the types are the other.
//!
//! What `ARCHITECTURE.md` calls deliberately absent is looked for here: in the sources, in the manifest, and in what
//! cargo says that the core is built from.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// All that the core is built from. A name more is a decision: write here why it is worth it.
const DEPENDENCIES: &[&str] = &[
    // Ours, and what it names itself: shared byte strings, base32, protobuf, sha2-256.
    "anabranch-core",
    "bytes",
    "data-encoding",
    "prost",
    "sha2",
    // What these bring.
    "block-buffer",
    "cfg-if",
    "cpufeatures",
    "crypto-common",
    "digest",
    "hybrid-array",
    "typenum",
    // At build time: the derive of prost's messages.
    "anyhow",
    "either",
    "itertools",
    "proc-macro2",
    "prost-derive",
    "quote",
    "syn",
    "unicode-ident",
];

/// Names that have no place in a pure function of its inputs.
const FORBIDDEN: &[&str] = &[
    "std::",
    "HashMap",
    "HashSet",
    "Instant",
    "SystemTime",
    "thread",
    "async ",
    "await",
    "f32",
    "f64",
    "unsafe ",
    "rand",
    "println",
    "RefCell",
    "Mutex",
    "Atomic",
    "static mut",
];

fn manifest_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn cargo_tree(edges: &str) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", "anabranch-core", "--edges", edges, "--prefix", "none", "--offline", "--no-dedupe"])
        .current_dir(manifest_dir())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_crate_is_no_std_and_without_unsafe() {
    let lib = fs::read_to_string(manifest_dir().join("src/lib.rs")).unwrap();
    for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
        assert!(lib.lines().any(|line| line == attribute), "core/src/lib.rs lacks {attribute}");
    }
}

#[test]
fn nothing_impure_is_named() {
    let mut files = Vec::new();
    sources(&manifest_dir().join("src"), &mut files);
    assert!(files.len() > 20);
    for file in files {
        for (at, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            let code = line.split("//").next().unwrap();
            for word in FORBIDDEN {
                assert!(!code.contains(word), "{}:{}: the core may not name {word}", file.display(), at + 1);
            }
        }
    }
}

#[test]
fn the_dependencies_are_these_and_no_others() {
    let tree = cargo_tree("normal");
    let found: BTreeSet<&str> =
        tree.lines().filter_map(|line| line.split(' ').next()).filter(|name| !name.is_empty()).collect();
    assert_eq!(found, DEPENDENCIES.iter().copied().collect());
}

#[test]
fn no_dependency_brings_std() {
    let manifest = fs::read_to_string(manifest_dir().join("Cargo.toml")).unwrap();
    let normal = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let lines: Vec<&str> = normal.lines().filter(|line| line.contains('=')).collect();
    assert!(!lines.is_empty());
    for line in lines {
        assert!(line.contains("default-features = false"), "core/Cargo.toml: {line}: wants default-features = false");
    }
    // What runs at build time runs with std; what is linked does not ask for it.
    let linked = ["bytes", "data-encoding", "prost", "sha2", "digest", "block-buffer", "crypto-common", "hybrid-array"];
    for line in cargo_tree("normal,features").lines() {
        let with_std = linked.iter().any(|name| line.starts_with(&format!("{name} feature \"std\"")));
        assert!(!with_std, "{line}");
    }
}
