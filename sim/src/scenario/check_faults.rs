//! Faults out of a scenario file: when they begin and end, and whom they strike.

use super::{
    Engine, Party, ScenarioError,
    check::{At, End, Names},
    faults::{
        Burst, Churn, Clog, Crash, DiskFate, DiskHarm, Fault, Group, Hostile, HostileAct, Jump, Leave, Operator,
        OperatorAct, Partition, Pause, PowerCut, Shape, Skew, TimedFault,
    },
    raw,
    values::TIME_MAX,
};
use std::{collections::BTreeMap, time::Duration};

pub(super) fn faults(end: &End<'_>, raw: &raw::Scenario, names: &Names<'_>) -> Result<Vec<TimedFault>, ScenarioError> {
    let mut faults = Vec::new();
    for partition in &raw.partition {
        faults.push(self::partition(end, partition, names)?);
    }
    for raw::Crash { at, replica, down, wipe_disk, restore, older_format } in &raw.crash {
        if *older_format && (*wipe_disk || restore.is_some()) {
            let what = "`older_format` beside `wipe_disk` or `restore`, expected one of them: the disk has what was synced, in format 1";
            return Err(end.at.error(at.span(), what));
        }
        let disk = match restore {
            Some(backup) if *wipe_disk => {
                let what =
                    "`restore` beside `wipe_disk`, expected one of them: the disk is empty, or as it was at a time";
                return Err(end.at.error(backup.span(), what));
            }
            Some(backup) if backup.get_ref().0 >= at.get_ref().0 => {
                let what =
                    "a backup from after the crash, expected a time before it; times count from the start of the run";
                return Err(end.at.error(backup.span(), what));
            }
            Some(backup) => DiskFate::RolledBack(backup.get_ref().0),
            None if *wipe_disk => DiskFate::Wiped,
            None if *older_format => DiskFate::Older,
            None => DiskFate::Stays,
        };
        let crash = Crash { replica: names.replica(replica)?, down: end.at.positive("down", down)?, disk };
        faults.push(TimedFault { at: end.begins(at)?, fault: Fault::Crash(crash) });
    }
    for raw::Join { at, replica } in &raw.join {
        faults.push(TimedFault { at: end.begins(at)?, fault: Fault::Join { replica: names.replica(replica)? } });
    }
    for raw::Leave { at, replica, clean, returns } in &raw.leave {
        let begins = end.begins(at)?;
        let returns = returns.as_ref().map(|time| end.ends(begins, Some(time))).transpose()?;
        let leave = Leave { replica: names.replica(replica)?, clean: *clean, returns };
        faults.push(TimedFault { at: begins, fault: Fault::Leave(leave) });
    }
    for skew in &raw.skew {
        let begins = end.begins(&skew.at)?;
        let speed = skew.speed.as_ref().map_or(Ok(1.0), |speed| end.at.within("speed", speed, 0.01, 100.0))?;
        let late = skew.late.map_or(Duration::ZERO, |late| late.0);
        let fault =
            Skew { replica: names.replica(&skew.replica)?, speed, late, until: end.ends(begins, skew.until.as_ref())? };
        faults.push(TimedFault { at: begins, fault: Fault::Skew(fault) });
    }
    others(end, raw, names, &mut faults)?;
    faults.sort_by_key(|fault| fault.at);
    presence(end.at, raw, names, &faults)?;
    Ok(faults)
}

/// Faults of links, of processes that stand still, of clocks that jump, and of disks.
fn others(
    end: &End<'_>,
    raw: &raw::Scenario,
    names: &Names<'_>,
    faults: &mut Vec<TimedFault>,
) -> Result<(), ScenarioError> {
    for clog in &raw.clog {
        let at = end.begins(&clog.at)?;
        let (from, to) = (names.parties(&clog.from)?, names.parties(&clog.to)?);
        let until = end.ends(at, clog.until.as_ref())?;
        faults.push(TimedFault { at, fault: Fault::Clog(Clog { from, to, until }) });
    }
    for burst in &raw.burst {
        let at = end.begins(&burst.at)?;
        let (from, to) = (names.parties(&burst.from)?, names.parties(&burst.to)?);
        let until = end.ends(at, burst.until.as_ref())?;
        let drop = burst.drop.map_or(0.0, |probability| probability.0);
        let corrupt = burst.corrupt.map_or(0.0, |probability| probability.0);
        let delay = burst.delay.map_or(Duration::ZERO, |delay| delay.0);
        if drop == 0.0 && corrupt == 0.0 && delay.is_zero() {
            let what = "a burst of nothing, expected `drop`, `corrupt` or `delay`, such as drop = 0.8";
            return Err(end.at.error(burst.at.span(), what));
        }
        faults.push(TimedFault { at, fault: Fault::Burst(Burst { from, to, until, drop, corrupt, delay }) });
    }
    for pause in &raw.pause {
        let at = end.begins(&pause.at)?;
        let pause = Pause { replica: names.replica(&pause.replica)?, until: end.ends(at, pause.until.as_ref())? };
        faults.push(TimedFault { at, fault: Fault::Pause(pause) });
    }
    for jump in &raw.jump {
        let at = end.begins(&jump.at)?;
        let by = end.at.positive("by", &jump.by)?;
        let jump = Jump { replica: names.replica(&jump.replica)?, by, back: jump.back };
        faults.push(TimedFault { at, fault: Fault::Jump(jump) });
    }
    for cut in &raw.power_cut {
        let at = end.begins(&cut.at)?;
        if raw.disk.engine == Engine::Memory {
            let what = "a power cut at a write under the engine in memory, expected `engine = \"redb\"` in [disk]";
            return Err(end.at.error(cut.write.span(), what));
        }
        let cut = PowerCut { replica: names.replica(&cut.replica)?, write: *cut.write.get_ref() };
        faults.push(TimedFault { at, fault: Fault::PowerCut(cut) });
    }
    for fault in &raw.disk_fault {
        let at = end.begins(&fault.at)?;
        let harm = *fault.harm.get_ref();
        if harm.needs_a_disk() && raw.disk.engine == Engine::Memory {
            let what = "a disk that does harm under the engine in memory, expected `engine = \"redb\"` in [disk]";
            return Err(end.at.error(fault.harm.span(), what));
        }
        let until = end.ends(at, fault.until.as_ref())?;
        let fault = DiskHarm { replica: names.replica(&fault.replica)?, harm, until };
        faults.push(TimedFault { at, fault: Fault::Disk(fault) });
    }
    for raw in &raw.operator {
        faults.push(TimedFault { at: end.begins(&raw.at)?, fault: Fault::Operator(operator(end, raw, names)?) });
    }
    Ok(())
}

fn operator(end: &End<'_>, raw: &raw::Operator, names: &Names<'_>) -> Result<Operator, ScenarioError> {
    let act = match (raw.act.get_ref(), &raw.dag) {
        (raw::OperatorAct::Purge, Some(dag)) => OperatorAct::Purge(dag.get_ref().clone()),
        (raw::OperatorAct::Purge, None) => {
            let what = "a purge of nothing, expected `dag`, such as dag = \"pins\"; the main DAG is \"\"";
            return Err(end.at.error(raw.act.span(), what));
        }
        (_, Some(dag)) => {
            let what = "`dag` with another act than a purge, expected no `dag`: the act is about the whole replica";
            return Err(end.at.error(dag.span(), what));
        }
        (raw::OperatorAct::Verify, None) => OperatorAct::Verify,
        (raw::OperatorAct::Rebuild, None) => OperatorAct::Rebuild,
        (raw::OperatorAct::Abandon, None) => OperatorAct::Abandon,
        (raw::OperatorAct::Recover, None) => OperatorAct::Recover,
        (raw::OperatorAct::Import, None) => OperatorAct::Import,
    };
    Ok(Operator { replica: names.replica(&raw.replica)?, act })
}

pub(super) fn swizzles(end: &End<'_>, raw: &[raw::Swizzle]) -> Result<Vec<(Duration, Duration)>, ScenarioError> {
    let window = |raw: &raw::Swizzle| {
        let at = end.begins(&raw.at)?;
        Ok((at, end.ends(at, raw.until.as_ref())?))
    };
    raw.iter().map(window).collect()
}

fn partition(end: &End<'_>, raw: &raw::Partition, names: &Names<'_>) -> Result<TimedFault, ScenarioError> {
    let at = end.begins(&raw.at)?;
    let until = end.ends(at, raw.until.as_ref())?;
    let flap = raw.flap.as_ref().map(|time| end.at.positive("flap", time)).transpose()?;
    let whole = |groups, ring, shape, one_way| {
        let partition = Partition { groups, ring, shape, flap, one_way, mode: raw.mode, until };
        Ok(TimedFault { at, fault: Fault::Partition(partition) })
    };
    let both_ways = |found: &str| match &raw.one_way {
        Some(way) => Err(end.at.error(way.from.span(), format!("`one_way` with {found}, expected it with `groups`"))),
        None => Ok(()),
    };
    match (&raw.groups, &raw.ring, &raw.shape) {
        (Some(given), None, None) => {
            let (groups, one_way) = groups(end, raw, given, names)?;
            whole(groups, false, None, one_way)
        }
        (None, Some(ring), None) => {
            both_ways("`ring`")?;
            let members = names.parties(ring.get_ref())?;
            if members.len() < 4 {
                let what = format!("a ring of {}, expected at least four: fewer all reach each other", members.len());
                return Err(end.at.error(ring.span(), what));
            }
            whole(vec![Group { name: String::from("ring"), members }], true, None, None)
        }
        (None, None, Some(shape)) => {
            both_ways("`shape`")?;
            let least = match shape.get_ref() {
                Shape::Random | Shape::Majority => 2,
                Shape::Bridge => 3,
                Shape::Ring => 4,
            };
            if names.count() < least {
                let what = format!("{} parties, expected at least {least} for this shape", names.count());
                return Err(end.at.error(shape.span(), what));
            }
            whole(Vec::new(), false, Some(*shape.get_ref()), None)
        }
        _ => {
            let what = "expected exactly one of `groups`, `ring` and `shape`, such as shape = \"random\"";
            Err(end.at.error(raw.at.span(), what))
        }
    }
}

type Groups = (Vec<Group>, Option<(usize, usize)>);

fn groups(
    end: &End<'_>,
    raw: &raw::Partition,
    given: &toml::Spanned<BTreeMap<String, Vec<raw::Name>>>,
    names: &Names<'_>,
) -> Result<Groups, ScenarioError> {
    let groups = given.get_ref();
    if groups.len() < 2 {
        let what =
            format!("{} group, expected at least two: groups = {{ west = [\"r0\"], east = [\"r1\"] }}", groups.len());
        return Err(end.at.error(given.span(), what));
    }
    let mut seen = BTreeMap::new();
    for (group, members) in groups {
        for name in members {
            if let Some(other) = seen.insert(names.party(name)?, group) {
                let what = format!("`{}` is in `{other}` already, expected each in one group at most", name.get_ref());
                return Err(end.at.error(name.span(), what));
            }
        }
    }
    let index = |name: &raw::Name| {
        groups.keys().position(|group| group == name.get_ref()).ok_or_else(|| {
            let known: Vec<_> = groups.keys().map(|group| format!("`{group}`")).collect();
            end.at.error(name.span(), format!("no group `{}`, expected one of {}", name.get_ref(), known.join(", ")))
        })
    };
    let one_way = raw.one_way.as_ref().map(|way| Ok((index(&way.from)?, index(&way.to)?))).transpose()?;
    let groups =
        groups.iter().map(|(name, members)| Ok(Group { name: name.clone(), members: names.parties(members)? }));
    Ok((groups.collect::<Result<_, ScenarioError>>()?, one_way))
}

/// Whoever crashes or leaves must be there.
fn presence(at: &At<'_>, raw: &raw::Scenario, names: &Names<'_>, faults: &[TimedFault]) -> Result<(), ScenarioError> {
    let mut down_until: BTreeMap<Party, (Duration, &str)> = BTreeMap::new();
    for TimedFault { at: time, fault } in faults {
        let (replica, until, why) = match fault {
            Fault::Crash(Crash { replica, down, .. }) => (*replica, *time + *down, "is still down"),
            Fault::Leave(Leave { replica, returns, .. }) => (*replica, returns.unwrap_or(TIME_MAX), "has left"),
            _ => continue,
        };
        let of = |name: &raw::Name| names.party(name).ok() == Some(replica);
        let span = (raw.crash.iter().map(|crash| (&crash.at, &crash.replica)))
            .chain(raw.leave.iter().map(|leave| (&leave.at, &leave.replica)))
            .find(|(begins, name)| begins.get_ref().0 == *time && of(name))
            .map_or(0..0, |(_, name)| name.span());
        if let Some(join) = raw.join.iter().find(|join| of(&join.replica) && join.at.get_ref().0 >= *time) {
            let what = format!(
                "`{}` has not joined at {time:?}, expected a time after {:?}",
                join.replica.get_ref(),
                join.at.get_ref().0
            );
            return Err(at.error(span, what));
        }
        if let Some((gone_until, why)) = down_until.get(&replica).filter(|(gone_until, _)| gone_until > time) {
            let back = if *gone_until < TIME_MAX { format!("; it is back at {gone_until:?}") } else { String::new() };
            return Err(at.error(span, format!("the replica {why} at {time:?}, expected one that is there{back}")));
        }
        down_until.insert(replica, (until, why));
    }
    Ok(())
}

pub(super) fn churn(end: &End<'_>, raw: Option<&raw::Churn>) -> Result<Option<Churn>, ScenarioError> {
    let Some(raw) = raw else { return Ok(None) };
    let crash_every = end.at.positive("crash_every", &raw.crash_every)?;
    if crash_every > end.duration {
        let what = format!("no crash fits, expected at most {:?}, the length of the first phase", end.duration);
        return Err(end.at.error(raw.crash_every.span(), what));
    }
    Ok(Some(Churn { crash_every, down: (raw.down.0.0, raw.down.1.0), rolling: raw.rolling }))
}

pub(super) fn hostile(end: &End<'_>, raw: &[raw::Hostile]) -> Result<Vec<Hostile>, ScenarioError> {
    let one = |raw: &raw::Hostile| {
        if raw.acts.get_ref().is_empty() {
            return Err(end
                .at
                .error(raw.acts.span(), "a hostile peer without acts, expected some, such as [\"forged-priority\"]"));
        }
        if raw.acts.get_ref().len() > 1 && raw.acts.get_ref().contains(&HostileAct::GoLike) {
            let what =
                "`go-like` among other acts, expected it alone: a peer that behaves as go-ds-crdt does only that";
            return Err(end.at.error(raw.acts.span(), what));
        }
        let from = raw.from.as_ref().map_or(Ok(Duration::ZERO), |from| end.begins(from))?;
        let until = raw.until.as_ref().map(|until| end.ends(from, Some(until))).transpose()?;
        let every = end.at.positive("every", &raw.every)?;
        Ok(Hostile { name: raw.name.get_ref().clone(), acts: raw.acts.get_ref().clone(), every, from, until })
    };
    raw.iter().map(one).collect()
}
