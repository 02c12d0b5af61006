//! What may differ from program to program.

use crate::OpenError;
use anabranch_core::{Config, WhenBehind};
use std::time::Duration;

/// Options of the driver around the replica; those of the replica itself are in [`Config`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The replica's own, with two other defaults than the core's: while the replica is behind, a write waits for up to 10 s
    /// ([`WhenBehind::Wait`]), and changes are told to watchers ([`Config::report_changes`]).
    pub replica: Config,
    /// How long a fresh announcement waits for more, so that several new heads go out in one message (default 0: none
    /// waits, but what gathers while a message is being sent goes out together).
    pub broadcast_delay: Duration,
    /// After how long a fetch is given up by the driver, whatever the syncer does (default 30 s). The replica asks the next
    /// peer long before that ([`Config::fetch_timeout`]); this bounds how long a silent fetch is kept.
    pub fetch_deadline: Duration,
    /// Calls and messages from peers that wait for the replica (default 1,024). More callers wait in turn.
    pub queue_max: usize,
    /// Bytes of writes and blocks that wait for the replica or for the sync (default 64 MiB). More wait in turn.
    pub queue_bytes_max: usize,
    /// Changes that wait for a watcher that does not keep up (default 1,024); it is told how many it missed.
    pub watch_buffer: usize,
    /// How long `close` waits for announcements to leave (default 5 s).
    pub close_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            replica: Config {
                when_behind: WhenBehind::Wait(Duration::from_secs(10)),
                report_changes: true,
                ..Config::default()
            },
            broadcast_delay: Duration::ZERO,
            fetch_deadline: Duration::from_secs(30),
            queue_max: 1024,
            queue_bytes_max: 64 << 20,
            watch_buffer: 1024,
            close_timeout: Duration::from_secs(5),
        }
    }
}

impl Options {
    /// Refuses what makes no sense.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let option = |name, what: &str| Err(OpenError::Option { name, what: what.to_owned() });
        let Config { rebroadcast_interval, rebroadcast_jitter_percent, fetch_timeout, fetch_timeout_ticks, .. } =
            self.replica;
        if rebroadcast_interval.is_zero() {
            return option("rebroadcast_interval", "0 would announce without end; give at least some milliseconds");
        }
        if rebroadcast_jitter_percent > 100 {
            return option("rebroadcast_jitter_percent", "over 100; give 0 to 100");
        }
        if fetch_timeout.is_zero() || fetch_timeout_ticks == 0 {
            return option(
                "fetch_timeout",
                "0 would give up every fetch at once; give some seconds, in 1 tick or more",
            );
        }
        if self.fetch_deadline < fetch_timeout {
            return option(
                "fetch_deadline",
                "shorter than fetch_timeout, after which another peer is asked; give more",
            );
        }
        if self.replica.fetches_max == 0 || self.replica.fetches_per_peer_max == 0 {
            return option("fetches_max", "0 would fetch nothing; give 1 or more");
        }
        if self.queue_max == 0 {
            return option("queue_max", "0 would let nobody in; give 1 or more");
        }
        if u32::try_from(self.queue_bytes_max).map_or(true, |bytes| bytes < 1 << 20) {
            return option("queue_bytes_max", "give 1 MiB to 4 GiB");
        }
        if self.watch_buffer == 0 {
            return option("watch_buffer", "0 would tell watchers nothing; give 1 or more");
        }
        Ok(())
    }
}
