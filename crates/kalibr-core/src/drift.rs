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
//! It is recomputed from the counters at every refresh; nothing of it is kept.

/// What was heard of one path in one block of epochs, as so many yes-or-no observations.
///
/// With soft evidence the numbers are *effective*: see [`crate::series`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Span {
    /// Observations, >= 0.
    pub n: f64,
    /// Successes among them, in 0..=n.
    pub successes: f64,
}

impl Span {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self { n: self.n + other.n, successes: self.successes + other.successes }
    }

    /// The share of successes; 0.5 of nothing.
    pub fn mean(self) -> f64 {
        if self.n > 0.0 { self.successes / self.n } else { 0.5 }
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
    let mut sums = vec![Span::default()];
    for span in spans {
        let last = sums[sums.len() - 1];
        sums.push(last.and(*span));
    }
    let mut cuts = Vec::new();
    split(&sums, 0, spans.len(), delta, &mut cuts);
    cuts.sort_unstable();
    let between = |from: usize, to: usize| {
        Span { n: sums[to].n - sums[from].n, successes: sums[to].successes - sums[from].successes }.mean()
    };
    (0..cuts.len())
        .map(|i| {
            let start = if i == 0 { 0 } else { cuts[i - 1] };
            let end = cuts.get(i + 1).copied().unwrap_or(spans.len());
            Change { at: cuts[i], before: between(start, cuts[i]), after: between(cuts[i], end) }
        })
        .collect()
}

fn split(sums: &[Span], from: usize, to: usize, delta: f64, cuts: &mut Vec<usize>) {
    let total = Span { n: sums[to].n - sums[from].n, successes: sums[to].successes - sums[from].successes };
    if total.n < 2.0 {
        return;
    }
    let mean = total.mean();
    let mut best = (0.0, 0);
    for cut in from + 1..to {
        let left =
            Span { n: sums[cut].n - sums[from].n, successes: sums[cut].successes - sums[from].successes };
        let right = Span { n: total.n - left.n, successes: total.successes - left.successes };
        let ratio = left.n * kl(left.mean(), mean) + right.n * kl(right.mean(), mean);
        if ratio > best.0 {
            best = (ratio, cut);
        }
    }
    if best.0 > (3.0 * total.n.powf(1.5) / delta).ln() {
        split(sums, from, best.1, delta, cuts);
        cuts.push(best.1);
        split(sums, best.1, to, delta, cuts);
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
