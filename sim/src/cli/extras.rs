//! `anabranch schema`, `anabranch completions`, `anabranch man`: what editors and shells want to know.

use super::{
    Cli,
    exit::{Code, Stop},
    out::Out,
};
use anabranch_sim::schema;
use clap::CommandFactory;
use clap_complete::Shell;
use std::{fs, io, path::Path, process};

/// Prints the JSON Schema of scenario files.
pub(super) fn print_schema(out: &mut Out) -> Result<Code, Stop> {
    out.line(serde_json::to_string_pretty(&schema::scenario()).map_err(Stop::bad)?)?;
    Ok(Code::Passed)
}

/// Prints completions for a shell.
pub(super) fn completions(shell: Shell, out: &mut Out) -> Result<Code, Stop> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "anabranch", &mut script);
    out.text(String::from_utf8_lossy(&script))?;
    Ok(Code::Passed)
}

/// Prints the man page, or writes one for each command.
pub(super) fn man(folder: Option<&Path>, out: &mut Out) -> Result<Code, Stop> {
    match folder {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(Stop::bad)?;
            out.text(String::from_utf8_lossy(&page))?;
        }
        Some(folder) => {
            pages(folder).map_err(|error| {
                Stop::bad(format!("{} cannot be written: {error}; give another folder", folder.display()))
            })?;
            out.line(format_args!("written: {}", folder.display()))?;
        }
    }
    Ok(Code::Passed)
}

/// Writes all pages into a draft beside them first, so that none is there by half.
fn pages(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let draft = folder.join(format!(".anabranch-man.{}.tmp", process::id()));
    let written =
        fs::create_dir(&draft).and_then(|()| clap_mangen::generate_to(Cli::command(), &draft)).and_then(|()| {
            fs::read_dir(&draft)?.try_for_each(|page| {
                let page = page?;
                fs::rename(page.path(), folder.join(page.file_name()))
            })
        });
    let removed = fs::remove_dir_all(&draft);
    written.and(removed)
}
