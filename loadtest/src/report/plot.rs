//! Plots as SVG text.

use std::fmt::Debug;
use std::ops::Range;

use anyhow::anyhow;
use plotters::coord::ranged1d::{
    AsRangedCoord, KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter,
};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

/// A line of a plot.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// Lines of one relay have one colour.
    pub(crate) colour: usize,
    /// Drawn thin and dashed.
    pub(crate) is_faint: bool,
    pub(crate) points: Vec<(f64, f64)>,
}

/// What stands around the lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axes<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    /// Where the names of the lines hide least.
    pub(crate) names: Corner,
}

/// A corner of a plot, on its right.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Corner {
    Upper,
    Lower,
}

const SIZE: (u32, u32) = (900, 360);
/// Colours that people with any kind of sight can tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
];

/// A plot over time, from zero.
pub(crate) fn over_time(axes: Axes<'_>, lines: &[Line]) -> anyhow::Result<String> {
    let (x, y) = (largest(lines, |point| point.0), largest(lines, |point| point.1));
    draw(axes, lines, 0.0..x, 0.0..y * 1.05)
}

/// A plot of latencies: each further nine of the share takes the same room, as does each tenfold of the latency.
pub(crate) fn percentiles(axes: Axes<'_>, lines: &[Line]) -> anyhow::Result<String> {
    let logarithmic = |line: &Line| {
        let points = line.points.iter().filter(|(share, ms)| *share < 1.0 && *ms > 0.0);
        Line { points: points.map(|(share, ms)| (nines(*share), *ms)).collect(), ..line.clone() }
    };
    let lines: Vec<_> = lines.iter().map(logarithmic).collect();
    let x = largest(&lines, |point| point.0);
    let all = || lines.iter().flat_map(|line| &line.points).map(|point| point.1);
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
    let low = if low.is_finite() { 10_f64.powf(low.log10().floor()) } else { 0.1 };
    let high = 10_f64.powf(high.max(low * 2.0).log10().ceil());
    draw(axes, &lines, Nines(RangedCoordf64::from(0.0..x)), (low..high).log_scale())
}

/// How many nines a share has: 1 for 0.9, 2 for 0.99.
fn nines(share: f64) -> f64 {
    -(1.0 - share).log10()
}

/// An axis of nines, with marks where people look.
struct Nines(RangedCoordf64);

impl Ranged for Nines {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.0.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        let marks = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999].map(nines);
        marks.into_iter().filter(|mark| self.0.range().contains(mark)).collect()
    }

    fn range(&self) -> Range<f64> {
        self.0.range()
    }
}

impl ValueFormatter<f64> for Nines {
    fn format_ext(&self, nines: &f64) -> String {
        let percent = format!("{:.3}", 100.0 * (1.0 - 10_f64.powf(-nines)));
        format!("p{}", percent.trim_end_matches('0').trim_end_matches('.'))
    }
}

fn largest(lines: &[Line], figure: fn(&(f64, f64)) -> f64) -> f64 {
    let points = lines.iter().flat_map(|line| &line.points);
    let largest = points.map(figure).fold(0.0, f64::max);
    // A range must not be empty.
    if largest > 0.0 { largest } else { 1.0 }
}

/// No digits that say nothing.
fn short(figure: f64) -> String {
    let text = format!("{figure:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn draw<X, Y, XRange, YRange>(
    axes: Axes<'_>,
    lines: &[Line],
    x: XRange,
    y: YRange,
) -> anyhow::Result<String>
where
    XRange: AsRangedCoord<CoordDescType = X, Value = f64>,
    YRange: AsRangedCoord<CoordDescType = Y, Value = f64>,
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let failed = |what: &dyn Debug| anyhow!("a plot cannot be drawn: {what:?}");
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(|error| failed(&error))?;
        let mut chart = ChartBuilder::on(&area)
            .caption(axes.title, ("sans-serif", 18))
            .margin(10)
            .x_label_area_size(44)
            .y_label_area_size(74)
            .build_cartesian_2d(x, y)
            .map_err(|error| failed(&error))?;
        chart
            .configure_mesh()
            .x_desc(axes.x)
            .y_desc(axes.y)
            .y_label_formatter(&|y| short(*y))
            .light_line_style(BLACK.mix(0.04))
            .label_style(("sans-serif", 13))
            .draw()
            .map_err(|error| failed(&error))?;
        for line in lines {
            let colour = COLOURS.get(line.colour % COLOURS.len()).copied().unwrap_or(BLACK);
            let style = if line.is_faint {
                colour.mix(0.7).stroke_width(1)
            } else {
                colour.stroke_width(2)
            };
            let points = line.points.iter().copied();
            let series = if line.is_faint {
                chart.draw_series(DashedLineSeries::new(points, 4, 3, style))
            } else {
                chart.draw_series(LineSeries::new(points, style))
            };
            series
                .map_err(|error| failed(&error))?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style));
        }
        chart
            .configure_series_labels()
            .position(match axes.names {
                Corner::Upper => SeriesLabelPosition::UpperRight,
                Corner::Lower => SeriesLabelPosition::LowerRight,
            })
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.2))
            .label_font(("sans-serif", 13))
            .draw()
            .map_err(|error| failed(&error))?;
        area.present().map_err(|error| failed(&error))?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AXES: Axes<'_> =
        Axes { title: "Title", x: "seconds", y: "messages/s", names: Corner::Upper };

    fn line(points: &[(f64, f64)]) -> Line {
        Line { name: "one".to_owned(), colour: 0, is_faint: false, points: points.to_vec() }
    }

    #[test]
    fn a_plot_names_what_it_shows() {
        let text = over_time(AXES, &[line(&[(0.0, 1.0), (1.0, 50.0), (2.5, 40.0)])]).unwrap();
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"), "{text}");
        for want in ["Title", "seconds", "messages/s", "one", "polyline"] {
            assert!(text.contains(want), "{want}: {text}");
        }
    }

    #[test]
    fn latencies_are_named_by_their_share() {
        let points: Vec<_> = (0..40)
            .map(|at| 1.0 - 10_f64.powf(f64::from(at) / -10.0))
            .map(|share| (share, 1.0 + share))
            .collect();
        let text = percentiles(AXES, &[line(&points)]).unwrap();
        for want in ["p50", "p90", "p99", "p99.9"] {
            assert!(text.contains(&format!("{want}\n")), "{want}: {text}");
        }
    }

    #[test]
    fn nothing_to_show_is_no_fault() {
        over_time(AXES, &[]).unwrap();
        percentiles(AXES, &[line(&[])]).unwrap();
    }
}
