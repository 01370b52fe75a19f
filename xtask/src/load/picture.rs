//! A run as a picture: above, the orders that were due, accepted and shipped; below, what lay in each queue. One SVG, which any
//! browser and any page shows, on a white ground of its own. It draws what was measured and smooths nothing.

use crate::load::report::Report;
use anyhow::{Context, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::Path;
use std::time::Duration;

const SIZE: (u32, u32) = (1200, 860);
/// Where the lower half begins, below the title.
const MIDDLE: i32 = 370;
/// Where the legend begins, and the height of one of its rows.
const LEGEND: i32 = 1060;
const ROW: i32 = 24;
/// The palette of Okabe and Ito: told apart by everybody, also where red and green are not.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(225, 225, 225);
/// More points than a line of this width can show.
const POINTS: u64 = 500;

/// A line: its name and its points, in milliseconds and in whatever is counted.
type Line<'a> = (&'a str, Vec<(u64, u64)>);

/// Writes the picture of a run.
pub fn draw(path: &Path, report: &Report) -> Result<()> {
    let orders = report.orders();
    let due = orders.iter().map(|(times, _)| times.due).collect();
    let accepted = orders.iter().map(|(times, _)| times.accepted).collect();
    let shipped = orders.iter().filter_map(|(_, timeline)| timeline.shipped).collect();
    let samples = report.depths.samples();
    let until = samples.last().map_or(1000, |sample| ms(sample.at)).max(1000);
    let orders = [("due", due), ("accepted", accepted), ("shipped", shipped)].map(|(name, times)| (name, counted(times, until)));
    let depths = |place: usize| samples.iter().map(move |sample| (ms(sample.at), sample.depths[place])).collect();
    let queues: Vec<Line> = report.depths.queues.iter().enumerate().map(|(place, queue)| (queue.as_str(), depths(place))).collect();

    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.margin(14, 0, 0, 0).titled(&report.title(), ("sans-serif", 24).into_font().color(&INK))?;
    let (above, below) = root.split_vertically(MIDDLE);
    panel(&above, "orders", until, &orders)?;
    panel(&below, "messages waiting or in flight", until, &queues)?;
    root.present().with_context(|| format!("{} cannot be written", path.display()))
}

fn panel(area: &DrawingArea<SVGBackend, Shift>, counted: &str, until: u64, lines: &[Line]) -> Result<()> {
    let (plot, legend) = area.split_horizontally(LEGEND);
    let most = lines.iter().flat_map(|(_, points)| points).map(|(_, count)| *count).max().unwrap_or_default();
    let text = ("sans-serif", 15).into_font().color(&INK);
    let mut chart = ChartBuilder::on(&plot)
        .margin(14)
        .x_label_area_size(46)
        .y_label_area_size(70)
        .build_cartesian_2d(0..until, 0..most + most / 20 + 1)?;
    chart
        .configure_mesh()
        .x_desc("seconds since the first order was due")
        .y_desc(counted)
        .x_label_formatter(&|ms| if until < 10_000 { format!("{}.{}", ms / 1000, ms % 1000 / 100) } else { (ms / 1000).to_string() })
        .x_labels(12)
        .y_labels(6)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .label_style(text.clone())
        .axis_desc_style(text.clone())
        .draw()?;
    for (((name, points), colour), row) in lines.iter().zip(COLOURS.iter().cycle()).zip(1..) {
        chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
        // Beside the lines: wherever it lay among them, some run would have its peak there.
        let y = row * ROW;
        legend.draw(&PathElement::new([(4, y), (26, y)], colour.stroke_width(3)))?;
        legend.draw(&Text::new(*name, (34, y - 6), text.clone()))?;
    }
    Ok(())
}

/// How many of the times had passed, at even steps until the end.
fn counted(mut times: Vec<Duration>, until: u64) -> Vec<(u64, u64)> {
    times.sort_unstable();
    let passed = |at: u64| times.partition_point(|time| ms(*time) <= at) as u64;
    (0..=POINTS).map(|step| until * step / POINTS).map(|at| (at, passed(at))).collect()
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_counted_as_their_times_pass() {
        let times = [900, 100, 500, 500].map(Duration::from_millis).to_vec();
        let points = counted(times, 1000);
        let at = |time| points.iter().find(|(at, _)| *at == time).unwrap().1;
        assert_eq!([at(0), at(98), at(100), at(500), at(898), at(1000)], [0, 0, 1, 3, 3, 4]);
        assert!(points.is_sorted() && points.len() as u64 == POINTS + 1);
    }
}
