//! What a scenario file may hold, and what is said of one that is wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

use anabranch_sim::{
    observe::What,
    scenario::{Fault, Party, Scenario},
};
use std::time::Duration;

const HEAD: &str = "replicas = [\"ann\", \"bob\", \"eve\"]\nduration = \"60s\"\n";

/// The error of a file that begins with [`HEAD`].
fn error(rest: &str) -> String {
    match Scenario::parse(&format!("{HEAD}{rest}"), "wrong.toml") {
        Ok(_) => panic!("this was accepted: {rest}"),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn check(rest: &str, parts: &[&str]) {
    let error = error(rest);
    assert!(!error.contains('\n'), "one line: {error}");
    for part in parts {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

#[test]
fn a_wrong_file_gets_one_line_with_place_expectation_and_hint() {
    check(
        "[network]\ndorp = 0.1",
        &["wrong.toml:4:1: ", "unknown field `dorp`", "expected one of", "did you mean `drop`?"],
    );
    check("[network]\ndrop = 1.5", &["wrong.toml:4:8: ", "1.5 is no probability", "from 0 to 1"]);
    check("[network]\ndrop = 10", &["wrong.toml:4:8: ", "for 10 percent write 0.1"]);
    check("[network]\nlatency = [\"5ms\", \"1ms\"]", &["wrong.toml:4:11: ", "the least is more than the most"]);
    check("[network]\nlatency = 5", &["wrong.toml:4:11: ", "a time with its unit"]);
    check("[network]\nlatency = \"5 parsecs\"", &["wrong.toml:4:11: ", "`5 parsecs` is no time", "\"250ms\""]);
    check("[workload]\nwriters = [\"anm\"]", &["wrong.toml:4:12: ", "no replica `anm`", "did you mean `ann`?"]);
    check("[[crash]]\nat = \"61s\"\nreplica = \"bob\"\ndown = \"1s\"", &["wrong.toml:4:6: ", "past the end", "60s"]);
    check("[[crash]]\nat = \"1s\"\nreplica = \"bob\"\ndown = \"0s\"", &["wrong.toml:6:8: ", "`down` is 0"]);
    check(
        "[[leave]]\nat = \"1s\"\nreplica = \"zoe\"",
        &["wrong.toml:5:11: ", "no replica `zoe`", "there are `ann`, `bob`, `eve`"],
    );
    check(
        "[[partition]]\nat = \"9s\"\nuntil = \"8s\"\ngroups = { a = [\"ann\"], b = [\"bob\"] }",
        &["wrong.toml:5:9: ", "after the beginning"],
    );
    check("[[partition]]\nat = \"1s\"\ngroups = { a = [\"ann\"] }", &["wrong.toml:5:10: ", "at least two"]);
    check(
        "[[partition]]\nat = \"1s\"\ngroups = { a = [\"ann\"], b = [\"ann\"] }",
        &["wrong.toml:5:30: ", "in `a` already"],
    );
    check("[[skew]]\nat = \"1s\"\nreplica = \"ann\"\nspeed = 0.0", &["wrong.toml:6:9: ", "expected 0.01 to 100"]);
    check(
        "[[hostile]]\nname = \"ann\"\nevery = \"1s\"\nacts = [\"odd-keys\"]",
        &["wrong.toml:4:8: ", "`ann` is taken"],
    );
    check(
        "[[hostile]]\nname = \"mal\"\nevery = \"1s\"\nacts = [\"odd-kees\"]",
        &["wrong.toml:6:9: ", "unknown variant", "did you mean `odd-keys`?"],
    );
    check(
        "[[operator]]\nat = \"1s\"\nreplica = \"ann\"\nact = \"purge\"",
        &["wrong.toml:6:7: ", "a purge of nothing", "`dag`"],
    );
    check(
        "[[operator]]\nat = \"1s\"\nreplica = \"ann\"\nact = \"verify\"\ndag = \"x\"",
        &["wrong.toml:7:7: ", "expected no `dag`"],
    );
    check(
        "[[operator]]\nat = \"1s\"\nreplica = \"ann\"\nact = \"verity\"",
        &["wrong.toml:6:7: ", "did you mean `verify`?"],
    );
    check("[[join]]\nat = \"1s\"\nreplica = \"ann\"", &["`ann` is taken"]);
    check("[expect]\ntrace = \"abc\"\nseed = 1", &["wrong.toml:4:9: ", "64 hex digits"]);
    check("[expect]\noutcome = \"fine\"", &["wrong.toml:4:11: ", "unknown variant `fine`", "passed"]);
    check("[workload]\nkeys = 0", &["wrong.toml:4:8: ", "expected 1 to"]);
    check("[workload]\nmix = {}", &["wrong.toml:4:7: ", "a mix of nothing"]);
    check("[core]\nfetch_timeout = \"0s\"", &["wrong.toml:4:17: ", "`fetch_timeout` is 0"]);
    check("= 1", &["wrong.toml:3:1: "]);
}

#[test]
fn who_crashes_must_be_there() {
    let crash = |at: &str, down: &str| format!("[[crash]]\nat = \"{at}\"\nreplica = \"bob\"\ndown = \"{down}\"\n");
    check(&(crash("5s", "10s") + &crash("9s", "1s")), &["wrong.toml:9:11: ", "is still down at 9s", "back at 15s"]);
    check(&("[[leave]]\nat = \"2s\"\nreplica = \"bob\"\n".to_owned() + &crash("9s", "1s")), &["has left at 9s"]);
    let join = "[[join]]\nat = \"20s\"\nreplica = \"zoe\"\n";
    let early = "[[crash]]\nat = \"10s\"\nreplica = \"zoe\"\ndown = \"1s\"\n";
    check(&(join.to_owned() + early), &["`zoe` has not joined at 10s"]);
    assert!(Scenario::parse(&format!("{HEAD}{}{}", crash("5s", "10s"), crash("15s", "1s")), "right.toml").is_ok());
}

#[test]
fn length_is_a_time_or_a_number_of_operations() {
    let parse = |text: &str| Scenario::parse(text, "dir/length.toml");
    let scenario = parse("replicas = 2\noperations = 600\n[workload]\nrate = 20").unwrap();
    assert_eq!((scenario.duration, scenario.workload.operations), (Duration::from_secs(30), 600));
    assert_eq!(scenario.name, "length");
    let scenario = parse("replicas = 2\nduration = \"1.5m\"\n[workload]\nrate = 2").unwrap();
    assert_eq!((scenario.duration, scenario.workload.operations), (Duration::from_secs(90), 180));
    assert!(parse("replicas = 2").unwrap_err().to_string().contains("expected one of them"));
    assert!(parse("replicas = 0\nduration = \"1s\"").unwrap_err().to_string().contains("1 to 1000"));
    let all = "replicas = 2\nduration = \"9s\"\noperations = 3\n[workload]\nrate = 1";
    assert!(parse(all).unwrap_err().to_string().contains("two of the three"));
}

#[test]
fn links_take_the_networks_numbers_where_they_have_none() {
    let text = format!(
        "{HEAD}[network]\ndrop = 0.25\ncorrupt = 0.5\n[[link]]\nfrom = [\"ann\"]\ndrop = 1\n[[join]]\nat = \"3s\"\nreplica = \"zoe\"\n\
         [[hostile]]\nname = \"mal\"\nevery = \"1s\"\nacts = [\"odd-keys\"]"
    );
    let scenario = Scenario::parse(&text, "links.toml").unwrap();
    let special = scenario.link(Party(0), Party(2));
    assert!(special.drop == 1.0 && special.corrupt == 0.5);
    assert!(scenario.link(Party(2), Party(0)).drop == 0.25);
    assert_eq!(scenario.party_name(Party(3)), "zoe");
    assert_eq!(scenario.party_name(Party(4)), "mal");
    assert!(scenario.is_replica(Party(3)) && !scenario.is_replica(Party(4)));
    assert_eq!(scenario.faults[0].fault, Fault::Join { replica: Party(3) });
}

#[test]
fn who_joins_writes_too_unless_the_scenario_says_who_does() {
    let text = "replicas = 1\nduration = \"8s\"\n[workload]\nrate = 10\n[[join]]\nat = \"4s\"\nreplica = \"zoe\"\n";
    let operations = |text: &str| {
        let scenario = Scenario::parse(text, "join.toml").unwrap();
        let (_, recording) = anabranch_sim::run::record(&scenario, 1);
        let of_zoe = recording.events.into_iter().filter(|seen| seen.party == Some(Party(1)));
        let is_up = of_zoe.filter_map(|seen| match seen.what {
            What::Operation { is_up, .. } => Some((seen.at >= 4_000_000_000, is_up)),
            _ => None,
        });
        is_up.collect::<Vec<_>>()
    };
    let all = operations(text);
    assert!(all.contains(&(false, false)) && all.contains(&(true, true)), "before and after she joins: {all:?}");
    assert!(all.iter().all(|(joined, is_up)| joined == is_up), "{all:?}");
    assert_eq!(operations(&text.replace("rate = 10", "rate = 10\nwriters = [\"r0\"]")), []);
}
