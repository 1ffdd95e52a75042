//! What the classifier model may cost in a day.

use kalibr_core::ids::Timestamp;

const DAY: i64 = 24 * 3_600_000_000;

/// Dollars and calls of one day (in UTC), as integers. What a call may cost is taken before it is made, so that calls that
/// are made at once never exceed the limit together; what it did not cost is given back.
#[derive(Debug)]
pub(super) struct Budget {
    /// Nano-dollars a day.
    limit: i64,
    /// Calls a day whose cost is not known.
    most_unpriced: u64,
    day: i64,
    spent: i64,
    unpriced: u64,
}

/// What was taken for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    day: i64,
    /// Nano-dollars; `None` where nobody knows what the call costs.
    most: Option<i64>,
}

impl Budget {
    pub(super) fn new(dollars: f64, most_unpriced: u64) -> Self {
        Self { limit: (dollars * 1e9).round() as i64, most_unpriced, day: 0, spent: 0, unpriced: 0 }
    }

    /// Takes what a call may cost at most; `None` when the day's budget does not allow for it.
    pub(super) fn take(&mut self, now: Timestamp, most: Option<i64>) -> Option<Taken> {
        self.turn_to(now);
        let taken = Taken { day: self.day, most };
        match most {
            Some(most) if self.spent.saturating_add(most) > self.limit => None,
            Some(most) => {
                self.spent += most;
                Some(taken)
            }
            None if self.unpriced >= self.most_unpriced => None,
            None => {
                self.unpriced += 1;
                Some(taken)
            }
        }
    }

    /// The call cost this much, in nano-dollars; what was taken for it where that is not known.
    pub(super) fn cost(&mut self, taken: Taken, cost: Option<i64>) {
        if let (true, Some(most), Some(cost)) = (taken.day == self.day, taken.most, cost) {
            self.spent += cost - most;
        }
    }

    /// The call cost nothing: it was refused.
    pub(super) fn give_back(&mut self, taken: Taken) {
        if taken.day == self.day {
            self.spent -= taken.most.unwrap_or(0);
            self.unpriced -= u64::from(taken.most.is_none());
        }
    }

    /// Dollars spent, and calls of unknown cost made, on the day of `now`.
    pub(super) fn today(&mut self, now: Timestamp) -> (f64, u64) {
        self.turn_to(now);
        (self.spent as f64 / 1e9, self.unpriced)
    }

    fn turn_to(&mut self, now: Timestamp) {
        let day = now.0.div_euclid(DAY);
        if day != self.day {
            (self.day, self.spent, self.unpriced) = (day, 0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_new_day_has_a_new_budget_and_is_not_charged_for_calls_of_the_day_before() {
        let mut budget = Budget::new(1e-6, 1);
        let late = budget.take(Timestamp(DAY - 1), Some(1_000)).unwrap();
        assert_eq!(budget.take(Timestamp(DAY - 1), Some(1)), None);
        assert!(budget.take(Timestamp(DAY), Some(600)).is_some());
        budget.cost(late, Some(900));
        budget.give_back(late);
        assert_eq!(budget.today(Timestamp(DAY)), (600e-9, 0));
    }

    #[test]
    fn calls_of_unknown_cost_stop_at_their_number_and_leave_the_dollars_alone() {
        let mut budget = Budget::new(1.0, 2);
        let now = Timestamp(5);
        let first = budget.take(now, None).unwrap();
        assert!(budget.take(now, None).is_some());
        assert_eq!(budget.take(now, None), None);
        budget.give_back(first);
        assert!(budget.take(now, None).is_some());
        assert_eq!(budget.today(now), (0.0, 2));
    }

    proptest! {
        #[test]
        fn whatever_is_taken_and_settled_in_any_order_the_day_never_costs_more_than_the_limit(
            calls in prop::collection::vec((0i64..400, 0.0..=1.0f64, any::<bool>()), 0..40),
        ) {
            let mut budget = Budget::new(1e-6, 0);
            let (mut open, mut truly) = (Vec::new(), 0);
            for (most, part, settle) in calls {
                if let Some(taken) = budget.take(Timestamp(0), Some(most)) {
                    open.push((taken, (most as f64 * part) as i64));
                }
                if settle && let Some((taken, cost)) = open.pop() {
                    budget.cost(taken, Some(cost));
                    truly += cost;
                }
                prop_assert!(truly <= 1_000);
                prop_assert!(budget.today(Timestamp(0)).0 <= 1e-6 + 1e-15);
            }
        }
    }
}
