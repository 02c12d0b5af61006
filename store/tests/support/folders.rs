//! Folders, compared and copied.

use std::{collections::BTreeMap, fs, path::Path};

/// All files below a path with their bytes, folders without; empty when there is nothing there.
pub fn listing(path: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    list(path, path, &mut found);
    found
}

fn list(root: &Path, path: &Path, found: &mut BTreeMap<String, Option<Vec<u8>>>) {
    let name = path.strip_prefix(root).unwrap().display().to_string();
    if path.is_dir() {
        found.insert(name, None);
        for entry in fs::read_dir(path).unwrap() {
            list(root, &entry.unwrap().path(), found);
        }
    } else if path.exists() {
        found.insert(name, Some(fs::read(path).unwrap()));
    }
}

/// Copies a folder and all below it, as it is at this moment. What others remove meanwhile may be missing.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap().path();
        let target = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy(&entry, &target);
        } else if let Err(error) = fs::copy(&entry, &target) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}", entry.display());
        }
    }
}
