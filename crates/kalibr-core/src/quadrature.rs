//! Integrals over several independent posteriors at once, on one grid that is fine wherever any of them is.
//!
//! A single grid over the common support fails when one posterior is a hundred times narrower than another: the narrow
//! one falls between two nodes. So each path brings its own nodes, over its own mean ± 8 standard deviations, and the
//! integral runs over the union of all of them. A path may be shifted (what it is worth is its success less what it
//! costs), and a cdf may be asked for a margin below the point of the integral (is it at least the best less delta?):
//! the grid is as fine at these places as at the others.

use statrs::function::gamma::ln_gamma;

use crate::posterior::Beta;

/// Nodes that each path brings. 64 keeps the error below 1e-3 for two to eight paths (see the tests of
/// [`crate::best`]).
const NODES: usize = 64;

/// A success probability, moved by a constant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shifted {
    pub(crate) beta: Beta,
    /// Added to the probability.
    pub(crate) by: f64,
}

impl From<Beta> for Shifted {
    fn from(beta: Beta) -> Self {
        Self { beta, by: 0.0 }
    }
}

/// A stretch of the line: its two ends are neighbouring nodes.
struct Cell {
    middle: f64,
    width: f64,
    /// ln x and ln(1 − x) of the middle: most paths are not shifted and share them.
    logs: (f64, f64),
}

/// Where integrals over several posteriors are taken.
pub(crate) struct Grid {
    edges: Vec<f64>,
    cells: Vec<Cell>,
}

/// One distribution over the cells of a grid.
pub(crate) struct Density {
    /// The mass in each cell.
    pub(crate) mass: Vec<f64>,
    /// The mass below the middle of each cell.
    pub(crate) cdf: Vec<f64>,
}

/// ln x and ln(1 − x); not numbers outside of (0, 1). The middle of a cell is never 0 or 1, where a density may be
/// infinite.
fn logs(x: f64) -> (f64, f64) {
    if x > 0.0 && x < 1.0 { (x.ln(), (-x).ln_1p()) } else { (f64::NAN, f64::NAN) }
}

impl Grid {
    /// A grid for these paths; `margin` (0: none) is how far below a point a cdf will be asked for.
    pub(crate) fn new(paths: &[Shifted], margin: f64) -> Self {
        let own = |Shifted { beta, by }: Shifted| {
            let (mean, reach) = (beta.mean(), 8.0 * beta.variance().sqrt());
            let (low, high) = ((mean - reach).max(0.0), (mean + reach).min(1.0));
            (0..=NODES).map(move |node| by + (low + (high - low) * node as f64 / NODES as f64))
        };
        let mut edges: Vec<f64> = paths.iter().copied().flat_map(own).collect();
        if margin > 0.0 {
            edges.extend(edges.clone().into_iter().map(|edge| edge + margin));
        }
        edges.sort_by(f64::total_cmp);
        edges.dedup();
        let cells = edges
            .windows(2)
            .map(|pair| {
                let middle = 0.5 * (pair[0] + pair[1]);
                Cell { middle, width: pair[1] - pair[0], logs: logs(middle) }
            })
            .collect();
        Self { edges, cells }
    }

    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    /// The width of each cell.
    pub(crate) fn widths(&self) -> impl Iterator<Item = f64> + '_ {
        self.cells.iter().map(|cell| cell.width)
    }

    /// The path's distribution over the cells.
    pub(crate) fn density(&self, Shifted { beta: Beta { alpha, beta }, by }: Shifted) -> Density {
        let ln_norm = ln_gamma(alpha + beta) - ln_gamma(alpha) - ln_gamma(beta);
        let mass = self
            .cells
            .iter()
            .map(|cell| {
                let (ln_x, ln_1mx) = if by == 0.0 { cell.logs } else { logs(cell.middle - by) };
                let ln = (alpha - 1.0) * ln_x + (beta - 1.0) * ln_1mx + ln_norm;
                // e^-60 of a density is nothing, and not worth its exponential; outside of (0, 1) the sum is not a number.
                if ln > -60.0 { cell.width * ln.exp() } else { 0.0 }
            })
            .collect();
        self.normalised(mass, by + alpha / (alpha + beta))
    }

    /// The distribution of these masses, scaled to 1; all in the cell at `centre` when there are none.
    pub(crate) fn normalised(&self, mut mass: Vec<f64>, centre: f64) -> Density {
        let total: f64 = mass.iter().sum();
        if total > 0.0 && total.is_finite() {
            mass.iter_mut().for_each(|m| *m /= total);
        } else {
            mass.fill(0.0);
            let at = self.edges.partition_point(|edge| *edge <= centre).saturating_sub(1);
            let last = mass.len().saturating_sub(1);
            if let Some(cell) = mass.get_mut(at.min(last)) {
                *cell = 1.0;
            }
        }
        let mut below = 0.0;
        let cdf = mass
            .iter()
            .map(|m| {
                let middle = below + 0.5 * m;
                below += m;
                middle
            })
            .collect();
        Density { mass, cdf }
    }

    /// The mass below (middle − margin), for the middle of each cell; `mass` need not sum to 1.
    pub(crate) fn below_by(&self, mass: &[f64], margin: f64) -> Vec<f64> {
        let mut at = 0;
        let mut below = 0.0;
        self.cells
            .iter()
            .map(|cell| {
                let x = cell.middle - margin;
                while at < mass.len() && self.edges[at + 1] <= x {
                    below += mass[at];
                    at += 1;
                }
                if at >= mass.len() || x <= self.edges[at] {
                    return below;
                }
                below + mass[at] * (x - self.edges[at]) / self.cells[at].width
            })
            .collect()
    }
}

/// For each of several densities, the mass per cell with which it is there and all others are below; not normalised.
pub(crate) fn greatest(densities: &[&Density], cells: usize) -> Vec<Vec<f64>> {
    let mut masses = vec![vec![0.0; cells]; densities.len()];
    // Π_{b≠a} cdf_b as (product of those before a) × (product of those after a): no division by a zero.
    let mut product = vec![1.0; cells];
    for (mass, density) in masses.iter_mut().zip(densities) {
        for ((m, own), (before, cdf)) in
            mass.iter_mut().zip(&density.mass).zip(product.iter_mut().zip(&density.cdf))
        {
            *m = own * *before;
            *before *= cdf;
        }
    }
    product.fill(1.0);
    for (mass, density) in masses.iter_mut().zip(densities).rev() {
        for (m, (after, cdf)) in mass.iter_mut().zip(product.iter_mut().zip(&density.cdf)) {
            *m *= *after;
            *after *= cdf;
        }
    }
    masses
}

/// Scales to a sum of 1; all alike when there is nothing to scale.
pub(crate) fn to_one(mut weights: Vec<f64>) -> Vec<f64> {
    let total: f64 = weights.iter().sum();
    if total > 0.0 && total.is_finite() {
        weights.iter_mut().for_each(|w| *w /= total);
    } else {
        let even = 1.0 / weights.len().max(1) as f64;
        weights.fill(even);
    }
    weights
}
