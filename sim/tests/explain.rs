//! What a story and the page take for the truth is what a sound replica shows, whatever its operator does.
#![allow(clippy::unwrap_used, clippy::panic)]

use anabranch_sim::{
    explain::{History, Holds, Subject, explain},
    html::{self, Heading},
    observe::{Blob, Id, What},
    oracles::Oracle,
    record::Recording,
    run::{Ended, record},
    scenario::{Party, Scenario},
    signature::Signature,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// Purges, verifications, rebuilds, an import, blocks given up, crashes that lose commits, and a disk that is wiped.
fn operators() -> Recording {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/operator.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let wipe = "[[crash]]\nat = \"45s\"\nreplica = \"r0\"\ndown = \"1s\"\nwipe_disk = true\n";
    let scenario = Scenario::parse(&format!("{text}{wipe}"), "operator.toml").unwrap_or_else(|error| panic!("{error}"));
    let (ended, recording) = record(&scenario, 1);
    assert!(matches!(&ended, Ended::Report(report) if report.verdict.is_passed()), "{ended:?}");
    let has = |wanted: fn(&What) -> bool| assert!(recording.events.iter().any(|seen| wanted(&seen.what)));
    has(|what| matches!(what, What::Decided { purged, .. } if purged.len() > 10));
    has(|what| matches!(what, What::Decided { abandoned, .. } if !abandoned.is_empty()));
    has(|what| matches!(what, What::Crashed { lost: 1.., .. }));
    has(|what| matches!(what, What::Crashed { wiped: true, .. }));
    has(|what| matches!(what, What::Shows { settled: false, .. }));
    recording
}

type Values = BTreeMap<String, Vec<u8>>;

/// What a replica shows, as the events tell it.
fn apply(shown: &mut Values, values: &[(String, Option<Blob>)], all: bool) {
    if all {
        shown.clear();
    }
    for (key, value) in values {
        match value {
            Some(Blob(bytes)) => drop(shown.insert(key.clone(), bytes.clone())),
            None => drop(shown.remove(key)),
        }
    }
}

/// The fold of a story gives, at every moment at which a sound replica is judged, its heads and all its values.
#[test]
fn the_fold_of_a_story_is_what_a_sound_replica_shows() {
    let recording = operators();
    let history = History::new(&recording);
    let mut shown: BTreeMap<Party, Values> = BTreeMap::new();
    let mut folds = 0;
    for (number, seen) in recording.events.iter().enumerate() {
        let (What::Shows { heads, values, all, settled }, Some(party)) = (&seen.what, seen.party) else { continue };
        let shown = shown.entry(party).or_default();
        apply(shown, values, *all);
        // Where a task, a decision or a start comes before it, and now and then.
        if !settled || !*all && number % 4 > 0 {
            continue;
        }
        folds += 1;
        let folded = history.fold_at(party, number);
        let name = history.name(party);
        let tips: BTreeSet<_> = folded.heads.values().flatten().copied().collect();
        assert_eq!(heads.iter().map(|id| id.0).collect::<BTreeSet<_>>(), tips, "heads of {name} at event {number}");
        let state: Values = folded.state.iter().map(|(key, value)| (key.to_string(), value.to_vec())).collect();
        assert_eq!(*shown, state, "{name} at event {number}");
    }
    assert!(folds > 200, "{folds}");
}

/// Nothing goes wrong at a replica that has purged a DAG, and the rule gives what it shows.
#[test]
fn a_story_after_a_purge_accuses_nobody() {
    let mut recording = operators();
    let (who, last) = (Party(1), recording.events.last().unwrap().clone());
    let mut shown = Values::new();
    let mut purged = BTreeSet::new();
    for seen in recording.events.iter().filter(|seen| seen.party == Some(who)) {
        match &seen.what {
            What::Shows { values, all, .. } => apply(&mut shown, values, *all),
            What::Decided { purged: now, .. } => purged = now.iter().map(|(id, _)| id.0).collect(),
            _ => {}
        }
    }
    let keys: BTreeSet<String> = {
        let history = History::new(&recording);
        let delta = |cid| history.blocks[cid].block.delta.clone().into_iter();
        purged.iter().flat_map(delta).flat_map(|delta| delta.elements).map(|element| element.key.to_string()).collect()
    };
    assert!(keys.len() > 5, "{keys:?}");
    let signature = Signature {
        outcome: String::from("broken-invariant"),
        oracle: Some(Oracle::StateIsFold),
        finding: String::new(),
    };
    for key in &keys {
        let message = format!("{key} is absent, and the fold over its blocks gives something");
        let what = What::Objected { oracle: Oracle::StateIsFold, message: message.clone() };
        recording.events.push(anabranch_sim::observe::Seen { party: Some(who), what, ..last.clone() });
        let story = explain(&recording, &Subject { signature: signature.clone(), message }).join("\n");
        recording.events.pop();
        assert!(!story.contains("here it goes wrong"), "{story}");
        assert!(story.contains("is purged: what it put is gone"), "{story}");
        assert!(story.contains("has purged blocks that write it: it shows "), "{story}");
        let gives = if shown.contains_key(key) { "of those that live" } else { "none lives" };
        assert!(story.contains(gives), "{story}");
    }
}

/// The slider of the page comes, event by event, to what the replicas have.
#[test]
fn the_page_knows_what_each_replica_has() {
    let recording = operators();
    let signature = Signature { outcome: String::from("passed"), oracle: None, finding: String::new() };
    let heading = Heading { description: String::new(), verdict: String::new(), story: Vec::new(), signature };
    let mut text = Vec::new();
    html::write(&recording, &heading, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let data = text.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    let cids: Vec<&str> =
        data["blocks"].as_array().unwrap().iter().map(|block| block["cid"].as_str().unwrap()).collect();
    let named = |list: &Value| -> Vec<String> {
        let numbers = list.as_array().into_iter().flatten().map(|number| number.as_u64().unwrap());
        numbers.map(|number| String::from(cids[usize::try_from(number).unwrap()])).collect()
    };
    let parties = recording.header.parties.len();
    let (mut merged, mut purged) = (vec![BTreeSet::new(); parties], vec![BTreeSet::new(); parties]);
    let mut holds = vec![Holds::default(); parties];
    for (seen, event) in recording.events.iter().zip(data["events"].as_array().unwrap()) {
        let Some(party) = seen.party.map(Party::index) else { continue };
        holds[party].goes_on(&seen.what);
        let (merged, purged) = (&mut merged[party], &mut purged[party]);
        match event["k"].as_str().unwrap() {
            "merged" => merged.extend(named(&Value::Array(vec![event["b"].clone()]))),
            "crashed" if event["a"] == true => {
                merged.clear();
                purged.clear();
            }
            "started" => {
                merged.extend(named(&event["n"]));
                let lost = named(&event["l"]);
                merged.retain(|cid| !lost.contains(cid));
            }
            "decided" => {
                *purged = named(&event["g"]).into_iter().collect();
                merged.retain(|cid| !purged.contains(cid));
                assert_eq!(event["d"].as_u64().unwrap(), holds[party].abandoned.len() as u64);
            }
            _ => continue,
        }
        let text = |cid: &anabranch_core::Cid| cid.to_string();
        assert_eq!(*merged, holds[party].merged.iter().map(text).collect::<BTreeSet<_>>());
        assert_eq!(*purged, holds[party].purged.keys().map(text).collect::<BTreeSet<_>>());
    }
}

/// What was given up and turns up is merged; what a crash took is not merged any more, and its decision is open again.
#[test]
fn decisions_are_taken_back() {
    let [purged, lost, kept] = [&b"1"[..], b"2", b"3"].map(|bytes| Id(anabranch_core::Cid::of(bytes)));
    let mut holds = Holds::default();
    let merged = |block| What::Merged { block, void: false };
    [purged, kept].into_iter().for_each(|block| holds.goes_on(&merged(block)));
    holds.goes_on(&What::Decided { purged: vec![(purged, 1)], abandoned: vec![lost] });
    assert!(holds.has_merged(&purged.0) && !holds.merged.contains(&purged.0) && holds.abandoned.contains(&lost.0));
    holds.goes_on(&What::Decided { purged: vec![(purged, 1)], abandoned: Vec::new() });
    holds.goes_on(&merged(lost));
    assert!(holds.abandoned.is_empty() && holds.merged.contains(&lost.0));
    holds.goes_on(&What::Crashed { kept: 0, lost: 1, wiped: false });
    assert!(holds.has_merged(&lost.0), "nobody knows yet what is lost");
    holds.goes_on(&What::Started { merged: vec![purged, kept] });
    holds.goes_on(&What::Decided { purged: Vec::new(), abandoned: vec![lost] });
    assert_eq!(holds.merged, [purged.0, kept.0].into());
    assert!(holds.purged.is_empty() && holds.abandoned.contains(&lost.0));
    holds.goes_on(&What::Crashed { kept: 0, lost: 0, wiped: true });
    assert_eq!(holds, Holds::default());
}
