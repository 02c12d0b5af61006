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
    /// It ends early, or holds what is no event. The number is that of the event, counted from 0.
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
            Self::Damaged(event, why) => {
                write!(f, "is damaged at event {event}: {why}; record the run again")
            }
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
        let damaged = |event: u64| {
            move |error: ciborium::de::Error<io::Error>| {
                RecordError::Damaged(event, error.to_string().replace('\n', " "))
            }
        };
        let header = ciborium::from_reader(&mut rest).map_err(damaged(0))?;
        let mut events: Vec<Seen> = Vec::new();
        while !rest.is_empty() {
            let event = ciborium::from_reader(Read::by_ref(&mut rest)).map_err(damaged(events.len() as u64))?;
            events.push(event);
        }
        Ok(Self { header, events })
    }
}

fn item(value: &impl Serialize, to: &mut impl Write) -> io::Result<()> {
    ciborium::into_writer(value, to).map_err(|error| match error {
        ciborium::ser::Error::Io(error) => error,
        ciborium::ser::Error::Value(why) => io::Error::other(why),
    })
}
