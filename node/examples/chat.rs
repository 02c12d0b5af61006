//! A chat without a server: `cargo run -p anabranch --example chat`.
//!
//! Three members of a network inside this program each hold a whole copy of the room. One of them is offline for a while, writes
//! all the same, and nothing is lost when it comes back. With a [`Broadcaster`](anabranch::Broadcaster) and a
//! [`DagSyncer`](anabranch::DagSyncer) of a real network the same program runs on three machines.

use anabranch::{Datastore, LocalNetwork, Peer, Query, Told};
use std::time::Duration;

/// A message is a key of its own, so that nobody overwrites anybody: `/room/<number>-<name>`.
async fn say(store: &Datastore, name: &str, text: &str) -> Result<(), anabranch::Error> {
    let query = Query { prefix: "/room".into(), keys_only: true, ..Query::default() };
    let count = store.query(query).await?.collect().await?.len();
    store.put(format!("/room/{count:04}-{name}"), text.to_owned()).await.map(drop)
}

/// Prints what a member sees, as it comes.
fn listen(store: &Datastore, name: &'static str) -> Result<tokio::task::JoinHandle<()>, anabranch::Error> {
    let mut messages = store.watch_prefix("/room")?;
    Ok(tokio::spawn(async move {
        while let Some(told) = messages.next().await {
            if let Told::Now(change) = told {
                let text = change.new.map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
                println!("{name:>5} sees {}: {text}", change.key);
            }
        }
    }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let network = LocalNetwork::new();
    let mut members = Vec::new();
    for name in ["ada", "bob", "cleo"] {
        let builder = Datastore::builder().options(|options| {
            options.replica.rebroadcast_interval = Duration::from_millis(300);
        });
        let store = builder.network(network.join()).memory().await?;
        members.push((name, listen(&store, name)?, store));
    }
    let store = |number: usize| &members[number].2;
    say(store(0), "ada", "hello, is anybody here?").await?;
    tokio::time::sleep(Duration::from_millis(100)).await;
    say(store(1), "bob", "I am.").await?;

    println!("      cleo goes offline");
    network.connect(Peer(3), false);
    say(store(0), "ada", "where is cleo?").await?;
    say(store(2), "cleo", "this I write in a tunnel").await?;
    println!("      cleo is back");
    network.connect(Peer(3), true);

    // All have converged when all have the same heads.
    while store(0).heads().await? != store(1).heads().await? || store(1).heads().await? != store(2).heads().await? {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("      all three hold the same room:");
    let mut rows = store(2).query(Query { prefix: "/room".into(), ..Query::default() }).await?;
    while let Some(row) = rows.next().await {
        let row = row?;
        println!("      {}  {}", row.key, String::from_utf8_lossy(&row.value.unwrap_or_default()));
    }
    for (_, listener, store) in members {
        store.close().await;
        listener.await?;
    }
    Ok(())
}
