//! Checks of broadcasters.

use super::{PATIENCE, Violation, counted, patiently, violation};
use crate::{Broadcaster, Bytes, Peer, limits::BROADCAST_BYTES_MAX};
use std::{collections::BTreeMap, time::Duration};

/// How long to wait for a payload before it is sent again.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// Payloads that are sent while nobody receives.
const FLOOD: usize = 5_000;

const ARRIVES: &str = "a payload arrives at all other peers, as it was sent";
const NAMES: &str = "`next` says who sent a payload: each sender always by the same number, and no two by one";
const BOTH: &str = "`broadcast` and `next` may be called at the same time";
const DROPPED: &str = "dropping the future of `next` loses nothing";
const FLOODED: &str = "`broadcast` does not wait for peers that do not receive";

/// Checks broadcasters: `connect(n)` makes `n` that hear each other.
///
/// # Errors
/// The first rule that is broken, and how.
pub async fn broadcaster<B: Broadcaster>(connect: impl AsyncFn(usize) -> Vec<B>) -> Result<(), Violation> {
    let members = counted(connect(3).await, 3)?;
    arrives_everywhere(&members).await?;
    both_at_once(&members).await?;
    dropped_next(&members).await?;
    flood(&counted(connect(2).await, 2)?).await
}

/// Each sends payloads of several lengths; each other one gets them, from one number a sender.
async fn arrives_everywhere<B: Broadcaster>(members: &[B]) -> Result<(), Violation> {
    let mut names: Vec<BTreeMap<usize, Peer>> = vec![BTreeMap::new(); members.len()];
    for (sender, member) in members.iter().enumerate() {
        for length in [1, 37, 1_000, BROADCAST_BYTES_MAX] {
            let payload = payload(sender, length);
            for (receiver, names) in names.iter_mut().enumerate().filter(|(receiver, _)| *receiver != sender) {
                let from = reaches(member, &members[receiver], &payload, ARRIVES).await?;
                if *names.entry(sender).or_insert(from) != from {
                    return violation(NAMES, format_args!("member {sender} is {:?} and {from:?}", names[&sender]));
                }
            }
        }
    }
    for (receiver, names) in names.iter().enumerate() {
        let mut numbers: Vec<_> = names.values().collect();
        numbers.dedup();
        if numbers.len() != names.len() {
            return violation(NAMES, format_args!("member {receiver} calls its peers {names:?}"));
        }
    }
    Ok(())
}

/// A `next` that waits does not keep its own broadcaster from sending.
async fn both_at_once<B: Broadcaster>(members: &[B]) -> Result<(), Violation> {
    let payload = payload(7, 50);
    let waits = async {
        // What arrives here is of no interest; that it waits is.
        while let Ok(Some(_)) = members[0].next().await {}
        std::future::pending::<()>().await;
    };
    tokio::select! {
        // `next` first, so that it waits when the other sends.
        biased;
        () = waits => Ok(()),
        reached = reaches(&members[0], &members[1], &payload, BOTH) => reached.map(drop),
    }
}

/// A `next` is dropped while it waits; what is sent afterwards arrives.
async fn dropped_next<B: Broadcaster>(members: &[B]) -> Result<(), Violation> {
    for round in 0..10 {
        drain(&members[1]).await;
        reaches(&members[0], &members[1], &payload(100 + round, 64), DROPPED).await?;
    }
    Ok(())
}

/// Much is sent to one who does not receive; afterwards something still arrives.
async fn flood<B: Broadcaster>(members: &[B]) -> Result<(), Violation> {
    let sent = async {
        for n in 0..FLOOD {
            let _ = members[0].broadcast(payload(n, 100)).await;
        }
    };
    patiently(FLOODED, sent).await?;
    reaches(&members[0], &members[1], &payload(FLOOD, 100), FLOODED).await.map(drop)
}

/// Sends until it has arrived. Who sent it, as the receiver says.
async fn reaches<B: Broadcaster>(from: &B, to: &B, payload: &Bytes, rule: &'static str) -> Result<Peer, Violation> {
    let attempt = async {
        loop {
            match tokio::time::timeout(PATIENCE, from.broadcast(payload.clone())).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a broadcast failed, and is tried again"),
                Err(_) => return violation(rule, "`broadcast` hangs"),
            }
            let arrived = async {
                loop {
                    match to.next().await {
                        Ok(Some((peer, received))) if received == *payload => return Ok(peer),
                        // Something that was sent before.
                        Ok(Some(_)) | Err(_) => {}
                        Ok(None) => return violation(rule, "`next` says that there will be no more"),
                    }
                }
            };
            if let Ok(arrived) = tokio::time::timeout(AGAIN_AFTER, arrived).await {
                return arrived;
            }
        }
    };
    let seen = format!("a payload of {} bytes did not arrive unchanged within {PATIENCE:?}", payload.len());
    tokio::time::timeout(PATIENCE, attempt).await.unwrap_or_else(|_| violation(rule, seen))
}

/// Takes what has arrived, and drops a `next` that waits.
async fn drain<B: Broadcaster>(member: &B) {
    while let Ok(Ok(Some(_))) = tokio::time::timeout(Duration::from_millis(5), member.next()).await {}
}

/// A payload unlike those of other numbers.
fn payload(number: usize, length: usize) -> Bytes {
    let mut bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
    let name = number.to_le_bytes();
    bytes.iter_mut().zip(name).for_each(|(byte, name)| *byte = name);
    bytes.push((number % 256) as u8);
    bytes.truncate(BROADCAST_BYTES_MAX);
    bytes.into()
}
