//! The explicit form of a run: lists instead of a seed.
//!
//! What a seed stands for depends on the generators, and they change. The lists do not: the
//! operations, the fate of every message by its name, and every other choice. What is not listed is
//! as quiet as can be: a message arrives after the least latency of its link and is not harmed.

use crate::{
    choices::ChoiceKey,
    engine::{Fate, MessageKey},
    workload::Operation,
};
use std::{collections::BTreeMap, sync::Arc};

/// The lists that stand for a seed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explicit {
    /// The operations, by their numbers.
    pub operations: Arc<BTreeMap<u64, Operation>>,
    /// What becomes of messages.
    pub deliveries: Arc<BTreeMap<MessageKey, Fate>>,
    /// What else the scenario leaves open.
    pub choices: Arc<BTreeMap<ChoiceKey, u64>>,
}
