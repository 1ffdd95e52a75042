//! A cap on one user's weight: of all that one user decides in a scope, the first so many of each window count.
//!
//! One loud user must not decide what all others get, by mistake or on purpose. The rule looks at the times at which
//! decisions were *made*, never at when anything arrived, so that a replay, a late row or another order count the same
//! decisions. Windows are fixed stretches of the clock and not sliding ones: a decision's fate then depends on its own
//! window alone, and one more row changes at most one other. The price is that a user may bring twice the limit around
//! a window's end.

use std::collections::HashMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::ids::{Timestamp, TraceId};

/// How much one user counts in a scope (a goal's pipeline and bucket).
///
/// Read from a number, decisions a day, or from both fields:
///
/// ```
/// use kalibr_core::safety::UserCap;
///
/// let read = |text| serde_json::from_str::<UserCap>(text).unwrap();
/// assert_eq!(read("20"), UserCap { decisions: 20, window_seconds: 86_400 });
/// assert_eq!(read(r#"{"decisions": 5, "window_seconds": 3600}"#).window_seconds, 3_600);
/// assert!(!read("0").is_on());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct UserCap {
    /// Decisions of one user that count in a window; 0: all do.
    pub decisions: u32,
    /// The length of a window in seconds, > 0.
    pub window_seconds: u32,
}

impl Default for UserCap {
    /// 50 decisions a day: more than a person makes, less than a half-life holds.
    fn default() -> Self {
        Self { decisions: 50, window_seconds: 86_400 }
    }
}

impl<'de> Deserialize<'de> for UserCap {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Spelled;

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            decisions: u32,
            window_seconds: Option<u32>,
        }

        impl<'de> Visitor<'de> for Spelled {
            type Value = UserCap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of decisions a day (0: no cap), or decisions and window_seconds")
            }

            fn visit_u64<E: Error>(self, decisions: u64) -> Result<UserCap, E> {
                let decisions = u32::try_from(decisions).unwrap_or(u32::MAX);
                Ok(UserCap { decisions, ..UserCap::default() })
            }

            fn visit_i64<E: Error>(self, decisions: i64) -> Result<UserCap, E> {
                let refused = |_| E::invalid_value(serde::de::Unexpected::Signed(decisions), &self);
                u64::try_from(decisions).map_err(refused).and_then(|decisions| self.visit_u64(decisions))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<UserCap, A::Error> {
                let Fields { decisions, window_seconds } =
                    Fields::deserialize(MapAccessDeserializer::new(map))?;
                let window_seconds = window_seconds.unwrap_or(UserCap::default().window_seconds);
                Ok(UserCap { decisions, window_seconds })
            }
        }

        from.deserialize_any(Spelled)
    }
}

impl UserCap {
    /// All decisions of a user count.
    pub const OFF: Self = Self { decisions: 0, window_seconds: 86_400 };

    /// What is wrong with the settings, if anything.
    pub fn problem(&self) -> Option<&'static str> {
        (self.window_seconds == 0).then_some("the window of a user's cap is at least a second")
    }

    /// Whether decisions are left out at all.
    pub fn is_on(&self) -> bool {
        self.decisions > 0
    }

    /// The moments from which and before which decisions fall in the same window as this one.
    pub fn stretch(&self, decided_at: Timestamp) -> (Timestamp, Timestamp) {
        let length = i64::from(self.window_seconds.max(1)) * 1_000_000;
        let from = self.window(decided_at).saturating_mul(length);
        (Timestamp(from), Timestamp(from.saturating_add(length)))
    }

    /// The number of the window that a decision falls in.
    pub fn window(&self, decided_at: Timestamp) -> i64 {
        decided_at.0.div_euclid(i64::from(self.window_seconds.max(1)) * 1_000_000)
    }
}

/// Whether each of one user's decisions in one scope counts: the first of its window by the time of the decision, ties
/// by trace id. In the order given; a decision that is given twice is one decision.
///
/// ```
/// use kalibr_core::ids::{Timestamp, TraceId};
/// use kalibr_core::safety::{UserCap, counted};
///
/// let cap = UserCap { decisions: 1, window_seconds: 60 };
/// let at = |second: i64, id: u8| (Timestamp(second * 1_000_000), TraceId::from_bytes([id; 16]));
/// assert_eq!(counted(&[at(30, 1), at(10, 2), at(70, 3)], cap), [false, true, true]);
/// ```
pub fn counted(decisions: &[(Timestamp, TraceId)], cap: UserCap) -> Vec<bool> {
    let mut order: Vec<usize> = (0..decisions.len()).collect();
    order.sort_by_key(|&i| decisions[i]);
    let mut taken: HashMap<i64, u32> = HashMap::new();
    let mut counted = vec![false; decisions.len()];
    let mut last = None;
    for i in order {
        if let Some(before) = last.filter(|&before: &usize| decisions[before] == decisions[i]) {
            counted[i] = counted[before];
            continue;
        }
        last = Some(i);
        let taken = taken.entry(cap.window(decisions[i].0)).or_default();
        *taken += 1;
        counted[i] = !cap.is_on() || *taken <= cap.decisions;
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn decisions() -> impl Strategy<Value = Vec<(Timestamp, TraceId)>> {
        let one = (-200i64..200, 1u8..255)
            .prop_map(|(s, id)| (Timestamp(s * 1_000_000), TraceId::from_bytes([id; 16])));
        prop::collection::vec(one, 0..60)
    }

    fn set(decisions: &[(Timestamp, TraceId)], cap: UserCap) -> BTreeSet<(Timestamp, TraceId)> {
        decisions.iter().zip(counted(decisions, cap)).filter(|(_, is)| *is).map(|(d, _)| *d).collect()
    }

    proptest! {
        #[test]
        fn which_decisions_count_does_not_depend_on_the_order_or_on_duplicates(
            (decisions, shuffled) in decisions().prop_flat_map(|d| (Just(d.clone()), Just(d).prop_shuffle())),
            limit in 1u32..5, window_seconds in 1u32..200,
        ) {
            let cap = UserCap { decisions: limit, window_seconds };
            let mut twice = shuffled.clone();
            twice.extend(decisions.iter().take(10));
            prop_assert_eq!(set(&decisions, cap), set(&shuffled, cap));
            prop_assert_eq!(set(&decisions, cap), set(&twice, cap));
        }

        #[test]
        fn a_window_is_a_stretch_of_the_clock(at in -4_000_000_000i64..4_000_000_000, window_seconds in 1u32..200) {
            let cap = UserCap { decisions: 1, window_seconds };
            let (from, to) = cap.stretch(Timestamp(at));
            prop_assert!((from.0..to.0).contains(&at));
            let of = |at: i64| cap.window(Timestamp(at));
            prop_assert!(of(from.0) == of(at) && of(to.0 - 1) == of(at) && of(to.0) == of(at) + 1);
        }

        #[test]
        fn no_window_counts_more_than_the_cap_and_one_row_more_changes_at_most_one_other(
            decisions in decisions(), limit in 1u32..5, window_seconds in 1u32..200,
        ) {
            let cap = UserCap { decisions: limit, window_seconds };
            let all = set(&decisions, cap);
            let mut windows: HashMap<i64, u32> = HashMap::new();
            all.iter().for_each(|(at, _)| *windows.entry(cap.window(*at)).or_default() += 1);
            prop_assert!(windows.values().all(|n| *n <= limit));
            if let Some((_, fewer)) = decisions.split_last() {
                prop_assert!(set(fewer, cap).difference(&all).count() <= 1);
            }
            prop_assert!(counted(&decisions, UserCap::OFF).iter().all(|is| *is));
        }
    }
}
