//! `anabranch campaign merge`.

use super::{
    super::{
        exit::{Code, Stop},
        junit::{Case, junit},
        marks,
        out::Out,
        text::{count, number, time},
    },
    store, write,
};
use anabranch_sim::campaign::{Shard, State};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

pub(super) fn merge(folders: &[PathBuf], target: Option<&Path>, all_marks: bool, out: &mut Out) -> Result<Code, Stop> {
    let mut shards: BTreeMap<Option<Shard>, (PathBuf, State)> = BTreeMap::new();
    for folder in folders {
        for found in shards_below(folder)? {
            let state = store::read(&found.join("state.json"))?;
            if let Some((other, _)) = shards.insert(state.shard, (found.clone(), state)) {
                let what =
                    format!("{} and {} are the same shard, expected each once", other.display(), found.display());
                return Err(Stop::bad(what));
            }
        }
    }
    let target = target.or_else(|| folders.first().map(PathBuf::as_path)).unwrap_or_else(|| Path::new("."));
    let Some((_, (_, first))) = shards.first_key_value() else {
        return Err(Stop::bad(format!(
            "{}: no shard-*/state.json below it, expected a folder that `anabranch campaign` wrote to",
            target.display()
        )));
    };
    let mut all = State::new(first.order.clone(), None, 0);
    let mut from: BTreeMap<String, PathBuf> = BTreeMap::new();
    for (folder, state) in shards.values() {
        let better = all.add(state).map_err(|what| Stop::bad(format!("{}: {what}", folder.display())))?;
        for kind in better {
            from.insert(kind.folder.clone(), folder.join("failures").join(&kind.folder));
        }
    }
    for (name, source) in &from {
        copy(source, &target.join("failures").join(name)).map_err(|error| {
            Stop::bad(format!("{} cannot be copied to {}: {error}", source.display(), target.display()))
        })?;
    }
    let missing = missing(&shards);
    let json = serde_json::to_string_pretty(&all).map_err(Stop::bad)?;
    write(&target.join("summary.json"), &(json + "\n"))?;
    write(&target.join("summary.md"), &markdown(&all, &missing))?;
    write(&target.join("junit.xml"), &junit("campaign", &cases(&all)))?;
    out.line(format_args!(
        "{}: {} of {} done, {} not as expected; {} simulated in {} of computing, {} events",
        count(shards.len() as u64, "shard"),
        number(all.done),
        count(all.order.runs().unwrap_or(all.total), "run"),
        number(all.failed),
        time(Duration::from_secs_f64(all.simulated_s)),
        time(Duration::from_secs_f64(all.wall_s)),
        number(all.events)
    ))?;
    missing.iter().try_for_each(|what| out.line(format_args!("  {what}")))?;
    store::kinds(&all, &target.join("failures"), out)?;
    marks::tell(&all.marks, all_marks, out)?;
    out.line(format_args!("written: {}", target.join("summary.json").display()))?;
    Ok(store::worst(&all))
}

/// The folder itself when it is a shard's, and those of shards in it.
fn shards_below(folder: &Path) -> Result<Vec<PathBuf>, Stop> {
    if folder.join("state.json").is_file() {
        return Ok(vec![folder.to_owned()]);
    }
    let entries = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>());
    let entries = entries.map_err(|error| {
        Stop::bad(format!(
            "{}: cannot be read: {error}; give a folder that `anabranch campaign` wrote to",
            folder.display()
        ))
    })?;
    let mut found: Vec<PathBuf> = entries.into_iter().filter(|path| path.join("state.json").is_file()).collect();
    found.sort();
    Ok(found)
}

/// Shards that are not there, and those that are not done.
fn missing(shards: &BTreeMap<Option<Shard>, (PathBuf, State)>) -> Vec<String> {
    let count = shards.keys().flatten().map(|shard| shard.count).max().unwrap_or(1);
    let mut lines: Vec<String> = (0..count)
        .map(|index| Shard { index, count })
        .filter(|shard| !shards.contains_key(&Some(*shard)))
        .map(|shard| format!("shard {shard} is missing"))
        .collect();
    let partial = shards.values().filter(|(_, state)| state.done < state.total);
    lines.extend(partial.map(|(folder, state)| {
        format!("{} is not done: {} of {} runs", folder.display(), number(state.done), number(state.total))
    }));
    lines
}

/// Copies a failure's folder, whole or not at all.
fn copy(source: &Path, target: &Path) -> io::Result<()> {
    if source == target {
        return Ok(());
    }
    anabranch_sim::files::write_folder(target, |at| {
        for entry in fs::read_dir(source)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), at.join(entry.file_name()))?;
            }
        }
        Ok(())
    })
}

fn markdown(all: &State, missing: &[String]) -> String {
    let mut text = format!(
        "# Campaign\n\nCommit {}, seeds {}..{}, {}.\n\n{} of {} done, {} not as expected.\n",
        all.order.commit,
        all.order.seeds.start,
        all.order.seeds.end,
        count(all.order.scenarios.len() as u64, "scenario"),
        number(all.done),
        count(all.order.runs().unwrap_or(all.total), "run"),
        number(all.failed)
    );
    missing.iter().for_each(|what| {
        let _ = write!(text, "\n- {what}");
    });
    if !all.kinds.is_empty() {
        text.push_str("\n| kind of failure | runs | fastest | folder |\n| --- | --- | --- | --- |\n");
    }
    for kind in &all.kinds {
        let (scenario, seed, events) = &kind.fastest;
        let events = if *events == u64::MAX { String::from("crashed") } else { format!("{} events", number(*events)) };
        let _ = writeln!(
            text,
            "| {} | {} | {scenario}, seed {seed}, {events} | `failures/{}` |",
            kind.signature.to_string().replace('|', "\\|"),
            number(kind.count),
            kind.folder
        );
    }
    if !all.faults.is_empty() {
        text.push_str("\n| fault | effective | requested |\n| --- | --- | --- |\n");
    }
    for (kind, counts) in &all.faults {
        let _ = writeln!(text, "| {kind} | {} | {} |", number(counts.effective), number(counts.requested));
    }
    text + &marks::markdown(&all.marks)
}

/// A case for each kind of failure, and one for all that went well.
fn cases(all: &State) -> Vec<Case> {
    let failed = all.kinds.iter().map(|kind| Case {
        suite: kind.fastest.0.clone(),
        name: format!("seed {} ({} runs of this kind)", kind.fastest.1, kind.count),
        wall: Duration::ZERO,
        problem: Some((kind.signature.outcome.clone(), kind.message.clone())),
    });
    let good = Case {
        suite: String::from("campaign"),
        name: format!("{} runs as expected", all.done - all.failed),
        wall: Duration::from_secs_f64(all.wall_s),
        problem: None,
    };
    failed.chain([good]).collect()
}
