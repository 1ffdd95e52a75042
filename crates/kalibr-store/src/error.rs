//! What can go wrong with a ledger, by what its user would do about it.

use std::path::PathBuf;

/// A ledger operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The ledger cannot be reached or written just now; the same call may succeed later.
    #[error("the ledger {path} is busy or out of reach; it is tried again")]
    Unavailable {
        /// The ledger's file.
        path: PathBuf,
        /// What the database said.
        source: rusqlite::Error,
    },
    /// The file cannot be opened or created.
    #[error(
        "cannot open the ledger {path}: check that its folder exists and may be written, or set KALIBR_HOME"
    )]
    Open {
        /// The ledger's file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A newer Kalibr wrote this ledger.
    #[error(
        "the ledger {path} has schema {found}, this Kalibr knows {known}: use a Kalibr at least as new as the one that wrote it"
    )]
    Newer {
        /// The ledger's file.
        path: PathBuf,
        /// The schema that was found.
        found: i64,
        /// The newest schema that this program knows.
        known: i64,
    },
    /// The ledger's contents are not what this program wrote.
    #[error(
        "the ledger {path} is damaged or is not a Kalibr ledger: {what}; restore a backup or move the file away"
    )]
    Damaged {
        /// The ledger's file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The ledger cannot take this; trying again does not help.
    #[error(
        "the ledger {path} cannot take what was to be written; restore a backup if its goals were removed by hand"
    )]
    Refused {
        /// The ledger's file.
        path: PathBuf,
        /// What the database said.
        source: rusqlite::Error,
    },
    /// What was sent before is not in the ledger yet, so that an erasure would leave it, or an export would lack it.
    #[error(
        "the ledger is behind: what was sent before is not written yet, and nothing was erased or read; try again in a while"
    )]
    Behind,
    /// The writer has stopped: the process is closing.
    #[error("the ledger's writer has stopped; the engine was closed")]
    Closed,
}

impl StoreError {
    /// Whether trying again later may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Behind)
    }
}
