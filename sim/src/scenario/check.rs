//! From a file to a scenario: names resolved, values checked against each other.

use super::{
    Disk, Expectation, Family, Link, LinkOverride, Mix, Party, Replica, Scenario, ScenarioError, Swarm, Workload,
    check_faults::{churn, faults, hostile, swizzles},
    error::nearest,
    faults::Suspension,
    raw,
    values::{CountOrNames, Range as Span, TIME_MAX, Time},
};
use std::{collections::BTreeMap, ops::Range, time::Duration};
use toml::Spanned;

const REPLICAS_MAX: usize = 1000;
const OPERATIONS_MAX: u64 = 100_000_000;
const KEYS_MAX: u64 = 10_000_000;
const VALUE_BYTES_MAX: u32 = 1 << 20;
const BATCH_WRITES_MAX: u32 = 10_000;
pub(super) const DEFAULT_RATE: f64 = 10.0;

pub(super) fn scenario(text: &str, file: &str) -> Result<Scenario, ScenarioError> {
    let raw: raw::Scenario = toml::from_str(text).map_err(|error| ScenarioError::from_toml(file, text, &error))?;
    let at = At { file, text };
    let replicas = replicas(&at, &raw)?;
    let names = Names::new(&at, &replicas, &raw.hostile)?;
    let (duration, operations, rate) = length(&at, &raw)?;
    let end = End { at: &at, duration };
    let core = core(&at, &raw.core)?;
    let network = raw.network.over(&Link::DEFAULT);
    let stem = std::path::Path::new(file)
        .file_stem()
        .map_or_else(|| file.to_owned(), |stem| stem.to_string_lossy().into_owned());
    let scenario = Scenario {
        name: raw.name.as_ref().map_or(stem, |name| name.get_ref().clone()),
        description: raw.description.trim().to_owned(),
        duration,
        workload: workload(&at, &raw.workload, &names, operations, rate)?,
        links: links(&raw.link, &names, &network)?,
        network,
        disk: disk(&at, &raw.disk)?,
        faults: faults(&end, &raw, &names)?,
        churn: churn(&end, raw.churn.as_ref())?,
        swizzles: swizzles(&end, &raw.swizzle)?,
        swarm: raw.swarm.as_ref().map(swarm),
        hostile: hostile(&end, &raw.hostile)?,
        frozen: frozen(&at, &names, &raw.frozen)?,
        convergence_budget: budget(&at, raw.convergence_budget.as_ref(), &core)?,
        core,
        suspended: raw.suspend.iter().map(|suspend| suspension(&names, suspend)).collect::<Result<_, _>>()?,
        expect: expectation(&at, raw.expect)?,
        may_be_inert: raw.explicit.as_ref().is_some_and(|raw| raw.may_be_inert),
        explicit: raw.explicit.map(|raw| super::explicit::check(&at, raw, &names)).transpose()?,
        replicas,
    };
    Ok(scenario)
}

pub(super) const DEFAULT_SYNC_DELAY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(10));
/// As stores on real disks have it.
pub(super) const DEFAULT_CACHE: u64 = 256 << 20;
pub(crate) const DEFAULT_STEP_DELAY: Duration = Duration::from_micros(1);

fn disk(at: &At<'_>, raw: &raw::Disk) -> Result<Disk, ScenarioError> {
    let step_delay = raw.step_delay.as_ref().map(|delay| at.positive("step_delay", delay)).transpose()?;
    Ok(Disk {
        sync_delay: raw::times(raw.sync_delay, DEFAULT_SYNC_DELAY),
        step_delay: step_delay.unwrap_or(DEFAULT_STEP_DELAY),
        engine: raw.engine,
        cache: raw.cache.unwrap_or(DEFAULT_CACHE),
    })
}

/// Where errors are.
pub(super) struct At<'a> {
    file: &'a str,
    text: &'a str,
}

impl At<'_> {
    pub(super) fn error(&self, span: Range<usize>, what: impl Into<String>) -> ScenarioError {
        ScenarioError::new(self.file, self.text, span, what)
    }

    /// A value within limits, both included.
    pub(super) fn within<T: PartialOrd + Copy + std::fmt::Display>(
        &self,
        name: &str,
        value: &Spanned<T>,
        least: T,
        most: T,
    ) -> Result<T, ScenarioError> {
        let inner = *value.get_ref();
        if inner >= least && inner <= most {
            return Ok(inner);
        }
        Err(self.error(value.span(), format!("`{name}` is {inner}, expected {least} to {most}")))
    }

    pub(super) fn positive(&self, name: &str, time: &Spanned<Time>) -> Result<Duration, ScenarioError> {
        match time.get_ref().0 {
            Duration::ZERO => {
                Err(self.error(time.span(), format!("`{name}` is 0, expected a longer time, such as \"1s\"")))
            }
            time => Ok(time),
        }
    }
}

/// The names of replicas and hostile peers.
pub(super) struct Names<'a> {
    at: &'a At<'a>,
    numbers: BTreeMap<String, Party>,
    replicas: usize,
}

impl<'a> Names<'a> {
    fn new(at: &'a At<'a>, replicas: &[Replica], hostile: &[raw::Hostile]) -> Result<Self, ScenarioError> {
        let mut numbers: BTreeMap<String, Party> =
            replicas.iter().zip(0..).map(|(replica, number)| (replica.name.clone(), Party(number))).collect();
        for peer in hostile {
            let number = u16::try_from(numbers.len()).unwrap_or(u16::MAX);
            if numbers.insert(peer.name.get_ref().clone(), Party(number)).is_some() {
                return Err(at.error(
                    peer.name.span(),
                    format!("the name `{}` is taken, expected another", peer.name.get_ref()),
                ));
            }
        }
        Ok(Self { at, numbers, replicas: replicas.len() })
    }

    /// A replica or a hostile peer.
    pub(super) fn party(&self, name: &raw::Name) -> Result<Party, ScenarioError> {
        self.party_at(name.get_ref(), name.span())
    }

    pub(super) fn party_at(&self, text: &str, span: Range<usize>) -> Result<Party, ScenarioError> {
        self.numbers.get(text).copied().ok_or_else(|| {
            let hint = match nearest(text, self.numbers.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", self.list()),
            };
            self.at.error(span, format!("no replica `{text}`, expected the name of one; {hint}"))
        })
    }

    pub(super) fn replica(&self, name: &raw::Name) -> Result<Party, ScenarioError> {
        let party = self.party(name)?;
        if party.index() < self.replicas {
            return Ok(party);
        }
        Err(self.at.error(name.span(), format!("`{}` is a hostile peer, expected a replica", name.get_ref())))
    }

    pub(super) fn parties(&self, names: &[raw::Name]) -> Result<Vec<Party>, ScenarioError> {
        names.iter().map(|name| self.party(name)).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.numbers.len()
    }

    fn list(&self) -> String {
        const SHOWN: usize = 8;
        let shown: Vec<_> = self.numbers.keys().take(SHOWN).map(|name| format!("`{name}`")).collect();
        let more = if self.numbers.len() > SHOWN { ", …" } else { "" };
        shown.join(", ") + more
    }
}

/// The end of the first phase, which faults must not pass.
pub(super) struct End<'a> {
    pub(super) at: &'a At<'a>,
    pub(super) duration: Duration,
}

impl End<'_> {
    pub(super) fn begins(&self, time: &Spanned<Time>) -> Result<Duration, ScenarioError> {
        let begins = time.get_ref().0;
        if begins < self.duration {
            return Ok(begins);
        }
        let what = format!(
            "{begins:?} is past the end of the first phase, expected a time before {:?}; make `duration` longer",
            self.duration
        );
        Err(self.at.error(time.span(), what))
    }

    /// When something that began ends: at the end of the phase unless the file says otherwise.
    pub(super) fn ends(&self, begins: Duration, until: Option<&Spanned<Time>>) -> Result<Duration, ScenarioError> {
        let Some(until) = until else { return Ok(self.duration) };
        let ends = until.get_ref().0;
        if ends > self.duration {
            let what = format!(
                "{ends:?} is past the end of the first phase, expected at most {:?}; make `duration` longer",
                self.duration
            );
            return Err(self.at.error(until.span(), what));
        }
        if ends <= begins {
            let what = format!(
                "ends at {ends:?} and begins at {begins:?}, expected an end after the beginning; times count from the start of the run"
            );
            return Err(self.at.error(until.span(), what));
        }
        Ok(ends)
    }
}

fn replicas(at: &At<'_>, raw: &raw::Scenario) -> Result<Vec<Replica>, ScenarioError> {
    let names = match raw.replicas.get_ref() {
        CountOrNames::Count(count) => (0..*count).map(|number| format!("r{number}")).collect(),
        CountOrNames::Names(names) => names.clone(),
    };
    if names.is_empty() || names.len() + raw.join.len() + raw.hostile.len() > REPLICAS_MAX {
        return Err(at.error(raw.replicas.span(), format!("{} replicas, expected 1 to {REPLICAS_MAX}", names.len())));
    }
    let mut replicas: Vec<Replica> = Vec::with_capacity(names.len());
    let mut add = |name: &str, joins_at: Option<Duration>, span: Range<usize>| {
        if name.is_empty() || name.chars().any(char::is_whitespace) {
            return Err(at.error(span, format!("`{name}` is no name for a replica, expected text without spaces")));
        }
        if replicas.iter().any(|replica| replica.name == name) {
            return Err(at.error(span, format!("the name `{name}` is taken, expected another")));
        }
        replicas.push(Replica { name: name.to_owned(), joins_at });
        Ok(())
    };
    for name in &names {
        add(name, None, raw.replicas.span())?;
    }
    for join in &raw.join {
        add(join.replica.get_ref(), Some(join.at.get_ref().0), join.replica.span())?;
    }
    Ok(replicas)
}

/// The length of the first phase, how many operations it has, and at what rate.
fn length(at: &At<'_>, raw: &raw::Scenario) -> Result<(Duration, u64, f64), ScenarioError> {
    let rate = raw.workload.rate.as_ref().map(|rate| at.within("rate", rate, 0.0, 1e6)).transpose()?;
    let operations =
        raw.operations.as_ref().map(|count| at.within("operations", count, 0, OPERATIONS_MAX)).transpose()?;
    let duration = raw.duration.as_ref().map(|time| at.positive("duration", time)).transpose()?;
    let whole = |seconds: f64| {
        if seconds.is_finite() && seconds > 0.0 { Duration::try_from_secs_f64(seconds).ok() } else { None }
    };
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    // Counts are far below 2^52.
    let (duration, operations, rate) = match (duration, operations) {
        (Some(duration), Some(operations)) => {
            if let Some(rate) = &raw.workload.rate {
                let what = "`rate` beside `duration` and `operations`, expected two of the three; leave one out";
                return Err(at.error(rate.span(), what));
            }
            (duration, operations, operations as f64 / duration.as_secs_f64())
        }
        (Some(duration), None) => {
            let rate = rate.unwrap_or(DEFAULT_RATE);
            (duration, (rate * duration.as_secs_f64()) as u64, rate)
        }
        (None, Some(operations)) => {
            let rate = rate.unwrap_or(DEFAULT_RATE);
            let span = raw.operations.as_ref().map_or(0..0, Spanned::span);
            let duration = whole(operations as f64 / rate).filter(|time| *time <= TIME_MAX);
            let what = "no time for these operations, expected some and a `rate` above 0; or give a `duration`";
            (duration.ok_or_else(|| at.error(span, what))?, operations, rate)
        }
        (None, None) => {
            return Err(at.error(
                raw.replicas.span(),
                "no `duration` and no `operations`, expected one of them; add `duration = \"60s\"` say",
            ));
        }
    };
    if operations > OPERATIONS_MAX {
        let what = format!("{operations} operations, expected at most {OPERATIONS_MAX}; lower `rate` or `duration`");
        return Err(at.error(raw.duration.as_ref().map_or(0..0, Spanned::span), what));
    }
    Ok((duration, operations, rate))
}

fn workload(
    at: &At<'_>,
    raw: &raw::Workload,
    names: &Names<'_>,
    operations: u64,
    rate: f64,
) -> Result<Workload, ScenarioError> {
    let mix = match &raw.mix {
        None => Mix { put: 80, delete: 15, batch: 5, get: 0 },
        Some(mix) => {
            let raw::Mix { put, delete, batch, get } = *mix.get_ref();
            if put.max(delete).max(batch).max(get) == 0 {
                return Err(
                    at.error(mix.span(), "a mix of nothing, expected at least one share above 0, such as { put = 1 }")
                );
            }
            if [put, delete, batch, get].iter().any(|share| *share > 1_000_000) {
                return Err(
                    at.error(mix.span(), "a share over 1000000, expected smaller numbers in the same proportion")
                );
            }
            Mix { put, delete, batch, get }
        }
    };
    let range = |name: &str, range: &Option<Spanned<Span<u32>>>, default, least: u32, most: u32| match range {
        None => Ok(default),
        Some(range) => {
            let Span(from, to) = *range.get_ref();
            let fits = from >= least && to <= most;
            fits.then_some((from, to)).ok_or_else(|| {
                at.error(range.span(), format!("`{name}` is {from} to {to}, expected {least} to {most}"))
            })
        }
    };
    let writers = match &raw.writers {
        None => (0..names.replicas).filter_map(|number| u16::try_from(number).ok().map(Party)).collect(),
        Some(writers) if writers.get_ref().is_empty() => {
            return Err(
                at.error(writers.span(), "no writers, expected at least one; for none at all set `operations = 0`")
            );
        }
        Some(writers) => writers.get_ref().iter().map(|name| names.replica(name)).collect::<Result<_, _>>()?,
    };
    let key_prefix = raw.key_prefix.as_ref().map_or("/key/", |prefix| prefix.get_ref());
    if key_prefix.len() > 1024 {
        let span = raw.key_prefix.as_ref().map_or(0..0, Spanned::span);
        return Err(at.error(span, format!("a key prefix of {} bytes, expected at most 1024", key_prefix.len())));
    }
    Ok(Workload {
        operations,
        rate,
        mix,
        keys: raw.keys.as_ref().map_or(Ok(100), |keys| at.within("keys", keys, 1, KEYS_MAX))?,
        skew: raw.skew.as_ref().map_or(Ok(0.0), |skew| at.within("skew", skew, 0.0, 4.0))?,
        key_prefix: key_prefix.to_owned(),
        value_bytes: range("value_bytes", &raw.value_bytes, (8, 64), 0, VALUE_BYTES_MAX)?,
        value_shared: raw
            .value_shared
            .as_ref()
            .map_or(Ok(0), |shared| at.within("value_shared", shared, 0, VALUE_BYTES_MAX))?,
        batch_writes: range("batch_writes", &raw.batch_writes, (2, 10), 1, BATCH_WRITES_MAX)?,
        dags: dags(at, raw.dags.as_ref())?,
        writers,
    })
}

fn dags(at: &At<'_>, raw: Option<&Spanned<Vec<raw::Name>>>) -> Result<Vec<String>, ScenarioError> {
    let Some(raw) = raw else { return Ok(vec![String::new()]) };
    if raw.get_ref().is_empty() {
        return Err(at.error(raw.span(), "no DAG names, expected at least one; the main DAG is \"\""));
    }
    let most = anabranch_core::limits::DAG_NAME_BYTES_MAX;
    if let Some(long) = raw.get_ref().iter().find(|name| name.get_ref().len() > most) {
        return Err(
            at.error(long.span(), format!("a DAG name of {} bytes, expected at most {most}", long.get_ref().len()))
        );
    }
    Ok(raw.get_ref().iter().map(|name| name.get_ref().clone()).collect())
}

/// Who does not heal: someone must be left.
fn frozen(at: &At<'_>, names: &Names<'_>, raw: &[raw::Name]) -> Result<Vec<Party>, ScenarioError> {
    let frozen = raw.iter().map(|name| names.replica(name)).collect::<Result<Vec<_>, _>>()?;
    match raw.last() {
        Some(last) if frozen.len() >= names.replicas => {
            Err(at.error(last.span(), "all replicas are frozen, expected one at least that is not"))
        }
        _ => Ok(frozen),
    }
}

fn swarm(raw: &raw::Swarm) -> Swarm {
    let off = raw.off.map_or(0.5, |probability| probability.0);
    Swarm { off, families: raw.families.clone().unwrap_or_else(|| Family::ALL.to_vec()) }
}

fn links(raw: &[raw::Link], names: &Names<'_>, network: &Link) -> Result<Vec<LinkOverride>, ScenarioError> {
    let one = |raw: &raw::Link| {
        Ok(LinkOverride { from: names.parties(&raw.from)?, to: names.parties(&raw.to)?, link: raw.over(network) })
    };
    raw.iter().map(one).collect()
}

fn core(at: &At<'_>, raw: &raw::Core) -> Result<anabranch_core::Config, ScenarioError> {
    use anabranch_core::WhenBehind;
    let mut config = anabranch_core::Config::default();
    let set = |to: &mut Duration, name: &str, time: &Option<Spanned<Time>>| {
        time.as_ref().map_or(Ok(()), |time| at.positive(name, time).map(|time| *to = time))
    };
    set(&mut config.rebroadcast_interval, "rebroadcast_interval", &raw.rebroadcast_interval)?;
    set(&mut config.fetch_timeout, "fetch_timeout", &raw.fetch_timeout)?;
    if let Some(percent) = &raw.rebroadcast_jitter_percent {
        config.rebroadcast_jitter_percent = at.within("rebroadcast_jitter_percent", percent, 0, 100)?;
    }
    if let Some(ticks) = &raw.fetch_timeout_ticks {
        config.fetch_timeout_ticks = at.within("fetch_timeout_ticks", ticks, 1, 100)?;
    }
    let count = |to: &mut usize, name: &str, value: &Option<Spanned<u32>>| {
        value.as_ref().map_or(Ok(()), |value| at.within(name, value, 1, 1 << 20).map(|value| *to = value as usize))
    };
    count(&mut config.fetches_max, "fetches_max", &raw.fetches_max)?;
    count(&mut config.fetches_per_peer_max, "fetches_per_peer_max", &raw.fetches_per_peer_max)?;
    count(&mut config.rumours_per_peer_max, "rumours_per_peer_max", &raw.rumours_per_peer_max)?;
    if let Some(bytes) = &raw.pending_bytes_max {
        config.pending_bytes_max = at.within("pending_bytes_max", bytes, 1024, 1 << 40)?;
    }
    if let Some(bytes) = &raw.step_bytes_max {
        config.step_bytes_max = at.within("step_bytes_max", bytes, 1, 1 << 40)?;
    }
    if let Some(wait) = raw.write_wait.filter(|wait| !wait.0.is_zero()) {
        config.when_behind = WhenBehind::Wait(wait.0);
    }
    Ok(config)
}

/// By default ten rebroadcast intervals and forty fetch timeouts: two of the longest pauses of a block that nobody served.
fn budget(at: &At<'_>, raw: Option<&Spanned<Time>>, core: &anabranch_core::Config) -> Result<Duration, ScenarioError> {
    let default = || core.rebroadcast_interval * 10 + core.fetch_timeout * 40;
    raw.map_or_else(|| Ok(default()), |time| at.positive("convergence_budget", time))
}

fn suspension(names: &Names<'_>, raw: &raw::Suspend) -> Result<Suspension, ScenarioError> {
    let replicas = raw.replicas.iter().map(|name| names.replica(name)).collect::<Result<_, _>>()?;
    let from = raw.from.map_or(Duration::ZERO, |from| from.0);
    Ok(Suspension { oracle: raw.oracle, replicas, from, until: raw.until.map(|until| until.0), why: raw.why.clone() })
}

fn expectation(at: &At<'_>, raw: raw::Expect) -> Result<Expectation, ScenarioError> {
    if let Some(trace) = &raw.trace {
        let hex = trace.get_ref();
        if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
            return Err(at.error(
                trace.span(),
                "no trace hash, expected 64 hex digits in lower case, as `anabranch run` prints them",
            ));
        }
        if raw.seed.is_none() {
            return Err(at.error(trace.span(), "a trace hash without a seed, expected `seed = N` beside it"));
        }
    }
    Ok(Expectation {
        outcome: raw.outcome,
        oracle: raw.oracle,
        trace: raw.trace.map(Spanned::into_inner),
        seed: raw.seed,
    })
}
