//! What changed, as data and for people.

use serde::Serialize;

use crate::ids::PathId;

/// What became better or worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// All paths together: the task, the prompt or the judge changed, and no path is better or worse than it was beside
    /// the others. See [`crate::level`].
    Level,
    /// One path, by itself. See [`crate::drift`].
    Path {
        /// Which path.
        path_id: PathId,
    },
}

/// A change of how well answers serve, in one goal, pipeline and bucket.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Moved {
    /// What changed.
    #[serde(flatten)]
    pub what: What,
    /// The epoch from which on it shows; old epochs are known in blocks, and this is the first of one.
    pub since_epoch: u32,
    /// Calls of all the goal's paths since then, here.
    pub calls_since: i64,
    /// The share of answers that served before, back to the change before this one, in 0..=1. Of the level: of all paths,
    /// in the mixture in which they were used before and after.
    pub before: f64,
    /// The share since, up to the next change, in 0..=1; of the level in the same mixture.
    pub after: f64,
    /// Such a change is seen at most so seldom if nothing had changed, in 0..=1: the level of a test, and not the probability
    /// that nothing did.
    pub false_alarm: f64,
}

impl Moved {
    /// For people, in one line; `name` names a path.
    ///
    /// ```
    /// use kalibr_core::moved::{Moved, What};
    ///
    /// let moved = Moved {
    ///     what: What::Level,
    ///     since_epoch: 80,
    ///     calls_since: 312,
    ///     before: 0.82,
    ///     after: 0.61,
    ///     false_alarm: 0.002,
    /// };
    /// assert_eq!(
    ///     moved.sentence(|path| path.to_string()),
    ///     "All paths fell together from .82 to .61, 312 calls ago (seen in 0.2 % of cases at most if nothing had changed): \
    ///      look at the task, the prompt or the judge. By itself this does not change which path is best."
    /// );
    /// ```
    pub fn sentence(&self, name: impl Fn(PathId) -> String) -> String {
        let verb = if self.after < self.before { "fell" } else { "rose" };
        let rate = |rate: f64| {
            let text = format!("{rate:.2}");
            text.strip_prefix('0').map_or(text.clone(), str::to_owned)
        };
        let how = format!(
            "from {} to {}, {} calls ago (seen in {} of cases at most if nothing had changed)",
            rate(self.before),
            rate(self.after),
            self.calls_since,
            percent(self.false_alarm)
        );
        match self.what {
            What::Level => format!(
                "All paths {verb} together {how}: look at the task, the prompt or the judge. By itself this does not \
                 change which path is best."
            ),
            What::Path { path_id } => format!("{} {verb} {how}.", name(path_id)),
        }
    }
}

fn percent(share: f64) -> String {
    if share < 0.001 { "0.1 %".to_owned() } else { format!("{:.1} %", 100.0 * share) }
}
