//! A disk of bytes under an engine: what is not synced may be lost, torn or reordered in a crash, and it may do other harm.

use super::Harmed;
use crate::{
    engine::{Draws, Key},
    scenario::{FaultKind, Harm},
};
use anabranch_store::StorageBackend;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What a disk writes whole, in bytes.
const SECTOR: usize = 512;
/// Where writes that go astray go: to the beginning of such a page.
const PAGE: u64 = 4096;
/// The first byte of a page of redb that refers to other pages. Such a page in a place that is not its own, be it an old one whose place was not
/// written, may refer to one above it: redb 4.6 follows that for ever, until the stack overflows, which ends the whole program. So these go neither
/// astray nor rotten.
const BRANCH: u8 = 2;
/// The probability that a read or write goes wrong on a disk that makes them go wrong.
const ASTRAY: f64 = 1.0 / 50.0;
const ROTS: f64 = 1.0 / 20.0;
const FAILS: f64 = 1.0 / 20.0;

/// A simulated disk. Clones are the same disk.
///
/// What it does to an operation is drawn from what the operation is (its kind, its place, how many of that kind there were at that place), not from
/// how many came before: so it does not depend on the order in which an engine hands over what it writes in one go.
#[derive(Clone, Debug)]
pub struct Device(Arc<Mutex<Inner>>);

#[derive(Clone, Debug)]
struct Inner {
    key: Key,
    /// Memory of the engine for pages, in bytes.
    cache: usize,
    bytes: Vec<u8>,
    /// What was done since the last sync, oldest first.
    unsynced: Vec<Undo>,
    /// Of it, how much a lying sync has called durable.
    lied: usize,
    harms: BTreeSet<Harm>,
    /// Harm is done only while a process is at work; those who look on are not lied to.
    is_at_work: bool,
    /// The engine reads rows for us. What it reads otherwise is right, for among it are tables of its own: where they are damaged, redb 4.6
    /// panics while it unwinds from a panic, which ends the whole program.
    are_rows_read: bool,
    counts: BTreeMap<(u8, u64), u64>,
    done: Harmed,
    /// The power goes after so many more operations that change something.
    power: Option<u64>,
    /// The power is gone.
    is_dark: bool,
    /// How many operations have changed something.
    changes: u64,
    /// The process that used it is dead: what the engine does when it is dropped changes nothing.
    is_left: bool,
}

/// How to undo an operation, and to do it again.
#[derive(Clone, Debug)]
enum Undo {
    Write { at: usize, old: Vec<u8>, new: Vec<u8> },
    Length { old: Vec<u8>, from: usize, to: usize },
}

const READ: u8 = 0;
const WRITE: u8 = 1;
const LENGTH: u8 = 2;
const SYNC: u8 = 3;

impl Inner {
    /// The draws for the next operation of this kind at this place.
    fn draws(&mut self, kind: u8, at: u64) -> Draws {
        let count = self.counts.entry((kind, at)).or_insert(0);
        *count += 1;
        self.key.at(u64::from(kind) << 56 | at, *count)
    }

    /// Whether what begins here is a page that refers to others.
    fn refers_to_others(&self, at: usize) -> bool {
        self.bytes.get(at) == Some(&BRANCH)
    }

    fn does(&self, harm: Harm) -> bool {
        self.is_at_work && self.harms.contains(&harm)
    }

    /// An operation that changes something: the power may go before it.
    fn change(&mut self) -> io::Result<()> {
        if self.power == Some(0) && !self.is_dark {
            self.is_dark = true;
            self.done.push((FaultKind::PowerCut, true));
        }
        if self.is_dark {
            return Err(io::Error::other("simulated: the power is gone"));
        }
        self.changes += 1;
        self.power = self.power.map(|left| left - 1);
        Ok(())
    }

    fn fails(&mut self, draws: &mut Draws) -> io::Result<()> {
        if self.does(Harm::IoError) && draws.chance(FAILS) {
            self.done.push((FaultKind::IoError, true));
            return Err(io::Error::other("simulated: input/output error"));
        }
        Ok(())
    }

    fn write(&mut self, at: usize, new: &[u8]) -> io::Result<()> {
        let place = self.bytes.get_mut(at..at + new.len()).ok_or_else(beyond)?;
        let old = place.to_vec();
        place.copy_from_slice(new);
        self.unsynced.push(Undo::Write { at, old, new: new.to_vec() });
        Ok(())
    }

    /// Takes back all that was not synced.
    fn undo(&mut self) -> Vec<Undo> {
        let unsynced = std::mem::take(&mut self.unsynced);
        for done in unsynced.iter().rev() {
            match done {
                Undo::Write { at, old, .. } => self.bytes[*at..*at + old.len()].copy_from_slice(old),
                Undo::Length { old, from, .. } => {
                    self.bytes.resize(*from, 0);
                    let tail = *from - old.len();
                    self.bytes[tail..].copy_from_slice(old);
                }
            }
        }
        unsynced
    }

    /// What a crash leaves of what was not synced: each write is there or not, whole or in part, whatever came before it.
    fn crash(&mut self, draws: &mut Draws) -> u64 {
        let lied = self.lied;
        let unsynced = self.undo();
        // All of it, nothing, or some: drawn for the crash, so that each is seen often.
        let share = [0.0, 0.5, 0.9, 1.0][draws.below(4) as usize];
        let salt = Key::of_seed(draws.bits());
        // Each by its place and its turn there: the order of places is the engine's.
        let (mut turns, mut harmed) = (BTreeMap::<u64, u64>::new(), 0);
        for (index, done) in unsynced.into_iter().enumerate() {
            let place = match &done {
                Undo::Write { at, .. } => *at as u64,
                Undo::Length { to, .. } => *to as u64 | 1 << 63,
            };
            let turn = turns.entry(place).or_default();
            *turn += 1;
            let mut draws = salt.at(place, *turn);
            let (is_kept, is_torn) = (draws.chance(share), draws.chance(0.3));
            let is_whole = match done {
                Undo::Length { to, .. } if is_kept || self.bytes.len() < to && share > 0.0 => {
                    self.bytes.resize(to, 0);
                    true
                }
                Undo::Write { at, new, .. } if is_kept && at + new.len() <= self.bytes.len() => {
                    for (number, sector) in new.chunks(SECTOR).enumerate() {
                        if !is_torn || draws.chance(0.5) {
                            let from = at + number * SECTOR;
                            self.bytes[from..from + sector.len()].copy_from_slice(sector);
                        }
                    }
                    self.bytes[at..at + new.len()] == new
                }
                Undo::Write { at, new, .. } => self.bytes.get(at..at + new.len()) == Some(&new),
                Undo::Length { to, .. } => self.bytes.len() == to,
            };
            harmed += u64::from(!is_whole);
            if index < lied && !is_whole {
                self.done.push((FaultKind::LyingSync, true));
            }
        }
        self.lied = 0;
        harmed
    }
}

fn beyond() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "simulated: beyond the end of the disk")
}

impl Device {
    /// An empty disk, and memory for pages in bytes.
    #[must_use]
    pub fn new(key: Key, cache: usize) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            key,
            cache,
            bytes: Vec::new(),
            unsynced: Vec::new(),
            lied: 0,
            harms: BTreeSet::new(),
            is_at_work: false,
            are_rows_read: false,
            counts: BTreeMap::new(),
            done: Vec::new(),
            power: None,
            is_dark: false,
            changes: 0,
            is_left: false,
        })))
    }

    /// Memory of the engine for pages, in bytes.
    pub(super) fn cache(&self) -> usize {
        self.inner().cache
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // An engine that panics on damage leaves the disk as it is.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is on it any more.
    pub(super) fn empty(&self) {
        let inner = &mut *self.inner();
        inner.bytes.clear();
        inner.unsynced.clear();
        inner.lied = 0;
    }

    /// The process that used it is gone: another handle for what is left, and how many writes were torn or lost. The old handle changes nothing any more.
    pub(super) fn leave(&self, draws: &mut Draws, in_order: bool) -> (Self, u64) {
        let mut inner = self.inner();
        let mut left = inner.clone();
        (left.power, left.is_dark) = (None, false);
        inner.is_left = true;
        inner.done.clear();
        let harmed = if in_order { 0 } else { left.crash(draws) };
        (Self(Arc::new(Mutex::new(left))), harmed)
    }

    /// A copy that shares nothing with it.
    pub(super) fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.inner().clone())))
    }

    /// A copy of what was synced.
    pub(super) fn synced(&self) -> Self {
        let mut copy = self.inner().clone();
        copy.undo();
        copy.lied = 0;
        copy.harms.clear();
        copy.done.clear();
        Self(Arc::new(Mutex::new(copy)))
    }

    pub(super) fn set(&self, harm: Harm, is_on: bool) {
        let harms = &mut self.inner().harms;
        if is_on {
            harms.insert(harm);
        } else {
            harms.remove(&harm);
        }
    }

    /// The power goes before the operation of this number that changes something, counted from now; never when `None`.
    pub fn cut_power(&self, after: Option<u64>) {
        self.inner().power = after;
    }

    /// Whether the power is gone.
    #[must_use]
    pub fn is_dark(&self) -> bool {
        self.inner().is_dark
    }

    /// How many operations have changed something: the places at which the power can be cut.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.inner().changes
    }

    /// The harms that it does now.
    #[must_use]
    pub fn harms(&self) -> BTreeSet<Harm> {
        self.inner().harms.clone()
    }

    /// Whether a process is at work: only then is harm done.
    pub fn at_work(&self, is_at_work: bool) {
        self.inner().is_at_work = is_at_work;
    }

    /// Reads rows through the engine: only then does what is read suffer harm.
    pub(super) fn reading<T>(&self, read: impl FnOnce() -> T) -> T {
        self.inner().are_rows_read = true;
        let done = read();
        self.inner().are_rows_read = false;
        done
    }

    /// The harm that was done since this was last asked.
    #[must_use]
    pub fn take_done(&self) -> Harmed {
        std::mem::take(&mut self.inner().done)
    }
}

impl StorageBackend for Device {
    fn len(&self) -> io::Result<u64> {
        Ok(self.inner().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inner = &mut *self.inner();
        let mut draws = inner.draws(READ, offset);
        inner.fails(&mut draws)?;
        let mut at = usize::try_from(offset).map_err(|_| beyond())?;
        if at.checked_add(out.len()).is_none_or(|end| end > inner.bytes.len()) {
            return Err(beyond());
        }
        if inner.are_rows_read && inner.does(Harm::MisdirectedRead) && draws.chance(ASTRAY) {
            let pages = (inner.bytes.len() - out.len()) as u64 / PAGE;
            let other = usize::try_from(draws.between(0, pages) * PAGE).unwrap_or(0);
            if !inner.refers_to_others(other) {
                let is_other = inner.bytes[other..other + out.len()] != inner.bytes[at..at + out.len()];
                inner.done.push((FaultKind::MisdirectedRead, is_other));
                at = other;
            }
        }
        let is_spared = !inner.are_rows_read || out.is_empty() || inner.refers_to_others(at);
        if inner.does(Harm::BitRot) && draws.chance(ROTS) && !is_spared {
            let bit = draws.below(out.len() as u64 * 8);
            inner.bytes[at + (bit / 8) as usize] ^= 1 << (bit % 8);
            inner.done.push((FaultKind::BitRot, true));
        }
        out.copy_from_slice(&inner.bytes[at..at + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let inner = &mut *self.inner();
        if inner.is_left {
            return Ok(());
        }
        inner.change()?;
        let mut draws = inner.draws(LENGTH, len);
        inner.fails(&mut draws)?;
        let (from, to) = (inner.bytes.len(), usize::try_from(len).map_err(|_| beyond())?);
        if to > from && inner.does(Harm::Full) {
            inner.done.push((FaultKind::FullDisk, true));
            return Err(io::Error::new(io::ErrorKind::StorageFull, "simulated: no space left on the disk"));
        }
        let old = inner.bytes.get(to..).map(<[u8]>::to_vec).unwrap_or_default();
        inner.bytes.resize(to, 0);
        inner.unsynced.push(Undo::Length { old, from, to });
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let inner = &mut *self.inner();
        if inner.is_left {
            return Ok(());
        }
        inner.change()?;
        let mut draws = inner.draws(SYNC, 0);
        inner.fails(&mut draws)?;
        if inner.does(Harm::LyingSync) {
            inner.lied = inner.unsynced.len();
        } else {
            inner.unsynced.clear();
            inner.lied = 0;
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let inner = &mut *self.inner();
        if inner.is_left {
            return Ok(());
        }
        inner.change()?;
        let mut draws = inner.draws(WRITE, offset);
        inner.fails(&mut draws)?;
        if inner.does(Harm::Full) && draws.chance(FAILS) {
            inner.done.push((FaultKind::FullDisk, true));
            return Err(io::Error::new(io::ErrorKind::StorageFull, "simulated: no space left on the disk"));
        }
        let mut at = usize::try_from(offset).map_err(|_| beyond())?;
        let may_go_astray =
            data.first() != Some(&BRANCH) && !inner.refers_to_others(at) && data.len() <= inner.bytes.len();
        if inner.does(Harm::MisdirectedWrite) && draws.chance(ASTRAY) && may_go_astray {
            let pages = (inner.bytes.len() - data.len()) as u64 / PAGE;
            let other = usize::try_from(draws.between(0, pages) * PAGE).unwrap_or(0);
            // It may change nothing: where it should go, or over bytes like its own, with its own place as it would have made it.
            let is_same = |at: usize| inner.bytes[at..].starts_with(data);
            let is_missed = other != at && !(is_same(other) && is_same(at));
            inner.done.push((FaultKind::MisdirectedWrite, is_missed));
            at = other;
        }
        inner.write(at, data)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn draws(seed: u64) -> Draws {
        Key::of_seed(seed).at(0, 0)
    }

    fn device() -> Device {
        let device = Device::new(Key::of_seed(1), 1 << 20);
        device.set_len(16 << 10).unwrap();
        device.write(0, &[1; 8192]).unwrap();
        device.sync_data().unwrap();
        device.at_work(true);
        device
    }

    fn bytes(device: &Device) -> Vec<u8> {
        device.inner().bytes.clone()
    }

    #[test]
    fn a_crash_keeps_what_was_synced_and_loses_tears_and_reorders_the_rest() {
        let (mut lost, mut torn, mut reordered, mut whole) = (0, 0, 0, 0);
        for seed in 0..200 {
            let device = device();
            device.write(0, &[2; 4096]).unwrap();
            device.write(4096, &[3; 4096]).unwrap();
            let (left, _) = device.leave(&mut draws(seed), false);
            let bytes = bytes(&left);
            let count =
                |range: std::ops::Range<usize>, value| bytes[range].iter().filter(|byte| **byte == value).count();
            let (first, second) = (count(0..4096, 2), count(4096..8192, 3));
            assert_eq!(
                (count(0..4096, 1), count(4096..8192, 1)),
                (4096 - first, 4096 - second),
                "what was synced stays"
            );
            lost += u32::from(first == 0 && second == 0);
            torn += u32::from((1..4096).contains(&first));
            reordered += u32::from(first == 0 && second == 4096);
            whole += u32::from(first + second == 8192);
        }
        assert!(lost > 20 && torn > 10 && reordered > 5 && whole > 10, "{lost} {torn} {reordered} {whole}");
    }

    #[test]
    fn a_dead_process_changes_nothing() {
        let device = device();
        let (left, _) = device.leave(&mut draws(1), false);
        let before = bytes(&left);
        device.write(0, &[9; 100]).unwrap();
        device.set_len(0).unwrap();
        assert_eq!(bytes(&left), before);
    }

    #[test]
    fn every_harm_is_done_and_counted() {
        for harm in
            [Harm::BitRot, Harm::MisdirectedRead, Harm::MisdirectedWrite, Harm::IoError, Harm::Full, Harm::LyingSync]
        {
            let device = device();
            device.write(8192, &[7; 4096]).unwrap();
            device.set(harm, true);
            let mut out = [0; 512];
            for place in 0..2000_u64 {
                let _ = device.reading(|| device.read(place % 16 * 512, &mut out));
                let _ = device.write(place % 2 * 8192, &[place as u8; 512]);
            }
            let _ = device.sync_data();
            let lost = device.leave(&mut draws(2), false).0;
            let done: usize = [&device, &lost]
                .iter()
                .map(|device| device.take_done().iter().filter(|done| **done == (harm.kind(), true)).count())
                .sum();
            assert!(done > 0, "{harm:?}");
        }
    }

    /// The third page refers to others, and nothing sends it elsewhere, reads it elsewhere, hides what is written over it, or rots it.
    #[test]
    fn a_page_that_refers_to_others_is_spared() {
        let device = device();
        device.write(8192, &[BRANCH; 4096]).unwrap();
        device.sync_data().unwrap();
        for harm in [Harm::BitRot, Harm::MisdirectedRead, Harm::MisdirectedWrite] {
            device.set(harm, true);
        }
        let mut out = [0; 4096];
        for _ in 0..2000 {
            device.reading(|| device.read(8192, &mut out)).unwrap();
            assert!(out == [BRANCH; 4096] || out.first() != Some(&BRANCH), "another, whole or rotten");
            device.write(8192, &[BRANCH; 4096]).unwrap();
            assert_eq!(bytes(&device)[8192..12288], [BRANCH; 4096]);
            device.reading(|| device.read(0, &mut out)).unwrap();
            assert_ne!(out.first(), Some(&BRANCH), "it is read where it is not");
        }
        device.write(8192, &[3; 4096]).unwrap();
        assert_eq!(bytes(&device)[8192..12288], [3; 4096], "what is written over it is there");
        assert!(device.take_done().contains(&(FaultKind::MisdirectedRead, true)), "others are not spared");
    }

    #[test]
    fn only_what_is_read_as_rows_is_read_wrong() {
        let (device, mut out) = (device(), [0; 512]);
        [Harm::BitRot, Harm::MisdirectedRead].into_iter().for_each(|harm| device.set(harm, true));
        (0..2000).for_each(|_| device.read(0, &mut out).unwrap());
        assert_eq!((out, device.take_done()), ([1; 512], Vec::new()));
    }

    #[test]
    fn who_looks_on_is_not_lied_to() {
        let device = device();
        device.set(Harm::IoError, true);
        device.at_work(false);
        let mut out = [0; 512];
        assert!((0..2000).all(|_| device.read(0, &mut out).is_ok()));
    }
}
