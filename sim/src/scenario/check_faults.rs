//! Faults out of a scenario file: when they begin and end, and whom they strike.

use super::{
    Party, ScenarioError,
    check::{At, End, Names},
    faults::{Churn, Crash, DiskFate, Fault, Group, Hostile, Partition, Skew, TimedFault},
    raw,
    values::TIME_MAX,
};
use std::{collections::BTreeMap, time::Duration};

pub(super) fn faults(end: &End<'_>, raw: &raw::Scenario, names: &Names<'_>) -> Result<Vec<TimedFault>, ScenarioError> {
    let mut faults = Vec::new();
    for partition in &raw.partition {
        faults.push(self::partition(end, partition, names)?);
    }
    for raw::Crash { at, replica, down, wipe_disk } in &raw.crash {
        let disk = if *wipe_disk { DiskFate::Wiped } else { DiskFate::Stays };
        let crash = Crash { replica: names.replica(replica)?, down: end.at.positive("down", down)?, disk };
        faults.push(TimedFault { at: end.begins(at)?, fault: Fault::Crash(crash) });
    }
    for raw::Join { at, replica } in &raw.join {
        faults.push(TimedFault { at: end.begins(at)?, fault: Fault::Join { replica: names.replica(replica)? } });
    }
    for raw::Leave { at, replica } in &raw.leave {
        faults.push(TimedFault { at: end.begins(at)?, fault: Fault::Leave { replica: names.replica(replica)? } });
    }
    for skew in &raw.skew {
        let begins = end.begins(&skew.at)?;
        let speed = skew.speed.as_ref().map_or(Ok(1.0), |speed| end.at.within("speed", speed, 0.01, 100.0))?;
        let late = skew.late.map_or(Duration::ZERO, |late| late.0);
        let fault =
            Skew { replica: names.replica(&skew.replica)?, speed, late, until: end.ends(begins, skew.until.as_ref())? };
        faults.push(TimedFault { at: begins, fault: Fault::Skew(fault) });
    }
    faults.sort_by_key(|fault| fault.at);
    presence(end.at, raw, names, &faults)?;
    Ok(faults)
}

fn partition(end: &End<'_>, raw: &raw::Partition, names: &Names<'_>) -> Result<TimedFault, ScenarioError> {
    let begins = end.begins(&raw.at)?;
    let groups = raw.groups.get_ref();
    if groups.len() < 2 {
        let what =
            format!("{} group, expected at least two: groups = {{ west = [\"r0\"], east = [\"r1\"] }}", groups.len());
        return Err(end.at.error(raw.groups.span(), what));
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
    let groups = groups.collect::<Result<_, ScenarioError>>()?;
    let until = end.ends(begins, raw.until.as_ref())?;
    Ok(TimedFault { at: begins, fault: Fault::Partition(Partition { groups, one_way, mode: raw.mode, until }) })
}

/// Whoever crashes or leaves must be there.
fn presence(at: &At<'_>, raw: &raw::Scenario, names: &Names<'_>, faults: &[TimedFault]) -> Result<(), ScenarioError> {
    let mut down_until: BTreeMap<Party, (Duration, &str)> = BTreeMap::new();
    for TimedFault { at: time, fault } in faults {
        let (replica, until, why) = match fault {
            Fault::Crash(Crash { replica, down, .. }) => (*replica, *time + *down, "is still down"),
            Fault::Leave { replica } => (*replica, TIME_MAX, "has left"),
            Fault::Partition(_) | Fault::Skew(_) | Fault::Join { .. } => continue,
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
        let from = raw.from.as_ref().map_or(Ok(Duration::ZERO), |from| end.begins(from))?;
        let until = raw.until.as_ref().map(|until| end.ends(from, Some(until))).transpose()?;
        let every = end.at.positive("every", &raw.every)?;
        Ok(Hostile { name: raw.name.get_ref().clone(), acts: raw.acts.get_ref().clone(), every, from, until })
    };
    raw.iter().map(one).collect()
}
