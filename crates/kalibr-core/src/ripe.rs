//! Whether a change is one of the answers, or only of who has spoken by now.
//!
//! Where users blame at once and praise later, the newest answers look worse than they are: their faults are counted and
//! their praise is on its way. The share of praise among verdicts cannot tell that from a fall, but the number of
//! verdicts per call can. A path that fell has *more* faults per call than before, and one that rose more praise,
//! whatever else is still to come; where only the other kind is late, they stay as they were.
//!
//! So a change is doubted while there are fewer verdicts per call since than before, and no more calls since than before:
//! then it must show in the kind of verdict that it is made of, by a likelihood ratio of its own. A change that is doubted is looked at
//! again at every refresh: if it is one, its verdicts come.

use crate::drift::Span;

/// What was heard of some calls.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Heard {
    /// As so many yes-or-no observations.
    pub span: Span,
    /// Calls that were answered, >= 0.
    pub calls: f64,
}

impl Heard {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self { span: self.span.and(other.span), calls: self.calls + other.calls }
    }

    fn of(&self, praise: bool) -> f64 {
        let Span { n, successes } = self.span;
        if praise { successes.max(0.0) } else { (n - successes).max(0.0) }
    }
}

/// Where there are at least so many verdicts per call since the change as before, none are missing.
const AS_MANY: f64 = 0.9;

/// The log-likelihood ratio by which the kind of verdict that a change is made of must have become more frequent. By chance
/// it is reached in one of a thousand looks.
const PLAIN: f64 = 5.0;

/// Whether a change from what was heard `before` to what was heard `after` is borne out by how often each kind of verdict
/// came.
///
/// ```
/// use kalibr_core::drift::Span;
/// use kalibr_core::ripe::{Heard, is_borne_out};
///
/// let before = Heard { span: Span { n: 400.0, successes: 320.0 }, calls: 1_000.0 };
/// // As many faults per call as before, and less praise: most of that is still to come.
/// let late = Heard { span: Span { n: 50.0, successes: 20.0 }, calls: 380.0 };
/// assert!(!is_borne_out(before, late));
/// // Thrice the faults per call.
/// let fallen = Heard { span: Span { n: 120.0, successes: 30.0 }, calls: 380.0 };
/// assert!(is_borne_out(before, fallen));
/// ```
pub fn is_borne_out(before: Heard, after: Heard) -> bool {
    if !(before.calls > 0.0 && after.calls > 0.0) || after.calls > before.calls {
        return true;
    }
    if after.span.n / after.calls >= AS_MANY * before.span.n / before.calls {
        return true;
    }
    let rose = after.span.mean() > before.span.mean();
    more_often((before.of(rose), before.calls), (after.of(rose), after.calls)) >= PLAIN
}

/// The log-likelihood ratio of two Poisson rates, counts over calls, to one: 0 where the second is no higher.
fn more_often((a, calls_a): (f64, f64), (b, calls_b): (f64, f64)) -> f64 {
    if b * calls_a <= a * calls_b {
        return 0.0;
    }
    let together = (a + b) / (calls_a + calls_b);
    let part =
        |count: f64, calls: f64| if count > 0.0 { count * (count / (calls * together)).ln() } else { 0.0 };
    part(a, calls_a) + part(b, calls_b)
}
