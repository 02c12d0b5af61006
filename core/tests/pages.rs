//! What the pages name exists: `docs/hazards.md` names tests and scenarios, the README's table of features tests, and `docs/embedding.md` an
//! example for each of its rows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn page(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
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

/// The names of all tests in these files.
fn tests(paths: &[PathBuf]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in paths {
        let mut is_test = false;
        for line in fs::read_to_string(path).unwrap().lines().map(str::trim) {
            if line.starts_with("#[") {
                is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
                continue;
            }
            let name = line.trim_start_matches("async ").strip_prefix("fn ").and_then(|rest| rest.split('(').next());
            names.extend(name.filter(|_| is_test).map(str::to_owned));
            is_test = false;
        }
    }
    names
}

/// The cells of a row of a table, the first and the last one.
fn cells(line: &str) -> Option<(&str, &str)> {
    let mut cells = line.strip_prefix('|')?.trim_end_matches('|').split('|').map(str::trim);
    Some((cells.next()?, cells.next_back()?))
}

/// The rows of the table that begins with this line.
fn rows<'a>(page: &'a str, head: &str) -> Vec<(&'a str, &'a str)> {
    let after = page.split_once(&format!("\n{head}\n")).unwrap_or_else(|| panic!("no table {head}")).1;
    after.lines().map_while(cells).skip(1).collect()
}

/// The rows of all tables.
fn all_rows(page: &str) -> Vec<(&str, &str)> {
    let rows = page.lines().filter(|line| !line.starts_with("| ---")).filter_map(cells);
    rows.filter(|(_, last)| *last != "shown by").collect()
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn the_page_of_hazards_names_what_exists() {
    let page = page("docs/hazards.md");
    let paths: Vec<_> = ["core/tests", "sim/tests", "faults/tests"].into_iter().flat_map(files).collect();
    let (tests, mut numbers) = (tests(&paths), BTreeSet::new());
    for (subject, shown_by) in all_rows(&page) {
        numbers.insert(subject.trim_end_matches(|c: char| c.is_alphabetic()).to_owned());
        let mut named = 0;
        for part in shown_by.split(", ") {
            for name in quoted(part) {
                let is_scenario = part.starts_with("scenario ");
                let is_other = part.starts_with("the oracle ") || name.starts_with("anabranch-");
                if is_scenario {
                    assert!(root().join(format!("scenarios/{name}.toml")).is_file(), "{subject}: no scenario {name}");
                } else if !is_other {
                    assert!(tests.contains(name), "{subject}: no test {name}");
                    named += 1;
                }
            }
        }
        assert!(named > 0, "{subject}: no test");
    }
    let missing: Vec<String> = (1..=23).map(|row| row.to_string()).filter(|row| !numbers.contains(row)).collect();
    assert_eq!(missing, [] as [String; 0], "rows of the table");
    assert!(tests.contains("the_page_of_hazards_names_what_exists"), "tests are found");
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

#[test]
fn every_feature_has_a_test_and_an_example() {
    let (readme, embedding) = (page("README.md"), page("docs/embedding.md"));
    let features = rows(&readme, "| | go-ds-crdt | Anabranch | shown by |");
    let examples = rows(&embedding, "| feature | example |");
    assert!(features.len() > 20, "{features:?}");
    let names = |rows: &[(&str, &str)]| rows.iter().map(|(feature, _)| String::from(*feature)).collect::<Vec<_>>();
    assert_eq!(names(&features), names(&examples), "the tables have the same rows");
    let paths: Vec<_> = ["core/tests", "node/tests", "shell/tests"].into_iter().flat_map(files).collect();
    let (mut tests, items) = (tests(&paths), with_examples());
    // Some rows name a whole file of them.
    tests.extend(paths.iter().map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()));
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
