//! `docs/scenarios.md` is complete, its examples are scenarios, and its defaults are the defaults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use anabranch_sim::{
    oracles::Oracle,
    scenario::{HostileAct, Scenario},
};
use std::collections::BTreeMap;

const DOCS: &str = include_str!("../../docs/scenarios.md");
/// Where the fields of the format are declared.
const FIELDS: &str = include_str!("../src/scenario/raw.rs");

#[test]
fn every_field_is_documented() {
    let declared = FIELDS.lines().filter_map(|line| line.trim().strip_prefix("pub(super) ")?.split_once(": "));
    let names: Vec<&str> = declared.map(|(name, _)| name).filter(|name| !name.contains(' ')).collect();
    assert!(names.len() > 60, "only {} fields were found; has the declaration moved?", names.len());
    for name in names {
        let mentioned = [format!("`{name}`"), format!("[{name}]"), format!("[[{name}]]")];
        assert!(mentioned.iter().any(|name| DOCS.contains(name)), "docs/scenarios.md does not mention `{name}`");
    }
}

#[test]
fn every_value_is_documented() {
    let acts = HostileAct::ALL.map(|act| act.kind().to_string());
    let outcomes = ["passed", "broken-invariant", "not-converged", "inert-faults"].map(String::from);
    let oracles = Oracle::ALL.iter().map(Oracle::to_string);
    for name in oracles.chain(acts).chain(outcomes) {
        assert!(DOCS.contains(&format!("`\"{name}\"`")), "docs/scenarios.md does not mention {name:?}");
    }
}

#[test]
fn every_example_is_a_scenario() {
    let examples: Vec<&str> =
        DOCS.split("```toml\n").skip(1).map(|rest| rest.split("```").next().expect("the end of an example")).collect();
    assert!(examples.len() >= 4);
    for example in examples {
        Scenario::parse(example, "docs/scenarios.md").unwrap_or_else(|error| panic!("{error}\n{example}"));
    }
}

/// The tables of settings: a scenario that says all of their defaults is one that says nothing.
#[test]
fn every_default_is_the_default() {
    let mut sections: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    let mut section = "";
    for line in DOCS.lines() {
        if let Some(title) = line.strip_prefix('#') {
            let title = title.trim_start_matches('#').trim().trim_start_matches('`');
            section =
                title.split(']').next().filter(|name| name.starts_with('[') && !name.starts_with("[[")).unwrap_or("");
        }
        let cells: Vec<&str> = line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
        let [field, _, default, _] = cells[..] else { continue };
        let code = |cell: &'static str| cell.strip_prefix('`')?.strip_suffix('`').filter(|code| !code.contains('`'));
        if let (Some(field), Some(default), false) = (code(field), code(default), section.is_empty()) {
            sections.entry(&section[1..]).or_default().push((field, default));
        }
    }
    let minimal = "replicas = 3\nduration = \"20s\"\n";
    let expected = Scenario::parse(minimal, "x.toml").unwrap();
    let found: usize = sections.values().map(Vec::len).sum();
    assert!(found >= 24, "only {found} defaults were found");
    for (section, defaults) in sections.iter().filter(|(section, _)| !["churn", "swarm"].contains(section)) {
        for (field, default) in defaults {
            let text = format!("{minimal}[{section}]\n{field} = {default}\n");
            let scenario = Scenario::parse(&text, "x.toml").unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert_eq!(scenario, expected, "the default of {section}.{field} is not {default}");
        }
    }
}
