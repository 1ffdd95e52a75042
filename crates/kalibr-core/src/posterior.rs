//! What the counters say of each path: how likely it is to serve a user well.
//!
//! A path serves well when its provider answers and the answer is good, so success = availability × quality. How
//! available it is, is known from all goals together ([`crate::availability`]) and comes in with the [`Subject`]: a
//! provider outage must not look like bad answers, and answered-but-ungraded requests must not look like good ones.
//!
//! What a user did is the truth; a turn, a judge or a structural eval is worth what its reliability says
//! ([`crate::reliability`]), and nothing it says is worth more than that reliability is known. With one perfectly reliable
//! source, a provider that always answers and nothing forgotten, [`posteriors`] is exactly Beta-Bernoulli.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ageing::Ageing;
use crate::counters::{Count, Counters, Epoch};
use crate::drift::{Change, Span, changes, changes_besides};
use crate::fusion::{Soft, fuse, peak};
use crate::ids::PathId;
use crate::level::{self, Course, Move, Step, carried};
use crate::moved::{Moved, What};
use crate::reliability::{Doubt, Reliability, parts};
use crate::ripe::{Heard, is_borne_out};
use crate::series::{Said, Series, Slice, effective, score};

/// A Beta distribution over a probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Beta {
    /// Successes and the prior's, > 0.
    pub alpha: f64,
    /// Failures and the prior's, > 0.
    pub beta: f64,
}

impl Beta {
    /// Knows nothing: every probability is as likely as any other.
    pub const UNIFORM: Self = Self { alpha: 1.0, beta: 1.0 };

    /// The expected probability.
    pub fn mean(self) -> f64 {
        self.alpha / (self.alpha + self.beta)
    }

    /// The variance of the probability.
    pub fn variance(self) -> f64 {
        let total = self.alpha + self.beta;
        self.alpha * self.beta / (total * total * (total + 1.0))
    }

    /// The Beta with this mean in (0, 1) and this variance, which must be below `mean * (1 - mean)`.
    pub fn from_moments(mean: f64, variance: f64) -> Self {
        let strength = mean * (1.0 - mean) / variance - 1.0;
        Self { alpha: mean * strength, beta: (1.0 - mean) * strength }
    }
}

/// How what was heard fades, and when it is dropped.
///
/// A half-life that is right for a path that fell an hour ago (try it again soon) is wrong for one that has been as it is
/// for months (do not forget what was learned). So it grows with the age of the path's regime, the time since it last
/// changed: as with any other retry, the longer the outage has lasted, the rarer the attempts.
///
/// All times are in observations' worth of evidence of all paths together: see [`Series::ages`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fading {
    /// How much longer the half-life becomes for each observation that the path has stayed as it was, >= 0.
    pub growth: f64,
    /// Half-life right after a change, > 0.
    pub after_change: f64,
    /// How much longer it becomes for each observation since the change, >= 0.
    pub growth_after_change: f64,
    /// False-alarm level of the test for a change, in (0, 1); `None`: no test.
    pub restart: Option<f64>,
    /// How many observations a path's own long-run quality is worth once all that was heard of it has faded.
    pub remains: f64,
    /// Whether paths that change together are taken for the level of the goal: see [`crate::level`].
    pub level: bool,
}

impl Default for Fading {
    fn default() -> Self {
        Self {
            growth: 0.25,
            after_change: 150.0,
            growth_after_change: 0.1,
            restart: Some(0.1),
            remains: 2.0,
            level: true,
        }
    }
}

/// How the learner weighs what it has seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearnerConfig {
    /// Observations' worth of evidence (of all paths together) after which what was heard of a path that has not changed
    /// counts half, at the start. `None`: nothing is ever forgotten, and no change is looked for.
    pub half_life: Option<f64>,
    /// How the half-life grows, and what a change does to it.
    pub fading: Fading,
    /// Whether what other buckets and goals know of a path is where it starts from: see [`crate::sharing`].
    pub sharing: bool,
    /// Whether fresh verdicts count less where verdicts are taken back later: see [`crate::maturity`].
    pub maturity: bool,
    /// Whether silence counts where it says something: see [`crate::silence`].
    pub silence: bool,
}

impl Default for LearnerConfig {
    fn default() -> Self {
        Self {
            half_life: Some(800.0),
            fading: Fading::default(),
            sharing: true,
            maturity: true,
            silence: true,
        }
    }
}

/// What is known of one path.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Posterior {
    /// P(it answers and the answer serves), matched by mean and variance.
    pub success: Beta,
    /// P(the answer serves | it answers).
    pub quality: Beta,
    /// What was heard here of the quality, as the Beta that a uniform prior becomes.
    pub own: Beta,
    /// P(it answers); `None` where nothing has failed and it is taken to answer for certain.
    pub available: Option<Beta>,
    /// The expected share of attempts that the provider answers, in 0..=1.
    pub availability: f64,
    /// Graded attempts behind it, not discounted.
    pub graded: i64,
    /// Attempts behind it, not discounted.
    pub attempts: i64,
}

/// A path whose quality is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Subject {
    /// The path.
    pub path: PathId,
    /// The identity of its model alone: reliabilities are learned per model.
    pub model: PathId,
    /// P(it answers), by what all goals have seen of its provider and model ([`crate::availability`]); `None` where
    /// nothing has failed.
    pub available: Option<Beta>,
}

impl Subject {
    /// A path of which nothing is believed yet.
    pub fn unknown(path: PathId) -> Self {
        Self { path, model: path, available: None }
    }
}

/// The posterior of each of `paths`, in that order, while nothing is believed beyond what was heard here. Counts of
/// other paths are left out, and do not age these.
pub fn posteriors(
    counters: &Counters,
    paths: &[Subject],
    reliability: &Reliability,
    config: &LearnerConfig,
) -> Vec<Posterior> {
    believe(counters, paths, reliability, config).0
}

/// As [`posteriors`], with what changed, oldest first.
pub fn believe(
    counters: &Counters,
    paths: &[Subject],
    reliability: &Reliability,
    config: &LearnerConfig,
) -> (Vec<Posterior>, Vec<Moved>) {
    let ids: Vec<PathId> = paths.iter().map(|subject| subject.path).collect();
    let worth = |path: usize, pattern| reliability.worth(paths[path].model, pattern);
    let ageing = Ageing::learn(counters, &ids, worth, config.maturity, config.silence);
    let newest = counters.newest().0;
    let series = Series::read(counters, &ids, |path, pattern, epoch| {
        ageing.worth(path, pattern, newest.saturating_sub(epoch.0), worth(path, pattern))
    });
    let ages = series.ages();
    let read = |ripe: usize| -> (Vec<Stream<'_>>, Vec<Step>) {
        let mut streams: Vec<Stream<'_>> = paths
            .iter()
            .zip(&series.paths)
            .map(|(subject, slices)| Stream::read(slices, ripe, reliability.doubts(subject.model), config))
            .collect();
        let steps = follow(&mut streams, ripe, config);
        (streams, steps)
    };
    let mut ripe = series.epochs.len();
    let (mut streams, mut steps) = read(ripe);
    while let Some(at) = unripe(&streams, &steps, ripe) {
        ripe = at;
        (streams, steps) = read(ripe);
    }
    let moved = moved(&streams, &steps, &series.epochs, &ids, counters);
    let posteriors = paths
        .iter()
        .zip(&streams)
        .zip(tallies(counters, &ids))
        .map(|((subject, stream), tally)| {
            let own = stream.quality(&ages, config);
            let posterior = Posterior {
                success: own,
                quality: own,
                own,
                available: None,
                availability: 1.0,
                graded: tally.graded,
                attempts: tally.attempts,
            };
            posterior.given(Beta::UNIFORM, subject.available)
        })
        .collect();
    (posteriors, moved)
}

/// Where the newest change of those that were found in the first `ripe` blocks begins, if it is one of what was heard and
/// not of how the answers served: see [`is_borne_out`].
fn unripe(streams: &[Stream<'_>], steps: &[Step], ripe: usize) -> Option<usize> {
    let last = |stream: &Stream<'_>| stream.changes.last().map(|change| change.at);
    let at = streams.iter().filter_map(last).chain(steps.last().map(|step| step.at)).max()?;
    let heard = |stream: &Stream<'_>, from: usize, to: usize| Heard {
        span: stream.spans[from..to].iter().fold(Span::default(), |sum, span| sum.and(*span)),
        calls: stream.slices[from..to].iter().map(|slice| slice.calls).sum(),
    };
    let path = |stream: &Stream<'_>| {
        let before = stream.changes.iter().rev().find(|change| change.at < at).map_or(0, |change| change.at);
        last(stream) != Some(at) || is_borne_out(heard(stream, before, at), heard(stream, at, ripe))
    };
    let all = |from: usize, to: usize| {
        streams.iter().fold(Heard::default(), |sum, stream| sum.and(heard(stream, from, to)))
    };
    let level = steps.last().filter(|step| step.at == at).is_none_or(|_| {
        let before = steps.iter().rev().find(|step| step.at < at).map_or(0, |step| step.at);
        is_borne_out(all(before, at), all(at, ripe))
    });
    (!(level && streams.iter().all(path))).then_some(at)
}

/// Finds the steps of the level in the first `ripe` blocks, and what each path changed beside them.
fn follow(streams: &mut [Stream<'_>], ripe: usize, config: &LearnerConfig) -> Vec<Step> {
    let Some(delta) = config.fading.restart.filter(|_| config.fading.level && config.half_life.is_some())
    else {
        return Vec::new();
    };
    let heard: Vec<Vec<Span>> = streams.iter().map(|stream| stream.spans[..ripe].to_vec()).collect();
    let alone: Vec<Vec<Change>> = streams.iter().map(|stream| stream.changes.clone()).collect();
    let Course { steps, moves, apart } = level::course(&heard, &alone, delta);
    if !steps.is_empty() {
        for ((stream, moves), apart) in streams.iter_mut().zip(moves).zip(&apart) {
            stream.level = carried(&stream.spans, &moves);
            stream.moves = moves;
            stream.changes = changes_besides(&stream.level[..ripe], apart, delta);
        }
    }
    steps
}

/// What changed, for people: the shares are as they were heard, from one change to the next.
fn moved(
    streams: &[Stream<'_>],
    steps: &[Step],
    epochs: &[Epoch],
    paths: &[PathId],
    counters: &Counters,
) -> Vec<Moved> {
    let own = |stream: &Stream<'_>| stream.changes.iter().map(|change| change.at).collect::<Vec<_>>();
    let mut moved: Vec<Moved> = Vec::new();
    let mut tell = |what: What, at: usize, before: f64, after: f64, false_alarm: f64| {
        moved.push(Moved { what, since_epoch: epochs[at].0, calls_since: 0, before, after, false_alarm });
    };
    for step in steps {
        tell(What::Level, step.at, step.before, step.after, step.false_alarm);
    }
    for (stream, path_id) in streams.iter().zip(paths) {
        let mut cuts: Vec<usize> = own(stream).into_iter().chain(steps.iter().map(|step| step.at)).collect();
        cuts.sort_unstable();
        for change in &stream.changes {
            let start = cuts.iter().rev().find(|at| **at < change.at).copied().unwrap_or(0);
            let end = cuts.iter().find(|at| **at > change.at).copied().unwrap_or(stream.spans.len());
            let mean = |from: usize, to: usize, otherwise: f64| {
                let heard = stream.spans[from..to].iter().fold(Span::default(), |sum, span| sum.and(*span));
                if heard.n > 0.0 { heard.mean() } else { otherwise }
            };
            let (before, after) = (mean(start, change.at, change.before), mean(change.at, end, change.after));
            let what = What::Path { path_id: *path_id };
            tell(what, change.at, before, after, change.false_alarm());
        }
    }
    for (cell, count) in counters.evidence().filter(|(cell, _)| paths.contains(&cell.path)) {
        for moved in moved.iter_mut().filter(|moved| moved.since_epoch <= cell.epoch.0) {
            moved.calls_since += count.n;
        }
    }
    moved.sort_by_key(|moved| (moved.since_epoch, moved.what));
    moved
}

/// Calls of one path.
#[derive(Default, Clone, Copy)]
struct Tally {
    graded: i64,
    attempts: i64,
}

fn tallies(counters: &Counters, paths: &[PathId]) -> Vec<Tally> {
    let mut tallies = vec![Tally::default(); paths.len()];
    for (cell, Count { n, .. }) in counters.evidence() {
        let Some(tally) = paths.iter().position(|path| *path == cell.path).map(|i| &mut tallies[i]) else {
            continue;
        };
        tally.attempts += n;
        tally.graded += if cell.pattern.winner().is_some() { n } else { 0 };
    }
    tallies
}

/// What was heard of one path.
struct Stream<'a> {
    slices: &'a [Slice],
    doubts: Vec<Doubt>,
    whole: Slice,
    /// By all that was heard, however long ago.
    all: Beta,
    /// As plain observations.
    spans: Vec<Span>,
    /// The same as it would have been heard on the level of today.
    level: Vec<Span>,
    /// As it took part in the steps of the level.
    moves: Vec<Move>,
    /// Of the path alone, on that level.
    changes: Vec<Change>,
}

impl<'a> Stream<'a> {
    fn read(slices: &'a [Slice], ripe: usize, doubts: Vec<Doubt>, config: &LearnerConfig) -> Self {
        let whole = Slice {
            exact: slices.iter().fold(Span::default(), |sum, s| sum.and(s.exact)),
            soft: slices.iter().flat_map(|s| s.soft.iter().copied()).collect(),
            calls: 0.0,
        };
        let all = fused(Beta::UNIFORM, &whole, &doubts);
        let (mut spans, mut alone) = (Vec::new(), Vec::new());
        if config.half_life.is_some() {
            spans = effective(slices, all.mean());
            alone = config.fading.restart.map_or_else(Vec::new, |delta| changes(&spans[..ripe], delta));
        }
        Self { slices, doubts, whole, all, level: spans.clone(), spans, moves: Vec::new(), changes: alone }
    }

    /// The quality of the path at these ages of its slices.
    fn quality(&self, ages: &[f64], config: &LearnerConfig) -> Beta {
        let Some(half_life) = config.half_life else { return self.all };
        let fading = &config.fading;
        let from = self.changes.last().map_or(0, |change| change.at);
        // How long the regime has lasted: the age of its oldest evidence.
        let lasted = (from..self.spans.len()).find(|&i| self.spans[i].n > 0.0).map_or(0.0, |i| ages[i]);
        let half_life = if self.changes.is_empty() {
            half_life + fading.growth * lasted
        } else {
            fading.after_change + fading.growth_after_change * lasted
        };
        let kept = |from: usize, to: usize| {
            let mut kept = Slice::default();
            for (slice, age) in self.slices[from..to].iter().zip(&ages[from..to]) {
                let weight = (-age / half_life).exp2();
                kept.exact.n += weight * slice.exact.n;
                kept.exact.successes += weight * slice.exact.successes;
                kept.soft.extend(slice.soft.iter().map(|(z, s)| (*z, Soft { n: weight * s.n, ..*s })));
            }
            kept
        };
        let last = self.moves.last().map_or(from, |step| step.at.max(from));
        let now = kept(last, self.slices.len());
        let (carried, carried_weight) = self.carried(from, kept);
        // What has faded leaves the long-run level behind, as a weak belief: an idle path drifts back to what it used to
        // be and not to a coin toss, so a path that was good before it fell is tried again sooner than one that never was.
        let total = self.whole.weight();
        let faded = if total > 0.0 { 1.0 - (carried_weight + now.weight()) / total } else { 0.0 };
        let own = fading.remains * faded;
        let mean = if self.moves.is_empty() { self.all.mean() } else { self.long_run() };
        let base = Beta {
            alpha: 1.0 - faded + own * mean + carried.successes,
            beta: 1.0 - faded + own * (1.0 - mean) + (carried.n - carried.successes),
        };
        fused(base, &now, &self.doubts)
    }

    /// What was heard since block `from` and before steps of the level, carried over them; and what it weighed before.
    /// Soft evidence is read on its own side of a step.
    fn carried(&self, from: usize, kept: impl Fn(usize, usize) -> Slice) -> (Span, f64) {
        let (mut carried, mut weight, mut start) = (Span::default(), 0.0, from);
        for (at, step) in self.moves.iter().enumerate().filter(|(_, step)| step.at > from) {
            let piece = kept(start, step.at);
            let Beta { alpha, beta } = fused(Beta::UNIFORM, &piece, &self.doubts);
            let heard = Span { n: (alpha + beta - 2.0).max(0.0), successes: (alpha - 1.0).max(0.0) };
            carried = carried.and(level::known(heard, &self.moves[at..]));
            weight += piece.weight();
            start = step.at;
        }
        (carried, weight)
    }

    /// The path's long-run quality, on the level of today.
    fn long_run(&self) -> f64 {
        let all = self.level.iter().fold(Span::default(), |sum, span| sum.and(*span));
        (all.n * all.mean() + 1.0) / (all.n + 2.0)
    }
}

/// What `base` becomes after a slice of evidence.
///
/// Soft evidence is limited by what is known of its sources: however many verdicts of a judge there are, together they
/// pin the quality down no better than the judge's own rates are known. If `I` is the information of `n` soft
/// observations and `V` the variance that the doubts about their sources put into the quality they point to, they are
/// worth `1 / (1/I + V)`, so each of them counts `1 / (1 + I V)`: the generalised least-squares weight of a measurement
/// with a shared error.
fn fused(base: Beta, slice: &Slice, doubts: &[Doubt]) -> Beta {
    let exact = Beta {
        alpha: base.alpha + slice.exact.successes,
        beta: base.beta + (slice.exact.n - slice.exact.successes),
    };
    if slice.soft.is_empty() {
        return exact;
    }
    let mut soft: BTreeMap<Said, Soft> = BTreeMap::new();
    for (said, more) in &slice.soft {
        let known = soft.entry(*said).or_insert(Soft { n: 0.0, ..*more });
        let n = known.n + more.n;
        if n > 0.0 {
            // One pattern says nearly the same at all ages.
            known.ln_ratio = (known.ln_ratio * known.n + more.ln_ratio * more.n) / n;
            known.n = n;
        }
    }
    let plain: Vec<Soft> = soft.values().copied().collect();
    let p = peak(exact, &plain).clamp(0.02, 0.98);
    let pull = |soft: &Soft| soft.n * score(soft.ln_ratio, p);
    let information: f64 = plain.iter().map(|s| pull(s) * score(s.ln_ratio, p)).sum();
    if information <= 0.0 {
        return exact;
    }
    let doubted: f64 = doubts
        .iter()
        .map(|doubt| {
            let moved: f64 = soft
                .iter()
                .map(|(said, s)| {
                    let winner = said.pattern.winner();
                    let by: f64 = parts(said.pattern)
                        .filter(|(voice, _)| *voice == doubt.voice)
                        .map(|(voice, praises)| {
                            let turned = said.turned && Some(voice.source()) == winner;
                            if praises == turned { doubt.of_fault } else { doubt.of_praise }
                        })
                        .sum();
                    if by == 0.0 { 0.0 } else { pull(&Soft { ln_ratio: s.ln_ratio + by, ..*s }) - pull(s) }
                })
                .sum();
            (moved / information).powi(2)
        })
        .sum();
    let worth = 1.0 / (1.0 + information * doubted);
    fuse(exact, &plain.iter().map(|s| Soft { n: s.n * worth, ..*s }).collect::<Vec<_>>())
}

impl Posterior {
    /// The same path when `prior` was believed of its quality before anything was heard here, and it answers with this
    /// probability.
    ///
    /// What was heard is kept as a Beta from a uniform prior, so another prior adds to it. Where it has faded it may be
    /// worth less than a uniform prior: together they are never worth less than the weaker of the two.
    pub fn given(self, prior: Beta, available: Option<Beta>) -> Self {
        let both = |own: f64, prior: f64| (own + prior - 1.0).max(own.min(prior));
        let quality =
            Beta { alpha: both(self.own.alpha, prior.alpha), beta: both(self.own.beta, prior.beta) };
        let success = available.map_or(quality, |available| product(available, quality));
        let availability = available.map_or(1.0, Beta::mean);
        Self { success, quality, available, availability, ..self }
    }
}

/// The product of two independent probabilities, as the Beta with its mean and variance.
pub(crate) fn product(a: Beta, b: Beta) -> Beta {
    let second = |x: Beta| x.variance() + x.mean() * x.mean();
    let mean = a.mean() * b.mean();
    Beta::from_moments(mean, second(a) * second(b) - mean * mean)
}

#[cfg(test)]
mod tests;
