//! What a decision looks at: the places that are not to be called just now, and who may try them.
//!
//! It is a copy that is swapped in whole whenever a breaker moves, so that reading it takes no lock. While everything
//! works it is empty, and looking at it costs nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::breaker::{Breaker, Permit, Probe, Window};
use super::{Call, State};
use crate::ids::{Goal, PathId, Timestamp};

/// Why a place may not be called by everybody, and until when.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    window: Window,
    /// The provider asked for it: when it is over, everybody may call again.
    is_held: bool,
}

impl Gate {
    pub(super) fn of(breaker: &Breaker) -> Option<Self> {
        let open = breaker.open.as_ref().map(|window| Self { window: window.clone(), is_held: false });
        open.or_else(|| Some(Self { window: breaker.held.clone()?, is_held: true }))
    }

    pub(super) fn left(&self, now: Timestamp) -> i64 {
        self.window.left(now)
    }

    pub(super) fn state(&self, now: Timestamp) -> State {
        match (self.left(now) > 0, self.is_held) {
            (true, true) => State::Resting,
            (true, false) => State::Down,
            (false, true) => State::Up,
            (false, false) => State::Probing,
        }
    }
}

#[derive(Debug, Clone, Default)]
struct BlockedProvider {
    gate: Option<Gate>,
    models: HashMap<Arc<str>, Gate>,
}

/// Everything that is not to be called, or by one request at a time.
#[derive(Debug, Clone, Default)]
pub struct Blocked {
    providers: HashMap<Arc<str>, BlockedProvider>,
    here: HashMap<(Goal, PathId), Gate>,
}

impl Blocked {
    pub(super) fn add_provider(
        &mut self,
        name: Arc<str>,
        gate: Option<Gate>,
        models: HashMap<Arc<str>, Gate>,
    ) {
        if gate.is_some() || !models.is_empty() {
            self.providers.insert(name, BlockedProvider { gate, models });
        }
    }

    pub(super) fn add_here(&mut self, place: (Goal, PathId), gate: Gate) {
        self.here.insert(place, gate);
    }

    /// Whether everything may be called.
    pub fn is_empty(&self) -> bool {
        self.providers.is_empty() && self.here.is_empty()
    }

    /// Looks at it for one decision.
    pub fn look(&self, now: Timestamp) -> Look<'_> {
        Look { blocked: self, now, probes: Vec::new() }
    }

    /// Whether a call may be made without a permit to probe.
    pub fn is_free(&self, call: &Call<'_>, now: Timestamp) -> bool {
        self.gates(call).all(|(_, gate)| gate.state(now) == State::Up)
    }

    /// How long until a call may be made without a permit to probe, in microseconds: 0 for now. `None` where that is for
    /// a probe to find out.
    pub fn rest(&self, call: &Call<'_>, now: Timestamp) -> Option<i64> {
        self.gates(call)
            .try_fold(0, |longest: i64, (_, gate)| gate.is_held.then(|| longest.max(gate.left(now))))
    }

    /// Nothing more is to come of these probes of a call. Those whose breaker has not moved since are given back for
    /// another request to try: nothing came of them.
    pub fn settle(&self, call: &Call<'_>, probes: &[Probe]) {
        let is_open = |probe: &Probe| self.gates(call).any(|(_, gate)| probe.is_of(&gate.window.permit));
        probes.iter().filter(|probe| is_open(probe)).for_each(Probe::give_back);
    }

    fn gates(&self, call: &Call<'_>) -> impl Iterator<Item = (Place, &Gate)> {
        let provider = self.providers.get(call.provider);
        let whole = provider.and_then(|provider| Some((Place::Provider, provider.gate.as_ref()?)));
        let model = provider.and_then(|provider| Some((Place::Model, provider.models.get(call.model)?)));
        let here = if self.here.is_empty() { None } else { self.here.get(&(call.goal.clone(), call.path)) };
        whole.into_iter().chain(model).chain(here.map(|gate| (Place::Here, gate)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Provider,
    Model,
    Here,
}

/// Why a path is not to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable {
    place: Place,
    state: State,
    /// Microseconds until the next try, >= 0.
    pub left: i64,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.place {
            Place::Provider => "its provider",
            Place::Model => "its model",
            Place::Here => "the path in this goal",
        })?;
        // Rounded up: "in 0 s" would read as now.
        let seconds = self.left.saturating_add(999_999) / 1_000_000;
        match self.state {
            State::Resting => write!(f, " asked to be left alone, next try in {seconds} s"),
            State::Probing => f.write_str(" is down, and another request is trying it"),
            State::Up | State::Down => write!(f, " is down, next try in {seconds} s"),
        }
    }
}

/// One decision's look: it remembers the permits that the decision took.
#[derive(Debug)]
pub struct Look<'a> {
    blocked: &'a Blocked,
    now: Timestamp,
    probes: Vec<Probe>,
}

impl Look<'_> {
    /// Whether this path may be called. Where it may by one request only, this decision becomes that request, if no
    /// other is: end with [`Look::chose`], which gives back what was not needed.
    ///
    /// # Errors
    /// [`Unavailable`] says which place is to be left alone, and for how long.
    pub fn may(&mut self, call: &Call<'_>) -> Result<(), Unavailable> {
        let blocked = self.blocked;
        // First all that bar it, so that no permit is taken for a path that may not be called in any case.
        for (place, gate) in blocked.gates(call) {
            if gate.left(self.now) > 0 {
                return Err(self.unavailable(place, gate));
            }
        }
        for (place, gate) in blocked.gates(call).filter(|(_, gate)| !gate.is_held) {
            if !self.holds(&gate.window.permit) {
                let probe = gate.window.probe(self.now);
                self.probes.push(probe.ok_or_else(|| self.unavailable(place, gate))?);
            }
        }
        Ok(())
    }

    fn unavailable(&self, place: Place, gate: &Gate) -> Unavailable {
        Unavailable { place, state: gate.state(self.now), left: gate.left(self.now) }
    }

    fn holds(&self, permit: &Arc<Permit>) -> bool {
        self.probes.iter().any(|probe| probe.is_of(permit))
    }

    /// The decision was made for this path. Returns the permits that it uses, and gives the others back.
    pub fn chose(self, call: &Call<'_>) -> Vec<Probe> {
        let mut used = Vec::new();
        for probe in self.probes {
            if self.blocked.gates(call).any(|(_, gate)| probe.is_of(&gate.window.permit)) {
                used.push(probe);
            } else {
                probe.give_back();
            }
        }
        used
    }
}
