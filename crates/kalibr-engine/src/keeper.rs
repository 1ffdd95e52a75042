//! Forgetting in time, in a thread of its own: texts whose days are over, runs where the operator lets them expire, and the
//! copies of both that files may hold.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use kalibr_core::ids::Timestamp;
use kalibr_store::{Ledger, StoreError, Whose};

use crate::clock::Clock;
use crate::privacy::Privacy;

/// The first look: a program that only asks something has left by then.
const FIRST: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK: Duration = Duration::from_hours(1);
/// After a look that failed.
const AGAIN: Duration = Duration::from_mins(1);
/// A pause between two steps, in which others get hold of the ledger's lock.
const BREATH: Duration = Duration::from_millis(4);
/// Microseconds after which no file may hold a copy of what expired: copying a large ledger anew is not for every hour.
const LEFT_FOR: i64 = 24 * 3_600_000_000;

/// Stops the thread.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    stopping: Mutex<bool>,
    changed: Condvar,
}

impl Keeper {
    pub(crate) fn stop(&self) {
        *self.stopping.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks every hour until it is stopped.
    pub(crate) fn run(&self, ledger: &dyn Ledger, privacy: Privacy, clock: &Clock) {
        let mut wait = FIRST;
        loop {
            let stopping = self.stopping.lock().unwrap_or_else(PoisonError::into_inner);
            let idle = |stopping: &mut bool| !*stopping;
            let (stopping, _) =
                self.changed.wait_timeout_while(stopping, wait, idle).unwrap_or_else(PoisonError::into_inner);
            if *stopping {
                return;
            }
            drop(stopping);
            wait = match self.look(ledger, privacy, clock.now()) {
                Ok(true) => LOOK,
                Ok(false) => AGAIN,
                Err(error) => {
                    tracing::warn!(%error, "what is to be forgotten is not forgotten just now; it is tried again in a minute");
                    AGAIN
                }
            };
        }
    }

    /// Forgets what is due. Returns whether all was done.
    pub(crate) fn look(
        &self,
        ledger: &dyn Ledger,
        privacy: Privacy,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let due = Timestamp(now.0.saturating_add(LEFT_FOR));
        let pause = || {
            std::thread::sleep(BREATH);
            !self.is_stopping()
        };
        while ledger.erase_texts(now, due)? && pause() {}
        if let Some(before) = privacy.forgotten_before(now) {
            while ledger.erase(&Whose::Before(before), due)?.more && pause() {}
        }
        match ledger.leftovers()? {
            Some(left) if left.due <= now && !self.is_stopping() => ledger.scrub(),
            _ => Ok(true),
        }
    }
}
