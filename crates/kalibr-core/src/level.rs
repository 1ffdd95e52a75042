//! The level: when all paths of a goal became better or worse together.
//!
//! A path that fell alone is to be left, and the others are to be tried anew. When all fall together it is the task, the
//! prompt or the judge that changed: who was best still is, and trying them all again costs what was known of them. So
//! what was heard before such a change is not dropped, but carried over it: every path by the same step in log-odds,
//! which leaves the differences between paths, and their doubts, as they were. The step is known to no better than
//! what was heard since allows, but that doubt is common to all paths, and choosing compares.
//!
//! One path alone cannot tell: if only the leader was heard since it fell, that is all that there is to explain, and it
//! is the path. The others are then tried, as after any fall, and once some thirty answers of them have fallen as well,
//! the change is recognised for what it is, and the leader leads again by all that was known of it. Everything is
//! recomputed from the counters, so what a change is taken for follows from what was heard and not from when.
//!
//! That several fell is not that all did. Each path is carried by the step times the probability that it moved rather than
//! stayed, by the likelihood of its own answers with even odds before them: a path of which nothing was heard since is
//! carried half way, and what was known of it counts less by the variance of that (`by² w (1 − w)`), so it is tried
//! sooner. Nothing is called the level before paths that moved by their own answers have most of what was heard. Each pipeline and bucket has a level of its own; what other places teach is no evidence of it.
//!
//! # The test
//! Each path is a stratum: a table of (before, after) × (good, bad). The place is the cut with the greatest
//! Cochran-Mantel-Haenszel statistic (Mantel and Haenszel, "Statistical aspects of the analysis of data from
//! retrospective studies of disease", 1959), which needs no path to be heard much: a handful of answers of each of many
//! paths add up. There the common log-odds ratio of all strata is fitted with one free rate per stratum, and it is the
//! level when it is the better explanation, in log-likelihood ratios against "nothing changed" and with the price that the
//! test for single paths pays as well ([`crate::drift`]):
//!
//! ```text
//! L(all) − price(N, δ)  >  Σ_a max(0, L(a alone, at its own place) − price(n_a, δ)) + MARGIN
//! ```
//!
//! and when the strata agree with the common ratio: twice the log-likelihood ratio of separate steps against a common one
//! is χ² with one degree of freedom less than there are strata. Where they disagree, the strongest change of a single path
//! is taken out, by splitting its stratum there, and the others are looked at again: all may fall while one falls
//! further. Each side of a change is then looked at on its own.

use statrs::function::gamma::gamma_ur;

use crate::drift::{Change, Span, Sums, kl, price};

/// How much likelier, in nats, what was heard must be by a common step than by paths that changed on their own. A path that
/// changed alone is seldom mistaken for the level (by Ville's inequality for the likelihood ratio of the others' answers in
/// e^−3 of cases at most, were the step known), and some thirty answers that fell by a quarter reach it.
const MARGIN: f64 = 3.0;
/// Strata that agree are found to disagree this often. To take a path along that fell further than the others costs more
/// than to look at all anew, so it is not rare: level-apart of `bench/learning` lost 166 at .01 and 154 at .1 (no spread,
/// below), and with the spread 127 at .1 and 120 at .05 (40 tuning seeds).
const DISAGREE: f64 = 0.05;
/// Standard deviation, in log-odds, by which paths are taken to have moved each a little otherwise when all moved together.
/// What was known before is worth that much less, so that a mistaken step is found out: level-apart lost 154 with 0 and
/// 127 with .25 (40 tuning seeds, .1 above), and level-100, where all do move alike, 36 and 39.
const SPREAD: f64 = 0.25;
/// All paths are said to have moved only when those that by their own answers did so with a probability of `SURE` have
/// this share of the answers.
const ENOUGH: f64 = 0.8;
const SURE: f64 = 0.75;
/// The furthest step that is fitted, in log-odds.
const FURTHEST: f64 = 6.0;

/// A moment at which all paths became better or worse together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The first block after it.
    pub at: usize,
    /// By how much each path moved, in log-odds.
    pub by: f64,
    /// The share of successes before it, of the paths as they were used on both sides together, in 0..=1.
    pub before: f64,
    /// The share of successes after it, of the same mixture of paths, in 0..=1.
    pub after: f64,
    /// Seen at most so seldom if nothing had changed, or one path alone, in 0..=1; not the probability that nothing did.
    /// The strictest level at which the test would still have found it, and e to the minus of how much likelier it is than paths that changed on their own.
    pub false_alarm: f64,
}

/// A step as one path took part in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Move {
    /// The first block after it.
    pub at: usize,
    /// By how much the path is expected to have moved, in log-odds: the step times the probability that the path moved.
    pub by: f64,
    /// The variance of that, > 0.
    pub doubt: f64,
}

/// How the level of some streams moved.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Course {
    /// Its steps, oldest first.
    pub steps: Vec<Step>,
    /// For each stream, by how much it is taken to have moved at each step; empty where there are no steps.
    pub moves: Vec<Vec<Move>>,
    /// For each stream, its own changes that had to be taken out for a step to be seen: it moved otherwise than the
    /// others at that time. In order; empty where there are no steps.
    pub apart: Vec<Vec<Change>>,
}

/// How the level of these streams moved, one for each path over the same blocks, at a false-alarm level of `delta` in
/// (0, 1). `alone` are the changes that each path shows on its own: see [`crate::drift::changes`].
pub fn course(streams: &[Vec<Span>], alone: &[Vec<Change>], delta: f64) -> Course {
    let blocks = streams.first().map_or(0, Vec::len);
    if streams.iter().filter(|stream| stream.iter().any(|span| span.n > 0.0)).count() < 2 {
        return Course::default();
    }
    let sums: Vec<Sums> = streams.iter().map(|stream| Sums::new(stream)).collect();
    let mut splits: Vec<(usize, Change)> = alone
        .iter()
        .enumerate()
        .flat_map(|(path, changes)| changes.iter().map(move |change| (path, *change)))
        .collect();
    splits.sort_by(|(a, x), (b, y)| y.ratio.total_cmp(&x.ratio).then((a, x.at).cmp(&(b, y.at))));
    let mut found = Vec::new();
    look(&sums, &splits, (0, blocks), delta, &mut found);
    if found.is_empty() {
        return Course::default();
    }
    found.sort_unstable_by_key(|found| found.step.at);
    let mut apart: Vec<Vec<Change>> = vec![Vec::new(); streams.len()];
    for &(path, change) in found.iter().flat_map(|found| &found.apart) {
        // What was taken out for one step may turn out to be another step, in which the path took part.
        let together = |s: &Stratum| s.path == path && s.from < change.at && change.at < s.to;
        if !found.iter().flat_map(|found| &found.strata).any(together) {
            apart[path].push(change);
        }
    }
    for changes in &mut apart {
        changes.sort_unstable_by_key(|change| change.at);
        changes.dedup_by_key(|change| change.at);
    }
    let moves = (0..streams.len()).map(|path| found.iter().map(|found| found.of(path)).collect()).collect();
    Course { steps: found.into_iter().map(|found| found.step).collect(), moves, apart }
}

/// A stream as it would have been heard after the moves that followed: each block is moved by as much as the path moved
/// since, and carries the same score and the same information on the log-odds as before.
///
/// It is the sums of stretches that mean something: a single block may carry fewer successes than 0 or more than `n`.
pub fn carried(stream: &[Span], moves: &[Move]) -> Vec<Span> {
    let mut carried = stream.to_vec();
    let mut from = 0;
    for (at, step) in moves.iter().enumerate() {
        let by: f64 = moves[at..].iter().map(|step| step.by).sum();
        let whole = stream[from..step.at].iter().fold(Span::default(), |sum, span| sum.and(*span));
        for (span, out) in stream[from..step.at].iter().zip(&mut carried[from..step.at]) {
            *out = moved(*span, whole, by);
        }
        from = step.at;
    }
    carried
}

/// An observation of a stretch whose observations are `whole`, after a step in log-odds.
///
/// Its score `successes − n p` and its information `n p (1 − p)` stay as they are, at the stretch's rate `p` before and
/// after: together with the others of the stretch it then says of the log-odds what it said before. That holds of sums only:
/// one success of one, moved down, is more than one success, as one failure is less than none.
pub(crate) fn moved(span: Span, whole: Span, by: f64) -> Span {
    if span.n <= 0.0 {
        return span;
    }
    // Never 0 or 1: the log-odds of a stretch are finite however short it is.
    let p = (whole.successes + 0.5) / (whole.n + 1.0);
    let q = logistic((p / (1.0 - p)).ln() + by);
    let n = span.n * p * (1.0 - p) / (q * (1.0 - q));
    Span { n, successes: n * q + span.successes - span.n * p }
}

/// What was heard of a path before these moves, as it counts after them.
pub(crate) fn known(heard: Span, moves: &[Move]) -> Span {
    let after = moved(heard, heard, moves.iter().map(|one| one.by).sum());
    let mean = after.mean();
    let doubt: f64 = moves.iter().map(|one| one.doubt).sum();
    let n = after.n / (1.0 + after.n * mean * (1.0 - mean) * doubt);
    Span { n, successes: n * mean }
}

/// A stretch of one path.
#[derive(Debug, Clone, Copy)]
struct Stratum {
    path: usize,
    from: usize,
    to: usize,
}

/// A stratum at a cut.
#[derive(Debug, Clone, Copy)]
struct Pair {
    before: Span,
    after: Span,
}

impl Pair {
    fn at(sums: &Sums, stratum: &Stratum, cut: usize) -> Option<Self> {
        let pair = (stratum.from < cut && cut < stratum.to).then(|| Self {
            before: sums.between(stratum.from, cut),
            after: sums.between(cut, stratum.to),
        })?;
        let failures = pair.both().n - pair.both().successes;
        let any = pair.before.n.min(pair.after.n).min(pair.both().successes).min(failures) > 1e-6;
        any.then_some(pair)
    }

    fn both(&self) -> Span {
        self.before.and(self.after)
    }

    /// The log-likelihood ratio of a step of its own, fitted to it.
    fn own(&self) -> f64 {
        let mean = self.both().mean();
        self.before.n * kl(self.before.mean(), mean) + self.after.n * kl(self.after.mean(), mean)
    }

    /// The rates before and after that fit best with a step of `by` between them.
    ///
    /// `n₁ p₁ + n₂ p₂ = S` is a quadratic equation in the odds before.
    fn rates(&self, by: f64) -> (f64, f64) {
        let (r, n, s) = (by.exp(), self.both().n, self.both().successes);
        let (a, b) = ((n - s) * r, self.before.n + self.after.n * r - s * (1.0 + r));
        let root = (b * b + 4.0 * a * s).sqrt();
        // The positive root, without subtracting what is nearly equal.
        let odds = if b > 0.0 { 2.0 * s / (b + root) } else { (root - b) / (2.0 * a) };
        let rate = |odds: f64| (odds / (1.0 + odds)).clamp(1e-12, 1.0 - 1e-12);
        (rate(odds), rate(odds * r))
    }

    /// The log-likelihood ratio of a step of `by` against none, its derivative by `by`, and the information.
    fn stepped(&self, by: f64) -> (f64, f64, f64) {
        let (p, q) = self.rates(by);
        let mean = self.both().mean();
        let log = |span: Span, rate: f64| {
            let good = span.successes * (rate / mean).ln();
            good + (span.n - span.successes) * ((1.0 - rate) / (1.0 - mean)).ln()
        };
        let information = |n: f64, rate: f64| (n * rate * (1.0 - rate)).max(1e-12);
        let (i, j) = (information(self.before.n, p), information(self.after.n, q));
        (log(self.before, p) + log(self.after, q), self.after.successes - self.after.n * q, i * j / (i + j))
    }
}

/// A step, with how it was seen.
struct Found {
    step: Step,
    /// The stretches that it divides.
    strata: Vec<Stratum>,
    /// The changes that were taken out, and of which path.
    apart: Vec<(usize, Change)>,
    /// For each path, how probable it is that it took part.
    took: Vec<f64>,
}

impl Found {
    fn of(&self, path: usize) -> Move {
        let Step { at, by, .. } = self.step;
        let took = self.took[path];
        Move { at, by: took * by, doubt: SPREAD * SPREAD + by * by * took * (1.0 - took) }
    }
}

/// For each path, how probable it is that it moved by this step rather than stayed, by its own answers alone: a half
/// where there are none.
fn took_part(sums: &[Sums], strata: &[Stratum], step: &Step) -> Vec<f64> {
    let mut own = vec![0.0; sums.len()];
    for stratum in strata {
        if let Some(pair) = Pair::at(&sums[stratum.path], stratum, step.at) {
            own[stratum.path] += pair.stepped(step.by).0;
        }
    }
    own.iter().map(|own| logistic(*own)).collect()
}

fn look(
    sums: &[Sums],
    splits: &[(usize, Change)],
    (from, to): (usize, usize),
    delta: f64,
    found: &mut Vec<Found>,
) {
    let mut strata: Vec<Stratum> = (0..sums.len()).map(|path| Stratum { path, from, to }).collect();
    let mut apart = Vec::new();
    let mut within = splits.iter().filter(|(_, change)| from < change.at && change.at < to);
    loop {
        let step = best(sums, &strata, (from, to)).and_then(|at| judge(sums, &strata, at, delta));
        let step = step.map(|step| (step, took_part(sums, &strata, &step)));
        if let Some((step, took)) = step.filter(|(_, took)| enough(sums, took, &apart, (from, to))) {
            strata.retain(|stratum| stratum.from < step.at && step.at < stratum.to);
            found.push(Found { step, strata, apart, took });
            look(sums, splits, (from, step.at), delta, found);
            look(sums, splits, (step.at, to), delta, found);
            return;
        }
        let Some(&(path, change)) = within.next() else { return };
        let at = change.at;
        let whole = strata.iter().position(|s| s.path == path && s.from < at && at < s.to);
        if let Some(whole) = whole {
            let right = Stratum { from: at, ..strata[whole] };
            strata[whole].to = at;
            strata.push(right);
            apart.push((path, change));
        }
    }
}

/// Whether the paths that took part beyond doubt have most of what was heard of those that were not taken out.
fn enough(sums: &[Sums], took: &[f64], apart: &[(usize, Change)], (from, to): (usize, usize)) -> bool {
    let (mut all, mut sure) = (0.0, 0.0);
    for (path, (sums, took)) in sums.iter().zip(took).enumerate() {
        if apart.iter().any(|(out, _)| *out == path) {
            continue;
        }
        let n = sums.between(from, to).n;
        all += n;
        sure += if *took >= SURE { n } else { 0.0 };
    }
    sure >= ENOUGH * all
}

/// The cut at which the strata show the greatest common step, of those that two show any at.
fn best(sums: &[Sums], strata: &[Stratum], (from, to): (usize, usize)) -> Option<usize> {
    let mut best = (0.0, None);
    for cut in from + 1..to {
        let (mut excess, mut variance, mut count) = (0.0, 0.0, 0);
        for stratum in strata {
            let Some(pair) = Pair::at(&sums[stratum.path], stratum, cut) else { continue };
            let (both, mean) = (pair.both(), pair.both().mean());
            excess += pair.after.successes - pair.after.n * mean;
            variance += pair.before.n * pair.after.n / both.n * mean * (1.0 - mean);
            count += 1;
        }
        if count >= 2 && variance > 0.0 && excess * excess / variance > best.0 {
            best = (excess * excess / variance, Some(cut));
        }
    }
    best.1
}

/// Whether it is the level that moved at this cut.
fn judge(sums: &[Sums], strata: &[Stratum], at: usize, delta: f64) -> Option<Step> {
    let pairs: Vec<(&Stratum, Pair)> = strata
        .iter()
        .filter_map(|stratum| Pair::at(&sums[stratum.path], stratum, at).map(|pair| (stratum, pair)))
        .collect();
    let n: f64 = pairs.iter().map(|(_, pair)| pair.both().n).sum();
    let apart: f64 = pairs.iter().map(|(_, pair)| pair.own()).sum();
    // Separate steps fit no worse than a common one.
    if apart <= price(n, delta) + MARGIN {
        return None;
    }
    let by = common(&pairs);
    let together: f64 = pairs.iter().map(|(_, pair)| pair.stepped(by).0).sum();
    let alone: f64 = pairs
        .iter()
        .map(|(s, _)| {
            let (ratio, _) = sums[s.path].strongest(s.from, s.to);
            (ratio - price(sums[s.path].between(s.from, s.to).n, delta)).max(0.0)
        })
        .sum();
    let ahead = together - price(n, delta) - alone;
    let agree = gamma_ur(0.5 * (pairs.len() - 1) as f64, (apart - together).max(1e-9)) > DISAGREE;
    if ahead <= MARGIN || !agree {
        return None;
    }
    let mixed = |rate: fn((f64, f64)) -> f64| {
        pairs.iter().map(|(_, pair)| pair.both().n * rate(pair.rates(by))).sum::<f64>() / n
    };
    let false_alarm = ((price(n, 1.0) - together).exp() + (-ahead).exp()).min(1.0);
    Some(Step { at, by, before: mixed(|rates| rates.0), after: mixed(|rates| rates.1), false_alarm })
}

/// The common step that fits best.
fn common(pairs: &[(&Stratum, Pair)]) -> f64 {
    let (mut low, mut high) = (-FURTHEST, FURTHEST);
    let mut by: f64 = 0.0;
    // The profile likelihood of a log-odds ratio has one peak: scoring steps inside a bracket find it.
    for _ in 0..40 {
        let (mut slope, mut information) = (0.0, 0.0);
        for (_, pair) in pairs {
            let (_, s, i) = pair.stepped(by);
            slope += s;
            information += i;
        }
        if slope > 0.0 {
            low = by;
        } else {
            high = by;
        }
        let step = slope / information;
        if step.abs() < 1e-9 {
            break;
        }
        by = if low < by + step && by + step < high { by + step } else { 0.5 * (low + high) };
    }
    by
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::changes;
    use rand::{RngExt, SeedableRng};

    /// Per path: answers in each block, and the rate in each stretch of blocks.
    type World = [(usize, Vec<(usize, f64)>)];

    fn streams(seed: u64, world: &World) -> Vec<Vec<Span>> {
        let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
        let stream = |&(n, ref stretches): &(usize, Vec<(usize, f64)>)| {
            let rates = stretches.iter().flat_map(|&(blocks, rate)| vec![rate; blocks]);
            rates
                .map(|rate| Span {
                    n: n as f64,
                    successes: (0..n).map(|_| if rng.random_bool(rate) { 1.0 } else { 0.0 }).sum(),
                })
                .collect()
        };
        world.iter().map(stream).collect()
    }

    fn found(seed: u64, world: &World) -> Course {
        let streams = streams(seed, world);
        let alone: Vec<Vec<Change>> = streams.iter().map(|stream| changes(stream, 0.1)).collect();
        course(&streams, &alone, 0.1)
    }

    /// Of 200 worlds, in how many this holds.
    fn count(world: &World, holds: impl Fn(&Course) -> bool) -> usize {
        (0..200).filter(|&seed| holds(&found(seed, world))).count()
    }

    #[test]
    fn where_nothing_changes_the_level_stands() {
        let world = [(20, vec![(60, 0.8)]), (4, vec![(60, 0.7)]), (1, vec![(60, 0.6)])];
        let alarms = (0..2_000).filter(|&seed| found(seed, &world) != Course::default()).count();
        assert!(alarms <= 10, "{alarms} of 2,000");
    }

    #[test]
    fn a_common_fall_is_found_where_it_was_though_two_of_three_paths_are_little_used() {
        let world = [
            (20, vec![(40, 0.8), (20, 0.6)]),
            (4, vec![(40, 0.7), (20, 0.46)]),
            (4, vec![(40, 0.6), (20, 0.36)]),
        ];
        let right = |course: &Course| matches!(course.steps[..], [step] if step.at.abs_diff(40) <= 3 && (step.by + 1.0).abs() < 0.5);
        // Paths that agree are found to disagree now and then.
        let right = count(&world, right);
        assert!(right >= 160, "{right} of 200");
    }

    #[test]
    fn a_path_that_changes_alone_does_not_move_the_level() {
        let falls = [(20, vec![(40, 0.8), (10, 0.4)]), (10, vec![(50, 0.7)]), (10, vec![(50, 0.6)])];
        let alarms = count(&falls, |course| !course.steps.is_empty());
        assert!(alarms <= 2, "{alarms} of 200");
        let unheard = [(20, vec![(40, 0.8), (10, 0.4)]), (0, vec![(50, 0.7)]), (0, vec![(50, 0.6)])];
        assert_eq!(count(&unheard, |course| !course.steps.is_empty()), 0);
    }

    #[test]
    fn paths_that_change_at_different_times_or_in_different_directions_do_not_move_the_level() {
        let times = [(20, vec![(20, 0.8), (60, 0.5)]), (20, vec![(55, 0.8), (25, 0.5)])];
        let ways = [(20, vec![(40, 0.8), (40, 0.5)]), (20, vec![(40, 0.5), (40, 0.8)])];
        for world in [times, ways] {
            let alarms = count(&world, |course| !course.steps.is_empty());
            assert!(alarms <= 4, "{alarms} of 200");
        }
    }

    #[test]
    fn a_fall_and_a_rise_are_two_steps() {
        let there_and_back = |rate, low| vec![(40, rate), (40, low), (40, rate)];
        let world =
            [(20, there_and_back(0.8, 0.6)), (6, there_and_back(0.7, 0.46)), (6, there_and_back(0.6, 0.36))];
        let two = |course: &Course| matches!(course.steps[..], [a, b] if a.by < 0.0 && b.by > 0.0 && a.at.abs_diff(40) < 5 && b.at.abs_diff(80) < 5);
        let two = count(&world, two);
        assert!(two >= 130, "{two} of 200");
    }

    #[test]
    fn a_path_that_falls_further_than_the_others_is_told_apart() {
        let world = [
            (20, vec![(40, 0.85), (20, 0.35)]),
            (20, vec![(40, 0.7), (20, 0.5)]),
            (20, vec![(40, 0.6), (20, 0.4)]),
        ];
        let apart = |course: &Course| {
            matches!(course.steps[..], [step] if (step.by + 0.85).abs() < 0.4)
                && course.apart[0].iter().any(|change| change.at.abs_diff(40) <= 3)
                && course.apart[1].is_empty()
                && course.apart[2].is_empty()
        };
        let apart = count(&world, apart);
        assert!(apart >= 130, "{apart} of 200");
    }

    #[test]
    fn a_path_is_carried_as_far_as_its_own_answers_say_that_it_moved() {
        let world = |third: (usize, f64)| {
            [
                (20, vec![(40, 0.8), (20, 0.5)]),
                (20, vec![(40, 0.75), (20, 0.43)]),
                (1, vec![(40, 0.7), (third.0, third.1)]),
            ]
        };
        let moves = |third| -> Vec<f64> {
            let world = world(third);
            (0..50)
                .filter_map(|seed| {
                    let mut streams = streams(seed, &world);
                    streams[2].resize(60, Span::default());
                    let alone: Vec<Vec<Change>> = streams.iter().map(|stream| changes(stream, 0.1)).collect();
                    let course = course(&streams, &alone, 0.1);
                    let step = *course.steps.first()?;
                    Some(course.moves[2][0].by / step.by)
                })
                .collect()
        };
        let mean = |shares: &[f64]| shares.iter().sum::<f64>() / shares.len() as f64;
        let (unheard, fell, stayed) = (moves((0, 0.0)), moves((20, 0.37)), moves((20, 0.9)));
        assert!(unheard.len() >= 40 && (mean(&unheard) - 0.5).abs() < 0.05, "{unheard:?}");
        assert!(fell.len() >= 20 && mean(&fell) > 0.8, "{fell:?}");
        assert!(stayed.iter().all(|share| *share < 0.5), "{stayed:?}");
    }

    #[test]
    fn what_is_carried_over_a_step_is_worth_less_the_less_sure_it_is_that_the_path_took_part() {
        let heard = Span { n: 200.0, successes: 160.0 };
        let at = |doubt| known(heard, &[Move { at: 1, by: -0.5, doubt }]);
        assert!(at(0.3).n < at(0.1).n, "{:?}", at(0.3));
        assert!((at(0.3).mean() - at(0.1).mean()).abs() < 1e-12);
    }

    #[test]
    fn what_is_carried_keeps_its_score_however_few_answers_a_block_has() {
        for (rate, by) in [(0.95, -3.0), (0.2, 2.0), (0.8, -1.8)] {
            let mut stream = streams(1, &[(1, vec![(1_000, rate)])]).remove(0);
            let heard = stream.iter().fold(Span::default(), |sum, span| sum.and(*span)).mean();
            stream.push(Span::default());
            let carried = carried(&stream, &[Move { at: 1_000, by, doubt: 0.1 }]);
            let after = carried.iter().fold(Span::default(), |sum, span| sum.and(*span)).mean();
            let meant = logistic((heard / (1.0 - heard)).ln() + by);
            assert!((after - meant).abs() < 0.02, "{after} instead of {meant}");
        }
    }

    #[test]
    fn what_is_carried_over_a_step_keeps_its_score_and_its_information() {
        let stream = streams(1, &[(20, vec![(30, 0.8)])]).remove(0);
        let carried = carried(&stream, &[Move { at: 20, by: -1.0, doubt: 0.1 }]);
        assert_eq!(carried[20..], stream[20..]);
        let sum = |spans: &[Span]| spans.iter().fold(Span::default(), |sum, span| sum.and(*span));
        let (before, after) = (sum(&stream[..20]), sum(&carried[..20]));
        let log_odds = |span: Span| (span.mean() / (1.0 - span.mean())).ln();
        assert!((log_odds(after) - log_odds(before) + 1.0).abs() < 0.02, "{before:?} {after:?}");
        let information = |span: Span| span.n * span.mean() * (1.0 - span.mean());
        assert!((information(after) / information(before) - 1.0).abs() < 0.02, "{before:?} {after:?}");
    }
}
