//! Two recipes for outcomes that change: wait until they no longer do, or never look again.

use std::collections::{BTreeSet, VecDeque};

use super::thompson::Betas;
use crate::policy::{Chosen, Policy, Request};
use crate::simulator::{Heard, Said};

/// Learns of a decision when its window is over, by the strongest source's last word; what comes later is lost.
pub(crate) struct Waiting {
    betas: Betas,
    window: u32,
    /// Decisions whose window is open, oldest first, with what was heard of each.
    open: VecDeque<(Request, usize, Vec<Heard>)>,
}

impl Waiting {
    pub(crate) fn new(window: u32, goals: usize, paths: usize, seed: u64) -> Self {
        Self { betas: Betas::new(goals, paths, seed), window, open: VecDeque::new() }
    }
}

impl Policy for Waiting {
    fn choose(&mut self, request: &Request) -> anyhow::Result<Chosen> {
        while self.open.front().is_some_and(|(old, ..)| old.decision + self.window < request.decision) {
            let Some((old, path, heard)) = self.open.pop_front() else { break };
            if let Some(good) = last_word(&heard) {
                self.betas.add(old.goal, path, good, 1.0);
            }
        }
        let path = self.betas.sample(request.goal);
        self.open.push_back((request.clone(), path, Vec::new()));
        Ok(Chosen::path(path))
    }

    fn hear(&mut self, heard: &Heard) {
        let place = self.open.binary_search_by_key(&heard.decision, |(request, ..)| request.decision);
        if let Some((.., known)) = place.ok().and_then(|place| self.open.get_mut(place)) {
            known.push(*heard);
        }
    }
}

/// What the strongest source said last and did not take back.
fn last_word(heard: &[Heard]) -> Option<bool> {
    let back: Vec<u8> = heard
        .iter()
        .filter_map(|heard| if let Said::TakenBack(number) = heard.said { Some(number) } else { None })
        .collect();
    let holds = heard
        .iter()
        .filter(|heard| !matches!(heard.said, Said::TakenBack(_)) && !back.contains(&heard.number));
    holds.max_by_key(|heard| (heard.source, heard.due, heard.number)).map(|heard| heard.said == Said::Praise)
}

/// Learns the first word about a decision and refuses all others.
pub(crate) struct FirstWord {
    betas: Betas,
    heard: BTreeSet<u32>,
}

impl FirstWord {
    pub(crate) fn new(goals: usize, paths: usize, seed: u64) -> Self {
        Self { betas: Betas::new(goals, paths, seed), heard: BTreeSet::new() }
    }
}

impl Policy for FirstWord {
    fn choose(&mut self, request: &Request) -> anyhow::Result<Chosen> {
        Ok(Chosen::path(self.betas.sample(request.goal)))
    }

    fn hear(&mut self, heard: &Heard) {
        if self.heard.insert(heard.decision) {
            self.betas.add(heard.goal, heard.path, heard.said == Said::Praise, 1.0);
        }
    }
}
