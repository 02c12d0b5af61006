//! The engine's journals, read before the engine reads them.
//!
//! A power cut may leave the end of the newest journal with holes: of what was never synced, any part. The engine takes a journal that is cut short
//! for what it is, but refuses to open when a batch has a hole, and drops all that follows damage in the middle without a word. So
//! each batch carries, in a row of its own, its number and the number of the last one that was synced before it ([`Progress`]). Where a batch
//! cannot be read, the batches after it tell whether it had been synced: then that is damage, and is refused; else it is cut
//! off with what follows, which a crash may do to what was not synced. (Damage to the very last batch cannot be told from a torn one.)
//!
//! The journal's format, of fjall 3 (numbers little-endian), which the tests compare with what the engine writes:
//!
//! ```text
//! batch   start (item | clear)* end         as many items and clears as the start says
//! start   1, count u32, sequence u64
//! item    2, kind u8, compression u8, keyspace u64, key length u16, length u32, stored length u32, key, stored value
//! clear   4, keyspace u64
//! end     3, XXH3-64 u64 of all items and clears, "FJL" 3
//! ```
//!
//! Sequence numbers, which no sum covers, rise from batch to batch. Files `N.jnl`, the greatest N the newest; all others were synced whole. Zeros, allocated beforehand, may follow the last batch.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};
use xxhash_rust::xxh3::Xxh3;

/// The key of the row that each batch carries.
pub(crate) const PROGRESS_KEY: &[u8] = b"\xffprogress";
/// What ends a batch.
const MAGIC: [u8; 4] = *b"FJL\x03";
const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const BUFFER_BYTES: usize = 256 << 10;

/// How far commits and syncs were when a batch was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The number of the batch.
    pub(crate) commit: u64,
    /// The number of the last batch that was synced before.
    pub(crate) synced: u64,
}

impl Progress {
    pub(crate) fn row(self) -> [u8; 16] {
        let mut row = [0; 16];
        row[..8].copy_from_slice(&self.commit.to_le_bytes());
        row[8..].copy_from_slice(&self.synced.to_le_bytes());
        row
    }

    pub(crate) fn of_row(row: &[u8]) -> Option<Self> {
        let (commit, synced) = row.split_first_chunk()?;
        Some(Self { commit: u64::from_le_bytes(*commit), synced: u64::from_le_bytes(synced.try_into().ok()?) })
    }
}

/// Why journals cannot be used.
#[derive(Debug)]
pub(crate) enum Unusable {
    Io(io::Error),
    /// What had been synced cannot be read.
    Damaged(String),
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Cuts the torn end off the newest journal in the engine's folder, if there is one.
pub(crate) fn mend(folder: &Path) -> Result<(), Unusable> {
    let mut journals = journals(folder)?;
    let newest = journals.pop();
    for sealed in journals {
        if let Some(torn) = read(&sealed)? {
            return Err(damaged(&sealed, &torn));
        }
    }
    let Some(newest) = newest else { return Ok(()) };
    match read(&newest)? {
        Some(torn) if torn.was_synced => Err(damaged(&newest, &torn)),
        Some(torn) => {
            let file = OpenOptions::new().write(true).open(&newest)?;
            file.set_len(torn.at)?;
            Ok(file.sync_all()?)
        }
        None => Ok(()),
    }
}

fn damaged(journal: &Path, torn: &Torn) -> Unusable {
    let name = journal.file_name().unwrap_or_default().display();
    Unusable::Damaged(format!("the journal {name} cannot be read at byte {}, which had been synced", torn.at))
}

/// By their numbers.
fn journals(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".jnl")?.parse::<u64>().ok());
        journals.extend(number.map(|number| (number, folder.join(name))));
    }
    journals.sort();
    Ok(journals.into_iter().map(|(_, path)| path).collect())
}

/// Where a journal ends in something that is no batch, and not zeros either.
struct Torn {
    at: u64,
    was_synced: bool,
}

fn read(journal: &Path) -> io::Result<Option<Torn>> {
    let file = File::open(journal)?;
    let len = file.metadata()?.len();
    let mut tape = Tape::new(BufReader::with_capacity(BUFFER_BYTES, file), len);
    let mut end = 0;
    while tape.batch()?.is_some() {
        end = tape.at;
    }
    let mut file = tape.input.into_inner();
    file.seek(SeekFrom::Start(end))?;
    if zeros(&mut file)? {
        return Ok(None);
    }
    let mut rest = Vec::new();
    file.seek(SeekFrom::Start(end))?;
    file.read_to_end(&mut rest)?;
    Ok(Some(Torn { at: end, was_synced: was_synced(&rest)? }))
}

fn zeros(file: &mut File) -> io::Result<bool> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = file.read(&mut buffer)?;
        if buffer[..count].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        if count == 0 {
            return Ok(true);
        }
    }
}

/// Whether what stands at the beginning, and is no batch, had been synced: a batch further on says so of all before the next good one.
fn was_synced(rest: &[u8]) -> io::Result<bool> {
    let mut next_good = None;
    let mut at = 0;
    while let Some(end) = rest[at..].windows(MAGIC.len()).position(|bytes| bytes == MAGIC) {
        // Batches follow each other: one may begin behind each end.
        at += end + MAGIC.len();
        let mut tape = Tape::new(&rest[at..], (rest.len() - at) as u64);
        while let Some(progress) = tape.batch()? {
            let Some(progress) = progress else { continue };
            let next = *next_good.get_or_insert(progress.commit);
            if progress.synced + 1 >= next {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// A journal as it goes by.
struct Tape<R> {
    input: R,
    len: u64,
    at: u64,
    /// The least that the next batch's may be.
    sequence: u64,
    sum: Xxh3,
    room: Vec<u8>,
}

impl<R: Read> Tape<R> {
    fn new(input: R, len: u64) -> Self {
        Self { input, len, at: 0, sequence: 0, sum: Xxh3::new(), room: Vec::new() }
    }

    /// The next batch, if there is a good one; with its progress, if it has one.
    fn batch(&mut self) -> io::Result<Option<Option<Progress>>> {
        let Some([START, c0, c1, c2, c3, sequence @ ..]) = self.take::<13>()? else { return Ok(None) };
        let (count, sequence) = (u32::from_le_bytes([c0, c1, c2, c3]), u64::from_le_bytes(sequence));
        self.sum = Xxh3::new();
        let mut progress = None;
        for _ in 0..count {
            match self.take::<1>()? {
                Some([ITEM]) => {}
                Some([CLEAR]) if self.take::<8>()?.is_some() => continue,
                _ => return Ok(None),
            }
            let Some(head) = self.take::<20>()? else { return Ok(None) };
            let [.., k0, k1, _, _, _, _, s0, s1, s2, s3] = head;
            let key = usize::from(u16::from_le_bytes([k0, k1]));
            let Some(bytes) = self.bytes(key as u64 + u64::from(u32::from_le_bytes([s0, s1, s2, s3])))? else {
                return Ok(None);
            };
            if &bytes[..key] == PROGRESS_KEY {
                progress = Progress::of_row(&bytes[key..]);
            }
        }
        let sum = self.sum.digest();
        let Some([END, end @ ..]) = self.take::<13>()? else { return Ok(None) };
        let good = end[..8] == sum.to_le_bytes() && end[8..] == MAGIC && sequence >= self.sequence;
        self.sequence = sequence.saturating_add(1);
        Ok(good.then_some(progress))
    }

    fn take<const N: usize>(&mut self) -> io::Result<Option<[u8; N]>> {
        Ok(self.bytes(N as u64)?.and_then(|bytes| bytes.first_chunk().copied()))
    }

    /// The next bytes, if there are so many.
    fn bytes(&mut self, count: u64) -> io::Result<Option<&[u8]>> {
        if count > self.len - self.at {
            return Ok(None);
        }
        self.room.resize(usize::try_from(count).unwrap_or(usize::MAX), 0);
        self.input.read_exact(&mut self.room)?;
        self.at += count;
        self.sum.update(&self.room);
        Ok(Some(&self.room))
    }
}
