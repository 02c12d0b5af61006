//! The JSON Schema of scenario files takes what the reader takes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use anabranch_sim::{
    plan::Plan,
    record::{Recorder, explicit},
    run::run_plan,
    scenario::Scenario,
    schema,
};
use serde_json::Value;
use std::path::Path;

const FIELDS: &str = include_str!("../src/scenario/raw.rs");

fn json(text: &str) -> Value {
    serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap()
}

/// What is wrong with a value by a schema: as much of JSON Schema as ours uses, and a panic on anything else in it.
fn errors(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let number = |value: &Value| value.as_f64();
    for (keyword, wanted) in schema.as_object().unwrap() {
        let is_right = match keyword.as_str() {
            "$schema" | "title" | "description" => true,
            "type" => {
                let is = |name: &str| match name {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "number" => value.is_number(),
                    "integer" => value.is_u64() || value.is_i64(),
                    other => panic!("type {other}"),
                };
                match wanted {
                    Value::String(name) => is(name),
                    names => names.as_array().unwrap().iter().any(|name| is(name.as_str().unwrap())),
                }
            }
            "properties" => {
                for (field, value) in value.as_object().into_iter().flatten() {
                    if let Some(schema) = wanted.get(field) {
                        wrong.extend(errors(schema, value, &format!("{at}.{field}")));
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = |field: &str| schema.get("properties").is_some_and(|known| known.get(field).is_some());
                let unknown = value.as_object().into_iter().flatten().filter(|(field, _)| !known(field));
                for (field, value) in unknown {
                    match wanted {
                        Value::Bool(false) => wrong.push(format!("{at}: unknown field {field}")),
                        schema => wrong.extend(errors(schema, value, &format!("{at}.{field}"))),
                    }
                }
                true
            }
            "required" => {
                let names = wanted.as_array().unwrap().iter().map(|name| name.as_str().unwrap());
                names
                    .filter(|name| value.is_object() && value.get(name).is_none())
                    .for_each(|name| wrong.push(format!("{at}: no {name}")));
                true
            }
            "items" => {
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    wrong.extend(errors(wanted, value, &format!("{at}[{index}]")));
                }
                true
            }
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= wanted.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= wanted.as_u64().unwrap()),
            "enum" => wanted.as_array().unwrap().contains(value),
            "minimum" => number(value).is_none_or(|value| value >= number(wanted).unwrap()),
            "maximum" => number(value).is_none_or(|value| value <= number(wanted).unwrap()),
            "anyOf" => wanted.as_array().unwrap().iter().any(|schema| errors(schema, value, at).is_empty()),
            "pattern" if wanted == "^[0-9a-f]{64}$" => {
                value.as_str().is_none_or(|text| text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit()))
            }
            // The other pattern is that of times.
            "pattern" => value.as_str().is_none_or(|text| {
                let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').trim();
                text.starts_with(|c: char| c.is_ascii_digit())
                    && ["ns", "us", "µs", "ms", "s", "m", "h", "d"].contains(&unit)
            }),
            other => panic!("{other} is not known here"),
        };
        if !is_right {
            wrong.push(format!("{at}: {value} against {keyword} {wanted}"));
        }
    }
    wrong
}

#[track_caller]
fn is_valid(schema: &Value, text: &str, name: &str) {
    let errors = errors(schema, &json(text), "");
    assert!(errors.is_empty(), "{name}: {errors:?}");
}

#[test]
fn all_scenarios_and_examples_are_valid_and_so_is_an_explicit_form() {
    let schema = schema::scenario();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut files = Vec::new();
    for folder in [folder.clone(), folder.join("regressions")].iter().filter(|folder| folder.is_dir()) {
        files.extend(std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    assert!(files.len() >= 10);
    for path in &files {
        is_valid(&schema, &std::fs::read_to_string(path).unwrap(), &path.to_string_lossy());
    }
    let docs = include_str!("../../docs/scenarios.md");
    for example in docs.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
        is_valid(&schema, example, "an example");
    }
    let text = std::fs::read_to_string(folder.join("corrupt.toml")).unwrap();
    let scenario = Scenario::parse(&text, "corrupt.toml").unwrap();
    let mut recorder = Recorder::default();
    let _ = run_plan(&scenario, 1, Plan::new(&scenario, 1), &mut recorder);
    is_valid(&schema, &explicit(&scenario, 1, &recorder.events).to_toml(), "an explicit form");
}

#[test]
fn what_the_reader_refuses_is_invalid() {
    let schema = schema::scenario();
    let base = "replicas = 2\nduration = \"9s\"\n";
    is_valid(&schema, base, "the smallest scenario");
    for bad in [
        "[network]\ndorp = 0.1",
        "[network]\ndrop = 1.5",
        "[network]\nlatency = \"5 parsecs\"",
        "[network]\nlatency = [\"1ms\", \"2ms\", \"3ms\"]",
        "[[crash]]\nat = \"1s\"\ndown = \"1s\"",
        "[[partition]]\nat = \"1s\"\ngroups = { a = [\"r0\"], b = [\"r1\"] }\nmode = \"maybe\"",
        "[[suspend]]\noracle = \"nobody\"\nwhy = \"x\"",
        "[expect]\ntrace = \"abc\"",
        "[workload]\nmix = { putt = 1 }",
        "[explicit]\noperations = [{ number = 1 }]",
        "[[link]]\nlatencies = \"1ms\"",
        "what = 1",
    ] {
        let text = format!("{base}{bad}");
        assert!(Scenario::parse(&text, "bad.toml").is_err(), "the reader takes {bad}");
        assert!(!errors(&schema, &json(&text), "").is_empty(), "the schema takes {bad}");
    }
}

/// Every field that the reader knows stands somewhere in the schema.
#[test]
fn no_field_is_missing() {
    let text = schema::scenario().to_string();
    let declared = FIELDS.lines().filter_map(|line| line.trim().strip_prefix("pub(super) ")?.split_once(": "));
    let names: Vec<&str> = declared.map(|(name, _)| name).filter(|name| !name.contains(' ')).collect();
    assert!(names.len() > 60);
    for name in names {
        assert!(
            text.contains(&format!("\"{name}\":")),
            "`{name}` is not in the schema: is it in a table of docs/scenarios.md?"
        );
    }
}
