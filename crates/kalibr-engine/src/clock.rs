//! Where the engine's time comes from.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use kalibr_core::ids::Timestamp;

/// Tells the time. A test or a replay gives its own.
///
/// It never goes back, though the machine's may (a correction over the network, somebody who sets it): what a user says
/// of an answer must not come to lie before the answer, or a session's signal would grade the run before, or none.
#[derive(Clone)]
pub struct Clock {
    read: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// The latest moment told.
    last: Arc<AtomicI64>,
}

impl Clock {
    /// The machine's clock. After it was set back this one goes on at its pace, from where it was.
    pub fn system() -> Self {
        let start = Instant::now();
        let ahead = AtomicI64::new(i64::MIN);
        Self::new(move || {
            // Before 1970 a clock is not set yet.
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let wall = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
            let passed = i64::try_from(start.elapsed().as_micros()).unwrap_or(i64::MAX);
            let now = wall.saturating_sub(passed);
            let most = ahead.fetch_max(now, Ordering::Relaxed).max(now);
            Timestamp(most.saturating_add(passed))
        })
    }

    /// A clock that asks `now`. Where that goes back, this one goes on by a microsecond each time that it is asked, until
    /// the other has caught up.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicI64, Ordering};
    /// use std::sync::Arc;
    ///
    /// use kalibr_engine::Clock;
    /// use kalibr_engine::core::ids::Timestamp;
    ///
    /// let hands = Arc::new(AtomicI64::new(5_000));
    /// let clock = { let hands = Arc::clone(&hands); Clock::new(move || Timestamp(hands.load(Ordering::Relaxed))) };
    /// assert_eq!([clock.now(), clock.now()], [Timestamp(5_000), Timestamp(5_000)]);
    /// hands.store(1_000, Ordering::Relaxed);
    /// assert_eq!([clock.now(), clock.now()], [Timestamp(5_001), Timestamp(5_002)]);
    /// hands.store(6_000, Ordering::Relaxed);
    /// assert_eq!(clock.now(), Timestamp(6_000));
    /// ```
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { read: Arc::new(now), last: Arc::new(AtomicI64::new(i64::MIN)) }
    }

    /// This moment.
    pub fn now(&self) -> Timestamp {
        let read = (self.read)();
        let last = self.last.fetch_max(read.0, Ordering::Relaxed);
        if read.0 >= last {
            return read;
        }
        Timestamp(self.last.fetch_add(1, Ordering::Relaxed).saturating_add(1))
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// A moment as people give it: RFC 3339 such as `2026-11-01T00:00:00Z`, or so many days or hours before `now`, such as
/// `7d` or `12h`.
///
/// ```
/// use kalibr_engine::core::ids::Timestamp;
/// use kalibr_engine::moment;
///
/// let now = Timestamp(10_000_000_000);
/// assert_eq!(moment("2h", now), Ok(Timestamp(2_800_000_000)));
/// assert_eq!(moment("1970-01-01T00:00:05Z", now), Ok(Timestamp(5_000_000)));
/// assert!(moment("yesterday", now).is_err());
/// ```
///
/// # Errors
/// A sentence that tells the forms.
pub fn moment(text: &str, now: Timestamp) -> Result<Timestamp, &'static str> {
    const HOUR: i64 = 3_600_000_000;
    let before = |number: &str, unit: i64| {
        let micros = i64::from(number.parse::<u32>().ok()?).checked_mul(unit)?;
        now.0.checked_sub(micros).map(Timestamp)
    };
    let relative = match text.split_at_checked(text.len().saturating_sub(1)) {
        Some((number, "d")) => before(number, 24 * HOUR),
        Some((number, "h")) => before(number, HOUR),
        _ => None,
    };
    let absolute = || text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp(at.as_microsecond()));
    relative
        .or_else(absolute)
        .ok_or("a moment is a time such as 2026-11-01T00:00:00Z, or so long ago, such as 7d or 12h")
}

/// A moment as people and JSON read it: RFC 3339 in UTC, to the millisecond.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.0).map_or_else(|_| String::new(), |at| format!("{at:.3}"))
}
