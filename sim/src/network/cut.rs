//! What stops messages: partitions of every shape, and clogs.

use super::Message;
use crate::{
    engine::{Time, nanoseconds},
    scenario::{Clog, FaultKind, Partition, PartitionMode, Party},
};

/// What stops messages: a partition, a clog.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    pub(super) number: u32,
    pub(super) kind: FaultKind,
    stops: Stops,
    /// It holds for so long from its beginning, then not for as long, and so on.
    flap: Option<(Time, Time)>,
    pub(super) mode: PartitionMode,
    pub(super) held: Vec<Message>,
}

/// Which messages are stopped.
#[derive(Clone, Debug)]
enum Stops {
    /// Those between groups: for each party the one that it is in; perhaps one way only.
    Groups(Vec<Option<usize>>, Option<(usize, usize)>),
    /// Those between parties of a ring that are no neighbours: for each its place, and how many there are.
    Ring(Vec<Option<usize>>, usize),
    /// Those from one of the former to one of the latter.
    Links(Vec<Party>, Vec<Party>),
}

impl Cut {
    /// A partition begins.
    pub(super) fn parting(at: Time, number: u32, kind: FaultKind, partition: &Partition, parties: usize) -> Self {
        let mut places = vec![None; parties];
        for (index, group) in partition.groups.iter().enumerate() {
            let place = |place: usize| if partition.ring { place } else { index };
            group.members.iter().enumerate().for_each(|(at, party)| places[party.index()] = Some(place(at)));
        }
        let stops = match partition.ring {
            true => Stops::Ring(places, partition.groups.iter().map(|group| group.members.len()).sum()),
            false => Stops::Groups(places, partition.one_way),
        };
        let flap = partition.flap.map(|every| (at, nanoseconds(every)));
        Self { number, kind, stops, flap, mode: partition.mode, held: Vec::new() }
    }

    /// Links are clogged.
    pub(super) fn clogging(number: u32, clog: &Clog) -> Self {
        let stops = Stops::Links(clog.from.clone(), clog.to.clone());
        let (kind, mode) = (FaultKind::Clog, PartitionMode::Hold);
        Self { number, kind, stops, flap: None, mode, held: Vec::new() }
    }

    pub(super) fn stops(&self, at: Time, from: Party, to: Party) -> bool {
        if self.flap.is_some_and(|(begin, every)| (at - begin) / every % 2 == 1) {
            return false;
        }
        match &self.stops {
            Stops::Groups(groups, one_way) => match (groups[from.index()], groups[to.index()], one_way) {
                (Some(from), Some(to), Some(way)) => (from, to) == *way,
                (Some(from), Some(to), None) => from != to,
                _ => false,
            },
            Stops::Ring(places, count) => match (places[from.index()], places[to.index()]) {
                (Some(from), Some(to)) => {
                    let apart = from.abs_diff(to);
                    apart > 1 && apart != count - 1
                }
                _ => false,
            },
            Stops::Links(senders, receivers) => covers(senders, from) && covers(receivers, to),
        }
    }
}

/// Whether the list names the party, or everyone.
pub(super) fn covers(parties: &[Party], party: Party) -> bool {
    parties.is_empty() || parties.contains(&party)
}
