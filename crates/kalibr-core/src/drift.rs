//! Drift: when a path changed, and how fast what is known of it should fade.
//!
//! Two tools, because each fails alone. A *restart* finds that the answers of a path that is being used became better
//! or worse all at once, and drops what was counted before; but a path that fell is no longer used, so nothing would be
//! heard when it recovers. *Fading* makes what is known of an idle path weigh less as others play, until it is tried
//! again; but fading alone notices a fall late, and keeps forgetting where nothing ever changes.
//!
//! The restart is the generalised likelihood ratio test for Bernoulli streams (Besson, Kaufmann, Maillard and Seznec,
//! "Efficient change-point detection for tackling piecewise-stationary bandits", 2022):
//!
//! ```text
//! max_s [ s·kl(μ_{1:s}, μ_{1:n}) + (n−s)·kl(μ_{s+1:n}, μ_{1:n}) ]  >  ln(3 n^{3/2} / δ)
//! ```
//!
//! It is recomputed from the counters at every refresh; nothing of it is kept. Where all paths changed together, it is
//! asked of what is left when the level is taken out: see [`crate::level`].

/// What was heard of one path in one block of epochs, as so many yes-or-no observations.
///
/// With soft evidence the numbers are *effective*: see [`crate::series`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Span {
    /// Observations, >= 0.
    pub n: f64,
    /// Successes among them, in 0..=n; of a part of what was carried over a step of the level it may be outside, and then
    /// only the sum over a stretch has a meaning: see [`crate::level`].
    pub successes: f64,
}

impl Span {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self { n: self.n + other.n, successes: self.successes + other.successes }
    }

    /// The share of successes, in 0..=1; 0.5 of nothing.
    pub fn mean(self) -> f64 {
        if self.n > 0.0 { (self.successes / self.n).clamp(0.0, 1.0) } else { 0.5 }
    }
}

/// A moment at which a path became better or worse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// The first span after it.
    pub at: usize,
    /// The share of successes in the stretch before it, in 0..=1.
    pub before: f64,
    /// The share of successes in the stretch after it, in 0..=1.
    pub after: f64,
    /// The logarithm of how much likelier what was heard is with the change than without it, > 0.
    pub ratio: f64,
    /// Observations of the stretch that the change was found in.
    pub n: f64,
}

impl Change {
    /// The strictest false-alarm level at which it would still have been found, in 0..=1.
    pub fn false_alarm(&self) -> f64 {
        (price(self.n, 1.0) - self.ratio).exp().min(1.0)
    }
}

/// The log-likelihood ratio that a change must exceed in a stretch of `n` observations, at a false-alarm level of `delta`.
pub(crate) fn price(n: f64, delta: f64) -> f64 {
    (3.0 * n.powf(1.5) / delta).ln()
}

/// `kl(p, q)` of two Bernoulli distributions, in nats; `q` is kept off 0 and 1.
pub fn kl(p: f64, q: f64) -> f64 {
    let q = q.clamp(1e-9, 1.0 - 1e-9);
    let part = |a: f64, b: f64| if a <= 0.0 { 0.0 } else { a * (a / b).ln() };
    part(p, q) + part(1.0 - p, 1.0 - q)
}

/// The changes of a path, oldest first, at a false-alarm level of `delta` in (0, 1).
///
/// The strongest change of the whole stream is looked for first, then each side on its own.
///
/// ```
/// use kalibr_core::drift::{Span, changes};
///
/// let mut stream = vec![Span { n: 20.0, successes: 16.0 }; 20];
/// assert!(changes(&stream, 0.01).is_empty());
/// stream.extend([Span { n: 20.0, successes: 8.0 }; 4]);
/// assert_eq!(changes(&stream, 0.01)[0].at, 20);
/// ```
pub fn changes(spans: &[Span], delta: f64) -> Vec<Change> {
    changes_besides(spans, &[], delta)
}

/// The same of a path that is known to have changed already: these changes, in order, and those beside them.
pub fn changes_besides(spans: &[Span], known: &[Change], delta: f64) -> Vec<Change> {
    let sums = Sums::new(spans);
    let mut cuts = Vec::new();
    let mut from = 0;
    for change in known {
        split(&sums, from, change.at, delta, &mut cuts);
        cuts.push(*change);
        from = change.at;
    }
    split(&sums, from, spans.len(), delta, &mut cuts);
    cuts.sort_unstable_by_key(|cut| cut.at);
    for i in 0..cuts.len() {
        let start = if i == 0 { 0 } else { cuts[i - 1].at };
        let end = cuts.get(i + 1).map_or(spans.len(), |next| next.at);
        cuts[i].before = sums.between(start, cuts[i].at).mean();
        cuts[i].after = sums.between(cuts[i].at, end).mean();
    }
    cuts
}

/// A stream of which any stretch is looked up.
#[derive(Debug)]
pub(crate) struct Sums(Vec<Span>);

impl Sums {
    pub(crate) fn new(spans: &[Span]) -> Self {
        let mut sums = Vec::with_capacity(spans.len() + 1);
        let mut last = Span::default();
        sums.push(last);
        for span in spans {
            last = last.and(*span);
            sums.push(last);
        }
        Self(sums)
    }

    /// The spans `from..to` together.
    pub(crate) fn between(&self, from: usize, to: usize) -> Span {
        let (from, to) = (self.0[from], self.0[to]);
        Span { n: to.n - from.n, successes: to.successes - from.successes }
    }

    /// The strongest change in the spans `from..to`: its log-likelihood ratio, and the first span after it; 0 where
    /// there is none.
    pub(crate) fn strongest(&self, from: usize, to: usize) -> (f64, usize) {
        let total = self.between(from, to);
        let mean = total.mean();
        let mut best = (0.0, 0);
        for cut in from + 1..to {
            let left = self.between(from, cut);
            let right = Span { n: total.n - left.n, successes: total.successes - left.successes };
            let ratio = left.n * kl(left.mean(), mean) + right.n * kl(right.mean(), mean);
            if ratio > best.0 {
                best = (ratio, cut);
            }
        }
        best
    }
}

fn split(sums: &Sums, from: usize, to: usize, delta: f64, cuts: &mut Vec<Change>) {
    let total = sums.between(from, to);
    if total.n < 2.0 {
        return;
    }
    let (ratio, at) = sums.strongest(from, to);
    if ratio > price(total.n, delta) {
        split(sums, from, at, delta, cuts);
        cuts.push(Change { at, before: 0.5, after: 0.5, ratio, n: total.n });
        split(sums, at, to, delta, cuts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    fn stream(seed: u64, stretches: &[(usize, f64)]) -> Vec<Span> {
        let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
        let spans = stretches.iter().flat_map(|&(spans, rate)| vec![rate; spans]);
        spans
            .map(|rate| Span {
                n: 20.0,
                successes: (0..20).map(|_| if rng.random_bool(rate) { 1.0 } else { 0.0 }).sum(),
            })
            .collect()
    }

    #[test]
    fn a_path_that_stays_as_it_is_is_restarted_no_more_often_than_stated() {
        let alarms =
            (0..1_000).filter(|&seed| !changes(&stream(seed, &[(60, 0.7)]), 0.05).is_empty()).count();
        assert!(alarms <= 50, "{alarms} of 1,000");
    }

    #[test]
    fn a_fall_by_half_is_found_where_it_was_within_eighty_answers() {
        let found = (0..200)
            .filter(|&seed| {
                let changes = changes(&stream(seed, &[(40, 0.8), (4, 0.4)]), 0.1);
                changes
                    .last()
                    .is_some_and(|change| change.at.abs_diff(40) <= 2 && change.after < change.before)
            })
            .count();
        assert!(found >= 190, "{found} of 200");
    }
}
