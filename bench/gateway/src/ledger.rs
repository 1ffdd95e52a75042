//! What the ledger holds: a routed request without a decision voids its row.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

/// How long the writer may take to catch up.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) fn decisions(ledger: &Path) -> anyhow::Result<u64> {
    let connection = Connection::open_with_flags(ledger, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    let count: i64 = connection.query_row("SELECT count(*) FROM decisions", [], |row| row.get(0))?;
    Ok(u64::try_from(count)?)
}

/// Waits until the ledger holds `expected` decisions; how many it holds in the end.
pub(crate) async fn settled(ledger: &Path, expected: u64) -> anyhow::Result<u64> {
    let begun = Instant::now();
    loop {
        let held = decisions(ledger)?;
        if held >= expected || begun.elapsed() > PATIENCE {
            return Ok(held);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
