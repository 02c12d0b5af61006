//! A bug: a few lines of a unified diff, and what they break.
//!
//! A patch file begins with a header of `name: value` lines; then come the diffs, one after the other, with paths from the
//! root of the repository:
//!
//! ```text
//! what: Of two versions that tie, the one that came first stays
//! from: go-ds-crdt, hazard 2
//! --- a/core/src/set/merge.rs
//! +++ b/core/src/set/merge.rs
//! @@ …
//! ```

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// A bug that can be put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bug {
    /// The file's name without `.patch`.
    pub name: String,
    /// What is wrong with it, in a sentence.
    pub what: String,
    /// Where it comes from: a fault of go-ds-crdt's, or a mistake that we or others made.
    pub from: String,
    /// The scenario that hunts it; the swarm of all faults if not given.
    pub scenario: Option<PathBuf>,
    /// Files, by their paths from the root, and their diffs.
    diffs: Vec<(PathBuf, String)>,
}

impl Bug {
    /// Reads the patches of a folder, in order of their names.
    ///
    /// # Errors
    /// A line that names the file and what is wrong with it.
    pub fn all(folder: &Path) -> Result<Vec<Self>, String> {
        let unreadable = |error| format!("{}: {error}", folder.display());
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "patch") {
                paths.push(path);
            }
        }
        paths.sort();
        if paths.is_empty() {
            return Err(format!("{}: no *.patch there", folder.display()));
        }
        paths.iter().map(|path| Self::read(path)).collect()
    }

    /// Reads one patch.
    ///
    /// # Errors
    /// As [`all`](Self::all).
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self::parse(name, &text).map_err(|why| format!("{}: {why}", path.display()))
    }

    fn parse(name: String, text: &str) -> Result<Self, String> {
        let start = text.find("--- a/").ok_or("expected a diff with `--- a/PATH` after the header")?;
        let (header, diffs) = text.split_at(start);
        let mut fields = BTreeMap::new();
        for line in header.lines().filter(|line| !line.trim().is_empty()) {
            let (field, value) =
                line.split_once(": ").ok_or_else(|| format!("expected `name: value`, found `{line}`"))?;
            if !["what", "from", "scenario"].contains(&field) {
                return Err(format!("unknown header `{field}`; expected what, from or scenario"));
            }
            fields.insert(field, value.trim().to_owned());
        }
        let mut take = |field: &str| fields.remove(field);
        let what = take("what").ok_or("the header has no `what: …`")?;
        let from = take("from").ok_or("the header has no `from: …`")?;
        let scenario = take("scenario").map(PathBuf::from);
        let diffs = split(diffs)?;
        Ok(Self { name, what, from, scenario, diffs })
    }

    /// The files that it changes, by their paths from the root.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.diffs.iter().map(|(path, _)| path.as_path())
    }

    /// Its diffs, as they stand in its file.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.diffs.iter().map(|(_, diff)| diff.as_str())
    }

    /// The changed files with the bug in them.
    ///
    /// # Errors
    /// When the sources have moved on and the patch no longer applies.
    pub fn applied(&self, root: &Path) -> Result<Vec<(PathBuf, String)>, String> {
        let apply = |(path, diff): &(PathBuf, String)| {
            let at = |why: String| {
                format!("bugs/patches/{}.patch no longer applies to {}: {why}", self.name, path.display())
            };
            let patch = diffy::Patch::from_str(diff).map_err(|error| at(error.to_string()))?;
            let source = fs::read_to_string(root.join(path)).map_err(|error| at(error.to_string()))?;
            let changed = diffy::apply(&source, &patch).map_err(|error| at(error.to_string()))?;
            if changed == source {
                return Err(at(String::from("it changes nothing")));
            }
            Ok((path.clone(), changed))
        };
        self.diffs.iter().map(apply).collect()
    }
}

/// Cuts diffs of several files apart.
fn split(diffs: &str) -> Result<Vec<(PathBuf, String)>, String> {
    let mut found: Vec<(PathBuf, String)> = Vec::new();
    for line in diffs.split_inclusive('\n') {
        if let Some(path) = line.strip_prefix("--- a/") {
            found.push((PathBuf::from(path.trim_end()), String::new()));
        }
        let (_, diff) = found.last_mut().ok_or("a diff before its `--- a/PATH`")?;
        diff.push_str(line);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PATCH: &str = "what: It is wrong\nfrom: us\n\n--- a/one\n+++ b/one\n@@ -1 +1 @@\n-a\n+b\n--- a/two/x\n+++ b/two/x\n@@ -1 +1 @@\n-c\n+d\n";

    #[test]
    fn a_patch_of_two_files() {
        let bug = Bug::parse("n".into(), PATCH).unwrap();
        assert_eq!(bug.what, "It is wrong");
        assert_eq!(bug.files().collect::<Vec<_>>(), [Path::new("one"), Path::new("two/x")]);
    }

    #[test]
    fn what_is_wrong_with_a_patch_is_said() {
        for (text, why) in [
            ("what: x\nfrom: y\n", "expected a diff"),
            ("from: y\n--- a/x\n", "no `what"),
            ("why: y\n--- a/x\n", "unknown header `why`"),
            ("hm\n--- a/x\n", "expected `name: value`"),
        ] {
            let error = Bug::parse("n".into(), text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_patch_whose_place_is_gone_says_so() {
        let bug = Bug::parse("n".into(), PATCH).unwrap();
        let error = bug.applied(Path::new("/nowhere")).unwrap_err();
        assert!(error.contains("n.patch no longer applies to one"), "{error}");
    }
}
