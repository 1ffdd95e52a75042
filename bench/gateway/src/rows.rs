//! Slices put together: one row for each gateway and shape, and what the bars say of them.

use std::collections::BTreeMap;

use crate::load::{Shape, Slice};
use crate::peers::Peer;

/// Figures of one slice; times in microseconds.
#[derive(Debug, Clone, Copy)]
struct Figures {
    p50: f64,
    p99: f64,
    first: f64,
    rate: f64,
    cpu: f64,
    resident: f64,
    requests: u64,
}

/// All slices of a gateway and shape, in order of their rounds.
#[derive(Debug, Default)]
struct Row {
    slices: Vec<Figures>,
    void: Option<String>,
}

/// All rows.
#[derive(Debug, Default)]
pub(crate) struct Rows(BTreeMap<(usize, Peer), Row>);

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        even if even % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

impl Rows {
    pub(crate) fn add(&mut self, shape: usize, peer: Peer, slice: &Slice) {
        let row = self.0.entry((shape, peer)).or_default();
        if slice.bad > 0 || slice.whole.is_empty() {
            let problem = slice.problem.as_deref().unwrap_or("nothing was answered");
            row.void.get_or_insert_with(|| format!("{} bad answers: {problem}", slice.bad));
        }
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let requests = slice.whole.len();
        row.slices.push(Figures {
            p50: micros(slice.whole.value_at_quantile(0.5)),
            p99: micros(slice.whole.value_at_quantile(0.99)),
            first: micros(slice.first.value_at_quantile(0.5)),
            rate: requests as f64 / slice.elapsed,
            cpu: slice.cpu * 1e6,
            resident: slice.resident,
            requests,
        });
    }

    pub(crate) fn void(&mut self, shape: usize, peer: Peer, why: String) {
        self.0.entry((shape, peer)).or_default().void.get_or_insert(why);
    }

    fn row(&self, shape: usize, peer: Peer) -> Option<&Row> {
        self.0.get(&(shape, peer)).filter(|row| row.void.is_none())
    }

    fn median(&self, shape: usize, peer: Peer, figure: fn(&Figures) -> f64) -> Option<f64> {
        Some(median(self.row(shape, peer)?.slices.iter().map(figure).collect()))
    }

    /// The median over the rounds of what is added to the direct call of the same round.
    fn added(&self, shape: usize, peer: Peer, figure: fn(&Figures) -> f64) -> Option<f64> {
        let (direct, row) = (self.row(shape, Peer::Direct)?, self.row(shape, peer)?);
        let pairs = direct.slices.iter().zip(&row.slices);
        Some(median(pairs.map(|(direct, own)| figure(own) - figure(direct)).collect()))
    }

    /// The clock of /proc is coarse, so processor time is summed over all rounds before it is divided.
    fn cpu(&self, shape: usize, peer: Peer) -> Option<f64> {
        let slices = &self.row(shape, peer)?.slices;
        let requests: u64 = slices.iter().map(|slice| slice.requests).sum();
        Some(slices.iter().map(|slice| slice.cpu).sum::<f64>() / requests as f64)
    }

    /// The rows of one shape, as Markdown.
    pub(crate) fn table(&self, shape: usize, named: &str) -> String {
        let mut table = format!(
            "\n### {named}\n| | requests/s | p50 µs | p99 µs | added p50 µs | added p99 µs | first byte, added p50 µs | CPU µs a request | resident MB |\n|---|---|---|---|---|---|---|---|---|\n"
        );
        for peer in Peer::ALL {
            let Some(row) = self.0.get(&(shape, peer)) else { continue };
            if let Some(why) = &row.void {
                table += &format!("| {} | VOID: {} |\n", peer.name(), why.replace(['|', '\n'], " "));
                continue;
            }
            let figure = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
            let figures = [
                self.median(shape, peer, |figures| figures.rate).map(f64::round),
                self.median(shape, peer, |figures| figures.p50),
                self.median(shape, peer, |figures| figures.p99),
                self.added(shape, peer, |figures| figures.p50),
                self.added(shape, peer, |figures| figures.p99),
                self.added(shape, peer, |figures| figures.first),
                self.cpu(shape, peer),
                self.median(shape, peer, |figures| figures.resident),
            ];
            table += &format!("| {} | {} |\n", peer.name(), figures.map(figure).join(" | "));
        }
        table
    }

    /// Every bar that the issue names, as Markdown.
    pub(crate) fn bars(&self, shapes: &[Shape]) -> String {
        let mut table =
            String::from("\n### Bars\n| what | measured | bar | moonshot | |\n|---|---|---|---|---|\n");
        for (at, shape) in shapes.iter().enumerate() {
            let named = name(*shape);
            let ratio = |own: Option<f64>, other: Option<f64>| Some(own? / other?);
            let against_bare = |figure: fn(&Figures) -> f64| {
                ratio(self.added(at, Peer::Learning, figure), self.added(at, Peer::Bare, figure))
            };
            if shape.connections == 1 {
                let (what, figure): (_, fn(&Figures) -> f64) = if shape.stream {
                    ("first byte, added", |figures| figures.first)
                } else {
                    ("added p50", |figures| figures.p50)
                };
                let best = if shape.stream { 1.2 } else { 1.3 };
                table += &at_most(
                    &format!("{what} against the bare proxy; {named}"),
                    against_bare(figure),
                    2.0,
                    best,
                );
            } else {
                let rate = |peer| self.median(at, peer, |figures| figures.rate);
                for (peer, bar, best) in [
                    (Peer::TensorZero, 2.0, Some(3.0)),
                    (Peer::Portkey, 10.0, None),
                    (Peer::LiteLlm, 100.0, None),
                ] {
                    let measured = ratio(rate(Peer::Learning), rate(peer));
                    let what = format!("requests/s against {}; {named}", peer.name());
                    table += &at_least(&what, measured, bar, best);
                }
            }
            let cpu = ratio(self.cpu(at, Peer::Learning), self.cpu(at, Peer::Bare));
            table += &at_most(&format!("CPU a request against the bare proxy; {named}"), cpu, 2.5, 1.5);
        }
        table
    }

    pub(crate) fn any_void(&self) -> bool {
        self.0.values().any(|row| row.void.is_some())
    }
}

pub(crate) fn name(shape: Shape) -> String {
    let connections = if shape.connections == 1 {
        "1 connection".into()
    } else {
        format!("{} connections", shape.connections)
    };
    let kind = if shape.stream { "streams" } else { "whole answers" };
    let size = if shape.size < 10_000 {
        "small bodies".into()
    } else {
        format!("bodies of {} kB", shape.size / 1000)
    };
    format!("{connections}, {kind}, {size}")
}

fn at_most(what: &str, measured: Option<f64>, bar: f64, best: f64) -> String {
    let Some(measured) = measured else {
        return format!("| {what} | - | <= {bar} x | <= {best} x | not measured |\n");
    };
    let verdict = verdict(measured <= bar, measured <= best);
    format!("| {what} | {measured:.2} x | <= {bar} x | <= {best} x | {verdict} |\n")
}

fn at_least(what: &str, measured: Option<f64>, bar: f64, best: Option<f64>) -> String {
    let moonshot = best.map_or(String::new(), |best| format!(">= {best} x"));
    let Some(measured) = measured else {
        return format!("| {what} | - | >= {bar} x | {moonshot} | not measured |\n");
    };
    let verdict = verdict(measured >= bar, best.is_some_and(|best| measured >= best));
    format!("| {what} | {measured:.2} x | >= {bar} x | {moonshot} | {verdict} |\n")
}

fn verdict(hit: bool, moonshot: bool) -> &'static str {
    match (hit, moonshot) {
        (_, true) => "moonshot",
        (true, false) => "hit",
        (false, false) => "MISSED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_missed_hit_or_flown_over() {
        assert!(at_most("x", Some(2.1), 2.0, 1.3).contains("MISSED"));
        assert!(at_most("x", Some(2.0), 2.0, 1.3).contains("| hit |"));
        assert!(at_least("x", Some(3.0), 2.0, Some(3.0)).contains("moonshot |"));
        assert!(at_least("x", None, 2.0, None).contains("not measured"));
    }

    #[test]
    fn medians_of_odd_and_even_counts() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 2.5);
    }
}
