//! Results as JUnit XML, which most CI systems show.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

/// A run, as JUnit has it.
pub(super) struct Case {
    /// The scenario.
    pub(super) suite: String,
    /// The seed.
    pub(super) name: String,
    pub(super) wall: Duration,
    /// What kind of problem there is, and what, in one line.
    pub(super) problem: Option<(String, String)>,
}

/// The file's text: a suite for each scenario, in the order of their names.
pub(super) fn junit(name: &str, cases: &[Case]) -> String {
    let mut suites: BTreeMap<&str, Vec<&Case>> = BTreeMap::new();
    cases.iter().for_each(|case| suites.entry(&case.suite).or_default().push(case));
    let failures = |cases: &[&Case]| cases.iter().filter(|case| case.problem.is_some()).count();
    let seconds = |cases: &[&Case]| cases.iter().map(|case| case.wall).sum::<Duration>().as_secs_f64();
    let all: Vec<&Case> = cases.iter().collect();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let open = |tag: &str, name: &str, cases: &[&Case]| {
        format!(
            "<{tag} name=\"{}\" tests=\"{}\" failures=\"{}\" time=\"{:.3}\">\n",
            escaped(name),
            cases.len(),
            failures(cases),
            seconds(cases)
        )
    };
    text.push_str(&open("testsuites", name, &all));
    for (suite, cases) in &suites {
        text.push_str(&open("testsuite", suite, cases));
        for Case { suite, name, wall, problem } in cases {
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "<testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
                escaped(suite),
                escaped(name),
                wall.as_secs_f64()
            );
            match problem {
                None => text.push_str("/>\n"),
                Some((kind, message)) => {
                    let _ = writeln!(
                        text,
                        "><failure type=\"{}\" message=\"{}\"/></testcase>",
                        escaped(kind),
                        escaped(message)
                    );
                }
            }
        }
        text.push_str("</testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

/// Text inside the quotes of an attribute. What XML cannot hold at all becomes a question mark.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' | '\r' => escaped.push(' '),
            c if u32::from(c) < 0x20 || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_and_failures_are_counted_and_text_is_escaped() {
        let case = |suite: &str, problem: Option<&str>| Case {
            suite: suite.to_owned(),
            name: String::from("seed 1"),
            wall: Duration::from_millis(1500),
            problem: problem.map(|what| (String::from("broken-invariant"), what.to_owned())),
        };
        let text = junit("run", &[case("b", None), case("a", Some("1 < 2 & \"x\"\u{1}")), case("b", None)]);
        assert!(text.contains("<testsuites name=\"run\" tests=\"3\" failures=\"1\" time=\"4.500\">"), "{text}");
        assert!(text.contains("<testsuite name=\"b\" tests=\"2\" failures=\"0\" time=\"3.000\">"), "{text}");
        assert!(text.contains("message=\"1 &lt; 2 &amp; &quot;x&quot;?\""), "{text}");
    }
}
