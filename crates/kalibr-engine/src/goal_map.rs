//! All goals of a process, as they are at one moment.
//!
//! Deciding reads them without a lock while the refresher replaces one, and there may be a hundred thousand: with an
//! ordinary map each new goal would copy all others, and creating them one by one would be quadratic. These maps are
//! persistent: a changed copy shares all but a few nodes with the one that is still being read.

use std::sync::Arc;

use foldhash::fast::RandomState;
use kalibr_core::ids::Goal;
use kalibr_store::GoalId;
use rpds::HashTrieMapSync;

use crate::goal::GoalState;

/// Goals by name and by number, deleted ones too. Cloning takes no time.
#[derive(Debug, Clone, Default)]
pub(crate) struct GoalMap {
    by_name: HashTrieMapSync<Goal, Arc<GoalState>, RandomState>,
    by_id: HashTrieMapSync<GoalId, Arc<GoalState>, RandomState>,
}

impl GoalMap {
    /// Puts a goal in, or in the place of what it was before.
    pub(crate) fn put(&mut self, goal: GoalState) {
        let goal = Arc::new(goal);
        self.by_id.insert_mut(goal.record.id, Arc::clone(&goal));
        self.by_name.insert_mut(goal.record.name.clone(), goal);
    }

    /// The goal of this name.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<GoalState>> {
        self.by_name.get(name)
    }

    /// The goal with this number.
    pub(crate) fn numbered(&self, id: GoalId) -> Option<&Arc<GoalState>> {
        self.by_id.get(&id)
    }

    /// All goals, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<GoalState>> {
        self.by_name.values()
    }
}
