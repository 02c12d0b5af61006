//! What a line may say.

use anabranch::Cid;
use std::path::PathBuf;

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Get { key: String },
    Put { key: String, value: String },
    Delete { key: String },
    List { prefix: String, limit: Option<usize> },
    Watch { prefix: String },
    Unwatch,
    Heads,
    Dag { limit: usize },
    Dot { file: PathBuf },
    Stats,
    Export { file: PathBuf, from: Option<Cid> },
    Import { file: PathBuf },
    Purge { dag: String },
    Rebuild,
    Verify,
    Abandon { cid: Cid },
    Help,
    Quit,
}

/// Blocks that `dag` lists unless told otherwise.
const BLOCKS_LISTED: usize = 50;

/// The names of all commands, for completion.
pub(crate) const NAMES: &[&str] = &[
    "abandon", "dag", "del", "dot", "export", "get", "heads", "help", "import", "ls", "purge", "put", "quit",
    "rebuild", "stats", "unwatch", "verify", "watch",
];

/// The names of the commands whose first argument is a key.
pub(crate) const OF_KEYS: &[&str] = &["del", "get", "ls", "put", "watch"];

pub(crate) const HELP: &str = "\
get KEY              print the value of a key
put KEY VALUE        write a value, durably
del KEY              remove a key, durably
ls [PREFIX [LIMIT]]  list the keys below a prefix, with the lengths of their values
watch [PREFIX]       from now on, print what changes below a prefix
unwatch              end all watches
dag [LIMIT]          list the blocks, the highest first (50 unless told): height, CID, what they write, parents
dot FILE             write the DAG as a graph for Graphviz
heads                list the heads of the DAG
stats                print numbers about the replica
export FILE [CID]    write all blocks, or what one descends from, to a CAR file
import FILE          take the blocks of a CAR file in
purge NAME           remove the merged blocks of a DAG name, '' for the main one, and derive their keys anew
verify               check every block and all that is derived from them
rebuild              make all that is derived from the blocks anew
abandon CID          give up a block that others wait for and nobody serves
help                 print this
quit                 end (as does the end of input)

Words are separated by spaces; quote a word that has some, as in a Unix shell: put '/my key' \"two words\"
Keys are paths: `a/b`, `/a/b` and `/a//b/` are one key.";

/// Reads a line. `None` where it says nothing; the error says what is wrong and what would be right.
pub(crate) fn parse(line: &str) -> Result<Option<Command>, String> {
    if line.trim_start().starts_with('#') {
        return Ok(None);
    }
    let words = shlex::split(line).ok_or("a quote is not closed, or nothing follows a backslash")?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((&name, arguments)) = words.split_first() else { return Ok(None) };
    let command = match (name, arguments) {
        ("get", [key]) => Command::Get { key: (*key).into() },
        ("put", [key, value]) => Command::Put { key: (*key).into(), value: (*value).into() },
        ("put", [_, _, _, ..]) => return Err("put takes one key and one value; quote a value that has spaces".into()),
        ("del", [key]) => Command::Delete { key: (*key).into() },
        ("ls", []) => Command::List { prefix: "/".into(), limit: None },
        ("ls", [prefix]) => Command::List { prefix: (*prefix).into(), limit: None },
        ("ls", [prefix, limit]) => Command::List { prefix: (*prefix).into(), limit: Some(parse_limit(limit)?) },
        ("watch", []) => Command::Watch { prefix: "/".into() },
        ("watch", [prefix]) => Command::Watch { prefix: (*prefix).into() },
        ("unwatch", []) => Command::Unwatch,
        ("dag", []) => Command::Dag { limit: BLOCKS_LISTED },
        ("dag", [limit]) => Command::Dag { limit: parse_limit(limit)? },
        ("dot", [file]) => Command::Dot { file: file.into() },
        ("heads", []) => Command::Heads,
        ("stats", []) => Command::Stats,
        ("export", [file]) => Command::Export { file: file.into(), from: None },
        ("export", [file, cid]) => Command::Export { file: file.into(), from: Some(parse_cid(cid)?) },
        ("import", [file]) => Command::Import { file: file.into() },
        ("purge", [dag]) => Command::Purge { dag: (*dag).into() },
        ("verify", []) => Command::Verify,
        ("rebuild", []) => Command::Rebuild,
        ("abandon", [cid]) => Command::Abandon { cid: parse_cid(cid)? },
        ("help" | "?", []) => Command::Help,
        ("quit" | "exit", []) => Command::Quit,
        (name, _) if NAMES.contains(&name) => return Err(usage(name)),
        (name, _) => return Err(format!("there is no command `{name}`; `help` lists those that there are")),
    };
    Ok(Some(command))
}

fn parse_limit(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("limit `{text}` is no number; give how many to list"))
}

fn parse_cid(text: &str) -> Result<Cid, String> {
    text.parse().map_err(|error| format!("`{text}` is {error}"))
}

/// How a command is used: its line of the help.
fn usage(name: &str) -> String {
    let line = HELP.lines().find(|line| line.split(' ').next() == Some(name)).unwrap_or(name);
    let (form, what) = line.split_once("  ").unwrap_or((line, ""));
    format!("use it as `{form}`: {}", what.trim())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn lines_are_read_as_a_shell_reads_them() {
        let put = Command::Put { key: "/my key".into(), value: "two words".into() };
        assert_eq!(parse("  put '/my key' \"two words\" "), Ok(Some(put)));
        assert_eq!(parse(""), Ok(None));
        assert_eq!(parse("# a remark"), Ok(None));
        assert_eq!(parse("ls /a 10"), Ok(Some(Command::List { prefix: "/a".into(), limit: Some(10) })));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        let wrong = |line: &str| parse(line).unwrap_err();
        assert_eq!(wrong("get"), "use it as `get KEY`: print the value of a key");
        assert!(wrong("put a b c").contains("quote"));
        assert!(wrong("ls / many").contains("`many` is no number"));
        assert!(wrong("fetch x").contains("`help` lists"));
        assert!(wrong("get 'x").contains("quote is not closed"));
        assert!(wrong("export f Qm").contains("no CID"));
    }

    #[test]
    fn every_command_is_in_the_help_and_has_a_usage() {
        for name in NAMES {
            assert!(HELP.lines().any(|line| line.split(' ').next() == Some(name)), "{name}");
            assert!(usage(name).contains(": "), "{name}");
        }
        assert!(OF_KEYS.iter().all(|name| NAMES.contains(name)));
    }
}
