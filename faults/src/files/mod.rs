//! A folder of files as a disk keeps it: what a recorded run may leave after a crash.
//!
//! A process runs with the shim preloaded ([`Shim`]), which records all that it does to the files of one folder, and
//! fails what it is told to. Afterwards the [`Log`] is read, a [`Tree`] follows it operation by operation, and at each
//! point gives the [`Image`]s that a disk may hold if the power goes there: one for each [`Loss`].
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use anabranch_faults::files::{Log, Loss, Shim, Tree};
//!
//! let shim = Shim::new("/tmp/run/folder", "/tmp/run/log");
//! let mut command = std::process::Command::new("writer");
//! shim.apply(&mut command)?;
//! command.status()?;
//! let log = Log::read("/tmp/run/log".as_ref())?;
//! let mut tree = Tree::new(&log);
//! for operation in log.operations() {
//!     if tree.unsynced() {
//!         tree.image(Loss::Random(7)).write_to("/tmp/run/image".as_ref())?;
//!         // Open the image, and compare it with what the marks say was acknowledged.
//!         std::fs::remove_dir_all("/tmp/run/image")?;
//!     }
//!     tree.apply(operation)?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # The disk
//!
//! The rules are POSIX's, read strictly, and Linux's practice where POSIX leaves out a bound:
//!
//! - fsync and fdatasync of a file make its bytes and its length durable, not its name.
//! - fsync of a folder makes its names durable; of a rename into or out of another folder, both names together.
//! - What is not synced may be there or not: names of one folder in the order of the operations, a file's length in the
//!   order of its changes, its bytes by sectors of 512 bytes in any order. A sector holds its bytes as they were after
//!   one of the writes to it: what one sector lost, a later write to the same sector brings back with it, as the page
//!   cache would.
//! - A cut that was lost keeps the old bytes, and what was written after it into the room it had freed is lost with it.

mod content;
#[path = "../../shim/src/format.rs"]
mod format;
mod image;
mod log;
mod names;
mod order;
mod shim;
mod torn;
mod tree;

pub use image::{Image, Loss};
pub use log::{Inode, Kind, Log, LogError, Mark, Operation};
pub use order::{Violation, sync_order};
pub use shim::{Errno, Fail, Shim, shim_library};
pub use tree::{Lie, Misfit, Tree};
