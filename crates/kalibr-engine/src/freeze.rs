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

use kalibr_core::ids::{Bucket, Pipeline};
use serde::{Deserialize, Serialize};

use crate::goal::TableKey;
use crate::table::{PathKnown, Table};

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
    known: Known,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Known {
    version: u64,
    paths: Vec<PathKnown>,
}

impl Known {
    fn of(table: &Table) -> Self {
        Self { version: table.policy.version, paths: table.known().collect() }
    }
}

impl Frozen {
    pub(crate) fn of(unknown: &Table, tables: &[(TableKey, Arc<Table>)]) -> Self {
        let scope = |(TableKey { pipeline, bucket }, table): &(TableKey, Arc<Table>)| Scope {
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

    /// The version of a key's table, and what was known of the paths of `blank`, in that order. A path that joined the
    /// goal later is as blank as it comes.
    pub(crate) fn known(&self, key: Option<&TableKey>, mut blank: Vec<PathKnown>) -> (u64, Vec<PathKnown>) {
        let is = |scope: &&Scope| {
            key.is_some_and(|key| (&scope.pipeline, &scope.bucket) == (&key.pipeline, &key.bucket))
        };
        let known = self.scopes.iter().find(is).map_or(&self.unknown, |scope| &scope.known);
        for path in &mut blank {
            if let Some(known) = known.paths.iter().find(|known| known.path == path.path) {
                path.clone_from(known);
            }
        }
        (known.version, blank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_no_panic() {
        assert_eq!(Frozen::read(""), None);
        assert_eq!(Frozen::read(r#"{"unknown": 3}"#), None);
    }
}
