//! `anabranch dag fold` and `anabranch dag merge`.

use super::{
    exit::{Code, Stop},
    out::Out,
    text::quoted,
};
use anabranch_sim::{
    car::{self, Car},
    dag::{self, Summary},
};
use std::path::Path;

pub(super) fn fold(file: &Path, json: bool, out: &mut Out, err: &mut Out) -> Result<Code, Stop> {
    let car = read(file, err)?;
    let folded = dag::fold_car(&car).map_err(|missing| Stop::bad(format!("{}: {missing}", file.display())))?;
    print(&Summary::from(&folded), json, out)?;
    Ok(Code::Passed)
}

pub(super) fn merge(file: &Path, seed: u64, json: bool, out: &mut Out, err: &mut Out) -> Result<Code, Stop> {
    let car = read(file, err)?;
    let at_file = |what: &dyn std::fmt::Display| Stop::bad(format!("{}: {what}", file.display()));
    let merged = dag::merge_car(&car, seed).map_err(|error| at_file(&error))?;
    let folded = dag::fold_car(&car).map_err(|missing| at_file(&missing))?;
    print(&merged.summary, json, out)?;
    if !json {
        out.line(format_args!(
            "merged in the order of seed {seed}: {} blocks given, repeats included, {} announcements, {} fetches answered",
            merged.given, merged.announced, merged.fetched
        ))?;
    }
    if merged.summary == Summary::from(&folded) {
        return Ok(Code::Passed);
    }
    err.line(format_args!(
        "broken invariant: a replica that merged {} ends otherwise than the naive fold; compare with `anabranch dag fold`\n\
         reproduce: anabranch dag merge {} --seed {seed}",
        file.display(),
        quoted(file),
    ))?;
    Ok(Code::BrokenInvariant)
}

/// Reads the file, and says on stderr what was left out.
pub(super) fn read(file: &Path, err: &mut Out) -> Result<Car, Stop> {
    let car = car::read(file).map_err(Stop::bad)?;
    if car.foreign > 0 {
        let (file, foreign) = (file.display(), car.foreign);
        err.line(format_args!("note: {file}: {foreign} blocks or roots are not dag-pb with sha2-256, and left out"))?;
    }
    Ok(car)
}

fn print(summary: &Summary, json: bool, out: &mut Out) -> Result<(), Stop> {
    if json {
        return out.line(serde_json::to_string_pretty(summary).map_err(Stop::bad)?);
    }
    out.line(format_args!("heads ({})", summary.heads.len()))?;
    summary.heads.iter().try_for_each(|head| out.line(format_args!("  {head}")))?;
    out.line(format_args!("state ({} keys, values in hex)", summary.state.len()))?;
    summary.state.iter().try_for_each(|(key, value)| out.line(format_args!("  {} = {value}", key.escape_debug())))?;
    out.line(format_args!("void blocks {}, misdeclared priorities {}", summary.void, summary.misdeclared))
}
