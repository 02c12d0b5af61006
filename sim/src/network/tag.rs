//! The tags of trace entries. Each event of a run has one.

pub(crate) const SEND: u8 = 1;
pub(crate) const ARRIVE: u8 = 2;
pub(crate) const TIMER: u8 = 3;
pub(crate) const OPERATION: u8 = 4;
pub(crate) const SYNC: u8 = 5;
pub(crate) const CRASH: u8 = 6;
pub(crate) const START: u8 = 7;
pub(crate) const LEAVE: u8 = 8;
pub(crate) const PART: u8 = 9;
pub(crate) const HEAL: u8 = 10;
pub(crate) const CLOCK: u8 = 11;
pub(crate) const HOSTILE: u8 = 12;
pub(crate) const PHASE: u8 = 13;
pub(crate) const MERGE: u8 = 14;
pub(crate) const READ: u8 = 15;
pub(crate) const ACKNOWLEDGE: u8 = 16;
pub(crate) const REFUSE: u8 = 17;
pub(crate) const CONTINUE: u8 = 18;
