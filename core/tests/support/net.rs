//! A few replicas that hear each other when the test says so. Replica `i` is `Peer(i)` to the others.

use super::{Fetch, Node, World};
use anabranch_core::{Bytes, Config, Input, Peer, Timer};

pub struct Net {
    pub nodes: Vec<Node>,
}

impl Net {
    pub fn new(len: usize) -> Self {
        Self { nodes: (0..len).map(|_| Node::with(Config::default())).collect() }
    }

    /// What replica `from` has announced since the last call reaches these replicas, and they
    /// fetch all they lack from whoever has it.
    pub fn deliver(&mut self, from: usize, to: &[usize]) {
        for payload in core::mem::take(&mut self.nodes[from].sent) {
            for &to in to {
                self.nodes[to].input(Input::Broadcast { from: Peer(from as u64), payload: payload.clone() });
                self.pull(to);
            }
        }
    }

    /// Answers the fetches of a replica, and those that come of it, from the other replicas.
    pub fn pull(&mut self, to: usize) {
        while !self.nodes[to].fetches.is_empty() {
            for fetch in core::mem::take(&mut self.nodes[to].fetches) {
                match self.find(to, fetch) {
                    Some(bytes) => self.nodes[to].answer(fetch, &bytes),
                    None => self.nodes[to].fail(fetch),
                }
            }
        }
    }

    fn find(&self, to: usize, fetch: Fetch) -> Option<Bytes> {
        let others = self.nodes.iter().enumerate().filter(|(at, _)| *at != to);
        others.filter_map(|(_, node)| node.replica.block(&fetch.cid).expect("a read")).next()
    }

    /// Rounds of announcing until all hold the same blocks.
    pub fn converge(&mut self) {
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        for _ in 0..10 {
            for from in 0..self.nodes.len() {
                self.nodes[from].fire(Timer::Rebroadcast);
                let others: Vec<usize> = all.iter().copied().filter(|to| *to != from).collect();
                self.deliver(from, &others);
            }
            if self.nodes.iter().all(|node| node.merged() == self.nodes[0].merged()) {
                return;
            }
        }
        panic!("ten rounds of announcing did not bring all blocks to all");
    }

    /// All blocks that any replica has merged.
    pub fn world(&self) -> World {
        self.nodes.iter().flat_map(Node::world).collect()
    }
}
