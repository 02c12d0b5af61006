//! Which operation fails, and how.

use libc::c_int;

/// What becomes of an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It runs.
    Pass,
    /// It does not run, and returns this error.
    Fail(c_int),
    /// A write: it writes the first half of its bytes.
    Half,
}

/// A fault to come: from the operation `at` on, all that it concerns fail.
pub(crate) struct Plan {
    at: u64,
    errno: c_int,
    once: bool,
    half: bool,
    /// `once`, and it has failed.
    spent: bool,
    /// `half`, and a write has been cut short: the error follows.
    halved: bool,
}

impl Plan {
    /// Reads `AT:ERRNO[:once][:half]`.
    pub(crate) fn parse(text: &str) -> Option<Plan> {
        let mut parts = text.split(':');
        let at = parts.next()?.parse().ok()?;
        let errno = match parts.next()? {
            "ENOSPC" => libc::ENOSPC,
            "EIO" => libc::EIO,
            "EROFS" => libc::EROFS,
            _ => return None,
        };
        let mut plan = Plan { at, errno, once: false, half: false, spent: false, halved: false };
        for option in parts {
            match option {
                "once" => plan.once = true,
                "half" => plan.half = true,
                _ => return None,
            }
        }
        Some(plan)
    }

    /// The verdict on operation `index`, counted from 0. A full disk (`ENOSPC`) concerns only those that need room.
    /// `bytes` is what a write would write, and 0 for others.
    pub(crate) fn strike(&mut self, index: u64, needs_room: bool, bytes: usize) -> Verdict {
        if self.spent || index < self.at || (self.errno == libc::ENOSPC && !needs_room) {
            return Verdict::Pass;
        }
        if self.half && !self.halved && bytes >= 2 {
            self.halved = true;
            return Verdict::Half;
        }
        self.spent = self.once;
        Verdict::Fail(self.errno)
    }
}
