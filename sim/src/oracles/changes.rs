//! What hooks are told of is what changed, and all of it.

use super::{
    Finding, Observed,
    observed::{difference, show_value},
};
use anabranch_core::{Bytes, Key};
use std::collections::BTreeMap;

/// What a program knows that listens to changes only.
#[derive(Clone, Debug, Default)]
pub struct Listener {
    values: BTreeMap<Key, Bytes>,
}

impl Listener {
    /// It begins with what is there.
    #[must_use]
    pub fn new(observed: &Observed) -> Self {
        Self { values: observed.state.clone() }
    }

    /// It is told of a change.
    ///
    /// # Errors
    /// When what is said to have been there is not what it was told before, or when nothing has changed.
    pub fn hears(&mut self, key: &Key, old: Option<&Bytes>, new: Option<&Bytes>) -> Finding {
        let known = match new {
            Some(new) => self.values.insert(key.clone(), new.clone()),
            None => self.values.remove(key),
        };
        if known.as_ref() != old {
            let known = show_value(known.as_ref());
            return Err(format!("{key} is said to have been {}, and it was {known}", show_value(old)));
        }
        match old == new {
            true => Err(format!("{key} is said to have changed, and it has not: {}", show_value(new))),
            false => Ok(()),
        }
    }

    /// Whether it knows all that there is to see.
    ///
    /// # Errors
    /// The first key of which it was not told.
    pub fn knows(&self, observed: &Observed) -> Finding {
        let difference = difference(&observed.state, &self.values, |key, seen, told| {
            format!("{key} is {}, and the last that hooks were told of it is {}", show_value(seen), show_value(told))
        });
        difference.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn fires_on_changes_that_are_not_told_told_twice_or_told_wrongly() {
        let (key, value) = (Key::new("k"), Bytes::from_static(b"v"));
        let mut listener = Listener::new(&Observed::default());
        let seen = Observed { state: [(key.clone(), value.clone())].into(), ..Observed::default() };
        assert!(listener.knows(&seen).unwrap_err().contains("hooks were told"));
        listener.hears(&key, None, Some(&value)).unwrap();
        assert_eq!(listener.knows(&seen), Ok(()));
        assert!(listener.hears(&key, None, Some(&value)).is_err(), "told twice");
        assert!(listener.hears(&key, Some(&value), Some(&value)).is_err(), "no change");
        listener.hears(&key, Some(&value), None).unwrap();
        assert!(listener.knows(&seen).is_err());
    }
}
