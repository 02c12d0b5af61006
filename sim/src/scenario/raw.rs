//! A scenario as it stands in its file: names not resolved, nothing checked but each value by itself.

use super::{
    Engine, ExpectedOutcome, Family,
    faults::{Harm, HostileAct, PartitionMode, Shape},
    values::{CountOrNames, Probability, Range, Time},
};
use crate::oracles::Oracle;
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};
use toml::Spanned;

/// A name with its place.
pub(super) type Name = Spanned<String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    pub(super) name: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) description: String,
    pub(super) replicas: Spanned<CountOrNames>,
    pub(super) duration: Option<Spanned<Time>>,
    pub(super) operations: Option<Spanned<u64>>,
    pub(super) convergence_budget: Option<Spanned<Time>>,
    #[serde(default)]
    pub(super) frozen: Vec<Name>,
    #[serde(default)]
    pub(super) workload: Workload,
    #[serde(default)]
    pub(super) network: Network,
    #[serde(default)]
    pub(super) link: Vec<Link>,
    #[serde(default)]
    pub(super) disk: Disk,
    #[serde(default)]
    pub(super) core: Core,
    #[serde(default)]
    pub(super) partition: Vec<Partition>,
    #[serde(default)]
    pub(super) crash: Vec<Crash>,
    #[serde(default)]
    pub(super) join: Vec<Join>,
    #[serde(default)]
    pub(super) leave: Vec<Leave>,
    #[serde(default)]
    pub(super) skew: Vec<Skew>,
    #[serde(default)]
    pub(super) clog: Vec<Clog>,
    #[serde(default)]
    pub(super) swizzle: Vec<Swizzle>,
    #[serde(default)]
    pub(super) burst: Vec<Burst>,
    #[serde(default)]
    pub(super) pause: Vec<Pause>,
    #[serde(default)]
    pub(super) jump: Vec<Jump>,
    #[serde(default)]
    pub(super) disk_fault: Vec<DiskFault>,
    #[serde(default)]
    pub(super) power_cut: Vec<PowerCut>,
    #[serde(default)]
    pub(super) operator: Vec<Operator>,
    pub(super) churn: Option<Churn>,
    pub(super) swarm: Option<Swarm>,
    #[serde(default)]
    pub(super) hostile: Vec<Hostile>,
    #[serde(default)]
    pub(super) suspend: Vec<Suspend>,
    #[serde(default)]
    pub(super) expect: Expect,
    pub(super) explicit: Option<super::explicit::Raw>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Workload {
    pub(super) rate: Option<Spanned<f64>>,
    pub(super) mix: Option<Spanned<Mix>>,
    pub(super) keys: Option<Spanned<u64>>,
    pub(super) skew: Option<Spanned<f64>>,
    pub(super) key_prefix: Option<Spanned<String>>,
    pub(super) value_bytes: Option<Spanned<Range<u32>>>,
    pub(super) value_shared: Option<Spanned<u32>>,
    pub(super) batch_writes: Option<Spanned<Range<u32>>>,
    pub(super) dags: Option<Spanned<Vec<Name>>>,
    pub(super) writers: Option<Spanned<Vec<Name>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mix {
    #[serde(default)]
    pub(super) put: u32,
    #[serde(default)]
    pub(super) delete: u32,
    #[serde(default)]
    pub(super) batch: u32,
    #[serde(default)]
    pub(super) get: u32,
}

/// A table with numbers of links, and what they are over others. Serde cannot flatten one struct into another and refuse unknown fields.
macro_rules! links {
    ($(#[$attribute:meta])* struct $name:ident { $($(#[$of_field:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$attribute])*
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $($(#[$of_field])* pub(super) $field: $kind,)*
            latency: Option<Range<Time>>,
            drop: Option<Probability>,
            duplicate: Option<Probability>,
            reorder: Option<Probability>,
            reorder_delay: Option<Range<Time>>,
            corrupt: Option<Probability>,
            truncate: Option<Probability>,
            misdeliver: Option<Probability>,
            replay: Option<Probability>,
            replay_delay: Option<Range<Time>>,
            bandwidth: Option<u64>,
            queue: Option<u32>,
        }

        impl $name {
            /// These numbers, and where one is not given the other's.
            pub(super) fn over(&self, base: &super::Link) -> super::Link {
                let probability = |raw: Option<Probability>, base: f64| raw.map_or(base, |probability| probability.0);
                super::Link {
                    latency: times(self.latency, base.latency),
                    drop: probability(self.drop, base.drop),
                    duplicate: probability(self.duplicate, base.duplicate),
                    reorder: probability(self.reorder, base.reorder),
                    reorder_delay: times(self.reorder_delay, base.reorder_delay),
                    corrupt: probability(self.corrupt, base.corrupt),
                    truncate: probability(self.truncate, base.truncate),
                    misdeliver: probability(self.misdeliver, base.misdeliver),
                    replay: probability(self.replay, base.replay),
                    replay_delay: times(self.replay_delay, base.replay_delay),
                    bandwidth: self.bandwidth.unwrap_or(base.bandwidth),
                    queue: self.queue.unwrap_or(base.queue),
                }
            }
        }
    };
}

/// A range of times, or the default.
pub(super) fn times(raw: Option<Range<Time>>, default: (Duration, Duration)) -> (Duration, Duration) {
    raw.map_or(default, |Range(least, most)| (least.0, most.0))
}

links! {
    #[derive(Debug, Default, Deserialize)]
    struct Network {}
}

links! {
    /// As [`Network`], and whose links.
    #[derive(Debug, Deserialize)]
    struct Link {
        #[serde(default)]
        from: Vec<Name>,
        #[serde(default)]
        to: Vec<Name>,
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Disk {
    pub(super) sync_delay: Option<Range<Time>>,
    pub(super) step_delay: Option<Spanned<Time>>,
    #[serde(default)]
    pub(super) engine: Engine,
    pub(super) cache: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Core {
    pub(super) rebroadcast_interval: Option<Spanned<Time>>,
    pub(super) rebroadcast_jitter_percent: Option<Spanned<u8>>,
    pub(super) fetch_timeout: Option<Spanned<Time>>,
    pub(super) fetch_timeout_ticks: Option<Spanned<u8>>,
    pub(super) fetches_max: Option<Spanned<u32>>,
    pub(super) fetches_per_peer_max: Option<Spanned<u32>>,
    pub(super) rumours_per_peer_max: Option<Spanned<u32>>,
    pub(super) pending_bytes_max: Option<Spanned<u64>>,
    pub(super) step_bytes_max: Option<Spanned<u64>>,
    pub(super) write_wait: Option<Time>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Partition {
    pub(super) at: Spanned<Time>,
    pub(super) until: Option<Spanned<Time>>,
    pub(super) groups: Option<Spanned<BTreeMap<String, Vec<Name>>>>,
    pub(super) ring: Option<Spanned<Vec<Name>>>,
    pub(super) shape: Option<Spanned<Shape>>,
    pub(super) flap: Option<Spanned<Time>>,
    pub(super) one_way: Option<OneWay>,
    #[serde(default)]
    pub(super) mode: PartitionMode,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OneWay {
    pub(super) from: Name,
    pub(super) to: Name,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Crash {
    pub(super) at: Spanned<Time>,
    pub(super) replica: Name,
    pub(super) down: Spanned<Time>,
    #[serde(default)]
    pub(super) wipe_disk: bool,
    pub(super) restore: Option<Spanned<Time>>,
    #[serde(default)]
    pub(super) older_format: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Join {
    pub(super) at: Spanned<Time>,
    pub(super) replica: Name,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Leave {
    pub(super) at: Spanned<Time>,
    pub(super) replica: Name,
    #[serde(default)]
    pub(super) clean: bool,
    pub(super) returns: Option<Spanned<Time>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Skew {
    pub(super) at: Spanned<Time>,
    pub(super) until: Option<Spanned<Time>>,
    pub(super) replica: Name,
    pub(super) speed: Option<Spanned<f64>>,
    pub(super) late: Option<Time>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Clog {
    pub(super) at: Spanned<Time>,
    pub(super) until: Option<Spanned<Time>>,
    #[serde(default)]
    pub(super) from: Vec<Name>,
    #[serde(default)]
    pub(super) to: Vec<Name>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Swizzle {
    pub(super) at: Spanned<Time>,
    pub(super) until: Option<Spanned<Time>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Burst {
    pub(super) at: Spanned<Time>,
    pub(super) until: Option<Spanned<Time>>,
    #[serde(default)]
    pub(super) from: Vec<Name>,
    #[serde(default)]
    pub(super) to: Vec<Name>,
    pub(super) drop: Option<Probability>,
    pub(super) corrupt: Option<Probability>,
    pub(super) delay: Option<Time>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pause {
    pub(super) at: Spanned<Time>,
    pub(super) until: Option<Spanned<Time>>,
    pub(super) replica: Name,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Jump {
    pub(super) at: Spanned<Time>,
    pub(super) replica: Name,
    pub(super) by: Spanned<Time>,
    #[serde(default)]
    pub(super) back: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DiskFault {
    pub(super) at: Spanned<Time>,
    pub(super) until: Option<Spanned<Time>>,
    pub(super) replica: Name,
    pub(super) harm: Spanned<Harm>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PowerCut {
    pub(super) at: Spanned<Time>,
    pub(super) replica: Name,
    pub(super) write: Spanned<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Operator {
    pub(super) at: Spanned<Time>,
    pub(super) replica: Name,
    pub(super) act: Spanned<OperatorAct>,
    pub(super) dag: Option<Spanned<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum OperatorAct {
    Purge,
    Verify,
    Rebuild,
    Abandon,
    Recover,
    Import,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Swarm {
    pub(super) off: Option<Probability>,
    pub(super) families: Option<Vec<Family>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Churn {
    pub(super) crash_every: Spanned<Time>,
    pub(super) down: Range<Time>,
    #[serde(default)]
    pub(super) rolling: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hostile {
    pub(super) name: Name,
    pub(super) acts: Spanned<Vec<HostileAct>>,
    pub(super) every: Spanned<Time>,
    pub(super) from: Option<Spanned<Time>>,
    pub(super) until: Option<Spanned<Time>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Suspend {
    pub(super) oracle: Oracle,
    #[serde(default)]
    pub(super) replicas: Vec<Name>,
    pub(super) from: Option<Time>,
    pub(super) until: Option<Time>,
    pub(super) why: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    #[serde(default)]
    pub(super) outcome: ExpectedOutcome,
    pub(super) oracle: Option<Oracle>,
    pub(super) trace: Option<Spanned<String>>,
    pub(super) seed: Option<u64>,
}
