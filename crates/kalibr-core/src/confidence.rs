//! What people may conclude from what was counted: is one path the best, does it matter, or is it too early to say?
//!
//! A router never needs to know: it goes on exploring, and what it does not know costs it little. A person who reads "the
//! best path" removes the others. So a winner is called only where three things agree, and otherwise the answer is how
//! many more graded decisions it will take, about:
//!
//! 1. P(best) is at least 95 %, and
//! 2. the expected loss E[max q − q_a] is below half of delta, the difference that is worth having: both from the
//!    posteriors, which know all that was heard, discounted and fused;
//! 3. a confidence sequence ([`crate::anytime`]) rules every other path out: from matured, undiscounted decisions that a
//!    user, or the caller's own metric, graded, and from nothing else. It holds however often somebody looks, so
//!    "refresh until there is a winner" finds a wrong one at most once in twenty goals.
//!
//! Every other path and not the runner-up alone: with the error shared out among the pairs, the true best is then called
//! beaten with probability 5 % at most, however many paths there are. The rule on expected loss is that of A/B tests
//! that stop when a wrong choice would cost little (Chris Stucchio, "Bayesian A/B testing at VWO", 2015).
//!
//! Two kinds of intervals are shown, and say which they are: *guaranteed* ones from the confidence sequence, and
//! *credible* ones from the posterior, which are narrower, know of drift, and promise nothing to who looks again and
//! again.
//!
//! What the guarantee assumes: a path's success stands still over the time counted, and whether an answer is graded does
//! not depend on more than the answer. After a drift the confidence sequence speaks of the mean over both times, the
//! posterior of now; where they disagree there is no winner until more has been seen.

use serde::Serialize;
use statrs::function::beta::beta_reg;

use crate::anytime::{interval, is_greater, split};
use crate::best::p_best_and_loss;
use crate::counters::{Cell, Count, Counters};
use crate::evidence::{Pattern, Source};
use crate::ids::PathId;
use crate::maturity::{Maturity, Verdicts};
use crate::objective::p_within;
use crate::posterior::Beta;

mod more;

pub use more::MOST;

/// How probable an interval or a verdict is to be right.
pub const LEVEL: f64 = 0.95;

/// The newest epochs, of those in which anything was counted, whose decisions are never matured: an epoch that is filling
/// up was graded by the quick to judge alone. Two: the one that fills, and the one before.
pub const MATURE_AGE: u32 = 2;

/// The share of verdicts that may yet be reversed when they are called matured. An interval narrower than that takes some
/// thousands of graded decisions.
pub const UNSETTLED: f64 = 0.01;

/// The least difference that is taken to be worth having, whatever delta is: smaller ones take some 100,000 graded
/// decisions to see.
pub const LEAST_DELTA: f64 = 0.005;

/// One path of a goal, as its confidence is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Which path.
    pub path: PathId,
    /// The probability that it answers and the answer serves.
    pub success: Beta,
    /// The share of its calls that is answered, in 0..=1. Only answers are graded; where one provider answers less than
    /// another, its answers must be that much better.
    pub availability: f64,
    /// Its matured decisions of which it is known how well they served: see [`matured`].
    pub matured: Count,
    /// Its share of the next requests, in 0..=1. A path that gets none is compared with nothing.
    pub share: f64,
}

/// What an interval promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IntervalKind {
    /// Anytime-valid: it holds at all times together, however often somebody looks. Of graded answers alone.
    Guaranteed,
    /// Of the posterior: what is believed now, of all that was heard, discounted and fused.
    Credible,
}

/// An interval of a probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// What it promises.
    pub kind: IntervalKind,
    /// How probable it is to be right: [`LEVEL`].
    pub level: f64,
    /// Its lower end, in 0..=1.
    pub low: f64,
    /// Its upper end, in 0..=1.
    pub high: f64,
}

/// How sure one may be of one path.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PathConfidence {
    /// Which path.
    pub path: PathId,
    /// The probability that it is the best of all, in 0..=1.
    pub p_best: f64,
    /// How much worse than the best it is expected to be, in 0..=1.
    pub expected_loss: f64,
    /// Where its success is, by the posterior.
    pub credible: Interval,
    /// Where the success of its graded answers is, guaranteed.
    pub guaranteed: Interval,
    /// Graded decisions behind the guaranteed interval.
    pub matured: i64,
}

/// What to tell people of the paths of a goal.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Verdict {
    /// Fewer than two paths get requests.
    NothingToCompare,
    /// One path is the best, and it makes a difference.
    Winner {
        /// The best.
        path_id: PathId,
    },
    /// These paths are as good as the best, up to a difference that is not worth having.
    NoDifference {
        /// The paths that are as good, two at least.
        path_ids: Vec<PathId>,
        /// The difference that they are within.
        delta: f64,
        /// Whether these are all.
        all: bool,
    },
    /// It is too early to say.
    NotEnoughData {
        /// Graded decisions, about, until it can be said; `null` is more than [`MOST`].
        more: Option<u32>,
    },
}

/// How sure one may be of the paths of one goal, pipeline and bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Confidence {
    /// Each path, in the order given.
    pub paths: Vec<PathConfidence>,
    /// What to tell people.
    pub verdict: Verdict,
}

/// The decisions of each of `paths` that a guarantee may rest on: not discounted, graded by what a user did or said or by
/// the caller's own metric, and as old as [`mature_age`].
pub fn matured(counters: &Counters, paths: &[PathId]) -> Vec<Count> {
    let (newest, age) = (counters.newest(), mature_age(counters, paths));
    let mut matured = vec![Count::default(); paths.len()];
    for (cell, count) in counters.evidence() {
        // Old epochs are counted in blocks, which are as old as the youngest in them.
        let youngest = cell.epoch.last(newest).0;
        if u64::from(youngest) + u64::from(age) <= u64::from(newest.0)
            && is_known(cell.pattern)
            && let Some(at) = paths.iter().position(|path| *path == cell.path)
        {
            matured[at] += count;
        }
    }
    matured
}

/// The age, in epochs behind the newest, from which on less than [`UNSETTLED`] of the verdicts that still stand will be
/// reversed, on whichever of `paths`; [`MATURE_AGE`] at least. Learned from the reversals counted
/// ([`crate::maturity`]), also of words by later deeds: older than all that was counted where they never seem to end.
pub fn mature_age(counters: &Counters, paths: &[PathId]) -> u32 {
    let newest = counters.newest().0;
    let mut verdicts = [Vec::new(), Vec::new()];
    for (Cell { epoch, path, pattern }, Count { n, .. }) in counters.evidence() {
        if let Some(path) = paths.iter().position(|known| *known == path)
            && let Some((began_well, is_reversed)) = course(pattern)
        {
            let (standing, reversed) = if is_reversed { (0, n) } else { (n, 0) };
            let age = newest.saturating_sub(epoch.0);
            verdicts[usize::from(began_well)].push(Verdicts { path, age, standing, reversed });
        }
    }
    let last = verdicts.map(|verdicts| Maturity::learn(paths.len(), verdicts));
    let settled =
        |age| (0..paths.len()).all(|path| last.iter().all(|one| one.stands(path, age) >= 1.0 - UNSETTLED));
    let (mut young, mut old) = (MATURE_AGE, counters.newest().0.saturating_add(1).max(MATURE_AGE));
    while young < old {
        let middle = young + (old - young) / 2;
        if settled(middle) { old = middle } else { young = middle + 1 }
    }
    old
}

/// Whether it is known, and not guessed, how well the answer served.
fn is_known(pattern: Pattern) -> bool {
    matches!(pattern.winner(), Some(Source::Action | Source::Explicit | Source::Metric))
}

/// Whether what is known of an answer began well, and whether it was reversed since: by the same source, or by a stronger
/// one, which is taken to have come later.
fn course(pattern: Pattern) -> Option<(bool, bool)> {
    let winner = pattern.winner().filter(|_| is_known(pattern))?;
    let ends_well = pattern.value(winner)?.praises();
    let overruled = [Source::Explicit, Source::Metric]
        .into_iter()
        .filter(|source| *source != winner)
        .filter_map(|source| pattern.value(source))
        .any(|value| value.praises() != ends_well);
    let reversed = overruled || pattern.revised(winner);
    Some((ends_well != reversed, reversed))
}

/// How sure one may be of these paths, when `delta` is the difference that is worth having and `floor` the least
/// probability of each path.
///
/// ```
/// use kalibr_core::confidence::{Seen, Verdict, confidence};
/// use kalibr_core::counters::Count;
/// use kalibr_core::evidence::Strength;
/// use kalibr_core::ids::PathId;
/// use kalibr_core::posterior::Beta;
///
/// let seen = |path: u8, good: i32, n: i32| Seen {
///     path: PathId::from_bytes([path; 16]),
///     success: Beta { alpha: f64::from(1 + good), beta: f64::from(1 + n - good) },
///     availability: 1.0,
///     matured: Count { n: n.into(), score: i64::from(good) * i64::from(Strength::UNITS) },
///     share: 0.5,
/// };
/// let early = confidence(&[seen(1, 4, 5), seen(2, 2, 5)], 0.02, 0.01);
/// assert!(matches!(early.verdict, Verdict::NotEnoughData { more: Some(_) }));
/// let clear = confidence(&[seen(1, 80, 100), seen(2, 30, 100)], 0.02, 0.01);
/// assert_eq!(clear.verdict.sentence(|_| "gpt-4o".to_owned()), "gpt-4o is the best path (95 % sure, however often you look)");
/// ```
pub fn confidence(paths: &[Seen], delta: f64, floor: f64) -> Confidence {
    let success: Vec<Beta> = paths.iter().map(|seen| seen.success).collect();
    let (p_best, loss) = p_best_and_loss(&success);
    let compared: Vec<Seen> = paths.iter().filter(|seen| seen.share > 0.0).copied().collect();
    let verdict = if compared.len() == paths.len() {
        verdict(&compared, &p_best, &loss, delta, floor)
    } else {
        let (p_best, loss) = p_best_and_loss(&compared.iter().map(|seen| seen.success).collect::<Vec<_>>());
        verdict(&compared, &p_best, &loss, delta, floor)
    };
    let paths = paths
        .iter()
        .zip(p_best.iter().zip(&loss))
        .map(|(seen, (&p_best, &expected_loss))| {
            let of = |kind, (low, high)| Interval { kind, level: LEVEL, low, high };
            PathConfidence {
                path: seen.path,
                p_best,
                expected_loss,
                credible: of(IntervalKind::Credible, credible(seen.success)),
                guaranteed: of(IntervalKind::Guaranteed, interval(seen.matured, 1.0 - LEVEL)),
                matured: seen.matured.n,
            }
        })
        .collect();
    Confidence { paths, verdict }
}

fn verdict(paths: &[Seen], p_best: &[f64], loss: &[f64], delta: f64, floor: f64) -> Verdict {
    let delta = if delta >= LEAST_DELTA { delta.min(1.0) } else { LEAST_DELTA };
    let Some(leader) = crate::safety::leader(p_best).filter(|_| paths.len() > 1) else {
        return Verdict::NothingToCompare;
    };
    settled(paths, p_best, loss, leader, delta)
        .unwrap_or_else(|| Verdict::NotEnoughData { more: more::more(paths, leader, delta, floor) })
}

/// The verdict, if there is enough data for one.
fn settled(paths: &[Seen], p_best: &[f64], loss: &[f64], leader: usize, delta: f64) -> Option<Verdict> {
    if let Some(near) = alike(paths, p_best, loss, delta) {
        let path_ids = near.iter().map(|&at| paths[at].path).collect();
        return Some(Verdict::NoDifference { path_ids, delta, all: near.len() == paths.len() });
    }
    let first = &paths[leader];
    let beats = |other: &Seen| {
        let scale = first.availability / other.availability;
        is_greater(split(first.matured), scale, split(other.matured), pair_error(paths.len()))
    };
    let is_best = p_best[leader] >= LEVEL
        && loss[leader] < 0.5 * delta
        && paths.iter().enumerate().all(|(at, other)| at == leader || beats(other));
    is_best.then_some(Verdict::Winner { path_id: first.path })
}

/// The error that each pair of the leader and another path may have, so that all together have what is left of
/// [`LEVEL`].
fn pair_error(paths: usize) -> f64 {
    (1.0 - LEVEL) / (paths.max(2) - 1) as f64
}

/// The paths that are within `delta` of the best, if they are two or more and none of the others is likely to be better.
fn alike(paths: &[Seen], p_best: &[f64], loss: &[f64], delta: f64) -> Option<Vec<usize>> {
    // A loss is at most delta, where the path is within it, and 1 elsewhere: most cases need no integral.
    let most = delta + (1.0 - LEVEL);
    if loss.iter().filter(|loss| **loss <= most).count() < 2 {
        return None;
    }
    let success: Vec<Beta> = paths.iter().map(|seen| seen.success).collect();
    let within = p_within(&success, delta);
    let (near, far): (Vec<usize>, Vec<usize>) = (0..paths.len()).partition(|&at| within[at] >= LEVEL);
    let missed: f64 = far.iter().map(|&at| p_best[at]).sum();
    (near.len() > 1 && missed <= 1.0 - LEVEL).then_some(near)
}

/// The interval that leaves half of the error on either side.
fn credible(Beta { alpha, beta }: Beta) -> (f64, f64) {
    if !(alpha > 0.0 && beta > 0.0 && alpha.is_finite() && beta.is_finite()) {
        return (0.0, 1.0);
    }
    let quantile = |share: f64| {
        let (mut low, mut high) = (0.0, 1.0);
        // Where nearly all of the posterior lies within a millionth of 0 or 1, so must its quantiles.
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if beta_reg(alpha, beta, middle) < share { low = middle } else { high = middle }
        }
        0.5 * (low + high)
    };
    let tail = 0.5 * (1.0 - LEVEL);
    (quantile(tail), quantile(1.0 - tail))
}

impl Verdict {
    /// The verdict for people, without a full stop; `name` says how a path is called.
    pub fn sentence(&self, name: impl Fn(PathId) -> String) -> String {
        match self {
            Self::NothingToCompare => "nothing to compare: fewer than two paths get requests".to_owned(),
            Self::Winner { path_id } => {
                format!("{} is the best path (95 % sure, however often you look)", name(*path_id))
            }
            Self::NoDifference { delta, all: true, .. } => {
                format!("no difference worth having: they are within {delta} of each other")
            }
            Self::NoDifference { path_ids, delta, all: false } => {
                let paths = listed(&path_ids.iter().map(|id| name(*id)).collect::<Vec<_>>());
                format!(
                    "no difference worth having between the best: {paths} are within {delta} of each other"
                )
            }
            Self::NotEnoughData { more: Some(1) } => {
                "not enough data yet: about 1 more graded decision".to_owned()
            }
            Self::NotEnoughData { more: Some(more) } => {
                format!("not enough data yet: about {} more graded decisions", grouped(*more))
            }
            Self::NotEnoughData { more: None } => {
                format!("not enough data yet: more than {} more graded decisions", grouped(MOST))
            }
        }
    }
}

/// "a, b and c"; of many the first three.
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] if first.len() < 4 => format!("{} and {last}", first.join(", ")),
        [a, b, c, others @ ..] => format!("{a}, {b}, {c} and {} others", others.len()),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// A number with a comma after each thousand.
fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at % 3 == first % 3 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
