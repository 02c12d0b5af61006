//! redb.
/// redb
#[derive(Debug)]
pub struct RedbStore;
