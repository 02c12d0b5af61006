//! Checks of a broadcaster and a syncer together.

use super::{PATIENCE, Violation, counted, violation};
use crate::{Broadcaster, DagSyncer, Datastore, Query, Row};
use std::time::{Duration, Instant};

const CONVERGES: &str = "datastores that write at the same time converge";
const JOINS: &str = "one who joins late gets all that was written before";
const OPENS: &str = "a datastore opens, and can be written to and read";

/// Puts of each writer.
const PUTS: usize = 20;

/// Checks a network as datastores use it: `connect(n)` makes `n` members, each a broadcaster and a syncer, that reach each other.
///
/// # Errors
/// The first rule that is broken, and how.
pub async fn network<B: Broadcaster, D: DagSyncer>(
    connect: impl AsyncFn(usize) -> Vec<(B, D)>,
) -> Result<(), Violation> {
    let mut members = counted(connect(4).await, 4)?;
    let late = members.pop();
    let mut stores = Vec::new();
    for member in members {
        stores.push(open(member).await?);
    }
    for n in 0..PUTS {
        for (number, store) in stores.iter().enumerate() {
            let both = store.put("/testkit/contended", format!("{number} {n}")).await;
            let own = store.put(format!("/testkit/{number}/{n}"), "x").await;
            both.and(own).or_else(|error| violation(OPENS, error))?;
        }
    }
    converge(&stores, CONVERGES).await?;
    if let Some(late) = late {
        stores.push(open(late).await?);
        converge(&stores, JOINS).await?;
    }
    for store in stores {
        store.close().await;
    }
    Ok(())
}

async fn open<B: Broadcaster, D: DagSyncer>(member: (B, D)) -> Result<Datastore, Violation> {
    let builder = Datastore::builder().options(|options| {
        options.replica.rebroadcast_interval = Duration::from_millis(500);
        options.replica.fetch_timeout = Duration::from_millis(500);
    });
    builder.network(member).memory().await.or_else(|error| violation(OPENS, error))
}

async fn converge(stores: &[Datastore], rule: &'static str) -> Result<(), Violation> {
    let begun = Instant::now();
    loop {
        let mut states = Vec::new();
        for store in stores {
            states.push(state(store).await.or_else(|error| violation(OPENS, error))?);
        }
        let expected = 3 * PUTS + 1;
        if states.iter().all(|state| *state == states[0] && state.len() == expected) {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            let found: Vec<usize> = states.iter().map(Vec::len).collect();
            return violation(rule, format_args!("after {PATIENCE:?} they hold {found:?} of {expected} keys"));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn state(store: &Datastore) -> Result<Vec<Row>, crate::Error> {
    store.query(Query::default()).await?.collect().await
}
