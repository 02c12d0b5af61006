//! The picture: a bar for each ratio, on a logarithmic axis.

use super::{size, times, title};
use crate::{
    machine::Machine,
    summary::{DISK, DISK_DEFAULTS, MEMORY, Row, Summary},
};
use std::fmt::Write;

const WIDTH: f64 = 880.0;
/// From where to where bars may reach.
const PLOT: (f64, f64) = (300.0, 815.0);
const TOP: f64 = 112.0;
const BAR: f64 = 13.5;
const GAP: f64 = 12.0;

/// Colours for light and dark surroundings. Plain rules, no variables: not every program that shows SVG knows them.
const STYLE: &str = "
  text { font: 13px system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; fill: #1c2530 }
  .title { font-size: 19px; font-weight: 600 } .soft { fill: #5c6773; font-size: 11.5px } .value { font-size: 11.5px }
  .end { text-anchor: end } .middle { text-anchor: middle }
  .paper { fill: #ffffff } .memory { fill: #7aa2dc } .disk { fill: #14796b }
  line { stroke: #d9dee4 } .one { stroke: #5c6773; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e8ecf1 } .soft { fill: #9aa6b2 } .paper { fill: #14191f }
    .memory { fill: #5b86c9 } .disk { fill: #35b59f } line { stroke: #333d48 } .one { stroke: #9aa6b2 }
  }
";

/// The axis: which ratio lies where.
#[derive(Debug, PartialEq)]
struct Axis {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Axis {
    /// An axis with room for all these ratios, and for 1.
    fn around(ratios: &[f64]) -> Self {
        let least = ratios.iter().copied().fold(1.0, f64::min);
        let most = ratios.iter().copied().fold(2.0, f64::max);
        let decades = (most.log10() - least.log10()).max(0.0);
        let steps: &[f64] = if decades > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let marks: Vec<f64> =
            (-6..=9).flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power))).collect();
        let below = |mark: &&f64| **mark <= least * 1.000_001;
        let low = marks.iter().rev().find(below).copied().unwrap_or(least);
        let high = marks.iter().find(|mark| **mark >= most).copied().unwrap_or(most);
        let ticks = marks.into_iter().filter(|mark| (low..=high).contains(mark)).collect();
        Self { low, high, ticks }
    }

    fn x(&self, ratio: f64) -> f64 {
        let share = (ratio / self.low).ln() / (self.high / self.low).ln();
        PLOT.0 + share.clamp(0.0, 1.0) * (PLOT.1 - PLOT.0)
    }
}

/// The ratios of a row, with the class that colours them. Pebble's defaults stand in where Pebble was not run with our memory.
fn bars(row: &Row) -> Vec<(&'static str, f64)> {
    let memory = row.ratio(MEMORY).map(|ratio| ("memory", ratio));
    let disk = row.ratio(DISK).or_else(|| row.ratio(DISK_DEFAULTS)).map(|ratio| ("disk", ratio));
    [memory, disk].into_iter().flatten().collect()
}

/// The chart, a file of its own.
pub(crate) fn svg(summary: &Summary, machine: &Machine) -> String {
    let rows: Vec<(&Row, Vec<(&str, f64)>)> =
        summary.rows.iter().map(|row| (row, bars(row))).filter(|(_, bars)| !bars.is_empty()).collect();
    let ratios: Vec<f64> = rows.iter().flat_map(|(_, bars)| bars.iter().map(|(_, ratio)| *ratio)).collect();
    let axis = Axis::around(&ratios);
    let plot: f64 = rows.iter().map(|(_, bars)| bars.len() as f64 * BAR + GAP).sum();
    let height = TOP + plot.max(40.0) + 34.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" height=\"{height:.0}\" role=\"img\" \
         aria-label=\"How many times as fast, or as small, Anabranch is as go-ds-crdt\">\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\" rx=\"8\"/>\n"
    );
    head(&mut out, machine, rows.is_empty());
    if !rows.is_empty() {
        grid(&mut out, &axis, TOP + plot);
    }
    let mut y = TOP + GAP / 2.0;
    for (row, bars) in &rows {
        draw(&mut out, &axis, row, bars, y);
        y += bars.len() as f64 * BAR + GAP;
    }
    out + "</svg>\n"
}

fn push(out: &mut String, more: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(more);
    out.push('\n');
}

fn head(out: &mut String, machine: &Machine, is_empty: bool) {
    push(out, format_args!("<text class=\"title\" x=\"20\" y=\"32\">Anabranch beside go-ds-crdt, in one run</text>"));
    push(out, format_args!("<text class=\"soft\" x=\"20\" y=\"52\">{}</text>", escaped(&machine.line())));
    if is_empty {
        push(out, format_args!("<text x=\"20\" y=\"{TOP}\">Go was not run, so there is nothing to compare.</text>"));
        return;
    }
    let legend = [
        ("memory", 20, "in memory, against go-ds-crdt on a map"),
        ("disk", 312, "on disk, against go-ds-crdt on Pebble"),
    ];
    for (class, x, text) in legend {
        push(out, format_args!("<rect class=\"{class}\" x=\"{x}\" y=\"66\" width=\"12\" height=\"12\" rx=\"2\"/>"));
        push(out, format_args!("<text x=\"{}\" y=\"77\">{text}</text>", x + 18));
    }
    push(
        out,
        format_args!(
            "<text class=\"soft end\" x=\"{}\" y=\"77\">× as fast, or as small; log scale</text>",
            WIDTH - 20.0
        ),
    );
}

fn grid(out: &mut String, axis: &Axis, bottom: f64) {
    for tick in &axis.ticks {
        let x = axis.x(*tick);
        let class = if (tick - 1.0).abs() < 1e-9 { " class=\"one\"" } else { "" };
        push(out, format_args!("<line{class} x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\"/>"));
        for y in [TOP - 6.0, bottom + 17.0] {
            push(
                out,
                format_args!("<text class=\"soft middle\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", tick_label(*tick)),
            );
        }
    }
}

fn tick_label(tick: f64) -> String {
    if tick >= 1_000.0 { times(tick) } else { format!("{}×", (tick * 1e6).round() / 1e6) }
}

fn draw(out: &mut String, axis: &Axis, row: &Row, bars: &[(&str, f64)], y: f64) {
    let keys = size(row);
    let label = if keys.is_empty() { title(row) } else { format!("{}, {keys}", title(row)) };
    let middle = y + bars.len() as f64 * BAR / 2.0 + 4.5;
    push(out, format_args!("<text class=\"end\" x=\"{}\" y=\"{middle:.1}\">{}</text>", PLOT.0 - 14.0, escaped(&label)));
    let one = axis.x(1.0);
    for ((class, ratio), y) in bars.iter().zip((0..).map(|nth| y + f64::from(nth) * BAR)) {
        let end = axis.x(*ratio);
        let (x, width) = (one.min(end), (one - end).abs().max(1.0));
        push(
            out,
            format_args!(
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" rx=\"2\"/>",
                BAR - 2.0
            ),
        );
        // Beside the bar, on the side of the line where the bar does not lie.
        let x = one.max(end) + 6.0;
        push(
            out,
            format_args!("<text class=\"value\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>", y + BAR - 3.0, times(*ratio)),
        );
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        summary::tests::line,
        workload::{Store, Workload},
    };

    #[test]
    fn the_axis_has_room_for_all() {
        let axis = Axis::around(&[0.7, 12.0]);
        assert_eq!((axis.low, axis.high), (0.5, 20.0));
        assert_eq!(axis.ticks, [0.5, 1.0, 2.0, 5.0, 10.0, 20.0]);
        assert_eq!((axis.x(0.5), axis.x(20.0)), PLOT);
        assert!(axis.x(0.7) < axis.x(1.0) && axis.x(1.0) < axis.x(12.0));
        assert_eq!(Axis::around(&[3.0, 4_000.0]).ticks, [1.0, 10.0, 100.0, 1_000.0, 10_000.0]);
        assert_eq!(Axis::around(&[]), Axis { low: 1.0, high: 2.0, ticks: vec![1.0, 2.0] });
    }

    #[test]
    fn each_ratio_is_a_bar_with_its_value() {
        let mut summary = Summary::default();
        summary.add(Workload::Ingest, Store::Pebble, &[line(1_000_000, 10.0)]);
        summary.add(Workload::Ingest, Store::Disk, &[line(1_000_000, 55.0)]);
        summary.add(Workload::RawFjall, Store::Disk, &[line(1_000_000, 99.0)]);
        let machine = Machine { cpu: "A <fast> & \"new\" CPU".into(), ..Machine::look() };
        let text = svg(&summary, &machine);
        assert_eq!(text.matches("<rect class=\"disk\"").count(), 2, "one in the legend, one bar");
        assert!(text.contains(">ingest, 1 M</text>") && text.contains(">5.5×</text>") && !text.contains("raw fjall"));
        assert!(text.contains("A &lt;fast&gt; &amp; &quot;new&quot; CPU"));
        assert!(text.contains("prefers-color-scheme: dark"));
        assert_eq!(text.matches("<text").count(), text.matches("</text>").count());
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
    }

    #[test]
    fn without_go_the_picture_says_so() {
        let mut summary = Summary::default();
        summary.add(Workload::Ingest, Store::Disk, &[line(1_000, 55.0)]);
        assert!(svg(&summary, &Machine::look()).contains("Go was not run"));
    }
}
