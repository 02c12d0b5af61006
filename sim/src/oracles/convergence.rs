//! Replicas that have merged the same blocks have equal heads and equal states.

use super::{
    Finding, Observed,
    observed::{difference, show_heads, show_value},
};

/// Whether two replicas that have merged the same blocks show the same.
///
/// # Errors
/// Where they first differ.
pub fn check(name: &str, ours: &Observed, other: &str, theirs: &Observed) -> Finding {
    let heads = difference(&ours.heads, &theirs.heads, |dag, ours, theirs| {
        format!("heads of DAG \"{dag}\": {name} has {}, {other} has {}", show_heads(ours), show_heads(theirs))
    });
    let state = || {
        difference(&ours.state, &theirs.state, |key, ours, theirs| {
            format!("{key}: {name} has {}, {other} has {}", show_value(ours), show_value(theirs))
        })
    };
    match heads.or_else(state) {
        Some(difference) => Err(format!("the same blocks are merged, and {difference}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anabranch_core::{Bytes, Cid, DagName, Key};

    #[test]
    fn fires_on_other_heads_and_on_other_states() {
        let base = Observed {
            heads: [(DagName::default(), [Cid::of(b"head")].into())].into(),
            state: [(Key::new("/k"), Bytes::from_static(b"v"))].into(),
            ..Observed::default()
        };
        assert_eq!(check("r0", &base, "r1", &base.clone()), Ok(()));
        let mut other = base.clone();
        other.heads.entry(DagName::default()).or_default().insert(Cid::of(b"another"));
        assert!(check("r0", &base, "r1", &other).is_err_and(|why| why.contains("heads of DAG \"\"")));
        let mut other = base.clone();
        other.state.insert(Key::new("/k"), Bytes::new());
        assert!(check("r0", &base, "r1", &other).is_err_and(|why| why.contains("r1 has empty")));
        let mut other = base.clone();
        other.state.clear();
        assert!(check("r0", &base, "r1", &other).is_err_and(|why| why.contains("r1 has absent")));
    }
}
