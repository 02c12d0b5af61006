//! The table `[explicit]`: lists that stand for a seed.

use super::{
    Party, ScenarioError,
    check::{At, Names},
    raw::Name,
    values::{self, Time},
    write::{self, Text},
};
use crate::{
    choices::{Choice, ChoiceKey},
    engine::{Cause, Fate, MessageKey, nanoseconds},
    explicit::Explicit,
    observe::Blob,
    outcome::{MessageKind, OperationKind},
    workload::{Action, Operation},
};
use anabranch_core::{Batch, DagName, Key};
use serde::Deserialize;
use std::{fmt::Write as _, sync::Arc, time::Duration};
use toml::Spanned;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    #[serde(default)]
    pub(super) may_be_inert: bool,
    #[serde(default)]
    operations: Vec<RawOperation>,
    #[serde(default)]
    deliveries: Vec<RawDelivery>,
    #[serde(default)]
    choices: Vec<RawChoice>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOperation {
    number: Spanned<u64>,
    at: Time,
    replica: Name,
    kind: OperationKind,
    #[serde(default)]
    dag: String,
    writes: Spanned<Vec<RawWrite>>,
}

/// A key and the value that it gets, or a key alone.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RawWrite {
    Put(String, Blob),
    Key([String; 1]),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDelivery {
    from: Name,
    to: Name,
    kind: MessageKind,
    cause: Spanned<String>,
    #[serde(default)]
    n: u32,
    after: Time,
    #[serde(default)]
    drop: bool,
    copy_after: Option<Time>,
    held_back: Option<Time>,
    flip: Option<u64>,
    cut: Option<u64>,
    astray: Option<u64>,
    replay_after: Option<Time>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawChoice {
    choice: Choice,
    party: Name,
    cause: Spanned<String>,
    #[serde(default)]
    n: u64,
    value: Spanned<RawValue>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RawValue {
    Number(u64),
    Text(String),
}

/// Names resolved, and each name once.
pub(super) fn check(at: &At<'_>, raw: Raw, names: &Names<'_>) -> Result<Explicit, ScenarioError> {
    let mut explicit = Explicit::default();
    let operations = Arc::make_mut(&mut explicit.operations);
    for raw in raw.operations {
        let span = raw.number.span();
        let operation = operation(at, raw, names)?;
        if let Some((last, before)) =
            operations.last_key_value().map(|(last, before): (&u64, &Operation)| (*last, before.at))
            && (last >= operation.index || before > operation.at)
        {
            let what = format!(
                "operation {} after {last}, expected numbers and times that grow from one to the next",
                operation.index
            );
            return Err(at.error(span, what));
        }
        operations.insert(operation.index, operation);
    }
    let deliveries = Arc::make_mut(&mut explicit.deliveries);
    for raw in raw.deliveries {
        let span = raw.cause.span();
        let (key, fate) = delivery(at, raw, names)?;
        if deliveries.insert(key, fate).is_some() {
            return Err(at.error(span, "a message that is listed already, expected each at most once"));
        }
    }
    let choices = Arc::make_mut(&mut explicit.choices);
    for raw in raw.choices {
        let span = raw.cause.span();
        let (key, value) = choice(at, raw, names)?;
        if choices.insert(key, value).is_some() {
            return Err(at.error(span, "a choice that is listed already, expected each at most once"));
        }
    }
    Ok(explicit)
}

fn operation(at: &At<'_>, raw: RawOperation, names: &Names<'_>) -> Result<Operation, ScenarioError> {
    let RawOperation { number, at: time, replica, kind, dag, writes } = raw;
    let (span, writes) = (writes.span(), writes.into_inner());
    let action = match (kind, &writes[..]) {
        (OperationKind::Get, [RawWrite::Key([key])]) => Action::Get(Key::new(key)),
        (OperationKind::Put, [RawWrite::Put(..)])
        | (OperationKind::Delete, [RawWrite::Key(_)])
        | (OperationKind::Batch, [_, ..]) => {
            let batch = writes.into_iter().fold(Batch::for_dag(DagName::new(dag)), |batch, write| match write {
                RawWrite::Put(key, value) => batch.put(key, value.0),
                RawWrite::Key([key]) => batch.delete(key),
            });
            Action::Write(kind, batch)
        }
        _ => {
            let what = format!(
                "no writes of a {kind}, expected [[key, hex]] for a put, [[key]] for a delete or a get, any number of both for a batch"
            );
            return Err(at.error(span, what));
        }
    };
    Ok(Operation { index: number.into_inner(), at: nanoseconds(time.0), replica: names.replica(&replica)?, action })
}

fn delivery(at: &At<'_>, raw: RawDelivery, names: &Names<'_>) -> Result<(MessageKey, Fate), ScenarioError> {
    let RawDelivery { from, to, kind, cause, n, after, drop, copy_after, held_back, flip, .. } = raw;
    let (cut, astray, replay) = (raw.cut, raw.astray, raw.replay_after);
    let cause = self::cause(at, &cause, names)?;
    let key = MessageKey { from: names.party(&from)?, to: names.party(&to)?, kind: kind as u8, cause, n };
    let time = |time: Option<Time>| time.map(|time| nanoseconds(time.0));
    let fate = Fate {
        latency: nanoseconds(after.0),
        drop,
        copy_latency: time(copy_after),
        held_back: time(held_back),
        flip,
        cut,
        astray,
        replay: time(replay),
    };
    Ok((key, fate))
}

fn choice(at: &At<'_>, raw: RawChoice, names: &Names<'_>) -> Result<(ChoiceKey, u64), ScenarioError> {
    let RawChoice { choice, party, cause, n, value } = raw;
    let cause = self::cause(at, &cause, names)?;
    let key = ChoiceKey { choice, party: names.party(&party)?, cause, n };
    let span = value.span();
    let value = match (choice, value.into_inner()) {
        (Choice::Timer | Choice::Sync, RawValue::Text(text)) => {
            nanoseconds(values::parse_time(&text).map_err(|what| at.error(span, what))?)
        }
        (Choice::Peer, RawValue::Text(text)) => names.party_at(&text, span)?.0.into(),
        (choice, RawValue::Number(number)) if !is_text(choice) => number,
        (choice, _) => {
            let expected = if choice == Choice::Peer {
                "the name of one"
            } else if is_text(choice) {
                "a time, such as \"250ms\""
            } else {
                "a number"
            };
            return Err(at.error(span, format!("no value of a {choice}, expected {expected}")));
        }
    };
    Ok((key, value))
}

const fn is_text(choice: Choice) -> bool {
    matches!(choice, Choice::Timer | Choice::Sync | Choice::Peer)
}

const TIMERS: [&str; 3] = ["rebroadcast", "answer", "fetch"];

/// A cause in words: `start`, `heal`, `operation 5`, `fault 2`, `timer fetch 33 r0`, `hostile 4 mallory`.
fn cause(at: &At<'_>, text: &Spanned<String>, names: &Names<'_>) -> Result<Cause, ScenarioError> {
    let wrong = || {
        let what = format!(
            "`{}` is no cause, expected `start`, `heal`, `operation N`, `fault N`, `timer rebroadcast|answer|fetch ROUND REPLICA` \
             or `hostile ROUND PEER`",
            text.get_ref()
        );
        at.error(text.span(), what)
    };
    let words: Vec<&str> = text.get_ref().splitn(4, ' ').collect();
    let number = |word: &str| word.parse::<u64>().map_err(|_| wrong());
    match words[..] {
        ["start"] => Ok(Cause::Start),
        ["heal"] => Ok(Cause::Heal),
        ["operation", n] => Ok(Cause::Operation(number(n)?)),
        ["fault", n] => Ok(Cause::Fault(n.parse().map_err(|_| wrong())?)),
        ["timer", timer, round, replica] => {
            let named = TIMERS.iter().position(|name| *name == timer).and_then(|index| u8::try_from(index).ok());
            let timer = named.or_else(|| timer.parse().ok()).ok_or_else(wrong)?;
            Ok(Cause::Timer { replica: names.party_at(replica, text.span())?, timer, round: number(round)? })
        }
        ["hostile", ..] => {
            let mut words = text.get_ref().splitn(3, ' ').skip(1);
            let (Some(round), Some(peer)) = (words.next(), words.next()) else { return Err(wrong()) };
            Ok(Cause::Hostile { peer: names.party_at(peer, text.span())?, round: number(round)? })
        }
        _ => Err(wrong()),
    }
}

/// A cause in the words that [`cause`] reads.
fn cause_text<'a>(cause: &Cause, name: impl Fn(Party) -> &'a str) -> String {
    match cause {
        Cause::Start => String::from("start"),
        Cause::Heal => String::from("heal"),
        Cause::Operation(number) => format!("operation {number}"),
        Cause::Fault(number) => format!("fault {number}"),
        Cause::Hostile { peer, round } => format!("hostile {round} {}", name(*peer)),
        Cause::Timer { replica, timer, round } => {
            let timer = TIMERS.get(usize::from(*timer)).map_or_else(|| timer.to_string(), |name| (*name).to_owned());
            format!("timer {timer} {round} {}", name(*replica))
        }
    }
}

/// Writes the lists, an item a line.
pub(super) fn write(explicit: &Explicit, names: &write::Names<'_>, out: &mut Text) {
    let Explicit { operations, deliveries, choices } = explicit;
    let cause = |cause: &Cause| write::text(&cause_text(cause, |party| names.of(party)));
    let name = |party: Party| write::text(names.of(party));
    let time = |ns: u64| write::time(Duration::from_nanos(ns));
    let some = |item: &mut String, field: &str, value: Option<String>| {
        let _ = value.map(|value| write!(item, ", {field} = {value}"));
    };
    let operations = operations.values().map(|operation| write_operation(operation, names));
    list(out, "operations", operations);
    let deliveries = deliveries.iter().map(|(key, fate)| {
        let MessageKey { from, to, kind, cause: why, n } = key;
        let Fate { latency, drop, copy_latency, held_back, flip, cut, astray, replay } = fate;
        let mut item = format!("from = {}, to = {}, kind = \"{}\"", name(*from), name(*to), kind_of(*kind));
        let _ = write!(item, ", cause = {}", cause(why));
        some(&mut item, "n", (*n > 0).then(|| n.to_string()));
        let _ = write!(item, ", after = {}", time(*latency));
        some(&mut item, "drop", drop.then(|| String::from("true")));
        some(&mut item, "copy_after", copy_latency.map(time));
        some(&mut item, "held_back", held_back.map(time));
        some(&mut item, "flip", flip.map(|bit| bit.to_string()));
        some(&mut item, "cut", cut.map(|at| at.to_string()));
        some(&mut item, "astray", astray.map(|to| to.to_string()));
        some(&mut item, "replay_after", replay.map(time));
        item
    });
    list(out, "deliveries", deliveries);
    let choices = choices.iter().map(|(ChoiceKey { choice, party, cause: why, n }, value)| {
        let mut item = format!("choice = \"{choice}\", party = {}, cause = {}", name(*party), cause(why));
        some(&mut item, "n", (*n > 0).then(|| n.to_string()));
        let peer = || u16::try_from(*value).map_or_else(|_| value.to_string(), |party| name(Party(party)));
        let value = match choice {
            Choice::Timer | Choice::Sync => time(*value),
            Choice::Peer => peer(),
            Choice::Kept | Choice::Process | Choice::Harm => value.to_string(),
        };
        some(&mut item, "value", Some(value));
        item
    });
    list(out, "choices", choices);
}

fn write_operation(operation: &Operation, names: &write::Names<'_>) -> String {
    let Operation { index, at, replica, action } = operation;
    let mut item = format!(
        "number = {index}, at = {}, replica = {}, kind = \"{}\"",
        write::time(Duration::from_nanos(*at)),
        write::text(names.of(*replica)),
        action.kind()
    );
    let writes: Vec<String> = match action {
        Action::Get(key) => vec![format!("[{}]", write::text(&key.to_string()))],
        Action::Write(_, batch) => {
            if !batch.dag.is_main() {
                let _ = write!(item, ", dag = {}", write::text(batch.dag.as_str()));
            }
            let one = |write: &anabranch_core::Write| match write {
                anabranch_core::Write::Put(key, value) => {
                    format!("[{}, \"{}\"]", write::text(&key.to_string()), crate::engine::hex(value))
                }
                anabranch_core::Write::Delete(key) => format!("[{}]", write::text(&key.to_string())),
            };
            batch.writes.iter().map(one).collect()
        }
    };
    let _ = write!(item, ", writes = [{}]", writes.join(", "));
    item
}

fn kind_of(kind: u8) -> MessageKind {
    let kinds =
        [MessageKind::Broadcast, MessageKind::Request, MessageKind::Block, MessageKind::NotFound, MessageKind::Other];
    kinds.into_iter().find(|known| *known as u8 == kind).unwrap_or(MessageKind::Broadcast)
}

fn list(out: &mut Text, name: &str, items: impl Iterator<Item = String>) {
    let items: Vec<String> = items.map(|item| format!("    {{ {item} }},\n")).collect();
    // An explicit form without operations is one all the same.
    if !items.is_empty() || name == "operations" {
        out.field(name, &format!("[\n{}]", items.concat()));
    }
}
