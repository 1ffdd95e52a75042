//! The cheapest path that is within delta of the best, with the exact probability of each choice.
//!
//! The rule: draw θ from every posterior, call the greatest M, and take the cheapest path with θ ≥ M − δ. Nothing is
//! drawn here: the probabilities of this rule are integrated. Let paths be in the order of their costs, f and F be pdf
//! and cdf, and G(x) = F(x − δ). Given that the greatest is x, a path a is taken if all cheaper ones are below x − δ,
//! and either it is the greatest, or a dearer one is and a lies in [x − δ, x]. With S_a = Π_{d≥a} F_d, the cdf of the
//! greatest from a on, and D_a its derivative (D_a = f_a S_{a+1} + F_a D_{a+1}):
//!
//! ```text
//! P(a) = ∫ Π_{b<a} G_b(x) · [ f_a S_{a+1} + (F_a − G_a) D_{a+1} ] dx
//! ```
//!
//! which telescopes to a sum of 1, costs no more than P(best), and is P(best) at δ = 0.
//!
//! Paths whose costs are nearly the same ([`SAME_COST`]) form a class: within it the better one is taken, not the one
//! that happens to cost a thousandth less. Costs that are not known are the last class, as if they were the dearest, so
//! a path never wins by hiding its price; if no cost is known, all of this is P(best).

use crate::best::p_best;
use crate::posterior::Beta;
use crate::quadrature::{Density, Grid, Shifted, greatest, to_one};

/// Costs within this factor of the cheapest of a class count as the same. Costs are estimated from token counts: a
/// difference of a few per cent is noise, and not worth a worse answer even where it is real.
pub const SAME_COST: f64 = 1.1;

/// The probability with which each path is the cheapest of those within `delta` of the best.
///
/// `costs` are expected dollars per request; `None`, negative or not a number is "not known". A class of paths may
/// be preferred to a better but dearer one only if it is within `delta` with at least `probability`; others are taken
/// only when they are the best. 0 asks for nothing more than the draw does.
///
/// At `delta` 0, or with no cost known, exactly [`p_best`]. Non-negative, sums to 1.
///
/// ```
/// use kalibr_core::objective::cheapest_within;
/// use kalibr_core::posterior::Beta;
///
/// let paths = [Beta { alpha: 800.0, beta: 200.0 }, Beta { alpha: 795.0, beta: 205.0 }];
/// let weights = cheapest_within(&paths, &[Some(0.015), Some(0.0005)], 0.02, 0.0);
/// assert!(weights[1] > 0.75); // Half a point worse, a thirtieth of the price.
/// ```
pub fn cheapest_within(paths: &[Beta], costs: &[Option<f64>], delta: f64, probability: f64) -> Vec<f64> {
    let classes = classes(costs, paths.len());
    let delta = if delta > 0.0 { delta.min(1.0) } else { 0.0 };
    if classes.len() < 2 || delta == 0.0 {
        return p_best(paths);
    }
    let shifted: Vec<Shifted> = paths.iter().map(|&path| path.into()).collect();
    let grid = Grid::new(&shifted, delta);
    let densities: Vec<Density> = shifted.iter().map(|&path| grid.density(path)).collect();
    let classes: Vec<Class> = classes.into_iter().map(|of| Class::new(of, &densities, &grid)).collect();
    let within = if probability > 0.0 {
        let whole: Vec<&Density> = classes.iter().map(|class| &class.greatest).collect();
        within(&whole, &grid, delta)
    } else {
        vec![1.0; classes.len()]
    };
    let mut weights = vec![0.0; paths.len()];
    let cells = grid.len();
    // Per cell: cdf and derivative of the greatest of the classes that are dearer, from the dearest on.
    let (mut later, mut later_d) = (vec![vec![1.0; cells]], vec![vec![0.0; cells]]);
    for class in classes.iter().rev() {
        let (s, d) = (&later[later.len() - 1], &later_d[later_d.len() - 1]);
        let Density { mass, cdf } = &class.greatest;
        let next_s = (0..cells).map(|i| cdf[i] * s[i]).collect();
        let next_d = (0..cells).map(|i| mass[i] * s[i] + cdf[i] * d[i]).collect();
        later.push(next_s);
        later_d.push(next_d);
    }
    let mut cheaper_below = vec![1.0; cells];
    for (at, class) in classes.iter().enumerate() {
        let (s, d) = (&later[classes.len() - 1 - at], &later_d[classes.len() - 1 - at]);
        let margin = if within[at] >= probability { delta } else { 0.0 };
        for (&path, mass) in class.of.iter().zip(&class.masses) {
            let below_margin = grid.below_by(mass, margin);
            let mut below = 0.0;
            for i in 0..cells {
                let near =
                    if margin > 0.0 { (below + 0.5 * mass[i] - below_margin[i]).max(0.0) } else { 0.0 };
                weights[path] += cheaper_below[i] * (mass[i] * s[i] + near * d[i]);
                below += mass[i];
            }
        }
        let below_margin = if margin > 0.0 {
            grid.below_by(&class.greatest.mass, margin)
        } else {
            class.greatest.cdf.clone()
        };
        cheaper_below.iter_mut().zip(below_margin).for_each(|(all, below)| *all *= below);
    }
    to_one(weights)
}

/// The probability that each path is at least the best of all less `delta`, each in 0..=1. 1 for a single path.
///
/// ```
/// use kalibr_core::objective::p_within;
/// use kalibr_core::posterior::Beta;
///
/// let near = p_within(&[Beta { alpha: 800.0, beta: 200.0 }, Beta { alpha: 700.0, beta: 300.0 }], 0.02);
/// assert!(near[0] > 0.99 && near[1] < 0.01);
/// ```
pub fn p_within(paths: &[Beta], delta: f64) -> Vec<f64> {
    if paths.len() < 2 {
        return vec![1.0; paths.len()];
    }
    let shifted: Vec<Shifted> = paths.iter().map(|&path| path.into()).collect();
    let grid = Grid::new(&shifted, delta.max(0.0));
    let densities: Vec<Density> = shifted.iter().map(|&path| grid.density(path)).collect();
    within(&densities.iter().collect::<Vec<_>>(), &grid, delta.max(0.0))
}

/// P(a ≥ the best of the others − δ) = 1 − ∫ F_a(x − δ) d(cdf of the best of the others).
fn within(densities: &[&Density], grid: &Grid, delta: f64) -> Vec<f64> {
    let below: Vec<Vec<f64>> = densities.iter().map(|density| grid.below_by(&density.mass, delta)).collect();
    let below = |path: usize, cell: usize| below[path][cell];
    let at = |path: usize, cell: usize| (densities[path].mass[cell], densities[path].cdf[cell]);
    let paths = densities.len();
    let (mut short, mut total) = (vec![0.0; paths], vec![0.0; paths]);
    let mut after = vec![(1.0, 0.0); paths + 1];
    // The greatest of two: cdf and mass.
    let join = |(s, d): (f64, f64), (f, cdf): (f64, f64)| (s * cdf, d * cdf + s * f);
    for cell in 0..grid.len() {
        for path in (0..paths).rev() {
            after[path] = join(after[path + 1], at(path, cell));
        }
        let mut before = (1.0, 0.0);
        for path in 0..paths {
            let (s, d) = after[path + 1];
            let others = before.0 * d + before.1 * s;
            total[path] += others;
            short[path] += others * below(path, cell);
            before = join(before, at(path, cell));
        }
    }
    short.iter().zip(total).map(|(s, t)| if t > 0.0 { (1.0 - s / t).clamp(0.0, 1.0) } else { 1.0 }).collect()
}

/// Paths that cost the same, and the distribution of the best of them.
struct Class {
    of: Vec<usize>,
    /// For each of them, the mass per cell with which it is the best of the class; together they are `greatest`.
    masses: Vec<Vec<f64>>,
    greatest: Density,
}

impl Class {
    fn new(of: Vec<usize>, densities: &[Density], grid: &Grid) -> Self {
        let own: Vec<&Density> = of.iter().map(|&path| &densities[path]).collect();
        let mut masses = greatest(&own, grid.len());
        let sum: Vec<f64> = (0..grid.len()).map(|cell| masses.iter().map(|mass| mass[cell]).sum()).collect();
        let total: f64 = sum.iter().sum();
        if total > 0.0 {
            masses.iter_mut().flatten().for_each(|mass| *mass /= total);
        }
        Self { of, masses, greatest: grid.normalised(sum, 0.5) }
    }
}

/// The paths by what they cost, the cheapest class first, those of unknown cost last.
fn classes(costs: &[Option<f64>], paths: usize) -> Vec<Vec<usize>> {
    let cost =
        |path: usize| costs.get(path).copied().flatten().filter(|c| *c >= 0.0).unwrap_or(f64::INFINITY);
    let mut order: Vec<usize> = (0..paths).collect();
    order.sort_by(|&a, &b| cost(a).total_cmp(&cost(b)));
    let mut classes: Vec<Vec<usize>> = Vec::new();
    for path in order {
        match classes.last_mut() {
            Some(class) if cost(path) <= cost(class[0]) * SAME_COST => class.push(path),
            _ => classes.push(vec![path]),
        }
    }
    classes
}

#[cfg(test)]
mod tests;
