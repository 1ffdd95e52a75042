//! What was heard of each path of a scope, over time: the counters read as evidence.
//!
//! A block of epochs holds exact observations and soft ones (see [`crate::fusion`]). Tests of drift and the clock by
//! which evidence fades need plain numbers, so soft observations are also read as *effective* yes-or-no observations:
//! as many as would carry the same information on the quality.

use crate::counters::{Cell, Count, Counters, Epoch};
use crate::drift::Span;
use crate::evidence::{Pattern, Strength, Value};
use crate::fusion::Soft;
use crate::ids::PathId;

/// What one observation of a pattern is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Worth {
    /// Nothing is known of the quality.
    Nothing,
    /// The winning strength is the truth.
    Exact,
    /// The winning strength is the truth so far: this share of its successes and this share of its failures will stand.
    Fresh {
        /// Of successes, in 0..=1.
        successes: f64,
        /// Of failures, in 0..=1.
        failures: f64,
    },
    /// `ln(P(pattern | good) / P(pattern | bad))`.
    Soft(f64),
    /// The winning strength, by a source whose praise and whose fault are worth so much: what of it is praise, and the
    /// rest is fault. Of successes and of failures this share will stand, as in [`Worth::Fresh`].
    Graded {
        /// `ln(P(praise | good) / P(praise | bad))`.
        praise: f64,
        /// `ln(P(fault | good) / P(fault | bad))`.
        fault: f64,
        /// Of successes, in 0..=1.
        successes: f64,
        /// Of failures, in 0..=1.
        failures: f64,
    },
    /// The same of something of which each counts only this part, in 0..=1.
    Faint(f64, f64),
}

/// What a soft observation is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Said {
    /// The pattern.
    pub pattern: Pattern,
    /// It is the part of a graded verdict that speaks against what the pattern's winner says on the whole.
    pub turned: bool,
}

/// One path in one block of epochs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Slice {
    /// Exact observations.
    pub exact: Span,
    /// Soft ones, with what each is read from.
    pub soft: Vec<(Said, Soft)>,
    /// Calls that were answered, whether anything was heard of them or not.
    pub calls: f64,
}

impl Slice {
    /// How many yes-or-no observations this is worth at even odds: an exact one counts one, a soft one
    /// `tanh²(ln L / 2)`, which is (2a − 1)² for a source that is right with probability `a`.
    pub fn weight(&self) -> f64 {
        self.exact.n + self.soft.iter().map(|(_, s)| s.n * (0.5 * s.ln_ratio).tanh().powi(2)).sum::<f64>()
    }
}

/// What was heard of the paths of one scope, block by block, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// The first epoch of each block.
    pub epochs: Vec<Epoch>,
    /// Per path, in the order asked for, a slice for each block.
    pub paths: Vec<Vec<Slice>>,
}

impl Series {
    /// Reads the counters of `paths`; `worth` says what a pattern of the path with this index, counted in this epoch,
    /// is worth. Counts of other paths are left out.
    pub fn read(
        counters: &Counters,
        paths: &[PathId],
        mut worth: impl FnMut(usize, Pattern, Epoch) -> Worth,
    ) -> Self {
        let mut series = Self { epochs: Vec::new(), paths: vec![Vec::new(); paths.len()] };
        for (Cell { epoch, path, pattern }, Count { n, score }) in counters.evidence() {
            let Some(index) = paths.iter().position(|known| *known == path) else { continue };
            if series.epochs.last() != Some(&epoch) {
                series.epochs.push(epoch);
                series.paths.iter_mut().for_each(|slices| slices.push(Slice::default()));
            }
            let Some(slice) = series.paths[index].last_mut() else { continue };
            if pattern.came() {
                slice.calls += n as f64;
            }
            let said = |turned| Said { pattern, turned };
            match worth(index, pattern, epoch) {
                Worth::Nothing => {}
                Worth::Exact => {
                    slice.exact.n += n as f64;
                    slice.exact.successes += score as f64 / f64::from(Strength::UNITS);
                }
                Worth::Fresh { successes, failures } => {
                    let (n, good) = (n as f64, score as f64 / f64::from(Strength::UNITS));
                    slice.exact.n += n;
                    slice.exact.successes += good * successes + (n - good) * (1.0 - failures);
                }
                Worth::Graded { praise, fault, successes, failures } => {
                    let (n, good) = (n as f64, score as f64 / f64::from(Strength::UNITS));
                    let praised = good * successes + (n - good) * (1.0 - failures);
                    let on_the_whole =
                        pattern.winner().and_then(|winner| pattern.value(winner)).is_none_or(Value::praises);
                    for (praises, ln_ratio, n) in [(true, praise, praised), (false, fault, n - praised)] {
                        if n != 0.0 {
                            slice.soft.push((said(praises != on_the_whole), Soft { ln_ratio, n }));
                        }
                    }
                }
                Worth::Soft(ln_ratio) => slice.soft.push((said(false), Soft { ln_ratio, n: n as f64 })),
                Worth::Faint(ln_ratio, part) => {
                    slice.soft.push((said(false), Soft { ln_ratio, n: part * n as f64 }));
                }
            }
        }
        series
    }

    /// For each block, the weight of what was heard of all paths in strictly later blocks.
    ///
    /// It is the clock by which evidence fades. All paths age on it, so that what is known of an idle path fades while
    /// others play. It ticks in evidence and not in decisions: at 5 % signal coverage 800 decisions hold 40 signals, and
    /// a clock of decisions would forget faster than it learns.
    pub fn ages(&self) -> Vec<f64> {
        let mut later = 0.0;
        let mut ages: Vec<f64> = (0..self.epochs.len())
            .rev()
            .map(|block| {
                let age = later;
                later += self.paths.iter().map(|slices| slices[block].weight()).sum::<f64>();
                age
            })
            .collect();
        ages.reverse();
        ages
    }
}

/// The derivative of `ln(1 + p (L − 1))` by the quality `p`: how far one soft observation pulls, and which way.
pub fn score(ln_ratio: f64, p: f64) -> f64 {
    ln_ratio.exp_m1() / (1.0 + p * ln_ratio.exp_m1())
}

/// The slices of a path as effective observations, around its overall quality `p` in (0, 1).
///
/// One step of scoring from `p`: each soft observation moves the estimate by its score `u = (L−1)/(1+p(L−1))` over the
/// information `Σ u²`, which is shared out among blocks by their [`Slice::weight`]. Exact observations come out as they
/// are.
pub fn effective(slices: &[Slice], p: f64) -> Vec<Span> {
    let spread = p * (1.0 - p);
    let score = |soft: &Soft| score(soft.ln_ratio, p);
    let soft_weight = |slice: &Slice| slice.weight() - slice.exact.n;
    let (mut information, mut weight) = (0.0, 0.0);
    for slice in slices {
        information += slice.soft.iter().map(|(_, s)| s.n * score(s).powi(2)).sum::<f64>();
        weight += soft_weight(slice);
    }
    let worth = if weight > 0.0 { (information / weight * spread).min(4.0) } else { 0.0 };
    slices
        .iter()
        .map(|slice| {
            let n = worth * soft_weight(slice);
            let moved = spread * slice.soft.iter().map(|(_, s)| s.n * score(s)).sum::<f64>();
            Span { n: slice.exact.n + n, successes: slice.exact.successes + (n * p + moved).clamp(0.0, n) }
        })
        .collect()
}
