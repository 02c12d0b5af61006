//! The scenario format as JSON Schema, for editors.
//!
//! It is made from the tables of `docs/scenarios.md`: their columns say name, kind of value, default and meaning of each
//! field, and a test holds them against the reader. So there is one description of the format, and it is the one that people
//! read.

use crate::scenario::Family;
use serde_json::{Map, Value, json};

const DOCS: &str = include_str!("../../docs/scenarios.md");

/// The JSON Schema (draft 2020-12) of a scenario file.
#[must_use]
pub fn scenario() -> Value {
    let sections = sections(DOCS);
    let names = |header: &str| -> Vec<String> {
        let rows = sections.iter().filter(|section| section.first_column == header).flat_map(|section| &section.rows);
        rows.filter_map(|row| Some(quoted(&row.cells[0])?.to_owned())).collect()
    };
    let families = Family::ALL.iter().filter_map(|family| serde_json::to_value(family).ok());
    let vocabulary =
        Vocabulary { oracles: names("oracle"), acts: names("act"), harms: names("harm"), families: families.collect() };
    let mut root = Object::default();
    let network: Vec<&Row> = rows_of(&sections, "network");
    for section in sections.iter().filter(|section| section.first_column == "field") {
        let mut own: Vec<&Row> = section.rows.iter().collect();
        if section.tables.is_empty() {
            own.iter().for_each(|row| root.add(row, &vocabulary));
        }
        for table in &section.tables {
            if table.name == "link" {
                own.extend(&network);
            }
            let mut object = Object::default();
            // A field of one of several tables says so at the beginning of its meaning or at its end.
            let is_of = |row: &Row, other: &Table| {
                row.cells.last().is_some_and(|meaning| meaning.contains(&format!("(`{}", other.name)))
            };
            let is_here = |row: &Row| {
                let mut others = section.tables.iter().filter(|other| other.name != table.name);
                is_of(row, table) || !others.any(|other| is_of(row, other))
            };
            own.iter().filter(|row| is_here(row)).for_each(|row| object.add(row, &vocabulary));
            let schema = object.schema();
            let schema = if table.is_list { json!({ "type": "array", "items": schema }) } else { schema };
            root.properties.insert(table.name.clone(), schema);
        }
    }
    root.properties.insert(String::from("explicit"), explicit());
    let mut schema = root.schema();
    if let Value::Object(fields) = &mut schema {
        fields.insert(String::from("$schema"), json!("https://json-schema.org/draft/2020-12/schema"));
        fields.insert(String::from("title"), json!("Anabranch scenario"));
    }
    schema
}

/// A section of the documentation that has a table.
struct Section {
    tables: Vec<Table>,
    /// What the first column is called: `field`, `oracle`, `act`.
    first_column: String,
    rows: Vec<Row>,
}

/// A table of the format, `[name]` or `[[name]]`.
#[derive(Clone)]
struct Table {
    name: String,
    is_list: bool,
}

struct Row {
    cells: Vec<String>,
}

fn rows_of<'a>(sections: &'a [Section], table: &str) -> Vec<&'a Row> {
    let of = |section: &&Section| section.tables.iter().any(|other| other.name == table);
    sections.iter().filter(of).flat_map(|section| &section.rows).collect()
}

fn sections(docs: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut tables: Vec<Table> = Vec::new();
    let mut is_table = false;
    for line in docs.lines() {
        if line.starts_with('#') {
            tables = tables_in(line);
        } else if line.starts_with("`[") && line.ends_with(":") {
            // A line of its own says which of the heading's tables the next one is of.
            tables = tables_in(line);
        }
        let cells: Vec<String> = match line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) {
            Some(row) => row.split(" | ").map(|cell| cell.trim().to_owned()).collect(),
            None => {
                is_table = false;
                continue;
            }
        };
        if !is_table {
            is_table = true;
            sections.push(Section { tables: tables.clone(), first_column: cells[0].clone(), rows: Vec::new() });
        } else if !cells[0].starts_with("---")
            && let Some(section) = sections.last_mut()
        {
            section.rows.push(Row { cells });
        }
    }
    sections
}

/// The tables that a heading names.
fn tables_in(heading: &str) -> Vec<Table> {
    let codes = heading.split('`').skip(1).step_by(2);
    let table = |code: &str| {
        let inner = code.strip_prefix('[')?.strip_suffix(']')?;
        let list = inner.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
        Some(Table { name: list.unwrap_or(inner).to_owned(), is_list: list.is_some() })
    };
    codes.filter_map(table).collect()
}

/// The text between the backticks and quotes of a cell.
fn quoted(cell: &str) -> Option<&str> {
    cell.split('`').nth(1)?.strip_prefix('"')?.strip_suffix('"')
}

struct Vocabulary {
    oracles: Vec<String>,
    acts: Vec<String>,
    harms: Vec<String>,
    families: Vec<Value>,
}

#[derive(Default)]
struct Object {
    properties: Map<String, Value>,
    required: Vec<String>,
}

impl Object {
    fn add(&mut self, row: &Row, vocabulary: &Vocabulary) {
        let [field, value, default, meaning] = &row.cells[..] else { return };
        let name = field.trim_matches('`').to_owned();
        let mut schema = kind(value, &name, vocabulary);
        if let Value::Object(fields) = &mut schema {
            let default_text = if default == "required" { String::new() } else { format!(" Default: {default}.") };
            fields.insert(
                String::from("description"),
                json!(format!("{value}: {meaning}.{default_text}").replace('`', "")),
            );
        }
        self.properties.insert(name.clone(), schema);
        if default == "required" {
            self.required.push(name);
        }
    }

    fn schema(self) -> Value {
        let Self { properties, required } = self;
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
    }
}

fn time() -> Value {
    json!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)? *(ns|us|µs|ms|s|m|h|d)$" })
}

fn texts() -> Value {
    json!({ "type": "array", "items": { "type": "string" } })
}

/// One value for both ends, or a list of two.
fn range(of: &Value) -> Value {
    json!({ "anyOf": [of, { "type": "array", "items": of, "minItems": 2, "maxItems": 2 }] })
}

/// The schema of a value, by the words with which the documentation describes it. Words that are not known are no limit.
fn kind(value: &str, name: &str, vocabulary: &Vocabulary) -> Value {
    let whole = json!({ "type": "integer", "minimum": 0 });
    let choices: Vec<&str> =
        value.split('`').skip(1).step_by(2).filter_map(|code| code.strip_prefix('"')?.strip_suffix('"')).collect();
    if !choices.is_empty() {
        return json!({ "enum": choices });
    }
    match value {
        "time" => time(),
        "text" | "name" => json!({ "type": "string" }),
        "probability" => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        "number" => json!({ "type": "number", "minimum": 0 }),
        "bytes" => whole,
        "true or false" => json!({ "type": "boolean" }),
        "an oracle" => json!({ "enum": vocabulary.oracles }),
        "a harm" => json!({ "enum": vocabulary.harms }),
        "list of families" => json!({ "type": "array", "items": { "enum": vocabulary.families } }),
        "list of acts" => json!({ "type": "array", "items": { "enum": vocabulary.acts } }),
        "64 hex digits" => json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" }),
        "list of names" | "list of texts" => texts(),
        "range of times" => range(&time()),
        "table of lists of names" => json!({ "type": "object", "additionalProperties": texts() }),
        _ if name == "mix" => {
            json!({ "type": "object", "additionalProperties": false, "properties": { "put": whole, "delete": whole, "batch": whole, "get": whole } })
        }
        _ if value.starts_with("a number, or a list of names") => json!({ "anyOf": [whole, texts()] }),
        _ if value.starts_with("range") => range(&whole),
        _ if value.starts_with("table of `from` and `to`") => {
            let text = json!({ "type": "string" });
            json!({ "type": "object", "additionalProperties": false, "properties": { "from": text, "to": text }, "required": ["from", "to"] })
        }
        _ => json!({}),
    }
}

/// The lists of `[explicit]`, which programs write and people seldom do.
fn explicit() -> Value {
    let text = json!({ "type": "string" });
    let number = json!({ "type": "integer", "minimum": 0 });
    let list = |fields: Value, required: &[&str]| json!({ "type": "array", "items": { "type": "object", "additionalProperties": false, "properties": fields, "required": required } });
    let kinds = |names: &[&str]| json!({ "enum": names });
    let write = json!({ "type": "array", "items": text, "minItems": 1, "maxItems": 2 });
    let operations = list(
        json!({
            "number": number, "at": time(), "replica": text, "kind": kinds(&["put", "delete", "batch", "get"]), "dag": text,
            "writes": { "type": "array", "items": write },
        }),
        &["number", "at", "replica", "kind", "writes"],
    );
    let deliveries = list(
        json!({
            "from": text, "to": text, "kind": kinds(&["broadcast", "request", "block", "not-found"]), "cause": text, "n": number,
            "after": time(), "drop": { "type": "boolean" }, "copy_after": time(), "held_back": time(), "flip": number,
            "cut": number, "astray": number, "replay_after": time(),
        }),
        &["from", "to", "kind", "cause", "after"],
    );
    let choices: Vec<String> = crate::choices::Choice::ALL.iter().map(ToString::to_string).collect();
    let choices = list(
        json!({ "choice": { "enum": choices }, "party": text, "cause": text, "n": number, "value": { "type": ["integer", "string"] } }),
        &["choice", "party", "cause", "value"],
    );
    json!({
        "type": "object",
        "description": "Lists that stand for a seed: what is not listed is as quiet as can be.",
        "additionalProperties": false,
        "properties": { "may_be_inert": { "type": "boolean" }, "operations": operations, "deliveries": deliveries, "choices": choices },
    })
}
