//! A scenario as the text of its file. What stands at its default is left out.
//!
//! Every struct is taken apart without `..`: a field that is new is a compile error here, not a scenario that
//! silently changes when it is written.

use super::{
    Burst, Churn, Clog, Crash, Disk, DiskFate, DiskHarm, Expectation, ExpectedOutcome, Family, Fault, Group, Hostile,
    Jump, Leave, Link, LinkOverride, Mix, Operator, OperatorAct, Partition, PartitionMode, Party, Pause, PowerCut,
    Replica, Scenario, Skew, Suspension, Swarm, TimedFault, Workload, explicit,
};
use std::{fmt::Write, time::Duration};

impl Scenario {
    /// The text of a file that holds this scenario: reading it gives an equal one (but for the last bits of a rate
    /// that follows from a length and a number).
    #[must_use]
    pub fn to_toml(&self) -> String {
        let Self {
            name,
            description,
            replicas,
            duration,
            workload,
            network,
            links,
            disk,
            core,
            faults,
            churn,
            swizzles,
            swarm,
            hostile,
            frozen,
            convergence_budget,
            suspended,
            expect,
            may_be_inert,
            explicit,
        } = self;
        let names = Names(self);
        let mut out = Text::default();
        out.field("name", &text(name));
        out.unless("description", &text(description), &text(""));
        let first: Vec<_> = replicas.iter().filter(|replica| replica.joins_at.is_none()).collect();
        out.field("replicas", &list(first.iter().map(|replica| text(&replica.name))));
        out.field("duration", &time(*duration));
        out.field("convergence_budget", &time(*convergence_budget));
        out.unless("frozen", &names.list(frozen), "[]");
        out.workload(workload, *duration, &names, replicas.len());
        out.section("network");
        out.link(network, &Link::DEFAULT);
        for LinkOverride { from, to, link } in links {
            out.entry("link");
            out.unless("from", &names.list(from), "[]");
            out.unless("to", &names.list(to), "[]");
            out.link(link, network);
        }
        out.section("disk");
        let Disk { sync_delay, step_delay, engine, cache } = disk;
        out.unless("sync_delay", &times(*sync_delay), &times(super::check::DEFAULT_SYNC_DELAY));
        out.unless("step_delay", &time(*step_delay), &time(super::check::DEFAULT_STEP_DELAY));
        out.unless("engine", &named(engine), &named(&super::Engine::Memory));
        out.unless("cache", &cache.to_string(), &super::check::DEFAULT_CACHE.to_string());
        out.core(core);
        // Whoever joins is numbered by his place among the others who do, not by when he comes.
        for Replica { name, joins_at } in replicas {
            if let Some(at) = joins_at {
                out.strikes("join", *at, None, None, &names);
                out.field("replica", &text(name));
            }
        }
        for TimedFault { at, fault } in faults {
            out.fault(*at, fault, &names);
        }
        if let Some(Churn { crash_every, down, rolling }) = churn {
            out.section("churn");
            out.field("crash_every", &time(*crash_every));
            out.field("down", &times(*down));
            out.unless("rolling", &rolling.to_string(), "false");
        }
        for (at, until) in swizzles {
            out.entry("swizzle");
            out.field("at", &time(*at));
            out.field("until", &time(*until));
        }
        if let Some(Swarm { off, families }) = swarm {
            // A swarm that is all defaults stands too.
            out.entry_of_one("swarm");
            out.unless("off", &float(*off), "0.5");
            out.unless("families", &list(families.iter().map(named)), &list(Family::ALL.iter().map(named)));
        }
        for Hostile { name, acts, every, from, until } in hostile {
            out.entry("hostile");
            out.field("name", &text(name));
            out.field("acts", &list(acts.iter().map(|act| text(&act.kind().to_string()))));
            out.field("every", &time(*every));
            out.unless("from", &time(*from), &time(Duration::ZERO));
            out.some("until", until.map(time));
        }
        for Suspension { oracle, replicas, from, until, why } in suspended {
            out.entry("suspend");
            out.field("oracle", &text(&oracle.to_string()));
            out.unless("replicas", &names.list(replicas), "[]");
            out.unless("from", &time(*from), &time(Duration::ZERO));
            out.some("until", until.map(time));
            out.field("why", &text(why));
        }
        out.expect(expect);
        if let Some(lists) = explicit {
            out.section("explicit");
            out.unless("may_be_inert", &may_be_inert.to_string(), "false");
            explicit::write(lists, &names, &mut out);
        }
        out.finish()
    }
}

/// The names of a scenario's parties.
pub(super) struct Names<'a>(&'a Scenario);

impl Names<'_> {
    pub(super) fn of(&self, party: Party) -> &str {
        self.0.party_name(party)
    }

    fn list(&self, parties: &[Party]) -> String {
        list(parties.iter().map(|party| text(self.of(*party))))
    }
}

/// The text so far, and a header that stands only if something comes under it.
#[derive(Default)]
pub(super) struct Text {
    out: String,
    header: Option<String>,
}

impl Text {
    fn section(&mut self, name: &str) {
        self.header = Some(format!("\n[{name}]\n"));
    }

    /// A table that stands even when it is empty.
    fn entry_of_one(&mut self, name: &str) {
        self.header = None;
        let _ = write!(self.out, "\n[{name}]\n");
    }

    /// An entry of a list stands even when it is empty.
    fn entry(&mut self, name: &str) {
        self.header = None;
        let _ = write!(self.out, "\n[[{name}]]\n");
    }

    pub(super) fn field(&mut self, name: &str, value: &str) {
        self.out.push_str(&self.header.take().unwrap_or_default());
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "{name} = {value}");
    }

    fn unless(&mut self, name: &str, value: &str, default: &str) {
        if value != default {
            self.field(name, value);
        }
    }

    fn some(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value {
            self.field(name, &value);
        }
    }

    fn finish(self) -> String {
        self.out
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // As the reader does it.
    fn workload(&mut self, workload: &Workload, duration: Duration, names: &Names<'_>, replicas: usize) {
        let Workload { operations, rate, mix, keys, skew, key_prefix, value_bytes, value_shared, .. } = workload;
        let Workload { batch_writes, dags, writers, .. } = workload;
        let by_rate = (rate * duration.as_secs_f64()) as u64 == *operations;
        if !by_rate {
            self.field("operations", &operations.to_string());
        }
        self.section("workload");
        if by_rate {
            self.unless("rate", &float(*rate), &float(super::check::DEFAULT_RATE));
        }
        let Mix { put, delete, batch, get } = mix;
        let mix = format!("{{ put = {put}, delete = {delete}, batch = {batch}, get = {get} }}");
        self.unless("mix", &mix, "{ put = 80, delete = 15, batch = 5, get = 0 }");
        self.unless("keys", &keys.to_string(), "100");
        self.unless("skew", &float(*skew), "0.0");
        self.unless("key_prefix", &text(key_prefix), &text("/key/"));
        self.unless("value_bytes", &format!("[{}, {}]", value_bytes.0, value_bytes.1), "[8, 64]");
        self.unless("value_shared", &value_shared.to_string(), "0");
        self.unless("batch_writes", &format!("[{}, {}]", batch_writes.0, batch_writes.1), "[2, 10]");
        self.unless("dags", &list(dags.iter().map(|dag| text(dag))), "[\"\"]");
        let all: Vec<Party> = (0..replicas).filter_map(|number| u16::try_from(number).ok().map(Party)).collect();
        self.unless("writers", &names.list(writers), &names.list(&all));
    }

    fn link(&mut self, link: &Link, base: &Link) {
        let Link { latency, drop, duplicate, reorder, reorder_delay, corrupt, truncate, .. } = link;
        let Link { misdeliver, replay, replay_delay, bandwidth, queue, .. } = link;
        self.unless("latency", &times(*latency), &times(base.latency));
        self.unless("drop", &float(*drop), &float(base.drop));
        self.unless("duplicate", &float(*duplicate), &float(base.duplicate));
        self.unless("reorder", &float(*reorder), &float(base.reorder));
        self.unless("reorder_delay", &times(*reorder_delay), &times(base.reorder_delay));
        self.unless("corrupt", &float(*corrupt), &float(base.corrupt));
        self.unless("truncate", &float(*truncate), &float(base.truncate));
        self.unless("misdeliver", &float(*misdeliver), &float(base.misdeliver));
        self.unless("replay", &float(*replay), &float(base.replay));
        self.unless("replay_delay", &times(*replay_delay), &times(base.replay_delay));
        self.unless("bandwidth", &bandwidth.to_string(), &base.bandwidth.to_string());
        self.unless("queue", &queue.to_string(), &base.queue.to_string());
    }

    fn core(&mut self, core: &anabranch_core::Config) {
        let base = anabranch_core::Config::default();
        self.section("core");
        self.unless("rebroadcast_interval", &time(core.rebroadcast_interval), &time(base.rebroadcast_interval));
        let percent = core.rebroadcast_jitter_percent.to_string();
        self.unless("rebroadcast_jitter_percent", &percent, &base.rebroadcast_jitter_percent.to_string());
        self.unless("fetch_timeout", &time(core.fetch_timeout), &time(base.fetch_timeout));
        self.unless(
            "fetch_timeout_ticks",
            &core.fetch_timeout_ticks.to_string(),
            &base.fetch_timeout_ticks.to_string(),
        );
        self.unless("fetches_max", &core.fetches_max.to_string(), &base.fetches_max.to_string());
        let per_peer = core.fetches_per_peer_max.to_string();
        self.unless("fetches_per_peer_max", &per_peer, &base.fetches_per_peer_max.to_string());
        let rumours = core.rumours_per_peer_max.to_string();
        self.unless("rumours_per_peer_max", &rumours, &base.rumours_per_peer_max.to_string());
        self.unless("pending_bytes_max", &core.pending_bytes_max.to_string(), &base.pending_bytes_max.to_string());
        if let anabranch_core::WhenBehind::Wait(wait) = core.when_behind {
            self.field("write_wait", &time(wait));
        }
        self.unless("step_bytes_max", &core.step_bytes_max.to_string(), &base.step_bytes_max.to_string());
    }

    fn fault(&mut self, at: Duration, fault: &Fault, names: &Names<'_>) {
        match fault {
            Fault::Partition(partition) => self.partition(at, partition, names),
            Fault::Crash(Crash { replica, down, disk }) => {
                self.strikes("crash", at, None, Some(*replica), names);
                // A crash that takes no time is drawn now and then, and no file may ask for one.
                self.field("down", &time((*down).max(Duration::from_nanos(1))));
                match disk {
                    DiskFate::Stays => {}
                    DiskFate::Wiped => self.field("wipe_disk", "true"),
                    DiskFate::Older => self.field("older_format", "true"),
                    DiskFate::RolledBack(to) => self.field("restore", &time(*to)),
                }
            }
            // Written with the replicas.
            Fault::Join { replica: _ } => {}
            Fault::Leave(Leave { replica, clean, returns }) => {
                self.strikes("leave", at, None, Some(*replica), names);
                self.unless("clean", &clean.to_string(), "false");
                self.some("returns", returns.map(time));
            }
            Fault::Skew(Skew { replica, speed, late, until }) => {
                self.strikes("skew", at, Some(*until), Some(*replica), names);
                self.unless("speed", &float(*speed), "1.0");
                self.unless("late", &time(*late), &time(Duration::ZERO));
            }
            Fault::Clog(Clog { from, to, until }) => {
                self.strikes("clog", at, Some(*until), None, names);
                self.unless("from", &names.list(from), "[]");
                self.unless("to", &names.list(to), "[]");
            }
            Fault::Burst(Burst { from, to, until, drop, corrupt, delay }) => {
                self.strikes("burst", at, Some(*until), None, names);
                self.unless("from", &names.list(from), "[]");
                self.unless("to", &names.list(to), "[]");
                self.unless("drop", &float(*drop), "0.0");
                self.unless("corrupt", &float(*corrupt), "0.0");
                self.unless("delay", &time(*delay), &time(Duration::ZERO));
            }
            Fault::Pause(Pause { replica, until }) => self.strikes("pause", at, Some(*until), Some(*replica), names),
            Fault::Jump(Jump { replica, by, back }) => {
                self.strikes("jump", at, None, Some(*replica), names);
                self.field("by", &time(*by));
                self.unless("back", &back.to_string(), "false");
            }
            Fault::Disk(DiskHarm { replica, harm, until }) => {
                self.strikes("disk_fault", at, Some(*until), Some(*replica), names);
                self.field("harm", &named(harm));
            }
            Fault::PowerCut(PowerCut { replica, write }) => {
                self.strikes("power_cut", at, None, Some(*replica), names);
                self.field("write", &write.to_string());
            }
            Fault::Operator(Operator { replica, act }) => {
                self.strikes("operator", at, None, Some(*replica), names);
                self.field("act", &text(&act.kind().to_string()));
                if let OperatorAct::Purge(dag) = act {
                    self.field("dag", &text(dag));
                }
            }
        }
    }

    /// What most faults have.
    fn strikes(
        &mut self,
        table: &str,
        at: Duration,
        until: Option<Duration>,
        replica: Option<Party>,
        names: &Names<'_>,
    ) {
        self.entry(table);
        self.field("at", &time(at));
        self.some("until", until.map(time));
        self.some("replica", replica.map(|replica| text(names.of(replica))));
    }

    fn partition(&mut self, at: Duration, partition: &Partition, names: &Names<'_>) {
        let Partition { groups, ring, shape, flap, one_way, mode, until } = partition;
        self.strikes("partition", at, Some(*until), None, names);
        match (shape, ring, &groups[..]) {
            (Some(shape), ..) => self.field("shape", &named(shape)),
            (None, true, [Group { name: _, members }, ..]) => self.field("ring", &names.list(members)),
            _ => {
                let members =
                    groups.iter().map(|Group { name, members }| format!("{} = {}", text(name), names.list(members)));
                self.field("groups", &format!("{{ {} }}", members.collect::<Vec<_>>().join(", ")));
            }
        }
        self.some("flap", flap.map(time));
        let name = |index: usize| text(&groups[index].name);
        let way = one_way.map(|(from, to)| format!("{{ from = {}, to = {} }}", name(from), name(to)));
        self.some("one_way", way);
        self.some("mode", (*mode == PartitionMode::Hold).then(|| text("hold")));
    }

    fn expect(&mut self, expect: &Expectation) {
        let Expectation { outcome, oracle, trace, seed } = expect;
        self.section("expect");
        let name = |outcome: &ExpectedOutcome| match outcome {
            ExpectedOutcome::Passed => "passed",
            ExpectedOutcome::BrokenInvariant => "broken-invariant",
            ExpectedOutcome::NotConverged => "not-converged",
            ExpectedOutcome::InertFaults => "inert-faults",
        };
        self.unless("outcome", &text(name(outcome)), &text("passed"));
        self.some("oracle", oracle.map(|oracle| text(&oracle.to_string())));
        self.some("seed", seed.map(|seed| seed.to_string()));
        self.some("trace", trace.as_deref().map(text));
    }
}

/// Text in quotes.
pub(super) fn text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A value whose names are those of its variants.
fn named(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(text)).unwrap_or_default()
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// A number that is read as a float.
fn float(value: f64) -> String {
    format!("{value:?}")
}

/// A time, to the nanosecond, in quotes.
pub(super) fn time(time: Duration) -> String {
    let ns = time.as_nanos();
    let (unit, digits, name) = match ns {
        0 => return text("0s"),
        1..1_000 => (1, 0, "ns"),
        1_000..1_000_000 => (1_000, 3, "us"),
        1_000_000..1_000_000_000 => (1_000_000, 6, "ms"),
        _ => (1_000_000_000, 9, "s"),
    };
    let fraction = format!("{:0digits$}", ns % unit);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() || digits == 0 { "" } else { "." };
    let fraction = if digits == 0 { "" } else { fraction };
    text(&format!("{}{point}{fraction}{name}", ns / unit))
}

fn times((least, most): (Duration, Duration)) -> String {
    format!("[{}, {}]", time(least), time(most))
}

/// Which replicas are there from the start is said by `replicas`, and when the others come by `[[join]]`.
const _: fn(&Replica) = |Replica { name: _, joins_at: _ }| {};

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[track_caller]
    fn round_trip(text: &str, name: &str) {
        let scenario = Scenario::parse(text, name).unwrap_or_else(|error| panic!("{error}"));
        let written = scenario.to_toml();
        let mut again = Scenario::parse(&written, name).unwrap_or_else(|error| panic!("{error}\n{written}"));
        assert!((again.workload.rate - scenario.workload.rate).abs() < 1e-6, "{written}");
        again.workload.rate = scenario.workload.rate;
        assert_eq!(again, scenario, "{written}");
    }

    #[test]
    fn a_written_scenario_is_the_same() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
        let mut files = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                round_trip(&std::fs::read_to_string(&path).unwrap(), path.to_str().unwrap());
                files += 1;
            }
        }
        assert!(files >= 10, "{files} scenarios");
        let docs = include_str!("../../../docs/scenarios.md");
        docs.split("```toml\n").skip(1).for_each(|rest| round_trip(rest.split("```").next().unwrap(), "example.toml"));
    }

    #[test]
    fn what_no_bundled_scenario_says_is_written_too() {
        round_trip(
            "name = \"a \\\"b\\\"\"\nreplicas = 3\noperations = 7\nconvergence_budget = \"1.5s\"\n\
             [workload]\nrate = 3.3\nskew = 0.5\nvalue_bytes = [5, 9]\nvalue_shared = 3\n[[link]]\nfrom = [\"r0\"]\nreorder_delay = [\"1ms\", \"2ms\"]\n\
             [disk]\nsync_delay = \"1us\"\nstep_delay = \"2ms\"\ncache = 65536\n[core]\nrebroadcast_jitter_percent = 7\nfetch_timeout_ticks = 9\nfetches_max = 3\n\
             fetches_per_peer_max = 2\nrumours_per_peer_max = 4\nstep_bytes_max = 5\nwrite_wait = \"3s\"\n[[skew]]\nat = \"1s\"\nreplica = \"r1\"\nlate = \"3ms\"\n\
             [[suspend]]\noracle = \"convergence\"\nreplicas = [\"r1\"]\nfrom = \"1s\"\nuntil = \"2s\"\nwhy = \"it is \\\\ so\"\n\
             [[hostile]]\nname = \"m\"\nacts = [\"odd-keys\"]\nevery = \"1s\"\nfrom = \"100ms\"\nuntil = \"1100ms\"\n\
             [expect]\noutcome = \"broken-invariant\"\noracle = \"known-blocks\"\nseed = 3",
            "rest.toml",
        );
    }

    #[test]
    fn times_are_exact() {
        for (ns, expected) in [
            (0, "0s"),
            (7, "7ns"),
            (1_000, "1us"),
            (12_500_001, "12.500001ms"),
            (1_000_000_000, "1s"),
            (61_000_000_010, "61.00000001s"),
        ] {
            assert_eq!(time(Duration::from_nanos(ns)), format!("\"{expected}\""));
        }
    }
}
