//! The bars: what was promised, what was measured, and what became of it.

use serde::Serialize;

use crate::stats::Estimate;

/// What was promised.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Bar {
    /// What is measured.
    pub(crate) what: &'static str,
    /// What must be reached.
    pub(crate) at_most: f64,
    /// What was hoped for.
    pub(crate) moonshot: f64,
    /// What even a quick run must reach.
    pub(crate) band: f64,
    /// In what it is told.
    pub(crate) unit: &'static str,
}

/// All bars that are measured here. Less is better on every one.
pub(crate) const DRIFT: Bar = Bar {
    what: ".80 to .40 to .80 drift, total regret against Beta Thompson",
    at_most: 0.30,
    moonshot: 0.20,
    band: 0.45,
    unit: "x",
};
pub(crate) const AGAIN: Bar = Bar {
    what: "decisions until a recovered path leads again, median",
    at_most: 600.0,
    moonshot: 300.0,
    band: 900.0,
    unit: "",
};
pub(crate) const STILL: Bar = Bar {
    what: "nothing changes, regret against Beta Thompson",
    at_most: 3.0,
    moonshot: 1.6,
    band: 4.0,
    unit: "x",
};
pub(crate) const JUDGED: Bar = Bar {
    what: "8 goals, judge favours the second best, 5 % actions: regret against averaging the signals",
    at_most: 0.60,
    moonshot: 0.40,
    band: 0.9,
    unit: "x",
};
pub(crate) const UNBIASED: Bar =
    Bar { what: "the same with an unbiased judge", at_most: 1.20, moonshot: 1.05, band: 1.7, unit: "x" };
pub(crate) const REVISED: Bar = Bar {
    what: "one path's successes revised to failure 22 % of the time: against waiting for the full window",
    at_most: 0.85,
    moonshot: 0.70,
    band: 2.0,
    unit: "x",
};
/// No promise, a row beside: what the maturity model earns when all else is the same.
pub(crate) const REVISED_OURS: Bar = Bar {
    what: "the same against our own learner that waits for the full window (no promise: the maturity model alone)",
    at_most: 1.0,
    moonshot: 0.85,
    band: 2.0,
    unit: "x",
};
pub(crate) const QUALITY: Bar = Bar {
    what: "real prompts at delta 0: how far below the best peer's interval",
    at_most: 0.0,
    moonshot: 0.0,
    band: 0.02,
    unit: "",
};
pub(crate) const COST: Bar = Bar {
    what: "real prompts, cost at equal quality against Beta Thompson",
    at_most: 0.75,
    moonshot: 0.60,
    band: 1.5,
    unit: "x",
};
pub(crate) const REPLAY: Bar = Bar {
    what: "replayed value of \"always the second model\", RMSE at 1 % floor",
    at_most: 0.03,
    moonshot: 0.02,
    band: 0.08,
    unit: "",
};

/// What became of a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// More than was promised.
    Moonshot,
    /// What was promised.
    Hit,
    /// Less.
    Missed,
    /// Could not be measured; the note says why.
    Unmeasured,
}

/// A bar with what was measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// What was promised.
    #[serde(flatten)]
    pub(crate) bar: Bar,
    /// What was measured, with its 95 % interval.
    pub(crate) measured: Option<Estimate>,
    /// What became of it.
    pub(crate) verdict: Verdict,
    /// How it was measured, in numbers; or why it was not.
    pub(crate) note: String,
}

impl Row {
    /// Judges by the estimate itself; its interval is shown beside it.
    pub(crate) fn of(bar: Bar, measured: Estimate, note: String) -> Self {
        let verdict = if measured.mean <= bar.moonshot {
            Verdict::Moonshot
        } else if measured.mean <= bar.at_most {
            Verdict::Hit
        } else if measured.mean.is_nan() {
            Verdict::Unmeasured
        } else {
            Verdict::Missed
        };
        Self { bar, measured: Some(measured), verdict, note }
    }

    /// Nothing could be measured.
    pub(crate) fn unmeasured(bar: Bar, why: String) -> Self {
        Self { bar, measured: None, verdict: Verdict::Unmeasured, note: why }
    }

    /// Whether even the wide band of a quick run is broken; what could not be measured breaks it too. A bar that was missed
    /// without a number (a quality that is never reached has no cost) is for the other bars' bands to judge.
    pub(crate) fn breaks_band(&self) -> bool {
        match self.measured {
            Some(measured) => measured.mean.is_nan() || measured.mean > self.bar.band,
            None => self.verdict == Verdict::Unmeasured,
        }
    }

    /// The row as Markdown.
    pub(crate) fn markdown(&self) -> String {
        let Bar { what, at_most, moonshot, unit, .. } = self.bar;
        let digits = if at_most >= 10.0 { 0 } else { 3 };
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        let measured = self.measured.map_or_else(
            || "not measured".to_owned(),
            |m| format!("**{:.digits$}**{unit} [{:.digits$}, {:.digits$}]", m.mean, m.low, m.high),
        );
        let verdict = match self.verdict {
            Verdict::Moonshot => "moonshot",
            Verdict::Hit => "hit",
            Verdict::Missed => "**MISSED**",
            Verdict::Unmeasured => "**NOT MEASURED**",
        };
        format!(
            "| {what} | <= {at_most}{unit} | <= {moonshot}{unit} | {measured} | {verdict} | {} |",
            self.note
        )
    }
}

/// Rows that other programs measure, with the command.
pub(crate) const ELSEWHERE: [(&str, &str, &str, &str); 4] = [
    (
        "state after shuffled, duplicated, revised signals against clean replay",
        "identical, 10,000 cases",
        "",
        "`cargo test -p kalibr-core -p kalibr-store --test replay`",
    ),
    (
        "`decide`, 8 paths, in process, p99 over 10,000,000 calls",
        "< 2 µs without bucketing, < 10 µs with",
        "< 0.5 µs",
        "`cargo run --release -p kalibr-decide`",
    ),
    (
        "memory for 100,000 goals x 4 paths",
        "< 2 GiB",
        "< 600 MiB",
        "`cargo run --release -p kalibr-scale -- memory`",
    ),
    (
        "rebuild of all state from 1,000,000 decisions and 300,000 signals",
        "< 10 s",
        "< 3 s",
        "`cargo run --release -p kalibr-scale -- rebuild`",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn row(mean: f64) -> Row {
        Row::of(DRIFT, Estimate { mean, low: mean, high: mean }, String::new())
    }

    #[test]
    fn a_bar_that_is_missed_says_so() {
        assert_eq!(row(0.2).verdict, Verdict::Moonshot);
        assert_eq!(row(0.3).verdict, Verdict::Hit);
        assert_eq!(row(0.301).verdict, Verdict::Missed);
        assert!(row(0.301).markdown().contains("MISSED"));
        assert!(!row(0.301).breaks_band() && row(0.46).breaks_band());
    }

    #[test]
    fn what_was_not_measured_is_no_success() {
        assert_eq!(row(f64::NAN).verdict, Verdict::Unmeasured);
        assert!(row(f64::NAN).breaks_band());
        assert!(Row::unmeasured(COST, "why".into()).breaks_band());
    }
}
