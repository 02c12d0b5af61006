//! Checks for those who implement [`Broadcaster`](crate::Broadcaster) or [`DagSyncer`](crate::DagSyncer): call them in your own tests.
//!
//! Each takes a function that makes members of one network, connected to each other, and says what is wrong with them. Lost messages are
//! forgiven (everything is tried again and again), hanging is not: each check gives up after [`PATIENCE`].
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use anabranch::{LocalNetwork, testkit};
//!
//! let members = async |count| {
//!     let network = LocalNetwork::new();
//!     (0..count).map(|_| network.join()).collect::<Vec<_>>()
//! };
//! testkit::broadcaster(async |count| members(count).await.into_iter().map(|(broadcaster, _)| broadcaster).collect()).await?;
//! testkit::syncer(async |count| members(count).await.into_iter().map(|(_, syncer)| syncer).collect()).await?;
//! testkit::network(members).await?;
//! # Ok(())
//! # }
//! ```

mod broadcaster;
mod network;
mod syncer;

pub use broadcaster::broadcaster;
pub use network::network;
pub use syncer::syncer;

use std::{fmt, time::Duration};

/// The longest that anything may take in a check.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What an implementation does wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule, in the words of the trait's documentation.
    pub rule: &'static str,
    /// What was seen instead.
    pub seen: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.seen)
    }
}

impl std::error::Error for Violation {}

fn violation<T>(rule: &'static str, seen: impl fmt::Display) -> Result<T, Violation> {
    Err(Violation { rule, seen: seen.to_string() })
}

/// What comes of a future, unless it hangs.
async fn patiently<T>(rule: &'static str, future: impl Future<Output = T>) -> Result<T, Violation> {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => Ok(done),
        Err(_) => violation(rule, format_args!("it had not ended after {PATIENCE:?}")),
    }
}

/// As many members as were asked for.
fn counted<T>(members: Vec<T>, count: usize) -> Result<Vec<T>, Violation> {
    match members.len() == count {
        true => Ok(members),
        false => violation("the function makes as many members as it is asked for", members.len()),
    }
}
