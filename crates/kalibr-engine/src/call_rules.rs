//! How hard a request is tried: how many calls it may cost, how long each may take, when the next path is asked.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Most calls that any goal may make for one request.
const MOST: u16 = 16;

/// How hard the requests of a goal are tried, in calls and time. Waits are in milliseconds.
///
/// A failed call is followed by the goal's next best path. Once every path was tried, those that failed for reasons that
/// may pass (HTTP 429 and 5xx, a lost connection, an empty answer) are called again, after a wait: the one that a
/// provider asked for by `Retry-After`, or `backoff_ms`, doubled with each round and drawn between its half and its whole
/// so that callers do not come back all at once. Nobody waits who could ask another path instead. A path that is known
/// to be down is not called again, nor is one that ran out of time.
///
/// ```
/// let rules: kalibr_engine::CallRules = serde_json::from_str(r#"{"attempts": 2, "hedge_after_ms": 900}"#).unwrap();
/// assert_eq!((rules.attempts, rules.hedge_after_ms, rules.backoff_ms), (2, Some(900), 250));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallRules {
    /// Most calls for one request, 1 to 16. Default 4: a caller waits for all of them, and an outage must not multiply
    /// the traffic of a goal.
    pub attempts: u16,
    /// The longest time of one call, until its answer is there; of a stream, until its answer begins. None unless set:
    /// the provider's own `timeout_ms` holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt_timeout_ms: Option<u64>,
    /// The longest time of all calls together, waits included. A caller's own for the request may be shorter. None unless
    /// set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The first wait before a path is called again. Default 250; 0 calls it again at once.
    pub backoff_ms: u64,
    /// The longest wait: where more would be needed, the caller gets the error, and with it the provider's
    /// `Retry-After`. Default 5,000; 0 calls no path twice.
    pub longest_wait_ms: u64,
    /// After this time without an answer the next best path is asked as well, once; whichever answers first is served,
    /// and the other call is broken off. It costs a second call where the first is slow. None unless set: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedge_after_ms: Option<u64>,
}

impl Default for CallRules {
    fn default() -> Self {
        Self {
            attempts: 4,
            attempt_timeout_ms: None,
            timeout_ms: None,
            backoff_ms: 250,
            longest_wait_ms: 5_000,
            hedge_after_ms: None,
        }
    }
}

impl CallRules {
    /// What is wrong with them, if anything.
    pub fn problem(&self) -> Option<&'static str> {
        if !(1..=MOST).contains(&self.attempts) {
            return Some("calls.attempts is a number of calls from 1 to 16");
        }
        if [self.attempt_timeout_ms, self.timeout_ms].contains(&Some(0)) {
            return Some("a timeout of 0 ms in calls would fail every call: leave it out or give it a value");
        }
        None
    }

    pub(crate) fn attempt_timeout(&self) -> Option<Duration> {
        self.attempt_timeout_ms.map(Duration::from_millis)
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.timeout_ms.map(Duration::from_millis)
    }

    pub(crate) fn hedge_after(&self) -> Option<Duration> {
        self.hedge_after_ms.map(Duration::from_millis)
    }

    /// How long to wait before a path that failed `failures` times is called again; `None` where that is too long.
    /// `jitter` is in 0..=1.
    pub(crate) fn wait(&self, failures: u16, retry_after: Option<Duration>, jitter: f64) -> Option<Duration> {
        let longest = Duration::from_millis(self.longest_wait_ms);
        let doubled = self.backoff_ms.saturating_mul(1 << failures.saturating_sub(1).min(16));
        let backoff = Duration::from_millis(doubled).min(longest).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
        Some(retry_after.map_or(backoff, |asked| asked.max(backoff)))
            .filter(|wait| *wait <= longest && !longest.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn waits_double_up_to_the_longest_and_are_spread_over_their_upper_half() {
        let rules = CallRules { backoff_ms: 100, longest_wait_ms: 350, ..CallRules::default() };
        assert_eq!((rules.wait(1, None, 0.0), rules.wait(1, None, 1.0)), (Some(MS(50)), Some(MS(100))));
        assert_eq!(rules.wait(2, None, 1.0), Some(MS(200)));
        assert_eq!(rules.wait(3, None, 1.0), Some(MS(350)));
        assert_eq!(rules.wait(u16::MAX, None, 1.0), Some(MS(350)));
    }

    #[test]
    fn a_wait_that_the_provider_asks_for_is_kept_or_given_up() {
        let rules = CallRules::default();
        assert_eq!(rules.wait(1, Some(MS(2_000)), 0.3), Some(MS(2_000)));
        assert_eq!(rules.wait(1, Some(MS(5_001)), 0.3), None);
        // A provider that asks for no wait at all is not hammered.
        assert_eq!(rules.wait(1, Some(MS(0)), 1.0), Some(MS(250)));
        let once = CallRules { backoff_ms: 0, longest_wait_ms: 0, ..rules };
        assert_eq!(once.wait(1, None, 0.5), None);
    }

    #[test]
    fn rules_that_would_fail_every_call_are_a_problem() {
        let of = |json: &str| serde_json::from_str::<CallRules>(json).unwrap().problem();
        assert!(of("{}").is_none() && of(r#"{"attempts": 1, "hedge_after_ms": 0}"#).is_none());
        for bad in [r#"{"attempts": 0}"#, r#"{"attempts": 17}"#, r#"{"timeout_ms": 0}"#] {
            assert!(of(bad).is_some(), "{bad}");
        }
        assert!(serde_json::from_str::<CallRules>(r#"{"retries": 2}"#).is_err());
    }
}
