//! Who is down just now, for all goals of this process: see [`kalibr_core::availability`].
//!
//! Attempts write, one at a time; decisions read a copy that is swapped in whole when something opens or closes. Each
//! process finds out for itself, and starts with what the ledger knows of the last hours, of all processes' attempts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use kalibr_core::availability::{
    Availability, Blocked, Call, Fault, Heard, Look, Outcome, Probe, ProviderStanding, Times, Unavailable,
};
use kalibr_core::ids::{Goal, PathId, Timestamp};
use kalibr_core::policy::uniform;
use kalibr_core::posterior::Beta;
use kalibr_store::{Ledger, PathRecord, StoreError};
use kalibr_upstream::Providers;

use crate::clock::Clock;

/// What a caller's own deadline ends sooner than this after the call, in microseconds, says nothing of the provider.
pub(crate) const FAIR_WAIT: i64 = 10_000_000;

/// The ledger does not tell whose limit a time-out was. A provider's own are seldom shorter than this, in milliseconds.
const SHORT_MS: u32 = 4_000;

#[derive(Debug)]
pub(crate) struct Outages {
    kept: Mutex<Availability>,
    blocked: ArcSwap<Blocked>,
    providers: Providers,
    clock: Clock,
    /// Waits are spread by a number drawn from it and the moment, so that a run can be replayed.
    seed: u64,
}

impl Outages {
    pub(crate) fn new(providers: Providers, clock: Clock, seed: u64) -> Self {
        Self { kept: Mutex::default(), blocked: ArcSwap::default(), providers, clock, seed }
    }

    /// Takes in what the ledger knows of the last hours.
    pub(crate) fn load(&self, ledger: &dyn Ledger) -> Result<(), StoreError> {
        let (now, mut known) = (self.clock.now(), Availability::default());
        let since = Timestamp(now.0.saturating_sub(Availability::MEMORY));
        ledger.attempts_since(since, &mut |past| {
            // What a clock that was ahead wrote is not known to be of these hours.
            if past.at > now {
                return;
            }
            let ms = past.latency_ms.unwrap_or(0);
            let cut_short = ms < SHORT_MS;
            let outcome = Outcome::of(past.reply, past.category, past.status, cut_short);
            let times = Times { started: Timestamp(past.at.0 - i64::from(ms) * 1_000), ended: past.at };
            let call = self.call(&past.goal, past.path, &past.model);
            known.record(&call, &self.heard(&past.model, outcome, times, None));
        })?;
        let mut kept = self.lock();
        self.blocked.store(Arc::new(known.blocked()));
        *kept = known;
        Ok(())
    }

    /// Takes in what came of a call of a path with this model.
    pub(crate) fn record(
        &self,
        (goal, path, model): (&Goal, PathId, &str),
        outcome: Outcome,
        times: Times,
        retry_after: Option<i64>,
    ) {
        let call = self.call(goal, path, model);
        let heard = self.heard(model, outcome, times, retry_after);
        let mut kept = self.lock();
        if !kept.record(&call, &heard) {
            return;
        }
        let blocked = Arc::new(kept.blocked());
        let is_free = blocked.is_free(&call, times.ended);
        // Under the lock, so that an older copy never comes after a newer one.
        self.blocked.store(blocked);
        drop(kept);
        if is_free {
            tracing::info!(provider = call.provider, model = call.model, "is called again");
        } else {
            tracing::warn!(
                provider = call.provider,
                model = call.model,
                "does not answer: it is left alone for a while"
            );
        }
    }

    fn heard(&self, model: &str, outcome: Outcome, times: Times, retry_after: Option<i64>) -> Heard {
        // A model that nobody serves is no sign of how anybody is doing.
        let outcome = match outcome {
            Outcome::Failed(Fault::Shared) if self.providers.resolve(model).is_err() => {
                Outcome::Failed(Fault::Model)
            }
            outcome => outcome,
        };
        Heard { outcome, times, retry_after, jitter: uniform(self.seed, times.ended.0 as u64) }
    }

    fn call<'a>(&'a self, goal: &'a Goal, path: PathId, model: &'a str) -> Call<'a> {
        let (provider, model) = self.providers.place(model);
        Call { provider, model, goal, path }
    }

    fn lock(&self) -> MutexGuard<'_, Availability> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// P(this path of the goal is answered); `None` where nothing has failed lately.
    pub(crate) fn available(&self, goal: &Goal, path: &PathRecord) -> Option<Beta> {
        self.lock().of(&self.call(goal, path.id, &path.spec.model), self.clock.now())
    }

    pub(crate) fn standings(&self) -> Vec<ProviderStanding> {
        self.lock().standings(self.clock.now())
    }

    /// Who is down. No lock that a writer holds.
    pub(crate) fn now(&self) -> Guard<Arc<Blocked>> {
        self.blocked.load()
    }

    /// Whether a path may be called without a permit to probe.
    pub(crate) fn is_free(&self, goal: &Goal, path: PathId, model: &str) -> bool {
        let blocked = self.now();
        blocked.is_empty() || blocked.is_free(&self.call(goal, path, model), self.clock.now())
    }

    /// How long a path asks to be left alone; `None` where it is down, and a probe is to find out how long.
    pub(crate) fn rest(&self, goal: &Goal, path: PathId, model: &str) -> Option<Duration> {
        let left = self.now().rest(&self.call(goal, path, model), self.clock.now())?;
        Some(Duration::from_micros(left.unsigned_abs()))
    }

    /// Nothing more is to come of these permits.
    pub(crate) fn settle(&self, (goal, path, model): (&Goal, PathId, &str), probes: &[Probe]) {
        if !probes.is_empty() {
            self.now().settle(&self.call(goal, path, model), probes);
        }
    }

    /// Which of a goal's paths are not to be called now, of those that `may` be chosen at all.
    pub(crate) fn mask<'a>(
        &'a self,
        blocked: &'a Blocked,
        goal: &'a Goal,
        paths: impl Iterator<Item = (PathId, &'a str)>,
        may: impl Fn(usize) -> bool,
        now: Timestamp,
    ) -> Mask<'a> {
        let mut look = blocked.look(now);
        let why = paths
            .enumerate()
            .map(
                |(at, (path, model))| {
                    if may(at) { look.may(&self.call(goal, path, model)).err() } else { None }
                },
            )
            .collect();
        Mask { outages: self, goal, look, why }
    }
}

/// What one decision may not choose.
#[derive(Debug)]
pub(crate) struct Mask<'a> {
    outages: &'a Outages,
    goal: &'a Goal,
    look: Look<'a>,
    why: Vec<Option<Unavailable>>,
}

impl Mask<'_> {
    /// Why the path at this index is not to be called, if so.
    pub(crate) fn why(&self, at: usize) -> Option<Unavailable> {
        self.why.get(at).copied().flatten()
    }

    /// The paths that are not to be called, the soonest to be tried again first.
    pub(crate) fn last_resort(&self) -> Vec<usize> {
        let left = |at: &usize| self.why(*at).map(|why| why.left);
        let mut all: Vec<usize> = (0..self.why.len()).filter(|at| left(at).is_some()).collect();
        all.sort_by_key(left);
        all
    }

    /// A request is better tried than failed: where nothing else may be chosen, this path may be all the same.
    pub(crate) fn insist(&mut self, at: usize) {
        self.why[at] = None;
    }

    /// The decision was made for this path. Returns the permits to probe that it uses.
    pub(crate) fn chose(self, path: PathId, model: &str) -> Vec<Probe> {
        self.look.chose(&self.outages.call(self.goal, path, model))
    }
}
