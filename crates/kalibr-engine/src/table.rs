//! A policy table with what the decisions made from it have in common: nothing of it is computed or copied per decision.

use std::borrow::Cow;
use std::sync::Arc;

use kalibr_core::counters::Count;
use kalibr_core::ids::PathId;
use kalibr_core::objective::{NotEligible, Offer, Pacer};
use kalibr_core::path::PathSpec;
use kalibr_core::policy::PolicyTable;
use kalibr_core::posterior::Posterior;
use kalibr_core::rules::{Asked, Choices, Known, NoneEligible};
use kalibr_core::safety::Risk;
use kalibr_store::{Considered, PathRecord};
use serde::{Deserialize, Serialize};

use crate::calls::{Expected, Outlook};

/// All that a table is made of for one path, but for the goal's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PathKnown {
    pub(crate) path: PathId,
    pub(crate) posterior: Posterior,
    pub(crate) offer: Offer,
    pub(crate) seen: Count,
}

impl PathKnown {
    /// A path of which only what is believed of its success is known.
    pub(crate) fn of(path: PathId, posterior: Posterior) -> Self {
        Self { path, posterior, offer: Offer::of(posterior.success), seen: Count::default() }
    }

    /// With what its calls are expected to take.
    pub(crate) fn expecting(self, Expected { dollars, latency }: Expected) -> Self {
        Self { offer: Offer { success: self.posterior.success, dollars, latency }, ..self }
    }

    /// As the rules look at it.
    pub(crate) fn under(&self, risk: Risk) -> Known {
        Known { offer: self.offer.clone(), risk, seen: self.seen }
    }
}

/// A policy table, ready to be decided from.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) policy: PolicyTable,
    /// What to call, in the order of the table's entries.
    specs: Vec<Arc<PathSpec>>,
    /// Graded attempts, where the guarantee looks at them; empty elsewhere.
    seen: Vec<Count>,
    /// Of the requests that ask for nothing; `None` where a limit rules out every path.
    usual: Option<Shown>,
    /// How the goal's budget stood when the table was built.
    pacer: Pacer,
}

/// What is logged of choices, and what follows when the chosen path fails. Shared by all decisions made alike.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) considered: Arc<[Considered]>,
    /// The eligible paths, the one that is expected to serve best first. Not by P(best): that of all but the leader is
    /// next to nothing, and greater for a path that nobody knows than for a good second.
    ranked: Arc<[(PathId, Arc<PathSpec>)]>,
    /// The greatest propensity.
    greatest: f64,
}

impl Shown {
    /// Whether only one path may be chosen.
    pub(crate) fn is_only(&self) -> bool {
        self.ranked.len() == 1
    }

    /// Whether no path is likelier to be chosen.
    pub(crate) fn leads(&self, propensity: f64) -> bool {
        propensity >= self.greatest
    }

    /// What to fall back on where this path fails.
    pub(crate) fn fallbacks(&self, chosen: PathId) -> Fallbacks {
        Fallbacks { ranked: Arc::clone(&self.ranked), chosen }
    }
}

/// The other eligible paths of a decision, the one that is expected to serve best first.
#[derive(Debug, Clone)]
pub struct Fallbacks {
    ranked: Arc<[(PathId, Arc<PathSpec>)]>,
    chosen: PathId,
}

impl Fallbacks {
    /// The paths in turn.
    pub fn iter(&self) -> impl Iterator<Item = &(PathId, Arc<PathSpec>)> {
        self.ranked.iter().filter(|(path, _)| *path != self.chosen)
    }
}

impl Table {
    /// The table's paths must be the enabled ones of `records`, in order.
    pub(crate) fn new(policy: PolicyTable, seen: Vec<Count>, records: &[PathRecord], pacer: Pacer) -> Self {
        let specs = records.iter().filter(|path| path.enabled).map(|path| Arc::clone(&path.spec)).collect();
        let mut table = Self { policy, specs, seen, usual: None, pacer };
        table.usual = table.policy.rules().usual().ok().map(|choices| table.show(choices));
        table
    }

    /// What was expected of its paths.
    pub(crate) fn outlook(&self) -> Outlook {
        let expected = |offer: &Offer| Expected { dollars: offer.dollars, latency: offer.latency.clone() };
        Outlook::new(self.policy.rules().offers().map(expected).collect(), self.pacer)
    }

    /// How the goal's budget stood when the table was built.
    pub(crate) const fn pacer(&self) -> Pacer {
        self.pacer
    }

    /// What is known of each path, in the table's order.
    pub(crate) fn known(&self) -> impl Iterator<Item = PathKnown> {
        let entries = self.policy.entries().iter().zip(self.policy.rules().offers()).enumerate();
        entries.map(|(at, (entry, offer))| PathKnown {
            offer: offer.clone(),
            seen: self.seen.get(at).copied().unwrap_or_default(),
            ..PathKnown::of(entry.path, entry.posterior)
        })
    }

    pub(crate) fn spec(&self, index: usize) -> &Arc<PathSpec> {
        &self.specs[index]
    }

    /// The choices of a request that asks for nothing and rules no path out.
    pub(crate) fn usual(&self) -> Result<(&Choices, &Shown), NoneEligible> {
        let choices = self.policy.rules().usual().map_err(NoneEligible::clone)?;
        let none = || NoneEligible { reasons: Vec::new() };
        Ok((choices, self.usual.as_ref().ok_or_else(none)?))
    }

    /// Why each path may not be chosen for what is `asked` (`None`: nothing, and no path is ruled out).
    pub(crate) fn not_eligible(
        &self,
        asked: Option<&Asked>,
        ruled_out: impl Fn(usize) -> Option<NotEligible>,
    ) -> Result<Cow<'_, [Option<NotEligible>]>, NoneEligible> {
        let rules = self.policy.rules();
        Ok(match asked {
            None => Cow::Borrowed(&rules.usual().map_err(NoneEligible::clone)?.not_eligible),
            Some(asked) => Cow::Owned(rules.choices(asked, ruled_out)?.not_eligible),
        })
    }

    /// The choices of any other request; paths (by index) may not be chosen for which `ruled_out` has a reason.
    pub(crate) fn choices(
        &self,
        asked: &Asked,
        ruled_out: impl Fn(usize) -> Option<NotEligible>,
    ) -> Result<(Choices, Shown), NoneEligible> {
        let choices = self.policy.rules().choices(asked, ruled_out)?;
        let shown = self.show(&choices);
        Ok((choices, shown))
    }

    /// What is logged of a choice that the caller made.
    pub(crate) fn forced(&self, index: usize) -> Shown {
        let certain = |at: usize| if at == index { 1.0 } else { 0.0 };
        self.shown(certain, |at| (at != index).then_some(NotEligible::AnotherForced))
    }

    fn show(&self, choices: &Choices) -> Shown {
        self.shown(|at| choices.propensities[at], |at| choices.not_eligible[at])
    }

    fn shown(
        &self,
        propensity: impl Fn(usize) -> f64,
        not_eligible: impl Fn(usize) -> Option<NotEligible>,
    ) -> Shown {
        let entries = self.policy.entries();
        let expected = |at: usize| entries[at].posterior.success.mean();
        let considered = entries.iter().enumerate().map(|(at, entry)| Considered {
            path: entry.path,
            propensity: propensity(at),
            expected: expected(at),
            graded: entry.posterior.graded,
            not_eligible: not_eligible(at).map(|reason| reason.to_string()),
        });
        let mut order: Vec<usize> = (0..entries.len()).filter(|&at| not_eligible(at).is_none()).collect();
        order.sort_by(|&a, &b| expected(b).total_cmp(&expected(a)));
        Shown {
            considered: considered.collect(),
            ranked: order.into_iter().map(|at| (entries[at].path, Arc::clone(&self.specs[at]))).collect(),
            greatest: (0..entries.len()).map(propensity).fold(0.0, f64::max),
        }
    }
}
