//! CARv1 files: blocks and their CIDs, as the IPFS tools export and import them.
//!
//! The format, byte by byte:
//!
//! ```text
//! ┌────────┬──────────────────────────────┐ ┌────────┬─────┬───────┐ ┌────────┬─────┬───────┐
//! │ varint │ dag-cbor {roots, version: 1} │ │ varint │ CID │ bytes │ │ varint │ CID │ bytes │ …
//! └────────┴──────────────────────────────┘ └────────┴─────┴───────┘ └────────┴─────┴───────┘
//!   length of the header                      length of CID and bytes
//! ```
//!
//! Every block with a sha2-256 CID is checked against it, so what comes out of [`Reader`] and [`parse`] is what the
//! CIDs say, or nothing.
#![forbid(unsafe_code)]

use anabranch_core::{Bytes, Cid};
use serde::{Deserialize, Serialize};
use serde_ipld_dagcbor::DecodeError;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::{self, BufRead, Read, Write},
    path::Path,
};
use unsigned_varint::{decode, encode};

/// A CID of any kind. Identity CIDs, which hold their data, may have up to 128 bytes of it.
type AnyCid = cid::CidGeneric<128>;

const DAG_PB: u64 = 0x70;
const SHA2_256: u64 = 0x12;

/// What is in a CAR file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Car {
    /// The roots, in the order of the file: the heads, in a file that holds a history.
    pub roots: Vec<Cid>,
    /// The dag-pb blocks with sha2-256, each once, in the order of the file.
    pub blocks: Vec<(Cid, Bytes)>,
    /// How many blocks and roots were of another kind, and left out. Those with sha2-256 were checked.
    pub foreign: u64,
    /// How many blocks came again, and were left out.
    pub repeated: u64,
}

impl Car {
    /// The blocks by their CIDs.
    #[must_use]
    pub fn by_cid(&self) -> BTreeMap<Cid, Bytes> {
        self.blocks.iter().cloned().collect()
    }
}

/// Why a file is not taken: one line with the file, the byte, what was expected, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarError {
    /// The file.
    pub file: String,
    /// Where in the file, counted from 0; `None` when it could not be read at all.
    pub offset: Option<u64>,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for CarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            Some(offset) => write!(f, "{}: byte {offset}: {}", self.file, self.what),
            None => write!(f, "{}: {}", self.file, self.what),
        }
    }
}

impl std::error::Error for CarError {}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    #[serde(skip_serializing_if = "Option::is_none")]
    roots: Option<Vec<cid::Cid>>,
    version: u64,
}

/// Reads a file.
///
/// # Errors
/// When the file cannot be read, and as [`parse`].
pub fn read(path: &Path) -> Result<Car, CarError> {
    let file = path.display().to_string();
    match std::fs::read(path) {
        Ok(bytes) => parse(&bytes, &file),
        Err(error) => Err(CarError {
            what: format!("cannot be read: {error}; give the path of a CARv1 file, as `ipfs dag export` writes it"),
            file,
            offset: None,
        }),
    }
}

/// Reads the bytes of a file. `file` is what errors call it.
///
/// # Errors
/// When the bytes are no CARv1, end in the middle of something, or hold a block that does not hash to its CID.
pub fn parse(bytes: &[u8], file: &str) -> Result<Car, CarError> {
    let mut reader = Reader::open(bytes, file)?;
    let mut car = Car { roots: reader.roots().to_vec(), ..Car::default() };
    let mut seen = BTreeSet::new();
    while let Some(block) = reader.block()? {
        match seen.insert(block.0) {
            true => car.blocks.push(block),
            false => car.repeated += 1,
        }
    }
    car.foreign = reader.foreign();
    Ok(car)
}

/// Writes a CARv1 file.
///
/// # Errors
/// When `out` fails.
pub fn write(roots: &[Cid], blocks: &[(Cid, Bytes)], out: &mut impl Write) -> io::Result<()> {
    let mut writer = Writer::start(out, roots)?;
    blocks.iter().try_for_each(|(cid, block)| writer.block(cid, block))
}

/// Writes a CARv1 file, block by block. It does not flush.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn start(mut out: W, roots: &[Cid]) -> io::Result<Self> {
        let roots: Result<Vec<cid::Cid>, _> =
            roots.iter().map(|root| cid::Cid::try_from(&root.to_bytes()[..])).collect();
        let header = Header { roots: Some(roots.map_err(io::Error::other)?), version: 1 };
        let header = serde_ipld_dagcbor::to_vec(&header).map_err(io::Error::other)?;
        out.write_all(encode::usize(header.len(), &mut encode::usize_buffer()))?;
        out.write_all(&header)?;
        Ok(Self { out })
    }

    /// Writes a block.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn block(&mut self, cid: &Cid, block: &[u8]) -> io::Result<()> {
        let cid = cid.to_bytes();
        self.out.write_all(encode::usize(cid.len() + block.len(), &mut encode::usize_buffer()))?;
        self.out.write_all(&cid)?;
        self.out.write_all(block)
    }

    /// What was written to.
    pub fn into_inner(self) -> W {
        self.out
    }
}

/// Where in the file, and what is wrong there.
type Fault = (u64, String);

/// Reads a CARv1 file, block by block: memory holds one of them.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    file: String,
    at: u64,
    roots: Vec<Cid>,
    foreign: u64,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header. `file` is what errors call it.
    ///
    /// # Errors
    /// When it cannot be read, or is no header of a CARv1 file.
    pub fn open(from: R, file: &str) -> Result<Self, CarError> {
        let mut reader = Self { from, file: file.to_owned(), at: 0, roots: Vec::new(), foreign: 0 };
        let roots = reader.header().map_err(|fault| reader.error(fault))?;
        reader.roots = roots.iter().filter_map(ours).collect();
        reader.foreign = (roots.len() - reader.roots.len()) as u64;
        Ok(reader)
    }

    /// The roots of dag-pb with sha2-256, in the order of the file.
    pub fn roots(&self) -> &[Cid] {
        &self.roots
    }

    /// How many blocks and roots so far were of another kind, and left out. Those with sha2-256 were checked.
    pub const fn foreign(&self) -> u64 {
        self.foreign
    }

    /// Where in the file the next block begins.
    pub const fn offset(&self) -> u64 {
        self.at
    }

    /// The next dag-pb block with sha2-256; `None` at the end of the file.
    ///
    /// # Errors
    /// When the file cannot be read, ends in the middle of something, or holds a block that does not hash to its CID.
    pub fn block(&mut self) -> Result<Option<(Cid, Bytes)>, CarError> {
        while !self.is_at_end()? {
            match self.any_block().map_err(|fault| self.error(fault))? {
                Some(block) => return Ok(Some(block)),
                None => self.foreign += 1,
            }
        }
        Ok(None)
    }

    fn is_at_end(&mut self) -> Result<bool, CarError> {
        let at = self.at;
        match self.from.fill_buf() {
            Ok(rest) => Ok(rest.is_empty()),
            Err(error) => Err(self.error((at, unreadable(&error)))),
        }
    }

    fn error(&self, (offset, what): Fault) -> CarError {
        CarError { file: self.file.clone(), offset: Some(offset), what }
    }

    /// The next length.
    fn length(&mut self, what: &str) -> Result<u64, Fault> {
        let (start, mut varint) = (self.at, Vec::new());
        loop {
            let byte = match self.from.fill_buf() {
                Ok(rest) => rest.first().copied(),
                Err(error) => return Err((start, unreadable(&error))),
            };
            if let Some(byte) = byte {
                self.from.consume(1);
                self.at += 1;
                varint.push(byte);
            }
            let why = match decode::u64(&varint) {
                Ok((length, _)) => return Ok(length),
                Err(decode::Error::Insufficient) if byte.is_some() => continue,
                Err(decode::Error::Insufficient) => "the file ends in the middle of it, so it is truncated",
                Err(decode::Error::NotMinimal) => "it is longer than it need be",
                Err(_) => "it is over 2^64",
            };
            return Err((start, format!("expected the length of {what} (a varint): {why}; export the file again")));
        }
    }

    /// The next length and as many bytes.
    fn section(&mut self, what: &str) -> Result<Bytes, Fault> {
        let start = self.at;
        let length = self.length(what)?;
        let mut section = Vec::new();
        // Read as far as the file goes: what the length claims is not believed beforehand.
        (&mut self.from).take(length).read_to_end(&mut section).map_err(|error| (start, unreadable(&error)))?;
        let read = section.len() as u64;
        self.at += read;
        if read < length {
            let why = format!("{what} should be {length} bytes long, and the file ends after {read}");
            return Err((start, format!("{why}: it is truncated, or no CAR file; export it again")));
        }
        Ok(section.into())
    }

    fn header(&mut self) -> Result<Vec<AnyCid>, Fault> {
        if self.from.fill_buf().map_err(|error| (0, unreadable(&error)))?.is_empty() {
            return Err((0, String::from("the file is empty; expected a CARv1 file, as `ipfs dag export` writes it")));
        }
        let bytes = self.section("the CARv1 header")?;
        let start = self.at - bytes.len() as u64;
        let header: Header = serde_ipld_dagcbor::from_slice(&bytes).map_err(|error| {
            let detail = match error {
                DecodeError::Msg(detail) => detail.replace('\n', " "),
                _ => String::from("it is no dag-cbor"),
            };
            (start, format!("expected the header of a CARv1 file (dag-cbor with roots and version): {detail}"))
        })?;
        match header {
            Header { version: 1, roots: Some(roots) } => {
                roots.iter().map(|root| widen(root).map_err(|what| (start, what))).collect()
            }
            Header { version: 1, roots: None } => {
                Err((start, String::from("expected a list of roots in the header, found none; export the file again")))
            }
            Header { version: 2, .. } => Err((
                start,
                String::from(
                    "this is a CARv2 file, and only CARv1 is read; `ipfs dag import` takes it, and \
                     `ipfs dag export` writes CARv1",
                ),
            )),
            Header { version, .. } => Err((start, format!("expected CAR version 1, found version {version}"))),
        }
    }

    /// The next block; `None` for one of another kind.
    fn any_block(&mut self) -> Result<Option<(Cid, Bytes)>, Fault> {
        let start = self.at;
        let section = self.section("a block")?;
        let start_cid = self.at - section.len() as u64;
        if section.is_empty() {
            return Err((
                start,
                String::from("a block of length 0, and expected a CID; the file is padded or damaged"),
            ));
        }
        let mut rest = &section[..];
        let cid = AnyCid::read_bytes(&mut rest).map_err(|error| {
            let second = serde_ipld_dagcbor::from_slice::<Header>(&section).is_ok();
            match second {
                true => (
                    start,
                    String::from("a second CAR header; expected one file, found several joined: give them one by one"),
                ),
                false => {
                    (start_cid, format!("expected the CID of a block: {error}; the file is damaged, export it again"))
                }
            }
        })?;
        let block = section.slice(section.len() - rest.len()..);
        if cid.hash().code() == SHA2_256 && cid.hash().size() == 32 {
            let found = Cid::of(&block);
            if cid.hash().digest() != found.digest() {
                let found = cid::Cid::try_from(&found.to_bytes()[..]).map_or_else(
                    |_| found.to_string(),
                    |found| cid::Cid::new_v1(cid.codec(), *found.hash()).to_string(),
                );
                let what = format!("the bytes of block {cid} hash to {found}: the file is damaged or forged");
                return Err((start_cid, what));
            }
        }
        Ok(ours(&cid).map(|cid| (cid, block)))
    }
}

/// The CID as the core has it, if it is of the kind that the core merges.
fn ours(cid: &AnyCid) -> Option<Cid> {
    let hash = cid.hash();
    let digest = hash.digest().try_into().ok().filter(|_| hash.code() == SHA2_256 && cid.codec() == DAG_PB)?;
    Some(Cid::from_digest(digest))
}

fn unreadable(error: &io::Error) -> String {
    format!("the file cannot be read further: {error}")
}

fn widen(cid: &cid::Cid) -> Result<AnyCid, String> {
    AnyCid::try_from(cid.to_bytes()).map_err(|error| format!("a root is no CID: {error}"))
}
