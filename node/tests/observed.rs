//! What can be observed of a datastore from outside: spans and events through `tracing`, metrics through `metrics`. A process has one subscriber and one
//! recorder, so this is a binary of its own with one test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use anabranch::{Batch, Broadcaster, Bytes, Cid, DagName, DagSyncer, Datastore, Error, LocalNetwork};
use metrics::Unit;
use metrics_util::{
    MetricKind,
    debugging::{DebugValue, DebuggingRecorder, Snapshotter},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tracing::{
    Event, Id, Level, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

/// A span as it was seen.
#[derive(Clone, Debug, Default)]
struct Seen {
    name: &'static str,
    parent: Option<&'static str>,
    follows: Option<&'static str>,
    fields: BTreeMap<&'static str, String>,
    entered: u64,
    closed: bool,
}

#[derive(Clone, Default)]
struct Watch(Arc<Mutex<Vec<(u64, Seen)>>>, Arc<Mutex<Vec<String>>>);

struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Watch {
    fn change(&self, id: &Id, change: impl FnOnce(&mut Seen)) {
        // Numbers of spans are used again: the last one is meant.
        let mut seen = self.0.lock().unwrap();
        if let Some((_, seen)) = seen.iter_mut().rev().find(|(number, _)| *number == id.into_u64()) {
            change(seen);
        }
    }

    fn named(&self, name: &str) -> Vec<Seen> {
        self.0.lock().unwrap().iter().filter(|(_, seen)| seen.name == name).map(|(_, seen)| seen.clone()).collect()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Watch {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let parent = span.parent().map(|parent| parent.name());
        let mut seen = Seen { name: span.name(), parent, ..Seen::default() };
        if attributes.metadata().target().starts_with("anabranch") {
            attributes.record(&mut Fields(&mut seen.fields));
            self.0.lock().unwrap().push((id.into_u64(), seen));
        }
    }

    fn on_record(&self, id: &Id, values: &span::Record<'_>, _: Context<'_, S>) {
        self.change(id, |seen| values.record(&mut Fields(&mut seen.fields)));
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, context: Context<'_, S>) {
        let name = context.span(follows).map(|span| span.name());
        self.change(id, |seen| seen.follows = name);
    }

    fn on_enter(&self, id: &Id, _: Context<'_, S>) {
        self.change(id, |seen| seen.entered += 1);
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        self.change(&id, |seen| seen.closed = true);
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = BTreeMap::new();
        event.record(&mut Fields(&mut fields));
        if *event.metadata().level() <= Level::INFO && event.metadata().target().starts_with("anabranch") {
            self.1.lock().unwrap().push(fields.remove("message").unwrap_or_default());
        }
    }
}

async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// What the recorder holds: kind, unit and the sum of the values of each name.
fn recorded(snapshotter: &Snapshotter) -> BTreeMap<String, (MetricKind, Option<Unit>, f64)> {
    let all = snapshotter.snapshot().into_vec().into_iter();
    let value = |value: DebugValue| match value {
        DebugValue::Counter(count) => count as f64,
        DebugValue::Gauge(value) => value.into_inner(),
        DebugValue::Histogram(values) => values.into_iter().map(f64::from).sum(),
    };
    all.map(|(key, unit, _, found)| (key.key().name().to_owned(), (key.kind(), unit, value(found)))).collect()
}

/// A small history of everything: writes, merges of two, a refused write, something bad of a peer, a task, a failed fetch.
async fn work() {
    let network = LocalNetwork::new();
    let builder = || {
        Datastore::builder().options(|options| {
            options.replica.rebroadcast_interval = Duration::from_millis(100);
            options.replica.fetch_timeout = Duration::from_millis(100);
        })
    };
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (builder().network(network.join()), builder().network(network.join()));
    let (here, there) = (here.open(folder.path()).await.unwrap(), there.memory().await.unwrap());
    let span = tracing::info_span!("the_program");
    let write = async {
        for n in 0..10 {
            here.put(format!("/{n}"), "x").await.unwrap();
        }
    };
    tracing::Instrument::instrument(write, span).await;
    there.put("/there", "x").await.unwrap();
    until("they converge", || async { here.heads().await.unwrap() == there.heads().await.unwrap() }).await;
    assert!(matches!(here.put([0xff], "x").await, Err(Error::Refused(_))));
    let cached = Batch { dag: DagName::new("cache"), ..Batch::new().put("/cached", "x") };
    here.commit(cached).await.unwrap();
    here.purge(DagName::new("cache")).await.unwrap();
    here.verify().await.unwrap();
    // A peer announces what is no announcement, and what nobody has.
    let (hostile, serving) = network.join();
    hostile.broadcast(Bytes::from_static(b"\xff\xff")).await.unwrap();
    let (nobodys, dag) = (Cid::of(b"nobody's"), DagName::default());
    for payload in anabranch::wire::encode_announcements([(nobodys, &dag)], 1 << 10) {
        hostile.broadcast(payload).await.unwrap();
    }
    let mut events = here.events();
    let parked =
        async { while !matches!(events.next().await, Some(anabranch::Told::Now(anabranch::Event::Parked { .. }))) {} };
    tokio::time::timeout(Duration::from_secs(60), parked).await.unwrap();
    assert!(serving.fetch(nobodys, None).await.is_err());
    here.get("/0").await.unwrap();
    // A round of announcing comes.
    tokio::time::sleep(Duration::from_millis(300)).await;
    here.close().await;
    there.close().await;
}

#[test]
fn spans_events_and_metrics_are_seen_from_outside() {
    let watch = Watch::default();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(watch.clone())).unwrap();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder.install().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(work());
    drop(runtime);
    spans(&watch);
    metrics_of(&recorded(&snapshotter));
}

fn spans(watch: &Watch) {
    let opened = watch.named("open");
    assert_eq!(opened.len(), 2);
    assert!(opened.iter().all(|span| span.closed && span.entered == 1 && span.fields["rebuild"] == "false"));
    let commits = watch.named("commit");
    // One of them is refused.
    assert_eq!(commits.len(), 13, "{commits:?}");
    assert!(commits.iter().all(|span| span.parent == Some("group") && span.closed && span.fields["writes"] == "1"));
    let of_the_program = commits.iter().filter(|span| span.follows == Some("the_program")).count();
    assert_eq!(of_the_program, 10, "writes lead back to the span of whoever made them");
    assert!(commits.iter().any(|span| span.fields["dag"] == "cache"));
    let groups = watch.named("group");
    let asked: u64 = groups.iter().map(|span| span.fields["asked"].parse::<u64>().unwrap()).sum();
    // Commits, and the two tasks.
    assert_eq!(asked, 15);
    assert!(groups.iter().all(|span| span.fields["messages"].parse::<u64>().is_ok() && span.closed));
    let syncs = watch.named("sync");
    assert!(
        syncs.iter().any(|span| span.parent == Some("group")) && syncs.iter().any(|span| span.parent == Some("open"))
    );
    for name in ["hear", "receive", "merge", "round", "fetch_failed"] {
        let found = watch.named(name);
        assert!(!found.is_empty() && found.iter().all(|span| span.closed), "{name}");
    }
    let received = watch.named("receive");
    assert!(received.iter().all(|span| span.fields["cid"].starts_with("bafybei") && span.fields["bytes"] != "0"));
    let fetches = watch.named("fetch");
    assert!(fetches.len() >= 11 && fetches.iter().all(|span| span.closed && span.fields.contains_key("attempt")));
    assert!(!watch.named("broadcast").is_empty());
    let kinds: BTreeSet<String> = watch
        .named("task")
        .into_iter()
        .filter(|span| span.closed && span.entered > 0)
        .map(|span| span.fields["kind"].clone())
        .collect();
    assert!(
        kinds.iter().any(|kind| kind.starts_with("Purge")) && kinds.iter().any(|kind| kind.starts_with("Verify")),
        "{kinds:?}"
    );
    let events = watch.1.lock().unwrap();
    assert!(events.iter().any(|text| text.starts_with("a peer announced what is no announcement")), "{events:?}");
    assert!(events.iter().any(|text| text.starts_with("no peer serves a block")), "{events:?}");
}

fn metrics_of(found: &BTreeMap<String, (MetricKind, Option<Unit>, f64)>) {
    let sum = |name: &str| found.get(name).unwrap_or_else(|| panic!("{name} was not recorded")).2;
    assert_eq!(sum("anabranch_commits_total"), 12.0);
    assert_eq!(sum("anabranch_commits_refused_total"), 1.0);
    assert_eq!(sum("anabranch_commits_behind_total"), 0.0);
    // Twelve blocks; two replicas merge them, but for what was purged before the other could fetch it.
    assert!((23.0..=24.0).contains(&sum("anabranch_blocks_merged_total")), "{}", sum("anabranch_blocks_merged_total"));
    assert!(sum("anabranch_group_commits") >= 12.0);
    for name in [
        "anabranch_reads_total",
        "anabranch_syncs_total",
        "anabranch_sync_seconds",
        "anabranch_fetches_started_total",
        "anabranch_fetches_failed_total",
        "anabranch_fetch_seconds",
        "anabranch_broadcasts_sent_total",
        "anabranch_broadcasts_sent_bytes_total",
        "anabranch_broadcasts_received_total",
        "anabranch_broadcasts_bad_total",
        "anabranch_blocks_parked_total",
        "anabranch_heads",
        "anabranch_height_max",
    ] {
        assert!(sum(name) > 0.0, "{name} is {}", sum(name));
    }
    for (name, (kind, unit, _)) in found {
        assert!(name.starts_with("anabranch_"), "{name}");
        let unit = unit.unwrap_or_else(|| panic!("{name} has no unit"));
        let (end, expected) = match (name.contains("bytes"), name.ends_with("_seconds")) {
            (true, _) => ("", Unit::Bytes),
            (_, true) => ("_seconds", Unit::Seconds),
            _ => ("", Unit::Count),
        };
        assert!(name.ends_with(end) && unit == expected, "{name} is told in {unit:?}");
        assert_eq!(*kind == MetricKind::Counter, name.ends_with("_total"), "{name} is a {kind:?}");
    }
}
