//! The bytes of a file, with holes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes kept in one piece: pieces that hold nothing but zeros since they were made are left out.
const BLOCK: u64 = 4096;

type Block = [u8; BLOCK as usize];

/// A file's bytes. A clone shares them: it costs a pointer for each 4096 bytes.
#[derive(Clone, Default)]
pub(super) struct Content {
    size: u64,
    /// By block number; bytes past the size are zeros.
    blocks: BTreeMap<u64, Arc<Block>>,
}

/// A change to a file's bytes or length.
#[derive(Clone)]
pub(super) enum Change {
    /// Bytes at an offset: the file grows to hold them.
    Write(u64, Arc<[u8]>),
    /// A new length.
    Resize(u64),
    /// A least length.
    Grow(u64),
}

impl Content {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Applies a change.
    pub(super) fn apply(&mut self, change: &Change) {
        self.apply_length(change);
        if let Change::Write(offset, data) = change {
            self.put(*offset, data);
        }
    }

    /// Applies only what the change does to the length: new bytes are zeros.
    pub(super) fn apply_length(&mut self, change: &Change) {
        match change {
            Change::Write(_, data) if data.is_empty() => {}
            Change::Write(offset, data) => self.resize(self.size.max(offset + data.len() as u64)),
            Change::Resize(size) => self.resize(*size),
            Change::Grow(size) => self.resize(self.size.max(*size)),
        }
    }

    fn resize(&mut self, size: u64) {
        if size < self.size {
            self.blocks.split_off(&size.div_ceil(BLOCK));
            let kept = (size % BLOCK) as usize;
            if let Some(block) = self.blocks.get_mut(&(size / BLOCK)) {
                Arc::make_mut(block)[kept..].fill(0);
            }
        }
        self.size = size;
    }

    /// Writes what of `data` lies within the size.
    pub(super) fn put(&mut self, offset: u64, data: &[u8]) {
        let room = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut data = &data[..data.len().min(room)];
        let mut at = offset;
        while !data.is_empty() {
            let start = (at % BLOCK) as usize;
            let (now, rest) = data.split_at(data.len().min(BLOCK as usize - start));
            let block = self.blocks.entry(at / BLOCK).or_insert_with(|| Arc::new([0; BLOCK as usize]));
            Arc::make_mut(block)[start..start + now.len()].copy_from_slice(now);
            at += now.len() as u64;
            data = rest;
        }
    }

    /// Reads from `offset` on; past the end, zeros.
    pub(super) fn get(&self, offset: u64, room: &mut [u8]) {
        let mut done = 0;
        while done < room.len() {
            let at = offset + done as u64;
            let start = (at % BLOCK) as usize;
            let count = (room.len() - done).min(BLOCK as usize - start);
            let part = &mut room[done..done + count];
            match self.blocks.get(&(at / BLOCK)) {
                Some(block) => part.copy_from_slice(&block[start..start + count]),
                None => part.fill(0),
            }
            done += count;
        }
    }

    /// All bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.size).unwrap_or(usize::MAX)];
        self.get(0, &mut bytes);
        bytes
    }

    /// Makes the new, empty file hold these bytes; holes stay holes.
    pub(super) fn write_to(&self, file: &File) -> io::Result<()> {
        file.set_len(self.size)?;
        for (number, block) in &self.blocks {
            let start = number * BLOCK;
            let length = (self.size - start).min(BLOCK) as usize;
            file.write_all_at(&block[..length], start)?;
        }
        Ok(())
    }

    /// Reads all of a file; blocks of zeros become holes.
    pub(super) fn read_from(file: &File) -> io::Result<Content> {
        let mut content = Content { size: file.metadata()?.len(), blocks: BTreeMap::new() };
        let mut start = 0;
        while start < content.size {
            let mut block: Block = [0; BLOCK as usize];
            let length = (content.size - start).min(BLOCK) as usize;
            file.read_exact_at(&mut block[..length], start)?;
            if block.iter().any(|byte| *byte != 0) {
                content.blocks.insert(start / BLOCK, Arc::new(block));
            }
            start += BLOCK;
        }
        Ok(content)
    }
}

/// A hole is equal to zeros.
impl PartialEq for Content {
    fn eq(&self, other: &Content) -> bool {
        let same = |mine: &Content, theirs: &Content| {
            mine.blocks.iter().all(|(number, block)| match theirs.blocks.get(number) {
                Some(other) => Arc::ptr_eq(block, other) || block == other,
                None => block.iter().all(|byte| *byte == 0),
            })
        };
        self.size == other.size && same(self, other) && same(other, self)
    }
}

impl Eq for Content {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn is_a_file_with_holes() {
        let mut content = Content::default();
        content.apply(&Change::Write(4090, (1..=12).collect::<Vec<u8>>().into()));
        content.apply(&Change::Resize(4098));
        content.apply(&Change::Grow(4100));
        let mut plain = vec![0u8; 4100];
        plain[4090..4098].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(content.bytes(), plain);
        content.apply(&Change::Write(1 << 36, Arc::new([9])));
        assert_eq!((content.size(), content.blocks.len()), ((1 << 36) + 1, 3));
        let mut zeros = Content::default();
        zeros.apply(&Change::Write(0, Arc::new([0; 3])));
        let mut hole = Content::default();
        hole.apply(&Change::Grow(3));
        assert!(zeros == hole, "a hole is zeros");
        assert!(hole == zeros, "and the other way round");
        hole.apply(&Change::Grow(4));
        assert!(zeros != hole);
    }

    #[test]
    fn an_empty_write_does_not_grow() {
        let mut content = Content::default();
        content.apply(&Change::Write(100, Arc::new([])));
        assert_eq!(content.size(), 0);
    }
}
