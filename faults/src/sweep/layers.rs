//! The layers of `anabranch-store` over a store that can fail.

use crate::recorder::Recorder;
use anabranch_core::store::{Store, StoreError};
use anabranch_store::{Buffered, Checked};

/// What lies between the replica and the engine.
pub trait Layers {
    /// What the replica sees.
    type Store: Store;
    /// How it is called.
    const NAME: &'static str;

    /// Lays them over a store.
    ///
    /// # Errors
    /// When it cannot be read.
    fn over(engine: Recorder) -> Result<Self::Store, StoreError>;
}

/// Nothing.
#[derive(Clone, Copy, Debug)]
pub struct Bare;
/// Checksums.
#[derive(Clone, Copy, Debug)]
pub struct Sums;
/// Commits held back until the sync.
#[derive(Clone, Copy, Debug)]
pub struct Held;
/// What [`anabranch_store::open`] lays over fjall.
#[derive(Clone, Copy, Debug)]
pub struct Default;

impl Layers for Bare {
    type Store = Recorder;
    const NAME: &'static str = "no layers";

    fn over(engine: Recorder) -> Result<Recorder, StoreError> {
        Ok(engine)
    }
}

impl Layers for Sums {
    type Store = Checked<Recorder>;
    const NAME: &'static str = "checksums";

    fn over(engine: Recorder) -> Result<Self::Store, StoreError> {
        Ok(Checked::new(engine))
    }
}

impl Layers for Held {
    type Store = Buffered<Recorder>;
    const NAME: &'static str = "commits held back";

    fn over(engine: Recorder) -> Result<Self::Store, StoreError> {
        Buffered::new(engine)
    }
}

impl Layers for Default {
    type Store = Buffered<Checked<Recorder>>;
    const NAME: &'static str = "the default's layers";

    fn over(engine: Recorder) -> Result<Self::Store, StoreError> {
        Buffered::new(Checked::new(engine))
    }
}
