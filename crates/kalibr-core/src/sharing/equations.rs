//! What all goals of a tenant say together of what paths add: one system of linear equations, in integers.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{BUCKETS, DIFFERENCE, Heard, IMAGINED, LEVEL, PATHS, SIBLINGS, inverse, level};
use crate::ids::PathId;

/// Paths that are looked at together when some of them are asked for: others of their models first, then those that met
/// them most.
const TOGETHER: usize = 48;
/// Units in the fixed-point sums over goals, which subtract exactly.
const UNITS: f64 = (1u64 << 24) as f64;

/// What one goal adds to the equations for all paths, or all goals together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Equations {
    /// Per pair of paths, the smaller first: the precision of what they add.
    precision: BTreeMap<(PathId, PathId), [i64; 1]>,
    /// Per path: precision times mean.
    right: BTreeMap<PathId, [i64; 1]>,
    /// Per pair of different paths: Σ w, Σ w d, Σ w d², Σ w v, Σ w² v, Σ w² over the goals that they met in, of their
    /// difference d with variance v.
    differences: BTreeMap<(PathId, PathId), [i64; 6]>,
}

/// By how much what paths add differs, as variances of log-odds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spread {
    /// Of one path, between goals: τ².
    pub goals: f64,
    /// Of paths of one model: σ².
    siblings: f64,
}

fn add<K: Ord, const N: usize>(map: &mut BTreeMap<K, [i64; N]>, key: K, values: [i64; N]) {
    match map.entry(key) {
        Entry::Vacant(entry) => {
            entry.insert(values);
        }
        Entry::Occupied(mut entry) => {
            entry.get_mut().iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            if *entry.get() == [0; N] {
                entry.remove();
            }
        }
    }
}

fn fixed(x: f64) -> i64 {
    (x * UNITS).round() as i64
}

fn float(x: i64) -> f64 {
    x as f64 / UNITS
}

/// One step of Paule and Mandel's method for a variance: `over` is what is left of the weighed squares when chance is
/// taken off, `under` their weight. A few imagined squares of the size of `prior` have the weight that real ones have at
/// best.
fn variance(prior: f64, over: f64, under: f64, most: f64) -> f64 {
    // A difference of two paths has twice the variance of what one adds, and at best a weight of 1/(2 prior).
    let imagined = IMAGINED / (2.0 * prior);
    (0.5 * (imagined * 2.0 * prior + over) / (imagined + under)).clamp(0.0025, most)
}

impl Equations {
    /// What was heard of paths in one bucket: that each differs there from what it adds everywhere by as much as is
    /// believed beforehand.
    pub(super) fn of(heard: &[Heard]) -> Self {
        let difference = DIFFERENCE * DIFFERENCE + BUCKETS * BUCKETS;
        let seen: Vec<(PathId, f64, f64)> = heard
            .iter()
            .filter_map(|heard| {
                let (mean, precision) = heard.observed(difference)?;
                Some((heard.path, mean - LEVEL.0, precision))
            })
            .collect();
        let (total, mean) = level(&seen.iter().map(|&(_, y, r)| (y, r)).collect::<Vec<_>>());
        let mut told = Self::default();
        for (at, &(m, y, r)) in seen.iter().enumerate() {
            add(&mut told.right, m, [fixed(r * (y - mean))]);
            add(&mut told.precision, (m, m), [fixed(r - r * r / total)]);
            for &(n, other, s) in &seen[at + 1..] {
                add(&mut told.precision, (m.min(n), m.max(n)), [-fixed(r * s / total)]);
                let d = if m < n { y - other } else { other - y };
                let w = 1.0 / (1.0 / r + 1.0 / s);
                // What is left of the noise when the difference between goals is taken out.
                let v = (1.0 / w - 2.0 * DIFFERENCE * DIFFERENCE).max(0.0);
                let sums = [w, w * d, w * d * d, w * v, w * w * v, w * w].map(fixed);
                add(&mut told.differences, (m.min(n), m.max(n)), sums);
            }
        }
        told
    }

    /// Adds what `other` holds, or takes it away again; sums of 0 are not kept.
    pub(super) fn add(&mut self, other: &Self, sign: i64) {
        for (key, value) in &other.precision {
            add(&mut self.precision, *key, value.map(|value| sign * value));
        }
        for (key, value) in &other.right {
            add(&mut self.right, *key, value.map(|value| sign * value));
        }
        for (key, values) in &other.differences {
            add(&mut self.differences, *key, values.map(|value| sign * value));
        }
    }

    /// Whether anything is known of a path.
    pub(super) fn knows(&self, path: PathId) -> bool {
        self.precision.contains_key(&(path, path))
    }

    /// Both variances; `models` holds the model of each path that is known.
    pub(super) fn spread(&self, models: &BTreeMap<PathId, PathId>) -> Spread {
        let goals = self.between_goals();
        Spread { goals, siblings: self.between_siblings(models, goals) }
    }

    /// τ²: by how much what a path adds differs between goals beyond what chance explains.
    fn between_goals(&self) -> f64 {
        let (mut over, mut under) = (0.0, 0.0);
        for sums in self.differences.values() {
            let [w, wd, wdd, wv, wwv, ww] = sums.map(float);
            if w > 0.0 {
                over += (wdd - wd * wd / w) - (wv - wwv / w);
                under += w - ww / w;
            }
        }
        variance(DIFFERENCE * DIFFERENCE, over, under, 2.25)
    }

    /// σ²: by how much paths of one model differ beyond what chance and the difference between goals (τ² = `goals`)
    /// explain.
    fn between_siblings(&self, models: &BTreeMap<PathId, PathId>, goals: f64) -> f64 {
        let prior = SIBLINGS * SIBLINGS;
        let (mut over, mut under) = (0.0, 0.0);
        for ((a, b), sums) in &self.differences {
            let [w, wd, _, _, wwv, ww] = sums.map(float);
            if w > 0.0 && models.get(a) == models.get(b) {
                let (mean, noise) = (wd / w, (wwv + 2.0 * goals * ww) / (w * w));
                let weight = 1.0 / (2.0 * prior + noise);
                over += weight * (mean * mean - noise);
                under += weight;
            }
        }
        variance(prior, over, under, 0.95 * PATHS * PATHS)
    }

    /// What these paths add everywhere, by all goals but one: means and covariance. `model` knows the model of each path
    /// that is known or asked for.
    pub(super) fn paths(
        &self,
        own: &Self,
        paths: &[PathId],
        spread: &Spread,
        model: impl Fn(PathId) -> Option<PathId>,
    ) -> (Vec<f64>, Vec<Vec<f64>>) {
        let precision = |of: &Self, a: PathId, b: PathId| {
            of.precision.get(&(a.min(b), a.max(b))).map_or(0, |[value]| *value)
        };
        let met = |a: PathId, b: PathId| precision(self, a, b) - precision(own, a, b);
        let all = self.together(paths, &model, met);
        let belief = inverse(
            all.iter()
                .map(|a| {
                    let covariance = |b: &PathId| match (a == b, model(*a) == model(*b)) {
                        (true, _) => PATHS * PATHS,
                        (false, true) => PATHS * PATHS - spread.siblings,
                        (false, false) => 0.0,
                    };
                    all.iter().map(covariance).collect()
                })
                .collect(),
        );
        let matrix = all
            .iter()
            .zip(&belief)
            .map(|(a, row)| all.iter().zip(row).map(|(b, belief)| float(met(*a, *b)) + belief).collect())
            .collect();
        let covariance = inverse(matrix);
        let right: Vec<f64> = all
            .iter()
            .map(|m| {
                let of = |equations: &Self| equations.right.get(m).map_or(0, |[value]| *value);
                float(of(self) - of(own))
            })
            .collect();
        let at: Vec<usize> =
            paths.iter().map(|path| all.iter().position(|other| other == path).unwrap_or_default()).collect();
        let mean = |a: &usize| covariance[*a].iter().zip(&right).map(|(c, h)| c * h).sum();
        let means = at.iter().map(mean).collect();
        (means, at.iter().map(|a| at.iter().map(|b| covariance[*a][*b]).collect()).collect())
    }

    /// The paths asked for, others of their models, then those that met any of these.
    fn together(
        &self,
        paths: &[PathId],
        model: impl Fn(PathId) -> Option<PathId>,
        met: impl Fn(PathId, PathId) -> i64,
    ) -> Vec<PathId> {
        let mut all = paths.to_vec();
        all.sort_unstable();
        all.dedup();
        let room = |all: &Vec<PathId>| TOGETHER.saturating_sub(all.len());
        let asked: Vec<_> = all.iter().map(|path| model(*path)).collect();
        let siblings: Vec<PathId> = self
            .right
            .keys()
            .filter(|other| all.binary_search(other).is_err() && asked.contains(&model(**other)))
            .copied()
            .take(room(&all))
            .collect();
        all.extend(siblings);
        let mut others: Vec<(i64, PathId)> = self
            .right
            .keys()
            .filter(|other| !all.contains(other))
            .map(|other| (all.iter().map(|path| met(*path, *other).abs()).sum(), *other))
            .filter(|(shared, _)| *shared > 0)
            .collect();
        others.sort_unstable_by(|a, b| b.cmp(a));
        let room = room(&all);
        all.extend(others.into_iter().take(room).map(|(_, other)| other));
        all
    }
}
