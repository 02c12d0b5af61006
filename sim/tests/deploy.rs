//! What `deploy/` asks of the program is what the program takes: its command lines are run here, a shard after the other.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod histories;

use histories::{Answer, anabranch, scratch, text};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

const SCENARIO: &str = "name = \"small\"\nreplicas = 2\nduration = \"2s\"\n";

fn deployed(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file)).unwrap()
}

/// The value of the only line with this key.
fn value<'a>(manifest: &'a str, key: &str) -> &'a str {
    let mut found = manifest.lines().filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": "));
    let only = found.next().unwrap_or_else(|| panic!("no {key}"));
    assert_eq!(found.next(), None, "{key} stands there twice");
    only
}

/// The variables that the manifest sets.
fn variables(manifest: &str) -> BTreeMap<&str, &str> {
    let lines: Vec<&str> = manifest.lines().map(str::trim).collect();
    let pairs = lines.windows(2).filter_map(|pair| {
        let name = pair[0].strip_prefix("- name: ").filter(|name| name.starts_with("ANABRANCH_"))?;
        Some((name, pair[1].strip_prefix("value: ")?.trim_matches('"')))
    });
    pairs.collect()
}

/// Files as a volume of a ConfigMap has them: links to links.
fn mounted(folder: &Path) -> PathBuf {
    let (mount, data) = (folder.join("scenarios"), folder.join("scenarios/..2026_01_01"));
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("small.toml"), SCENARIO).unwrap();
    symlink("..2026_01_01", mount.join("..data")).unwrap();
    symlink("..data/small.toml", mount.join("small.toml")).unwrap();
    mount
}

/// Runs a shell with the program in its path.
fn shell(command: &[&str], set: &BTreeMap<&str, &str>) -> Answer {
    let folder = Path::new(env!("CARGO_BIN_EXE_anabranch")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let output = Command::new(command[0]).args(&command[1..]).env("PATH", path).envs(set).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Answer { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Both shards of a campaign are done, and together they are the whole.
fn is_whole(results: &Path) {
    let merged = anabranch(["campaign", "merge", text(results)]);
    assert_eq!(merged.code, Some(0), "{}{}", merged.out, merged.err);
    assert!(merged.out.contains("6 of 6 runs"), "{}", merged.out);
    assert!(results.join("summary.json").is_file());
}

#[test]
fn each_pod_of_the_indexed_job_runs_its_shard() {
    let manifest = deployed("kubernetes/campaign.yaml");
    let mut set = variables(&manifest);
    assert_eq!(value(&manifest, "completions"), set["ANABRANCH_SHARDS"], "a pod for each shard");
    assert_eq!(value(&manifest, "completionMode"), "Indexed");
    let command = value(&manifest, "command").strip_prefix("[sh, -c, '").unwrap().strip_suffix("']").unwrap();
    let help = anabranch(["campaign", "--help"]).out;
    let assigned = command.split('=').next().unwrap();
    for name in set.keys().copied().filter(|name| *name != "ANABRANCH_SHARDS").chain([assigned]) {
        assert!(help.contains(&format!("[env: {name}=")), "{name} is no variable of the program:\n{help}");
    }
    for name in ["ANABRANCH_SCENARIOS", "ANABRANCH_OUT"] {
        assert!(manifest.contains(&format!("mountPath: {}\n", set[name])), "{name} is on no volume");
    }

    let folder = scratch("deploy_kubernetes");
    let (scenarios, results) = (mounted(&folder), folder.join("results"));
    set.extend([("ANABRANCH_SHARDS", "2"), ("ANABRANCH_SEEDS", "0..6")]);
    set.extend([("ANABRANCH_SCENARIOS", text(&scenarios)), ("ANABRANCH_OUT", text(&results))]);
    for index in ["0", "1"] {
        set.insert("JOB_COMPLETION_INDEX", index);
        let pod = shell(&["sh", "-c", command], &set);
        assert_eq!(pod.code, Some(0), "{}{}", pod.out, pod.err);
        assert!(pod.out.contains(&format!("shard {index}/2: 3 of 3 runs done")), "{}", pod.out);
    }
    is_whole(&results);

    // What the manifest takes for bad input is what the program says of it.
    fs::write(scenarios.join("..data/small.toml"), "replicsa = 2\n").unwrap();
    let pod = shell(&["sh", "-c", command], &set);
    assert_eq!(format!("[{}]", pod.code.unwrap()), value(&manifest, "values"), "{}", pod.err);
    assert_eq!(pod.err.lines().count(), 1, "{}", pod.err);
}

#[test]
fn each_task_of_the_job_array_runs_its_shard() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/slurm/campaign.sbatch");
    let folder = scratch("deploy_slurm");
    let (scenarios, results) = (mounted(&folder), folder.join("results"));
    let mut set: BTreeMap<&str, &str> = [
        ("ANABRANCH_SCENARIOS", text(&scenarios)),
        ("ANABRANCH_SEEDS", "0..6"),
        ("SLURM_ARRAY_TASK_COUNT", "2"),
        ("SLURM_CPUS_PER_TASK", "1"),
    ]
    .into();
    let told = shell(&["bash", text(&script)], &set);
    assert!(told.code == Some(1) && told.err.contains("ANABRANCH_OUT: a folder that all nodes see"), "{}", told.err);
    set.insert("ANABRANCH_OUT", text(&results));
    let told = shell(&["bash", text(&script)], &set);
    assert!(told.code == Some(1) && told.err.contains("this is for a job array"), "{}", told.err);
    for index in ["0", "1"] {
        set.insert("SLURM_ARRAY_TASK_ID", index);
        let task = shell(&["bash", text(&script)], &set);
        assert_eq!(task.code, Some(0), "{}{}", task.out, task.err);
        assert!(task.out.contains(&format!("shard {index}/2: 3 of 3 runs done")), "{}", task.out);
    }
    is_whole(&results);
}
