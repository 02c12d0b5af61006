//! Bad input and outputs that have no room, of every command: one line each with the place, the right exit code, nothing by half.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod histories;

use histories::{Answer, anabranch, scratch, text};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// It has no time to converge.
const SLOW: &str = "\
name = \"slow\"
replicas = 3
duration = \"6s\"
convergence_budget = \"1ms\"
[network]
drop = 0.2
[[partition]]
at = \"1s\"
groups = { a = [\"r0\"], b = [\"r1\", \"r2\"] }
";

/// A folder with a scenario and the folder of a failure.
fn failure(name: &str) -> (PathBuf, PathBuf, PathBuf) {
    let (file, kept) = histories::failure(name, SLOW, 1);
    (file.parent().unwrap().to_owned(), file, kept)
}

/// Every file and folder below this one.
fn all_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(all_below(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

#[test]
fn every_command_that_takes_a_scenario_names_the_place_of_what_is_wrong() {
    let folder = scratch("cli_bad_input_scenarios");
    let out = folder.join("out");
    let head = "replicas = 3\nduration = \"10s\"\n";
    let wrong = [
        ("typo.toml", "[network]\ndorp = 0.1\n", ":4:1: ", "did you mean `drop`?"),
        ("name.toml", "[[crash]]\nat = \"1s\"\nreplica = \"r7\"\ndown = \"1s\"\n", ":5:11: ", "no replica `r7`"),
        (
            "late.toml",
            "[[crash]]\nat = \"11s\"\nreplica = \"r1\"\ndown = \"1s\"\n",
            ":4:6: ",
            "past the end of the first phase",
        ),
        (
            "twice.toml",
            "[[crash]]\nat = \"1s\"\nreplica = \"r1\"\ndown = \"5s\"\n[[leave]]\nat = \"2s\"\nreplica = \"r1\"\n",
            ":9:11: ",
            "is still down at 2s",
        ),
        (
            "disk.toml",
            "[[disk_fault]]\nat = \"1s\"\nreplica = \"r1\"\nharm = \"full\"\n",
            ":6:8: ",
            "expected `engine = \"redb\"`",
        ),
        (
            "ring.toml",
            "[[partition]]\nat = \"1s\"\nring = [\"r0\", \"r1\", \"r2\"]\n",
            ":5:8: ",
            "expected at least four",
        ),
        ("chance.toml", "[network]\ndrop = 1.5\n", ":4:8: ", "1.5"),
        ("toml.toml", "[network\n", ":3:", ""),
    ];
    for (name, rest, place, part) in wrong {
        let file = folder.join(name);
        fs::write(&file, format!("{head}{rest}")).unwrap();
        let commands: [&[&str]; 5] = [
            &["run", text(&file)],
            &["replay", text(&file), "--out", text(&out)],
            &["shrink", text(&file), "--out", text(&out)],
            &["explain", text(&file), "--html", text(&out)],
            &["campaign", text(&file), "--seeds", "0..2", "--out", text(&out)],
        ];
        for command in commands {
            anabranch(command).is_refused(&[&format!("{name}{place}"), part]);
            assert!(!out.exists(), "{command:?} wrote something");
        }
    }
    let absent = folder.join("absent.toml");
    for command in ["run", "replay", "shrink", "explain"] {
        anabranch([command, text(&absent)]).is_refused(&["absent.toml: cannot be read: No such file"]);
    }
    anabranch(["campaign", text(&absent), "--seeds", "0..2", "--out", text(&out)])
        .is_refused(&["absent.toml: cannot be read: No such file"]);
    anabranch(["campaign", "merge", text(&absent)]).is_refused(&["absent.toml: cannot be read"]);
    anabranch(["campaign", "merge", text(&folder)]).is_refused(&["no shard-*/state.json below it"]);
    assert!(!out.exists());
}

#[test]
fn wrong_arguments_are_one_line_too() {
    let bad: [(&[&str], &str); 15] = [
        (&["run", "--seed", "x"], "'x' for '--seed <N>': expected a number from 0 to 18446744073709551615"),
        (&["run", "--seed", "-1"], "'-1' for '--seed <N>': expected a number from 0"),
        (&["run", "--seed", "18446744073709551616"], "expected a number from 0 to 18446744073709551615"),
        (&["replay", "x.toml", "--seed", "1.5"], "expected a number from 0"),
        (&["run", "--seeds", "5..5"], "no seed is in it; expected the second number to be over 5"),
        (&["run", "--jobs", "0"], "expected a number of threads, 1 or more"),
        (
            &["campaign", "x.toml", "--seeds", "0..2", "--out", "y", "--shard", "4/4"],
            "expected which shard of how many",
        ),
        (&["campaign", "x.toml", "--seeds", "0..2", "--out", "y", "--shard", "0/0"], "such as 0/4 to 3/4"),
        (&["campaign", "x.toml", "--seeds", "0..2", "--out", "y", "--shard", "-1/2"], "-1"),
        (&["campaign", "x.toml", "--seeds", "0..2", "--out", "y", "--until", "8"], "expected a number and a unit"),
        (&["campaign", "x.toml", "--seeds", "0..2"], "--out <DIR>"),
        (&["campaign"], "not provided: --seeds <A..B>"),
        (&["shrink"], "not provided: <FAILURE|FILE.toml>"),
        (&["rnu"], "unrecognized subcommand 'rnu'"),
        (&["run", "--sed", "3"], "a similar argument exists: '--seed'"),
    ];
    for (arguments, part) in bad {
        anabranch(arguments).is_refused(&[part, "`--help` tells more"]);
    }
}

/// Runs the program with a limit on the size of the files that it writes, in blocks of 512 bytes or, with some shells, 1,024.
#[cfg(unix)]
fn limited(blocks: u32, arguments: &[&str]) -> Answer {
    let output = Command::new("sh")
        // Without the trap the signal of the limit would end the program, as no full disk does.
        .args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_anabranch")])
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Answer { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Every output of every command, on a disk that has no room for it.
#[cfg(unix)]
#[test]
fn an_output_that_has_no_room_is_one_line_and_leaves_nothing() {
    let (folder, file, kept) = failure("cli_bad_input_room");
    let at = |name: &str| folder.join(name);
    let campaign = at("campaign");
    let merged = anabranch(["campaign", text(&file), "--seeds", "0..2", "--out", text(&campaign)]);
    assert_eq!(merged.code, Some(3), "{}{}", merged.out, merged.err);
    let before = all_below(&folder);
    let (out, other) = (at("out"), at("other"));
    let commands: [&[&str]; 12] = [
        &["run", text(&file), "--seeds", "0..3", "--json", text(&out)],
        &["run", text(&file), "--seeds", "0..30", "--junit", text(&out)],
        &["run", text(&file), "--seed", "1", "--failures", text(&out)],
        &["replay", text(&kept), "--out", text(&out)],
        &["replay", text(&file), "--seed", "1", "--html", text(&out)],
        &["replay", text(&file), "--seed", "1", "--events", text(&out)],
        &["replay", text(&file), "--seed", "1", "--shiviz", text(&out)],
        &["replay", text(&file), "--seed", "1", "--dot", text(&out)],
        &["explain", text(&kept), "--whole", "--html", text(&out)],
        &["shrink", text(&kept), "--out", text(&out)],
        &["man", "--out", text(&out)],
        &["campaign", "merge", text(&campaign), "--out", text(&out)],
    ];
    for command in commands {
        let answer = limited(1, command);
        assert_eq!(answer.code, Some(2), "{command:?}: {}{}", answer.out, answer.err);
        assert_eq!(answer.err.lines().count(), 1, "{command:?}: {}", answer.err);
        assert!(
            answer.err.starts_with("error: ") && answer.err.contains("File too large"),
            "{command:?}: {}",
            answer.err
        );
        assert!(answer.err.contains("out"), "{command:?} names the place: {}", answer.err);
        // A folder that was to be filled may stand, empty.
        let left: Vec<_> =
            all_below(&folder).into_iter().filter(|path| !path.is_dir() && !before.contains(path)).collect();
        assert!(left.is_empty(), "{command:?} left {left:?}");
        let _ = fs::remove_dir_all(&out);
    }
    // A campaign that runs out of room keeps what it has, and goes on when there is some again.
    let arguments = ["campaign", text(&file), "--seeds", "0..4", "--out", text(&other)];
    let answer = limited(8, &arguments);
    assert_eq!((answer.code, answer.err.lines().count()), (Some(2), 1), "{}{}", answer.out, answer.err);
    assert!(answer.err.contains("cannot be written") && answer.err.contains("File too large"), "{}", answer.err);
    assert!(all_below(&other).iter().all(|path| !path.to_string_lossy().contains(".tmp")));
    assert_eq!(anabranch(arguments).code, Some(3));
    let whole = anabranch(["campaign", "merge", text(&other)]);
    assert!(whole.out.contains("4 of 4 runs done"), "{}{}", whole.out, whole.err);
}
