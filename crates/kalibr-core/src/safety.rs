//! What keeps a router that learns from doing harm: pure rules on probabilities, posteriors and counts.
//!
//! - [`Risk`]: of a task (how bad a wrong answer is) and of a path (how little it is trusted).
//! - [`capped`]: how much of the traffic may explore.
//! - [`with_holdout`]: a share of decisions that always takes the baseline, for good: the proof of what the router is
//!   worth, and the sample that [`rollback`] judges by. Decisions are marked with their [`Side`].
//! - [`guaranteed_share`]: how much of the traffic may leave the baseline without risking more than a set loss.
//! - [`counted`]: which decisions of one user count.
//!
//! In which order they apply is the business of [`crate::rules`].

use serde::{Deserialize, Serialize};

mod baseline;
mod rollback;
mod user_cap;

pub use baseline::{Guarantee, guaranteed_share, mixed};
pub use rollback::{Side, Sides, Verdict, rollback};
pub use user_cap::{UserCap, counted};

/// How bad a wrong answer is (of a task), or how little is to be trusted (of a path).
///
/// A path may serve a task if their risks together are at most that of one high risk: a low-risk path any task, a
/// medium one low and medium tasks, a high-risk path (new, experimental) only low-risk tasks.
///
/// ```
/// use kalibr_core::safety::Risk;
///
/// assert!(Risk::Low.may_serve(Risk::High));
/// assert!(Risk::Medium.may_serve(Risk::Medium));
/// assert!(!Risk::Medium.may_serve(Risk::High));
/// assert!(!Risk::High.may_serve(Risk::Medium));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// A task that can be done again; a path that is trusted.
    #[default]
    Low,
    /// Between the two: exploring costs something.
    Medium,
    /// A task that must not be experimented with; a path that nobody relies on yet.
    High,
}

impl std::str::FromStr for Risk {
    type Err = &'static str;

    /// Reads a name.
    ///
    /// # Errors
    /// A sentence that tells the names.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let named = [("low", Self::Low), ("medium", Self::Medium), ("high", Self::High)];
        let found = named.into_iter().find_map(|(known, risk)| (known == name).then_some(risk));
        found.ok_or("a risk is \"low\", \"medium\" or \"high\"")
    }
}

impl Risk {
    /// Whether a path of this risk may serve a task of that.
    pub const fn may_serve(self, task: Self) -> bool {
        self as u8 + task as u8 <= Self::High as u8
    }

    /// The floor per path for a task of this risk: all of `floor`, a quarter of it, or none.
    pub fn floor(self, floor: f64) -> f64 {
        match self {
            Self::Low => floor,
            Self::Medium => floor / 4.0,
            Self::High => 0.0,
        }
    }
}

/// These probabilities with at most `most` (0..=1) in all on others than the leader, which takes the rest; the others
/// keep their proportions. The leader is the greatest, the first of equals.
///
/// ```
/// use kalibr_core::safety::capped;
///
/// let capped = capped(&[0.5, 0.3, 0.2], 0.1);
/// assert!((capped[0] - 0.9).abs() < 1e-12 && (capped[1] - 0.06).abs() < 1e-12);
/// ```
pub fn capped(probabilities: &[f64], most: f64) -> Vec<f64> {
    let mut capped = probabilities.to_vec();
    let Some(leader) = leader(probabilities) else { return capped };
    let total: f64 = probabilities.iter().sum();
    let others = total - probabilities[leader];
    let most = most.clamp(0.0, 1.0) * total;
    if others > most {
        capped.iter_mut().for_each(|p| *p *= most / others);
        capped[leader] = total - most;
    }
    capped
}

/// The index of the greatest, the first of equals.
pub(crate) fn leader(probabilities: &[f64]) -> Option<usize> {
    (0..probabilities.len()).reduce(|a, b| if probabilities[b] > probabilities[a] { b } else { a })
}

/// These probabilities when a share `holdout` (0..=1) of decisions takes the path at `baseline` whatever was learned:
/// exactly (1 − h)·p, and h more for the baseline.
///
/// ```
/// use kalibr_core::safety::with_holdout;
///
/// assert_eq!(with_holdout(&[0.25, 0.75], 0, 0.5), [0.625, 0.375]);
/// ```
pub fn with_holdout(probabilities: &[f64], baseline: usize, holdout: f64) -> Vec<f64> {
    mixed(probabilities, baseline, 1.0 - holdout.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn probabilities() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(0.001f64..1.0, 1..20).prop_map(crate::quadrature::to_one)
    }

    proptest! {
        #[test]
        fn a_cap_keeps_the_sum_the_leader_and_the_order(p in probabilities(), most in 0f64..1.0) {
            let after = capped(&p, most);
            prop_assert!((after.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            let lead = leader(&p).unwrap();
            prop_assert!(after[lead] >= p[lead] - 1e-12);
            let share = 1.0 - after[lead];
            prop_assert!(share <= most + 1e-9);
            for (a, b) in (0..p.len()).flat_map(|a| (0..p.len()).map(move |b| (a, b))) {
                prop_assert!(p[a] < p[b] || after[a] >= after[b] - 1e-12);
            }
        }

        #[test]
        fn a_lower_cap_never_explores_more_and_capping_twice_is_capping_once(
            p in probabilities(), low in 0f64..1.0, more in 0f64..1.0,
        ) {
            let high = (low + more).min(1.0);
            let lead = leader(&p).unwrap();
            prop_assert!(capped(&p, low)[lead] >= capped(&p, high)[lead] - 1e-12);
            for (a, b) in capped(&capped(&p, low), low).iter().zip(capped(&p, low)) {
                prop_assert!((a - b).abs() < 1e-12);
            }
        }

        #[test]
        fn a_holdout_is_an_exact_mixture(p in probabilities(), h in 0f64..1.0, at in any::<prop::sample::Index>()) {
            let baseline = at.index(p.len());
            let mixed = with_holdout(&p, baseline, h);
            prop_assert!((mixed.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            for (i, (m, p)) in mixed.iter().zip(&p).enumerate() {
                let more = if i == baseline { h } else { 0.0 };
                prop_assert!((m - ((1.0 - h) * p + more)).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn risk_is_monotone_in_both_and_lowers_the_floor() {
        let all = [Risk::Low, Risk::Medium, Risk::High];
        for path in all {
            for task in all {
                let may = path.may_serve(task);
                assert!(!may || all.iter().filter(|r| **r <= path).all(|r| r.may_serve(task)));
                assert!(!may || all.iter().filter(|r| **r <= task).all(|r| path.may_serve(*r)));
            }
        }
        assert_eq!(all.map(|risk| risk.floor(0.01)), [0.01, 0.0025, 0.0]);
    }
}
