//! Small pieces of text: numbers, times, paths.

pub(super) use anabranch_sim::report::text::{count, number, simulated, time};

use std::path::Path;

/// A path as a shell takes it.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "-_./+:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('-') {
        return text;
    }
    // A leading dash would be taken for an option.
    let dash = if text.starts_with('-') { "./" } else { "" };
    format!("'{dash}{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_a_shell() {
        let paths =
            [("scenarios/x.toml", "scenarios/x.toml"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("-x y", "'./-x y'")];
        for (path, text) in paths {
            assert_eq!(quoted(Path::new(path)), text);
        }
    }
}
