//! Where the engine's time comes from.

use std::sync::Arc;

use kalibr_core::ids::Timestamp;

/// Tells the time. A test or a replay gives its own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::new(|| Timestamp(jiff::Timestamp::now().as_microsecond()))
    }

    /// A clock that asks `now`.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// This moment.
    pub fn now(&self) -> Timestamp {
        (self.0)()
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
