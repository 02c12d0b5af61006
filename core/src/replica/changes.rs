//! Telling what a step changes for those who read.

use super::step::Step;
use crate::{
    Effect, Error, Event, Key, Validator,
    set::record,
    store::{Store, Table},
};

impl<S: Store, V: Validator> Step<'_, S, V> {
    /// Tells the net change of each key whose visible value this step changes, in order of the keys.
    ///
    /// The changed rows are all there is to look at, so whatever changes a record is told of: merging,
    /// deriving a key anew, and what comes later.
    pub(super) fn report_changes(&mut self) -> Result<(), Error> {
        self.rows.sort_before();
        for (key, new) in self.rows.changed(Table::Keys) {
            let old = self.rows.before(Table::Keys, key)?.as_ref().map(record::value).transpose()?;
            let new = new.map(record::value).transpose()?;
            if old != new {
                self.out.push(Effect::Notify(Event::Changed { key: Key::cleaned(key.clone()), old, new }));
            }
        }
        Ok(())
    }
}
