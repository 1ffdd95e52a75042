//! How far each source can be trusted, for each model: learned from where it spoke together with a user's deed.
//!
//! A judge may favour one model; a check that one model's answers always pass says nothing about that model. So each
//! source has, per model, two rates: how often it praises a good answer and how often it praises a bad one. They are
//! counted where an *anchor* spoke of the same attempt: an action, an explicit verdict, and for the technical sources
//! the caller's own metric. Anchors are graded only by what stands above them, and are taken at their word until
//! something above them disagrees, and from then on as far as they are trusted; that rules out a world in which good and
//! bad have changed places. Deeds are few, so the technical sources are also graded by follow-up messages, as far as those
//! can be trusted: with a judge that favours the second best of three models over eight goals and actions on 5 % of
//! decisions that is the difference between .60 and .46 of the regret of averaging the signals (16 tuning seeds of
//! `bench/learning`), and an unbiased judge is found to be one sooner, too.
//!
//! Rates are shrunk to the source's pooled rate over models with a strength κ that is learned, and averaged over its
//! posterior on a grid (empirical Bayes with a beta-binomial likelihood; Gelman et al., *Bayesian Data Analysis*, ch. 5).
//! Little evidence: the pooled rate, and doubt. Enough: the model's own.
//!
//! A source with several [`Voice`]s has rates for each: a classifier model that is asked where the local classifier cannot
//! tell may be far better or worse than that, and what is inferred of a session is less than what a caller knows of it.
//!
//! What is uncertain about the rates limits what a source can teach: see [`Reliability::doubts`].

use std::collections::BTreeMap;
use std::sync::LazyLock;

use statrs::function::beta::ln_beta;

use crate::counters::Count;
use crate::evidence::{Pattern, Source, Strength, Value, Voice};
use crate::ids::PathId;
use crate::series::Worth;

/// How often each pattern was seen of each model's answers, over all goals of a tenant: integers, moved with the counters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pool {
    cells: BTreeMap<(PathId, Pattern), Count>,
}

impl Pool {
    /// Adds to a cell; `model` is the identity of the path that is the model alone. Patterns in which no two sources
    /// speak teach nothing about reliability and are not kept. Returns whether this one teaches.
    pub fn add(&mut self, model: PathId, pattern: Pattern, count: Count) -> bool {
        let pattern = pattern.evidence();
        let graded = |source: Source| pattern.value(source).is_some() && anchor(source, pattern).is_some();
        let hinted = pattern.winner() == Some(Source::Turn)
            && (pattern.value(Source::Judge).is_some() || pattern.value(Source::Structural).is_some());
        if !hinted && !Source::ALL.into_iter().any(graded) {
            return false;
        }
        let total = self.cells.entry((model, pattern)).or_default();
        *total += count;
        if total.is_zero() {
            self.cells.remove(&(model, pattern));
        }
        true
    }
}

/// The voices whose reliability is learned.
fn graders() -> impl DoubleEndedIterator<Item = Voice> {
    Voice::ALL.into_iter().filter(|voice| !matches!(voice, Voice::Provider | Voice::Action))
}

/// The source whose word grades `source` in this pattern.
fn anchor(source: Source, pattern: Pattern) -> Option<Source> {
    let anchors: &[Source] = match source {
        Source::Provider | Source::Action => &[],
        Source::Explicit => &[Source::Action],
        Source::Turn | Source::SessionEnd | Source::Metric => &[Source::Action, Source::Explicit],
        Source::Judge | Source::Structural => &[Source::Action, Source::Explicit, Source::Metric],
    };
    anchors.iter().copied().find(|anchor| pattern.value(*anchor).is_some())
}

/// What is believed of a voice before anything was learned: P(praise | good), P(praise | bad), and how many
/// observations that belief is worth.
fn prior(voice: Voice) -> (f64, f64, f64) {
    match voice {
        Voice::Provider | Voice::Action | Voice::Explicit | Voice::Metric => (1.0, 0.0, 30.0),
        Voice::Turn => (0.85, 0.20, 30.0),
        // It sees only the messages that the local classifier cannot tell: the hard ones.
        Voice::TurnModel => (0.75, 0.30, 30.0),
        Voice::Judge => (0.80, 0.30, 30.0),
        Voice::SessionEnd => (0.75, 0.35, 30.0),
        // Inferred from messages that were too vague to assert anything: a lean, no more.
        Voice::SessionSign => (0.65, 0.45, 30.0),
        Voice::Momentum => (0.60, 0.45, 30.0),
        Voice::Structural => (0.95, 0.75, 30.0),
    }
}

/// How far each voice can be trusted before anything was learned: it is asked for with every cell of a scope whose sources
/// were never compared, and takes a hundred logarithms.
static UNLEARNED: LazyLock<[Trust; Voice::ALL.len()]> = LazyLock::new(|| {
    Voice::ALL.map(|voice| {
        let (good, bad, strength) = prior(voice);
        let rate = |prior| rates(&[], prior, strength, voice).1;
        trust(rate(good), rate(bad))
    })
});

/// Strengths of shrinkage that are weighed against each other; beforehand by [`alike`].
const STRENGTHS: [f64; 8] = [4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
/// The power of the strength by which it counts beforehand. A judge and a check read the model's own words and may have
/// a taste: models are taken to differ until they are seen not to. A user's words and what a user calls success are read
/// without seeing who wrote the answer: models are taken to be alike until they are seen to differ.
const fn alike(voice: Voice) -> f64 {
    match voice {
        Voice::Judge | Voice::Structural => -1.0,
        _ => 1.0,
    }
}

/// Sweeps in which the technical sources are graded by follow-up messages.
const SWEEPS: usize = 3;
/// Below this difference of the two rates, even at the upper end of its 95 % interval, a source says nothing.
const USELESS: f64 = 0.05;
/// Below this difference a source is not worth paying for: less than half of what a sound classifier shows.
const WORTH_ASKING: f64 = 0.3;
/// The most that one decision's soft evidence may weigh in log odds: sources that like the same things are not
/// independent, and together would count twice.
const MOST: f64 = 3.0;
/// The same of what a user said outright, or of the caller's own metric: once contradicted they may still be right all but
/// always, as far as any source's rates are believed.
const MOST_VERDICT: f64 = 4.6;

/// A rate and how well it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// The expected rate, in 0..=1.
    pub mean: f64,
    /// Its variance.
    pub variance: f64,
    /// The part of the variance that is this model's own: by how much it may differ from the others.
    pub own_variance: f64,
    /// Observations of this model behind it; an edited answer counts for both rates in part.
    pub n: f64,
}

/// How far one source can be trusted on one model's answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trust {
    /// P(it praises | the answer was good, it spoke).
    pub praises_good: Rate,
    /// P(it praises | the answer was bad, it spoke).
    pub praises_bad: Rate,
    /// It agrees with what users did no better than chance, and is ignored.
    pub quarantined: bool,
}

impl Trust {
    /// Nothing has ever contradicted it: its word is the truth.
    fn is_exact(&self) -> bool {
        self.praises_good.mean >= 1.0 && self.praises_bad.mean <= 0.0
    }

    /// Whether it may yet tell enough to be paid for: the difference of its two rates, at the upper end of its 95 %
    /// interval, is 0.3 or more. What is quarantined says nothing at all; this asks for more, and so is known sooner, after
    /// some hundred deeds where a source guesses.
    pub fn is_worth_asking(&self) -> bool {
        self.most() >= WORTH_ASKING
    }

    /// The difference of the two rates at the upper end of its 95 % interval.
    fn most(&self) -> f64 {
        let sd = (self.praises_good.variance + self.praises_bad.variance).sqrt();
        self.praises_good.mean - self.praises_bad.mean + 1.96 * sd
    }

    /// As how much of a deed its word counts where it grades others, in 0..=1: the square of Youden's index.
    fn power(&self) -> f64 {
        let apart = self.praises_good.mean - self.praises_bad.mean;
        if self.quarantined { 0.0 } else { apart.max(0.0).powi(2) }
    }

    /// `ln(P(value | good) / P(value | bad))`.
    fn ln_ratio(&self, praises: bool) -> f64 {
        if self.quarantined {
            return 0.0;
        }
        ratio(self.praises_good.mean, self.praises_bad.mean, praises)
    }
}

fn ratio(good: f64, bad: f64, praises: bool) -> f64 {
    let (good, bad) = (good.clamp(0.01, 0.99), bad.clamp(0.01, 0.99));
    if praises { (good / bad).ln() } else { ((1.0 - good) / (1.0 - bad)).ln() }
}

/// The learned reliabilities of all voices.
#[derive(Debug, Clone, Default)]
pub struct Reliability {
    models: BTreeMap<PathId, [Option<Trust>; Voice::ALL.len()]>,
    unknown: [Option<Trust>; Voice::ALL.len()],
    overall: [Option<Trust>; Voice::ALL.len()],
}

/// One way in which what a source is worth may be wrong: by how much its log ratios would move if one of its rates were
/// one standard deviation off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Doubt {
    /// Whose rate.
    pub voice: Voice,
    /// By how much `ln L` of praise moves.
    pub of_praise: f64,
    /// By how much `ln L` of a fault moves.
    pub of_fault: f64,
}

/// Successes and all, of one model under one kind of truth.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    praised: f64,
    n: f64,
}

/// What one voice said of one model's answers, by the truth.
#[derive(Debug, Clone, Copy, Default)]
struct Graded {
    good: Tally,
    bad: Tally,
}

impl Graded {
    fn add(&mut self, praises: bool, good: f64, bad: f64) {
        let praised = if praises { 1.0 } else { 0.0 };
        self.good.n += good;
        self.good.praised += praised * good;
        self.bad.n += bad;
        self.bad.praised += praised * bad;
    }

    fn and(&self, other: &Self) -> Self {
        let sum = |a: Tally, b: Tally| Tally { praised: a.praised + b.praised, n: a.n + b.n };
        Self { good: sum(self.good, other.good), bad: sum(self.bad, other.bad) }
    }
}

/// What `voice` said of each model's answers where an anchor spoke too, of which `learned` knows how far it can be
/// trusted itself: each counts as much of a deed as that ([`Trust::power`]).
fn graded(pool: &Pool, models: &[PathId], voice: Voice, learned: &Reliability) -> Vec<Graded> {
    let mut graded = vec![Graded::default(); models.len()];
    for ((model, pattern), count) in &pool.cells {
        let (Some(praises), Some(anchor)) = (side(voice, *pattern), anchor(voice.source(), *pattern)) else {
            continue;
        };
        let Ok(index) = models.binary_search(model) else { continue };
        // Fewer than none is what a damaged ledger counts: it says nothing.
        if count.n <= 0 {
            continue;
        }
        // The score of the cell is the winner's; where that is the anchor it is finer than the value's own.
        let truth = if pattern.winner() == Some(anchor) {
            count.score as f64 / f64::from(Strength::UNITS)
        } else {
            pattern.value(anchor).map_or(0.0, |v| v.default_strength().get()) * count.n as f64
        };
        let truth = truth.clamp(0.0, count.n as f64);
        let power = match pattern.voice(anchor) {
            Some(Voice::Action) | None => 1.0,
            Some(by) => learned.trust(by, *model).power(),
        };
        graded[index].add(praises, power * truth, power * (count.n as f64 - truth));
    }
    graded
}

const fn is_technical(voice: Voice) -> bool {
    matches!(voice, Voice::Judge | Voice::Structural)
}

impl Reliability {
    /// Learns from the pool.
    pub fn learn(pool: &Pool) -> Self {
        let mut learned = Self::default();
        let models: Vec<PathId> = {
            let mut models: Vec<PathId> = pool.cells.keys().map(|(model, _)| *model).collect();
            models.dedup();
            models
        };
        // From the top of the ladder, so that whoever grades was graded before.
        let graded: Vec<(Voice, Vec<Graded>)> = graders()
            .rev()
            .map(|voice| {
                let graded = graded(pool, &models, voice, &learned);
                learned.rate(voice, &models, &graded);
                (voice, graded)
            })
            .collect();
        // What deeds say of a judge is little where few act. Where a follow-up message is all there is, it tells good from
        // bad as far as it can be trusted itself, together with what is known of the judge by then.
        for _ in 0..SWEEPS {
            let hinted = learned.hinted(pool, &models);
            for (voice, graded) in graded.iter().filter(|(voice, _)| is_technical(*voice)) {
                let by_words = hinted.iter().filter(|(of, _)| of == voice).flat_map(|(_, graded)| graded);
                let both: Vec<Graded> =
                    graded.iter().zip(by_words).map(|(deeds, words)| deeds.and(words)).collect();
                if !both.is_empty() {
                    learned.rate(*voice, &models, &both);
                }
            }
        }
        learned
    }

    /// Learns the rates of one voice from what it said of graded answers.
    fn rate(&mut self, voice: Voice, models: &[PathId], graded: &[Graded]) {
        let (prior_good, prior_bad, strength) = prior(voice);
        let tallies = |of: fn(&Graded) -> Tally| graded.iter().map(of).collect::<Vec<_>>();
        let (good, good_unknown) = rates(&tallies(|g| g.good), prior_good, strength, voice);
        let (bad, bad_unknown) = rates(&tallies(|g| g.bad), prior_bad, strength, voice);
        self.unknown[voice as usize] = Some(trust(good_unknown, bad_unknown));
        for ((model, good), bad) in models.iter().zip(good).zip(bad) {
            self.models.entry(*model).or_default()[voice as usize] = Some(trust(good, bad));
        }
        let all = graded.iter().fold(Graded::default(), |sum, of_model| sum.and(of_model));
        self.overall[voice as usize] =
            Some(trust(one_rate(all.good, prior_good, strength), one_rate(all.bad, prior_bad, strength)));
    }

    /// What the technical sources said of answers that only a follow-up message graded: expected counts, as in the E-step
    /// of expectation maximisation (Dawid and Skene 1979), with the share of good answers among them fitted per model.
    ///
    /// A doubtful message is no deed: rates that are read through a test with rates `a` and `b` of its own are as
    /// uncertain as if `(a − b)²` as many answers had been seen (Rogan and Gladen 1978), so each counts just that. Messages
    /// that say nothing would otherwise make a judge sure of itself: it would be graded by its own word.
    fn hinted(&self, pool: &Pool, models: &[PathId]) -> Vec<(Voice, Vec<Graded>)> {
        let mut hinted: Vec<(Voice, Vec<Graded>)> = graders()
            .filter(|voice| is_technical(*voice))
            .map(|voice| (voice, vec![Graded::default(); models.len()]))
            .collect();
        for (index, model) in models.iter().enumerate() {
            let cells: Vec<(Pattern, f64, f64)> = pool
                .cells
                .range((*model, Pattern::from_bits(0))..=(*model, Pattern::from_bits(u32::MAX)))
                .filter(|((_, pattern), count)| pattern.winner() == Some(Source::Turn) && count.n > 0)
                .map(|((_, pattern), count)| {
                    let ln: f64 =
                        parts(*pattern).map(|(v, praises)| self.trust(v, *model).ln_ratio(praises)).sum();
                    (*pattern, count.n as f64, ln)
                })
                .filter(|(pattern, ..)| anchor(Source::Judge, *pattern).is_none())
                .collect();
            let all: f64 = cells.iter().map(|(_, n, _)| n).sum();
            // A message is a hint as far as whoever read it can be trusted.
            let power = |pattern: Pattern| {
                pattern.voice(Source::Turn).map_or(0.0, |voice| self.trust(voice, *model).power())
            };
            let mut share = 0.5;
            let good = |share: f64, ln: f64| 1.0 / (1.0 + (1.0 - share) / share * (-ln).exp());
            for _ in 0..3 {
                let sum: f64 = cells.iter().map(|(_, n, ln)| n * good(share, *ln)).sum();
                share = ((sum + 1.0) / (all + 2.0)).clamp(0.02, 0.98);
            }
            for (pattern, n, ln) in cells {
                let (n, good) = (power(pattern) * n, good(share, ln));
                for (voice, graded) in &mut hinted {
                    if let Some(praises) = side(*voice, pattern) {
                        graded[index].add(praises, n * good, n * (1.0 - good));
                    }
                }
            }
        }
        hinted
    }

    /// How far `voice` can be trusted on the answers of `model`.
    pub fn trust(&self, voice: Voice, model: PathId) -> Trust {
        let of_model = self.models.get(&model).and_then(|voices| voices[voice as usize]);
        of_model.or(self.unknown[voice as usize]).unwrap_or_else(|| UNLEARNED[voice as usize])
    }

    /// How far `voice` can be trusted on all answers taken together: whether it is worth listening to at all.
    pub fn overall(&self, voice: Voice) -> Trust {
        self.overall[voice as usize].unwrap_or_else(|| UNLEARNED[voice as usize])
    }

    /// What a decision of this pattern is worth, by the ladder: the strongest user source that spoke counts, weaker ones
    /// are left out. If it is an anchor that nothing has contradicted it is the truth; so is the caller's metric where
    /// no user spoke. Otherwise the judge and the structural evals add to it, as far as they can be trusted.
    pub fn worth(&self, model: PathId, pattern: Pattern) -> Worth {
        let Some(winner) = pattern.winner() else { return Worth::Nothing };
        let exact = pattern
            .voice(winner)
            .is_some_and(|voice| voice == Voice::Action || self.trust(voice, model).is_exact());
        if exact && !matches!(winner, Source::Judge | Source::Structural) {
            return Worth::Exact;
        }
        let of = |(voice, praises): (Voice, bool)| self.trust(voice, model).ln_ratio(praises);
        if let (Source::Explicit | Source::Metric, Some(graded)) = (winner, pattern.voice(winner)) {
            // Contradicted once, it is still nearly the truth, and its scores are still scores.
            let others: f64 = parts(pattern).filter(|(voice, _)| *voice != graded).map(of).sum();
            let worth = |praises| (of((graded, praises)) + others).clamp(-MOST_VERDICT, MOST_VERDICT);
            return Worth::Graded { praise: worth(true), fault: worth(false), successes: 1.0, failures: 1.0 };
        }
        let ln_ratio: f64 = parts(pattern).map(of).sum();
        Worth::Soft(ln_ratio.clamp(-MOST, MOST))
    }

    /// The ways in which the reliabilities on this model's answers may be off from those on other models'. That a source
    /// may be wrong about all models alike is left out: it lifts or lowers them together, and choosing compares.
    pub fn doubts(&self, model: PathId) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        for voice in graders() {
            let trust = self.trust(voice, model);
            if trust.is_exact() || trust.quarantined {
                continue;
            }
            let (good, bad) = (trust.praises_good, trust.praises_bad);
            for (by_good, by_bad) in [(good.own_variance.sqrt(), 0.0), (0.0, bad.own_variance.sqrt())] {
                // Both ways, halved: near 0 and 1 one of them is cut off.
                let moved = |praises| {
                    0.5 * (ratio(good.mean + by_good, bad.mean + by_bad, praises)
                        - ratio(good.mean - by_good, bad.mean - by_bad, praises))
                };
                doubts.push(Doubt { voice, of_praise: moved(true), of_fault: moved(false) });
            }
        }
        doubts
    }
}

/// The voices that make up the soft worth of a pattern, and whether each praises. A judge in the middle says nothing.
pub fn parts(pattern: Pattern) -> impl Iterator<Item = (Voice, bool)> {
    let winner = pattern.winner();
    let technical =
        [Source::Judge, Source::Structural].into_iter().filter(move |source| Some(*source) != winner);
    winner.into_iter().chain(technical).filter_map(move |source| {
        let voice = pattern.voice(source)?;
        Some((voice, side(voice, pattern)?))
    })
}

/// Whether `voice` praises; `None` where it said nothing, as a judge in the middle does.
fn side(voice: Voice, pattern: Pattern) -> Option<bool> {
    let said = pattern.value(voice.source()).filter(|value| value.voice(voice.source()) == voice);
    said.filter(|value| *value != Value::Middling).map(Value::praises)
}

fn trust(praises_good: Rate, praises_bad: Rate) -> Trust {
    let trust = Trust { praises_good, praises_bad, quarantined: false };
    Trust { quarantined: trust.most() < USELESS, ..trust }
}

/// The rate of all models taken for one.
fn one_rate(seen: Tally, prior: f64, strength: f64) -> Rate {
    let n = strength + seen.n;
    let mean = (strength * prior + seen.praised) / n;
    let variance = mean * (1.0 - mean) / (n + 1.0);
    Rate { mean, variance, own_variance: variance, n: seen.n }
}

/// The rate of each model, shrunk to the pooled one with all strengths that explain the data; and that of a model that
/// was never seen.
fn rates(models: &[Tally], prior: f64, prior_strength: f64, voice: Voice) -> (Vec<Rate>, Rate) {
    let total: f64 = models.iter().map(|m| m.n).sum();
    let seen: f64 = models.iter().map(|m| m.praised).sum();
    // A source that is taken at its word stays exact until it is contradicted.
    if (prior >= 1.0 && seen >= total) || (prior <= 0.0 && seen <= 0.0) {
        let rate = |n| Rate { mean: prior, variance: 0.0, own_variance: 0.0, n };
        return (models.iter().map(|m| rate(m.n)).collect(), rate(0.0));
    }
    let pooled = |strength: f64| {
        // A model counts in the pool for no more than the strength: what is known of one says that little of others.
        let (mut weight, mut sum) = (prior_strength, prior_strength * prior);
        for m in models.iter().filter(|m| m.n > 0.0) {
            let w = m.n * strength / (m.n + strength);
            weight += w;
            sum += w * m.praised / m.n;
        }
        ((sum / weight).clamp(0.005, 0.995), weight)
    };
    let logs: Vec<f64> = STRENGTHS
        .iter()
        .map(|&strength| {
            let (mean, _) = pooled(strength);
            let (a, b) = (strength * mean, strength * (1.0 - mean));
            models.iter().map(|m| ln_beta(a + m.praised, b + m.n - m.praised) - ln_beta(a, b)).sum::<f64>()
                + alike(voice) * strength.ln()
        })
        .collect();
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logs.iter().map(|ln| (ln - top).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let mixed = |tally: &Tally| {
        let (mut first, mut second, mut pooled_part) = (0.0, 0.0, 0.0);
        for (&strength, weight) in STRENGTHS.iter().zip(&weights) {
            let (pool, known) = pooled(strength);
            let n = strength + tally.n;
            let mean = (strength * pool + tally.praised) / n;
            let own = mean * (1.0 - mean) / (n + 1.0);
            let of_pool = pool * (1.0 - pool) / (known + 1.0) * (strength / n).powi(2);
            first += weight / sum * mean;
            second += weight / sum * (own + of_pool + mean * mean);
            pooled_part += weight / sum * of_pool;
        }
        let variance = (second - first * first).max(0.0);
        Rate { mean: first, variance, own_variance: (variance - pooled_part).max(0.0), n: tally.n }
    };
    (models.iter().map(mixed).collect(), mixed(&Tally::default()))
}

#[cfg(test)]
mod tests;
