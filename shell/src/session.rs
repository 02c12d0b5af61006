//! What commands do.

use crate::command::{Command, HELP};
use anabranch::{DagName, Datastore, Filter, Key, Order, Outcome, Query, Told, Watcher};
use std::{
    fmt,
    io::{self, Write},
};
use tokio::runtime::{Handle, Runtime};

/// How a shell goes on after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    On,
    Failed,
    /// A verification has found faults.
    Unsound,
    Quit,
}

/// Why a command came to nothing.
pub(crate) enum Failed {
    /// It is told, and the shell goes on.
    Command(String),
    /// So is this: a verification has found faults.
    Unsound(String),
    /// What it had to say could not be written.
    Write(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

fn failed(error: impl fmt::Display) -> Failed {
    Failed::Command(error.to_string())
}

/// An open store, and who watches it.
pub(crate) struct Session {
    runtime: Runtime,
    store: Datastore,
    watchers: Vec<Watcher>,
}

/// The keys of a store, for completion.
pub(crate) struct Keys {
    runtime: Handle,
    store: Datastore,
}

impl Keys {
    /// A few keys that begin so; none when they cannot be read, which the next command will tell.
    pub(crate) fn beginning(&self, start: &str, limit: usize) -> Vec<String> {
        let start = format!("/{}", start.trim_start_matches('/'));
        let filters = vec![Filter::KeyPrefix(start.into())];
        let query = Query { filters, limit: Some(limit), keys_only: true, ..Query::default() };
        let rows = self.runtime.block_on(async { self.store.query(query).await?.collect().await });
        rows.unwrap_or_default().into_iter().map(|row| row.key.to_string()).collect()
    }
}

impl Session {
    pub(crate) const fn new(runtime: Runtime, store: Datastore) -> Self {
        Self { runtime, store, watchers: Vec::new() }
    }

    pub(crate) fn greeting(&self) -> String {
        let found = self.runtime.block_on(self.store.stats()).unwrap_or_default();
        format!("{} blocks, {} heads. `help` lists the commands.", found.merged, found.heads)
    }

    pub(crate) fn key_source(&self) -> Keys {
        Keys { runtime: self.runtime.handle().clone(), store: self.store.clone() }
    }

    pub(crate) fn execute(&mut self, command: Command, out: &mut impl Write) -> Result<Flow, Failed> {
        match command {
            Command::Get { key } => self.get(&key, out)?,
            Command::Put { key, value } => self.wait(self.store.put(key, value)).map(drop)?,
            Command::Delete { key } => self.delete(&key)?,
            Command::List { prefix, limit } => self.list(prefix, limit, out)?,
            Command::Watch { prefix } => {
                let _context = self.runtime.enter();
                self.watchers.push(self.store.watch_prefix(prefix).map_err(failed)?);
            }
            Command::Unwatch => self.watchers.clear(),
            Command::Dag { limit } => {
                let picture = self.wait(async { self.store.snapshot().await?.picture(limit).await })?;
                write!(out, "{picture}")?;
            }
            Command::Dot { file } => {
                let dot = self.wait(async { self.store.snapshot().await?.dot().await })?;
                let written = std::fs::write(&file, dot);
                written.map_err(|error| Failed::Command(format!("{}: cannot be written: {error}", file.display())))?;
            }
            Command::Heads => self.heads(out)?,
            Command::Stats => self.stats(out)?,
            Command::Export { file, from } => {
                let from = from.map(|cid| vec![cid]);
                let done = self.runtime.block_on(self.store.export(&file, from)).map_err(failed)?;
                writeln!(out, "{} blocks of {} bytes, {} roots", done.blocks, done.bytes, done.roots.len())?;
            }
            Command::Import { file } => {
                let done = self.runtime.block_on(self.store.import(&file)).map_err(failed)?;
                writeln!(out, "{} blocks are merged", done.merged)?;
                for (count, what) in [
                    (done.pending, "wait for ancestors that the file lacks"),
                    (done.void, "break a rule, and were left out"),
                    (done.foreign, "are no dag-pb with sha2-256, and were left out"),
                ] {
                    if count > 0 {
                        writeln!(out, "{count} blocks {what}")?;
                    }
                }
            }
            Command::Purge { dag } => self.finish(self.store.purge(DagName::new(dag)), out)?,
            Command::Verify => self.finish(self.store.verify(), out)?,
            Command::Rebuild => self.finish(self.store.rebuild(), out)?,
            Command::Abandon { cid } => self.finish(self.store.abandon(cid), out)?,
            Command::Help => writeln!(out, "{HELP}")?,
            Command::Quit => return Ok(Flow::Quit),
        }
        Ok(Flow::On)
    }

    fn wait<T>(&self, call: impl Future<Output = Result<T, anabranch::Error>>) -> Result<T, Failed> {
        self.runtime.block_on(call).map_err(failed)
    }

    /// Waits for a task, and says what came of it.
    fn finish(
        &self,
        task: impl Future<Output = Result<Outcome, anabranch::Error>>,
        out: &mut impl Write,
    ) -> Result<(), Failed> {
        match self.wait(task)? {
            Outcome::Purged { blocks, keys } => writeln!(out, "{blocks} blocks are purged, {keys} keys derived anew")?,
            Outcome::Rebuilt { blocks, damaged, owed } => {
                writeln!(out, "{blocks} blocks are merged, {damaged} were damaged, {owed} are to be fetched")?;
            }
            Outcome::Verified { blocks, keys, faults: 0 } => {
                writeln!(out, "{blocks} blocks and {keys} keys are sound")?
            }
            Outcome::Verified { faults, .. } => {
                return Err(Failed::Unsound(format!("{faults} faults were found; `rebuild` mends what can be mended")));
            }
            Outcome::Abandoned { cid } => writeln!(out, "{cid} is given up")?,
            other => writeln!(out, "{other:?}")?,
        }
        Ok(())
    }

    fn get(&self, key: &str, out: &mut impl Write) -> Result<(), Failed> {
        let Some(value) = self.wait(self.store.get(key))? else {
            return Err(Failed::Command(format!("{} has no value", Key::new(key))));
        };
        Ok(writeln!(out, "{}", show(&value))?)
    }

    fn delete(&self, key: &str) -> Result<(), Failed> {
        match self.wait(self.store.delete(key))?.blocks.is_empty() {
            true => Err(Failed::Command(format!("{} has no value; nothing was deleted", Key::new(key)))),
            false => Ok(()),
        }
    }

    fn list(&self, prefix: String, limit: Option<usize>, out: &mut impl Write) -> Result<(), Failed> {
        let query = Query { prefix: prefix.into(), limit, keys_only: true, order: Order::Key, ..Query::default() };
        let mut rows = self.wait(self.store.query(query))?;
        while let Some(row) = self.runtime.block_on(rows.next()) {
            let row = row.map_err(failed)?;
            writeln!(out, "{}  {} B", show(row.key.as_bytes()), row.size)?;
        }
        Ok(())
    }

    fn heads(&self, out: &mut impl Write) -> Result<(), Failed> {
        for head in self.wait(self.store.heads())? {
            let dag =
                if head.dag.is_main() { String::new() } else { format!("  of {}", show(head.dag.as_str().as_bytes())) };
            writeln!(out, "{}  height {}{dag}", head.cid, head.height)?;
        }
        Ok(())
    }

    fn stats(&self, out: &mut impl Write) -> Result<(), Failed> {
        let stats = self.wait(self.store.stats())?;
        for (what, count) in [
            ("blocks merged", stats.merged),
            ("of them void", stats.void),
            ("of them misdeclared", stats.misdeclared),
            ("greatest height", stats.height_max),
            ("heads", stats.heads),
            ("tombstones that wait for their target", stats.early_tombstones),
            ("blocks still to be fetched or merged", stats.obligations),
            ("bytes of pending blocks", stats.pending_bytes),
        ] {
            writeln!(out, "{what:<40}{count}")?;
        }
        Ok(())
    }

    /// Prints what has changed where it is watched.
    pub(crate) fn tell_changes(&mut self, out: &mut impl Write) -> io::Result<()> {
        for watcher in &mut self.watchers {
            while let Some(told) = watcher.try_next() {
                match told {
                    Told::Now(change) => {
                        let value = |value: &Option<anabranch::Bytes>| {
                            value.as_ref().map_or_else(|| String::from("nothing"), |value| show(value))
                        };
                        let key = show(change.key.as_bytes());
                        writeln!(out, "~ {key}: {} → {}", value(&change.old), value(&change.new))?;
                    }
                    Told::Missed(count) => writeln!(out, "~ {count} changes more, not shown")?,
                    Told::Reopened => writeln!(out, "~ the store was opened again")?,
                }
            }
        }
        Ok(())
    }

    pub(crate) fn close(self) {
        self.runtime.block_on(self.store.close());
    }
}

/// Bytes as text where they are, and in hex where not.
fn show(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.escape_debug().to_string().replace("\\'", "'").replace("\\\"", "\""),
        Err(_) => bytes.iter().fold(String::from("0x"), |hex, byte| format!("{hex}{byte:02x}")),
    }
}
