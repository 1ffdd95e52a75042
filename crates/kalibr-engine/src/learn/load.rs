//! Everything anew from the ledger: when a process starts, and when what is in memory is not to be trusted or not enough.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use kalibr_core::counters::Epoch;
use kalibr_store::{GoalId, GoalRecord, Ledger, Piece, Scope, StoreError};

use super::tables::rebuild;
use super::{Kept, Learned, lock};
use crate::calls::Calls;
use crate::clock::Clock;
use crate::goal::{EpochClock, GoalState};
use crate::goal_map::GoalMap;

/// Decisions of the ledger whose calls are looked at when a process starts: enough to know what each path of a busy goal
/// costs, and read in a fraction of a second.
const REMEMBERED: u32 = 50_000;

impl Learned {
    pub(super) fn reload(&self, ledger: &dyn Ledger, clock: &Clock) -> Result<(), StoreError> {
        let outages = Arc::clone(&lock(&self.kept).outages);
        let (mut kept, mut records): (_, Vec<GoalRecord>) = (Kept::new(outages), Vec::new());
        // Goals come first.
        let mut opened: HashMap<GoalId, (Epoch, Epoch)> = HashMap::new();
        let seq = ledger.snapshot(&mut |piece| match piece {
            Piece::Goal(mut record) => {
                kept.specs.share(&mut record);
                if record.opened() > Epoch(0) {
                    opened.insert(record.id, (record.learns_from(), record.opened()));
                }
                records.push(record);
            }
            Piece::Counters(scope, mut cells) => {
                let (learns_from, from) = opened.get(&scope.goal).copied().unwrap_or_default();
                cells.retain(|(cell, _)| cell.epoch >= learns_from);
                cells.iter().for_each(|(cell, count)| kept.watch.add(scope.goal, from, *cell, *count));
                kept.counters.insert(scope, cells.into_iter().collect());
            }
        })?;
        kept.counters.shrink_to_fit();
        for counters in kept.counters.values() {
            for (cell, count) in counters.iter() {
                kept.learner.count(kept.specs.model(cell.path), cell.pattern, count);
            }
        }
        let mut newest: HashMap<GoalId, Epoch> = HashMap::new();
        for (scope, counters) in &kept.counters {
            let newest = newest.entry(scope.goal).or_default();
            *newest = counters.newest().max(*newest);
        }
        let mut goals = GoalMap::default();
        for mut record in records {
            let epoch = newest.get(&record.id).map_or(Epoch(0), |epoch| Epoch(epoch.0.saturating_add(1)));
            let epochs = Arc::new(EpochClock::starting_at(epoch.max(record.opened()), clock.now()));
            let settings = kept.settings.read(&std::mem::take(&mut record.settings));
            goals.put(GoalState::new(record, settings, epochs, Arc::clone(&self.prices), seq));
        }
        // Those of this process are not all in the ledger's last rows, and those that are would be counted twice.
        let calls = lock(&self.kept).calls.take();
        kept.calls = Some(calls.map_or_else(|| read_calls(ledger), Ok)?);
        kept.moves = std::mem::take(&mut lock(&self.kept).moves);
        kept.moves.clear();
        let all: BTreeSet<Scope> = kept.counters.keys().cloned().collect();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        rebuild(&goals, &mut kept, &all, (clock, seq), threads);
        kept.moves.tell = true;
        self.note_turn_model(&kept);
        *lock(&self.kept) = kept;
        self.goals.store(Arc::new(goals));
        self.applied(seq);
        Ok(())
    }
}

/// What the latest calls in the ledger took.
fn read_calls(ledger: &dyn Ledger) -> Result<Calls, StoreError> {
    let mut calls = Calls::default();
    ledger.calls(REMEMBERED, &mut |call| calls.add(&call))?;
    Ok(calls)
}
