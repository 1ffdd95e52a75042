//! What a frozen goal routes by.
//!
//! "The table as it is" must be the same in every process and after a restart, though signals go on coming in, and though
//! what is learned of other goals goes on moving what this one would be believed to be. No number of the ledger's brings
//! that back, so what was known of each path is written down when the goal is frozen, and read wherever it routes. It is
//! no state that anything is learned from: when the goal is thawed it is dropped, and tables follow from the counters
//! again, with all that happened meanwhile to decisions from before.
//!
//! The goal's settings are not frozen. An operator who sets a limit, or takes a path off, wants it to hold.

use std::sync::Arc;

use kalibr_core::counters::Counters;
use kalibr_core::ids::{Bucket, PathId, Pipeline};
use kalibr_core::policy::PolicyTable;
use kalibr_core::posterior::{LearnerConfig, Posterior};
use serde::{Deserialize, Serialize};

use crate::goal::TableKey;

/// What was known of all paths of a goal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Frozen {
    /// Where nothing was known.
    unknown: Known,
    scopes: Vec<Scope>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Scope {
    pipeline: Option<Pipeline>,
    bucket: Bucket,
    #[serde(flatten)]
    known: Known,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Known {
    version: u64,
    paths: Vec<(PathId, Posterior)>,
}

impl Known {
    fn of(table: &PolicyTable) -> Self {
        let paths = table.entries().iter().map(|entry| (entry.path, entry.posterior)).collect();
        Self { version: table.version, paths }
    }
}

impl Frozen {
    pub(crate) fn of(unknown: &PolicyTable, tables: &[(TableKey, Arc<PolicyTable>)]) -> Self {
        let scope = |(TableKey { pipeline, bucket }, table): &(TableKey, Arc<PolicyTable>)| Scope {
            pipeline: Option::clone(pipeline),
            bucket: Bucket::clone(bucket),
            known: Known::of(table),
        };
        Self { unknown: Known::of(unknown), scopes: tables.iter().map(scope).collect() }
    }

    /// Reads what was written. `None` for what this version cannot read: the goal then routes by what is known when it
    /// is loaded, and does not learn.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let read = serde_json::from_str(text);
        if let Err(error) = &read {
            tracing::error!(%error, "what a goal was frozen with cannot be read; thaw it, and freeze it again");
        }
        read.ok()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = TableKey> {
        self.scopes
            .iter()
            .map(|scope| TableKey { pipeline: scope.pipeline.clone(), bucket: scope.bucket.clone() })
    }

    /// The table for these paths, in that order. A path that joined the goal later is one that nothing is known of.
    pub(crate) fn table(
        &self,
        key: Option<&TableKey>,
        paths: &[PathId],
        config: &LearnerConfig,
    ) -> PolicyTable {
        let is = |scope: &&Scope| {
            key.is_some_and(|key| (&scope.pipeline, &scope.bucket) == (&key.pipeline, &key.bucket))
        };
        let known = self.scopes.iter().find(is).map_or(&self.unknown, |scope| &scope.known);
        let blank = PolicyTable::build(&Counters::default(), paths, config, 0);
        let of = |entry: &kalibr_core::policy::Entry| {
            let frozen = known.paths.iter().find(|(path, _)| *path == entry.path);
            (entry.path, frozen.map_or(entry.posterior, |(_, posterior)| *posterior))
        };
        PolicyTable::of(blank.entries().iter().map(of), config, known.version)
    }
}

#[cfg(test)]
mod tests {
    use kalibr_core::counters::{Cell, Count, Epoch};
    use kalibr_core::evidence::{Register, Signal, Source, Strength, Value};
    use kalibr_core::ids::{SignalId, Timestamp};
    use proptest::prelude::*;

    use super::*;

    fn path(n: u8) -> PathId {
        PathId::from_bytes([n; 16])
    }

    /// Counters after so many accepted and rejected decisions of each path.
    fn counters(decisions: &[(u8, bool, u32)]) -> Counters {
        let count = |&(n, good, epoch): &(u8, bool, u32)| {
            let value = if good { Value::UserAccepted } else { Value::UserRejected };
            let mut register = Register::default();
            register.take(&Signal {
                id: SignalId::new("s").unwrap(),
                source: Source::Explicit,
                value,
                strength: value.default_strength(),
                confidence: Strength::ONE,
                at: Timestamp(0),
                attempt: None,
            });
            let cell = Cell { epoch: Epoch(epoch), path: path(n), pattern: register.pattern() };
            (cell, Count::one(value.default_strength().units()))
        };
        decisions.iter().map(count).collect()
    }

    proptest! {
        #[test]
        fn what_is_read_again_makes_the_same_table_to_the_last_bit(
            decisions in prop::collection::vec((0u8..3, any::<bool>(), 0u32..90), 0..80),
        ) {
            let (paths, config) = ([path(0), path(1), path(2)], LearnerConfig::default());
            let table = PolicyTable::build(&counters(&decisions), &paths, &config, 42);
            let unknown = PolicyTable::build(&Counters::default(), &paths, &config, 7);
            let key = TableKey { pipeline: Some("p".parse().unwrap()), bucket: Bucket::default() };
            let frozen = Frozen::of(&unknown, &[(key.clone(), Arc::new(table.clone()))]);
            let read = Frozen::read(&serde_json::to_string(&frozen).unwrap()).unwrap();
            prop_assert_eq!(read.table(Some(&key), &paths, &config), table.clone());
            prop_assert_eq!(read.table(Some(&TableKey::default()), &paths, &config), unknown.clone());
            prop_assert_eq!(read.table(None, &paths, &config), unknown);

            // Paths that leave and join change nothing of what is known of the others.
            let changed = read.table(Some(&key), &[path(2), path(9)], &config);
            prop_assert_eq!(changed.entries()[0].posterior, table.entries()[2].posterior);
            prop_assert_eq!(changed.entries()[1].posterior.graded, 0);
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_panic() {
        assert_eq!(Frozen::read(""), None);
        assert_eq!(Frozen::read(r#"{"unknown": 3}"#), None);
    }
}
