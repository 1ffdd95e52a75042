//! What is known of one decision, and what it counts for.

use std::collections::BTreeMap;

use crate::counters::Count;
use crate::evidence::{Pattern, Register, Signal, Source, Strength};
use crate::ids::PathId;
use crate::outcome::Reply;
use crate::safety::Side;

/// One call made under a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// 0 for the path that was drawn, 1 for the first fallback, and so on.
    pub index: u16,
    /// The path that was called.
    pub path: PathId,
    /// What came of it.
    pub reply: Reply,
}

/// What one attempt adds to the counters: one decision of this path with this pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The path of the attempt.
    pub path: PathId,
    /// What is known of it.
    pub pattern: Pattern,
    /// How well it served by the winning source, in units of 2^-20; 0 while nobody graded it.
    pub score: u32,
}

/// A decision's attempts and its signals that were not withdrawn.
///
/// ```
/// use kalibr_core::evidence::{Signal, Source, Strength, Value};
/// use kalibr_core::ids::{PathId, SignalId, Timestamp};
/// use kalibr_core::outcome::Reply;
/// use kalibr_core::trace::{Attempt, Trace};
///
/// let (primary, fallback) = (PathId::from_bytes([1; 16]), PathId::from_bytes([2; 16]));
/// let trace = Trace {
///     attempts: vec![
///         Attempt { index: 0, path: primary, reply: Reply::Failed },
///         Attempt { index: 1, path: fallback, reply: Reply::Answered },
///     ],
///     signals: vec![Signal {
///         id: SignalId::new("s1").unwrap(),
///         source: Source::Explicit,
///         value: Value::UserAccepted,
///         strength: Strength::ONE,
///         confidence: Strength::ONE,
///         at: Timestamp(0),
///         attempt: None,
///     }],
///     side: None,
/// };
/// let shares = trace.shares();
/// assert_eq!(shares[0].pattern.winner(), None); // the primary never answered: nobody graded it
/// assert_eq!(shares[1].pattern.winner(), Some(Source::Explicit)); // the user judged what was served
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trace {
    /// The attempts, in any order.
    pub attempts: Vec<Attempt>,
    /// The signals, in any order.
    pub signals: Vec<Signal>,
    /// On which side of a comparison with the baseline the decision was made. A fallback is on it too: what is compared
    /// is what became of the decision.
    pub side: Option<Side>,
}

impl Trace {
    /// The index of the attempt whose answer the user saw: the last that did not fail. `None` when all failed: then
    /// what the user did is about an error, and grades nobody.
    pub fn served(&self) -> Option<u16> {
        self.attempts
            .iter()
            .filter(|attempt| attempt.reply.may_be_served())
            .map(|attempt| attempt.index)
            .max()
    }

    /// The register of one attempt: its own technical sources, and the user's signals if its answer was served.
    pub fn register(&self, attempt: &Attempt) -> Register {
        let mut register = Register::default();
        register.reply(attempt.reply);
        let served = self.served();
        for signal in self.signals.iter().filter(|signal| signal.source != Source::Provider) {
            // A technical signal that names no attempt speaks of the answer that came out in the end.
            let about = if signal.source.is_user() { served } else { signal.attempt.or(served) };
            if about == Some(attempt.index) {
                register.take(signal);
            }
        }
        register
    }

    /// What the decision adds to the counters: one share for each attempt.
    pub fn shares(&self) -> Vec<Share> {
        let mut attempts: Vec<&Attempt> = self.attempts.iter().collect();
        attempts.sort_by_key(|attempt| attempt.index);
        attempts
            .into_iter()
            .map(|attempt| {
                let register = self.register(attempt);
                Share {
                    path: attempt.path,
                    pattern: register.pattern().on(self.side),
                    score: register.winner().map_or(0, |(_, strength): (_, Strength)| strength.units()),
                }
            })
            .collect()
    }
}

/// What must be added to the counters when a decision that counted as `before` counts as `after`.
///
/// Cells that did not change are left out, so a duplicate moves nothing.
pub fn moves(before: &[Share], after: &[Share]) -> Vec<(PathId, Pattern, Count)> {
    let mut totals: BTreeMap<(PathId, Pattern), Count> = BTreeMap::new();
    for share in before {
        *totals.entry((share.path, share.pattern)).or_default() += -Count::one(share.score);
    }
    for share in after {
        *totals.entry((share.path, share.pattern)).or_default() += Count::one(share.score);
    }
    totals
        .into_iter()
        .filter(|(_, count)| !count.is_zero())
        .map(|((path, pattern), count)| (path, pattern, count))
        .collect()
}
