//! A recording as a file: one CBOR item for the header, then one for each event.

use super::{FaultNote, Recording};
use crate::observe::Seen;
use serde::{Deserialize, Serialize};
use std::{
    fmt, io,
    io::{Read, Write},
};

/// The version of the format that is written, and the only one that is read.
pub const VERSION: u32 = 2;

/// What every recording begins with.
const MAGIC: &str = "anabranch trace";

/// What helps where a recording is damaged.
const AGAIN: &str = "record the run again (`anabranch replay FOLDER --out NEW`)";

/// What run a recording is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The scenario's name.
    pub scenario: String,
    /// The seed; `None` for an explicit run, which has none.
    pub seed: Option<u64>,
    /// The commit that the program was built from, where it is known.
    pub commit: String,
    /// The trace hash of the run; `None` when it panicked.
    pub trace: Option<String>,
    /// The names of replicas, and then of hostile peers.
    pub parties: Vec<String>,
    /// How many of them are replicas.
    pub replicas: usize,
    /// The end of the first phase, in nanoseconds.
    pub duration_ns: u64,
    /// The faults of the plan.
    pub faults: Vec<FaultNote>,
}

/// What can be read of any version.
#[derive(Serialize, Deserialize)]
struct Preamble {
    format: String,
    version: u32,
}

/// Why a recording cannot be read.
#[derive(Debug)]
pub enum RecordError {
    /// It begins otherwise.
    NoRecording,
    /// It has another version.
    Version(u32),
    /// What it says of the run as a whole is damaged: how.
    DamagedHeader(String),
    /// It ends early, or holds what is no event: the number of the event, counted from 0, and how.
    Damaged(u64, String),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRecording => {
                f.write_str("is no recording of a run, expected one that `anabranch` wrote; record the run again")
            }
            Self::Version(found) => write!(
                f,
                "has version {found} of the format, expected version {VERSION}; record the run again with this program \
                 (`anabranch replay FOLDER --out NEW`), or read it with the program that wrote it"
            ),
            Self::DamagedHeader(how) => write!(f, "is damaged before event 0: {how}; {AGAIN}"),
            Self::Damaged(event, how) => write!(f, "is damaged at event {event}: {how}; {AGAIN}"),
        }
    }
}

impl std::error::Error for RecordError {}

impl Recording {
    /// Writes the recording.
    ///
    /// # Errors
    /// When `to` cannot be written.
    pub fn write(&self, mut to: impl Write) -> io::Result<()> {
        let preamble = Preamble { format: MAGIC.to_owned(), version: VERSION };
        item(&preamble, &mut to)?;
        item(&self.header, &mut to)?;
        self.events.iter().try_for_each(|event| item(event, &mut to))
    }

    /// Reads a recording.
    ///
    /// # Errors
    /// In one line that a file name goes before.
    pub fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut rest = bytes;
        let preamble: Preamble = ciborium::from_reader(&mut rest).map_err(|_| RecordError::NoRecording)?;
        if preamble.format != MAGIC {
            return Err(RecordError::NoRecording);
        }
        if preamble.version != VERSION {
            return Err(RecordError::Version(preamble.version));
        }
        let place = |rest: &[u8]| bytes.len() - rest.len();
        let from = place(rest);
        let header = ciborium::from_reader(&mut rest)
            .map_err(|error| RecordError::DamagedHeader(damage(&error, "no header", from)))?;
        let mut events: Vec<Seen> = Vec::new();
        while !rest.is_empty() {
            let from = place(rest);
            let event = ciborium::from_reader(Read::by_ref(&mut rest)).map_err(|error| {
                RecordError::Damaged(events.len() as u64, damage(&error, "no event of a run", from))
            })?;
            events.push(event);
        }
        Ok(Self { header, events })
    }
}

/// What is wrong with the item that begins at this byte, in words: what the decoder says is for who wrote the types, and may be a page long.
fn damage(error: &ciborium::de::Error<io::Error>, what_else: &str, from: usize) -> String {
    use ciborium::de::Error;
    match error {
        Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            format!("the file ends in the middle of what begins at byte {from}")
        }
        Error::Io(error) => format!("what begins at byte {from} cannot be read: {error}"),
        Error::Syntax(_) => format!("what begins at byte {from} is no CBOR"),
        Error::Semantic(..) | Error::RecursionLimitExceeded => format!("what begins at byte {from} is {what_else}"),
    }
}

fn item(value: &impl Serialize, to: &mut impl Write) -> io::Result<()> {
    ciborium::into_writer(value, to).map_err(|error| match error {
        ciborium::ser::Error::Io(error) => error,
        ciborium::ser::Error::Value(why) => io::Error::other(why),
    })
}
