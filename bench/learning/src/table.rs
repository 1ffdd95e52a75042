//! Small tables for people at a terminal.

use std::io::{self, Write};

use crate::policies::Named;
use crate::run::Outcome;
use crate::simulator::Scenario;
use crate::stats::{self, Estimate};

/// One scenario: a line for each policy, and how the first compares with it.
pub(crate) fn scenario(
    out: &mut impl Write,
    scenario: &Scenario,
    policies: &[Named],
    outcomes: &[Vec<Outcome>],
) -> io::Result<()> {
    let runs = outcomes.first().map_or(0, Vec::len);
    writeln!(out, "{}: {} ({runs} runs of {} decisions)", scenario.name, scenario.about, scenario.decisions)?;
    let first = policies.first().map_or("", |policy| policy.name.as_str());
    writeln!(
        out,
        "  {:40}{:>9} {:17}{:>6}{:>9}{:>9}   {first} / it",
        "", "regret", "", "best", "again", "ms/run"
    )?;
    let of =
        |index: usize, number: fn(&Outcome) -> f64| outcomes[index].iter().map(number).collect::<Vec<f64>>();
    let regret: Vec<Vec<f64>> =
        (0..policies.len()).map(|index| of(index, |outcome| outcome.regret)).collect();
    for (index, policy) in policies.iter().enumerate() {
        let again: Vec<f64> = outcomes[index].iter().filter_map(|outcome| outcome.led_again).collect();
        let again =
            if again.is_empty() { String::new() } else { format!("{:.0}", stats::median_of(&again).mean) };
        let found = stats::mean_of(&regret[index]);
        let ratio = stats::ratio(&regret[0], &regret[index]);
        writeln!(
            out,
            "  {:40}{:9.1} {:17}{:6.2}{again:>9}{:9.1}   {:.3} {}",
            policy.name,
            found.mean,
            interval(found, 1),
            stats::mean(&of(index, |outcome| outcome.best_share)),
            1e3 * stats::mean(&of(index, |outcome| outcome.seconds)),
            ratio.mean,
            interval(ratio, 3),
        )?;
    }
    out.flush()
}

fn interval(found: Estimate, digits: usize) -> String {
    format!("[{:.digits$}, {:.digits$}]", found.low, found.high)
}
