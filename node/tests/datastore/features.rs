//! The README's table of features names tests, and `docs/embedding.md` an example for each of its rows: all of them exist.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// All files of Rust in a folder, and in those below it.
fn files(folder: &str) -> Vec<PathBuf> {
    let (mut all, mut left) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                all.push(path);
            }
        }
    }
    all
}

/// The names of all tests, and of the files that they stand in.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in ["core/tests", "node/tests", "shell/tests"].into_iter().flat_map(files) {
        names.insert(path.file_stem().unwrap().to_string_lossy().into_owned());
        let text = fs::read_to_string(path).unwrap();
        let is_test =
            |before: &str| before.lines().rev().take_while(|line| !line.is_empty()).any(|line| line.contains("test"));
        for (at, _) in text.match_indices("fn ").filter(|(at, _)| is_test(&text[..*at])) {
            names.extend(text[at + 3..].split('(').next().map(str::to_owned));
        }
    }
    names
}

/// The items of which the rustdoc has an example that is compiled: their names alone, and those of modules.
fn with_examples() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in ["core/src", "node/src", "shell/src"].into_iter().flat_map(files) {
        let text = fs::read_to_string(&path).unwrap();
        if text.lines().any(|line| line == "//! ```") {
            let stem = path.file_stem().unwrap();
            let module = if stem == "mod" { path.parent().unwrap().file_name().unwrap() } else { stem };
            names.insert(module.to_string_lossy().into_owned());
        }
        let mut has_example = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("///") {
                has_example |= line == "/// ```" || line == "/// ```no_run";
            } else if !line.starts_with("#[") {
                let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
                let mut item = words.skip_while(|word| !["fn", "struct", "enum", "trait"].contains(word));
                names.extend(item.nth(1).filter(|_| has_example).map(str::to_owned));
                has_example = false;
            }
        }
    }
    names
}

/// The rows of the table that begins with this line: their first and last cells.
fn rows<'a>(page: &'a str, head: &str) -> Vec<(&'a str, &'a str)> {
    let after = page.split_once(&format!("\n{head}\n")).unwrap_or_else(|| panic!("no table {head}")).1;
    let cells = |line: &'a str| -> Option<(&'a str, &'a str)> {
        let mut cells = line.strip_prefix('|')?.trim_end_matches('|').split('|').map(str::trim);
        Some((cells.next()?, cells.next_back()?))
    };
    after.lines().map_while(cells).skip(1).collect()
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_feature_has_a_test_and_an_example() {
    let page = |file: &str| fs::read_to_string(root().join(file)).unwrap();
    let (readme, embedding) = (page("README.md"), page("docs/embedding.md"));
    let features = rows(&readme, "| | go-ds-crdt | Anabranch | shown by |");
    let examples = rows(&embedding, "| feature | example |");
    assert!(features.len() > 20, "{features:?}");
    let names = |rows: &[(&str, &str)]| rows.iter().map(|(feature, _)| String::from(*feature)).collect::<Vec<_>>();
    assert_eq!(names(&features), names(&examples), "the tables have the same rows");
    let (tests, items) = (tests(), with_examples());
    for (feature, shown_by) in features {
        assert!(quoted(shown_by).count() > 0, "{feature}: no test");
        for name in quoted(shown_by) {
            assert!(tests.iter().any(|test| test.contains(name)), "{feature}: no test {name}");
        }
    }
    for (feature, example) in examples {
        // The first is the item; what follows says where it is.
        for name in example.split(", ").filter_map(|part| quoted(part).next()) {
            let item = name.rsplit("::").next().unwrap();
            assert!(items.contains(item), "{feature}: no example at {name}");
        }
    }
    assert!(tests.contains("every_feature_has_a_test_and_an_example"), "tests are found");
    assert!(!items.contains("reopen"), "what has no example is told apart");
}
