//! Which worlds there are, and what must hold in each.

use crate::{Cluster, Message};
use anabranch_core::{Batch, Timer};
use stateright::{Model, Property};

/// One operation of a replica's script.
#[derive(Clone, Debug)]
pub enum Op {
    /// Put key and value.
    Put(&'static str, &'static str),
    /// Delete a key.
    Delete(&'static str),
}

impl Op {
    fn batch(&self) -> Batch {
        match self {
            Self::Put(key, value) => Batch::new().put(key, *value),
            Self::Delete(key) => Batch::new().delete(key),
        }
    }
}

/// All that may happen next.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A replica's next operation.
    Write(usize),
    /// A message arrives.
    Deliver(Message),
    /// A message arrives and is still under way.
    Duplicate(Message),
    /// A message is lost.
    Lose(Message),
    /// A timer runs out.
    Fire(usize, Timer),
    /// A replica crashes and comes back.
    Crash(usize),
}

/// All worlds that come of a script for each replica, with so many faults at most.
#[derive(Clone, Debug)]
pub struct Clusters {
    /// What each replica writes, in order.
    pub scripts: Vec<Vec<Op>>,
    /// How many messages may be lost.
    pub losses_max: u8,
    /// How many messages may be delivered twice.
    pub duplicates_max: u8,
    /// How often a timer may run out while messages are under way: rounds that overtake messages,
    /// fetches that time out and are answered after all. With nothing under way timers run out without end.
    pub early_max: u8,
    /// How many crashes there may be.
    pub crashes_max: u8,
}

impl Clusters {
    /// Two replicas and three operations on one key, and no fault: every order of what must happen.
    #[must_use]
    pub fn faultless() -> Self {
        let scripts = vec![vec![Op::Put("k", "a"), Op::Delete("k")], vec![Op::Put("k", "b")]];
        Self { scripts, losses_max: 0, duplicates_max: 0, early_max: 0, crashes_max: 0 }
    }

    /// The same, where one message may be lost and one delivered twice.
    #[must_use]
    pub fn lossy() -> Self {
        Self { losses_max: 1, duplicates_max: 1, ..Self::faultless() }
    }

    /// The same, where one message may be lost and one replica may crash.
    #[must_use]
    pub fn crashing() -> Self {
        Self { losses_max: 1, crashes_max: 1, ..Self::faultless() }
    }

    /// The same, where one timer may run out early and one replica may crash.
    #[must_use]
    pub fn hasty() -> Self {
        Self { early_max: 1, crashes_max: 1, ..Self::faultless() }
    }

    fn all_written(&self, cluster: &Cluster) -> bool {
        cluster.nodes.iter().zip(&self.scripts).all(|(node, script)| node.written == script.len())
    }

    /// Nothing is under way and nothing more will be written.
    fn is_quiet(&self, cluster: &Cluster) -> bool {
        cluster.net.is_empty() && self.all_written(cluster)
    }
}

/// Whether all replicas show the same, and it is what all that was acknowledged makes.
fn converged(cluster: &Cluster) -> bool {
    let Some(first) = cluster.nodes.first() else { return true };
    cluster.nodes.iter().all(|node| {
        let merged = |cid| node.replica.is_merged(cid) == Ok(true);
        node.shown() == first.shown()
            && node.is_fold()
            && !node.replica.is_behind()
            && cluster.nodes.iter().flat_map(|other| &other.acknowledged).all(merged)
    })
}

impl Model for Clusters {
    type State = Cluster;
    type Action = Action;

    fn init_states(&self) -> Vec<Cluster> {
        vec![Cluster::new(self.scripts.len())]
    }

    fn actions(&self, cluster: &Cluster, actions: &mut Vec<Action>) {
        for (at, node) in cluster.nodes.iter().enumerate() {
            if node.written < self.scripts[at].len() {
                actions.push(Action::Write(at));
            }
            if cluster.net.is_empty() || cluster.early < self.early_max {
                actions.extend(node.timers.iter().map(|timer| Action::Fire(at, *timer)));
            }
            if cluster.crashed < self.crashes_max {
                actions.push(Action::Crash(at));
            }
        }
        for message in &cluster.net {
            actions.push(Action::Deliver(message.clone()));
            if cluster.duplicated < self.duplicates_max {
                actions.push(Action::Duplicate(message.clone()));
            }
            if cluster.lost < self.losses_max {
                actions.push(Action::Lose(message.clone()));
            }
        }
    }

    fn next_state(&self, last: &Cluster, action: Action) -> Option<Cluster> {
        let mut next = last.clone();
        match action {
            Action::Write(at) => {
                let batch = self.scripts[at][last.nodes[at].written].batch();
                next.write(at, batch);
            }
            Action::Deliver(message) => next.deliver(&message, false),
            Action::Duplicate(message) => {
                next.duplicated += 1;
                next.deliver(&message, true);
            }
            Action::Lose(message) => {
                next.lost += 1;
                next.net.remove(&message);
            }
            Action::Fire(at, timer) => {
                next.early += u8::from(!last.net.is_empty());
                next.fire(at, timer);
            }
            Action::Crash(at) => {
                next.crashed += 1;
                next.crash(at);
            }
        }
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("no step fails", |_, cluster: &Cluster| cluster.fault.is_none()),
            Property::always(
                "a replica shows the fold of whole ancestries and its own writes",
                |_, cluster: &Cluster| cluster.nodes.iter().all(crate::Node::is_fold),
            ),
            // Convergence as a safety property: `eventually` would be wrong on the cycles that timers make.
            Property::always("from every quiet world healing leads to one state", |model: &Self, cluster: &Cluster| {
                !model.is_quiet(cluster) || converged(&cluster.healed())
            }),
            Property::sometimes("replicas agree when all is quiet", |model: &Self, cluster: &Cluster| {
                model.is_quiet(cluster) && converged(cluster)
            }),
            Property::sometimes("a replica knows that it is behind", |_, cluster: &Cluster| {
                cluster.nodes.iter().any(|node| node.replica.is_behind())
            }),
        ];
        if self.losses_max == 0 && self.crashes_max == 0 {
            properties.push(Property::always(
                "where nothing is lost, quiet is agreement",
                |model: &Self, cluster: &Cluster| !model.is_quiet(cluster) || converged(cluster),
            ));
        }
        if self.losses_max > 0 {
            properties
                .push(Property::sometimes("replicas differ when all is quiet", |model: &Self, cluster: &Cluster| {
                    model.is_quiet(cluster) && !converged(cluster)
                }));
        }
        properties
    }
}
