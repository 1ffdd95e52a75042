//! What a pattern is worth at its age: a fresh verdict may yet be reversed, and a silent user may yet speak.

use crate::counters::{Cell, Count, Counters};
use crate::evidence::{Pattern, Source};
use crate::ids::PathId;
use crate::maturity::{Maturity, Verdicts};
use crate::series::Worth;
use crate::silence::{Reactions, Silence};

/// How verdicts last and what silence says, in one scope: learned from its counters at a refresh.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ageing {
    successes: Maturity,
    failures: Maturity,
    silence: Silence,
}

impl Ageing {
    /// Learns from the counters of `paths`; `worth` says what a pattern of the path with this index is worth at any age.
    /// `maturity` and `silence` say whether each of the two is learned at all.
    pub fn learn(
        counters: &Counters,
        paths: &[PathId],
        worth: impl Fn(usize, Pattern) -> Worth,
        maturity: bool,
        silence: bool,
    ) -> Self {
        let (mut successes, mut failures, mut reactions) = (Vec::new(), Vec::new(), Vec::new());
        let newest = counters.newest().0;
        for (Cell { epoch, path, pattern }, Count { n, .. }) in counters.evidence() {
            let Some(path) = paths.iter().position(|known| *known == path) else { continue };
            let age = newest.saturating_sub(epoch.0);
            if silence && let Some(reaction) = reaction(pattern, n) {
                reactions.push(Reactions { path, age, ..reaction });
            }
            if maturity
                && matches!(worth(path, pattern), Worth::Exact | Worth::Graded { .. })
                && let Some(winner) = pattern.winner()
                && let Some(value) = pattern.value(winner)
            {
                let reversed = pattern.revised(winner);
                let began_well = value.praises() != reversed;
                let (standing, reversed) = if reversed { (0, n) } else { (n, 0) };
                let verdicts = Verdicts { path, age, standing, reversed };
                if began_well { successes.push(verdicts) } else { failures.push(verdicts) }
            }
        }
        Self {
            successes: Maturity::learn(paths.len(), successes),
            failures: Maturity::learn(paths.len(), failures),
            silence: Silence::learn(paths.len(), reactions),
        }
    }

    /// What a pattern of the path with this index is worth `age` epochs after the decision, where it is worth `base` at
    /// any age.
    pub fn worth(&self, path: usize, pattern: Pattern, age: u32, base: Worth) -> Worth {
        let revised = pattern.winner().is_some_and(|winner| pattern.revised(winner));
        let stands = |maturity: &Maturity| if revised { 1.0 } else { maturity.stands(path, age) };
        match base {
            Worth::Exact => {
                let (successes, failures) = (stands(&self.successes), stands(&self.failures));
                if successes < 1.0 || failures < 1.0 { Worth::Fresh { successes, failures } } else { base }
            }
            Worth::Graded { praise, fault, .. } => Worth::Graded {
                praise,
                fault,
                successes: stands(&self.successes),
                failures: stands(&self.failures),
            },
            Worth::Nothing if is_silent(pattern) => {
                let (ln_ratio, part) = self.silence.of(path, age);
                if ln_ratio == 0.0 { base } else { Worth::Faint(ln_ratio, part) }
            }
            Worth::Soft(known) if is_silent(pattern) => {
                let (ln_ratio, part) = self.silence.of(path, age);
                Worth::Soft(known + part * ln_ratio)
            }
            _ => base,
        }
    }
}

/// Whether a user may have seen the answer and did nothing, and the caller graded nothing either.
fn is_silent(pattern: Pattern) -> bool {
    pattern.came() && matches!(pattern.winner(), None | Some(Source::Judge | Source::Structural))
}

fn reaction(pattern: Pattern, n: i64) -> Option<Reactions> {
    if is_silent(pattern) {
        return Some(Reactions { silent: n, ..Reactions::default() });
    }
    let winner = pattern.winner().filter(|winner| winner.is_user())?;
    Some(if pattern.value(winner)?.praises() {
        Reactions { praised: n, ..Reactions::default() }
    } else {
        Reactions { faulted: n, ..Reactions::default() }
    })
}
