//! The shell on a pseudo-terminal, as a person uses it: line editing, history, completion, mistakes.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::fd::OwnedFd,
    path::Path,
    process::{Child, Command},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(60);
const STORE: &str = "ANABRANCH_TEST_SHELL";
const PROMPT: &str = "anabranch> ";

/// Not a test: what the other tests run on the terminal, in a process of its own.
#[test]
fn the_shell_itself() {
    if let Some(path) = std::env::var_os(STORE) {
        let ended = anabranch_shell::run(Path::new(&path), true);
        std::process::exit(match ended {
            Ok(anabranch_shell::Ended::Well) => 0,
            other => panic!("{other:?}"),
        });
    }
}

/// A shell on a terminal.
struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    /// What was shown since the last look, without the sequences that move the cursor.
    shown: String,
}

impl Terminal {
    fn open(store: &Path, state: &Path) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        tcsetwinsize(&ours, Winsize { ws_row: 40, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
        let theirs = || OwnedFd::from(OpenOptions::new().read(true).write(true).open(&name).unwrap());
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_shell_itself", "--nocapture"])
            .envs([("TERM", "xterm"), ("NO_COLOR", "1")])
            .env(STORE, store)
            .env("XDG_STATE_HOME", state)
            .stdin(theirs())
            .stdout(theirs())
            .stderr(theirs())
            .spawn()
            .unwrap();
        let keyboard = File::from(ours);
        let mut from = keyboard.try_clone().unwrap();
        let (send, screen) = channel();
        drop(std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It fails when the other side is closed.
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                if send.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        }));
        let mut terminal = Self { child, keyboard, screen, shown: String::new() };
        terminal.wait_for(PROMPT);
        terminal
    }

    fn type_keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is shown, and gives all that was shown up to its end.
    fn wait_for(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            if let Some(at) = self.shown.find(text) {
                let rest = self.shown.split_off(at + text.len());
                return std::mem::replace(&mut self.shown, rest);
            }
            assert!(begun.elapsed() < PATIENCE, "{text:?} is not shown, but {:?}", self.shown);
            if let Ok(bytes) = self.screen.recv_timeout(Duration::from_millis(100)) {
                self.shown.push_str(&plain(&String::from_utf8_lossy(&bytes)));
            }
        }
    }

    /// Types a line and gives what it prints, up to the next prompt. (The line itself is drawn anew at each key, prompt and all.)
    fn line(&mut self, line: &str) -> String {
        self.type_keys(line);
        self.type_keys("\r");
        self.wait_for("\n");
        let shown = self.wait_for(PROMPT);
        shown.strip_suffix(PROMPT).unwrap().replace('\r', "")
    }

    /// Ends with Ctrl-D, and gives the exit code and what was shown last.
    fn end(mut self) -> (Option<i32>, String) {
        self.type_keys("\x04");
        let code = self.child.wait().unwrap().code();
        while let Ok(bytes) = self.screen.recv_timeout(Duration::from_millis(500)) {
            self.shown.push_str(&plain(&String::from_utf8_lossy(&bytes)));
        }
        (code, self.shown)
    }
}

/// Text without the sequences that move the cursor and clear lines.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\x1b' => while chars.next().is_some_and(|char| !char.is_ascii_alphabetic()) {},
            _ => out.push(char),
        }
    }
    out
}

#[test]
fn a_person_puts_gets_lists_deletes_watches_and_looks_at_the_dag() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::open(&folder.path().join("store"), folder.path());
    assert_eq!(terminal.line("put /fruit/apple red"), "");
    assert_eq!(terminal.line("get fruit/apple"), "red\n");
    assert_eq!(terminal.line("watch /fruit"), "");
    assert_eq!(
        terminal.line("put '/fruit/passion fruit' \"dark red\""),
        "~ /fruit/passion fruit: nothing → dark red\n"
    );
    assert_eq!(terminal.line("del /fruit/apple"), "~ /fruit/apple: red → nothing\n");
    assert_eq!(terminal.line("ls"), "/fruit/passion fruit  8 B\n");
    let heads = terminal.line("heads");
    assert!(heads.starts_with("bafybei") && heads.ends_with("  height 3\n"), "{heads}");
    let dag = terminal.line("dag 2");
    let lines: Vec<&str> = dag.lines().collect();
    assert!(lines[0].starts_with("●      3 …") && lines[0].contains("-/fruit/apple  → …"), "{dag}");
    assert!(lines[1].contains("+/fruit/passion fruit") && lines[2] == "and 1 blocks below", "{dag}");
    assert_eq!(terminal.line("verify"), "3 blocks and 2 keys are sound\n");
    assert!(terminal.line("help").contains("put KEY VALUE"));
    assert_eq!(terminal.line("quit-not"), "error: there is no command `quit-not`; `help` lists those that there are\n");
    let (code, last) = terminal.end();
    assert_eq!(code, Some(0));
    assert!(last.ends_with('\n'), "what comes after the shell would begin on its line: {last:?}");
}

#[test]
fn lines_are_edited_completed_and_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut terminal = Terminal::open(&store, folder.path());
    terminal.line("put /fruit/apple red");
    terminal.line("put /fruit/apricot orange");
    terminal.line("put '/with space' x");
    // Ctrl-A goes to the beginning, an arrow one to the right.
    assert_eq!(terminal.line("gt /fruit/apple\x01\x1b[Ce"), "red\n");
    // Ctrl-U clears the line, Ctrl-W a word.
    assert_eq!(terminal.line("nonsense\x15get /fruit/apple wrong\x17"), "red\n");
    // Tab completes a command, what the keys have in common, and a key; what has to be quoted is quoted.
    assert_eq!(terminal.line("ge\t /fr\tp\t"), "red\n");
    assert_eq!(terminal.line("get /w\t"), "x\n");
    // A second Tab lists what there is.
    terminal.type_keys("get /fruit/a\t\t");
    let listed = terminal.wait_for("/fruit/apricot");
    assert!(listed.contains("/fruit/apple"), "{listed}");
    // The line is drawn again below the list; Ctrl-C gives it up.
    terminal.wait_for(PROMPT);
    terminal.type_keys("\x03");
    terminal.wait_for(PROMPT);
    assert_eq!(terminal.line("get /fruit/apricot"), "orange\n");
    // The arrow up brings the last line back.
    assert_eq!(terminal.line("\x1b[A"), "orange\n");
    assert_eq!(terminal.end().0, Some(0));
    // Also in the next shell.
    let mut terminal = Terminal::open(&store, folder.path());
    assert_eq!(terminal.line("\x1b[A"), "orange\n");
    assert_eq!(terminal.end().0, Some(0));
}

#[test]
fn mistakes_are_told_in_a_line_and_the_shell_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::open(&folder.path().join("store"), folder.path());
    for (line, expected) in [
        ("", ""),
        ("# a remark", ""),
        ("get", "error: use it as `get KEY`: print the value of a key\n"),
        ("get /none", "error: /none has no value\n"),
        ("put a b c", "error: put takes one key and one value; quote a value that has spaces\n"),
        ("get 'x", "error: a quote is not closed, or nothing follows a backslash\n"),
        ("dag many", "error: limit `many` is no number; give how many to list\n"),
        ("del /none", "error: /none has no value; nothing was deleted\n"),
    ] {
        assert_eq!(terminal.line(line), expected, "{line}");
    }
    let told = terminal.line("import /none.car");
    assert!(told.starts_with("error: /none.car: cannot be read") && told.lines().count() == 1, "{told}");
    let told = terminal.line("abandon bafybeicpynjs4kxvbraf5ynxoyjwabfzzcqa5oz6i2orc5h426qh362x6m");
    assert!(told.starts_with("error: refused") && told.lines().count() == 1, "{told}");
    assert_eq!(terminal.end().0, Some(0));
}
