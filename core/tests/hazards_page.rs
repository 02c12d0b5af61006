//! `docs/hazards.md` names tests and scenarios: each is one that exists, and no row is without.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeSet, fs, path::Path};

const PACKAGES: [&str; 3] = ["core", "sim", "faults"];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The names of all tests of these packages.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for package in PACKAGES {
        for file in fs::read_dir(root().join(package).join("tests")).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = fs::read_to_string(path).unwrap();
            for after in text.split("#[test]\n").skip(1) {
                let name = after.trim_start().strip_prefix("fn ").and_then(|rest| rest.split('(').next());
                names.extend(name.map(str::to_owned));
            }
        }
    }
    names
}

/// What stands between backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The last cells of the rows of all tables, each with its row's first one.
fn rows(page: &str) -> Vec<(&str, &str)> {
    let rows = page.lines().filter(|line| line.starts_with('|') && !line.starts_with("| ---"));
    rows.filter_map(|line| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let (first, last) = (cells.next()?, cells.next_back()?);
        (last != "shown by").then_some((first, last))
    })
    .collect()
}

#[test]
fn the_page_of_hazards_names_what_exists() {
    let page = fs::read_to_string(root().join("docs/hazards.md")).unwrap();
    let (tests, mut numbers) = (tests(), BTreeSet::new());
    for (subject, shown_by) in rows(&page) {
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
