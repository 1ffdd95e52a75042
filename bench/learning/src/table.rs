//! Small tables for people at a terminal.

use std::io::{self, Write};

use crate::run::Played;
use crate::stats::{self, Estimate};

/// One world: a line for each policy, and how the first compares with it.
pub(crate) fn world(out: &mut impl Write, title: &str, played: &[Played]) -> io::Result<()> {
    writeln!(out, "{title}")?;
    let Some(first) = played.first() else { return Ok(()) };
    writeln!(
        out,
        "  {:40}{:>9} {:17}{:>6}{:>9}{:>8}{:>9}{:>7}{:>9}   {} / it",
        "", "regret", "", "best", "again", "quality", "$/1000", "alerts", "ms/run", first.name
    )?;
    let ours = first.each(|outcome| outcome.regret);
    for policy in played {
        if let Some(why) = &policy.failed {
            writeln!(out, "  {:40} failed: {why}", policy.name)?;
            continue;
        }
        let again: Vec<f64> = policy.outcomes.iter().filter_map(|outcome| outcome.led_again).collect();
        let again =
            if again.is_empty() { String::new() } else { format!("{:.0}", stats::median_of(&again).mean) };
        let regret = policy.each(|outcome| outcome.regret);
        let found = stats::mean_of(&regret);
        let ratio = stats::ratio(&ours[..regret.len().min(ours.len())], &regret);
        writeln!(
            out,
            "  {:40}{:9.1} {:17}{:6.2}{again:>9}{:8.4}{:9.2}{:7.2}{:9.1}   {:.3} {}",
            policy.name,
            found.mean,
            interval(found, 1),
            stats::mean(&policy.each(|outcome| outcome.best_share)),
            stats::mean(&policy.each(|outcome| outcome.quality)),
            1e3 * stats::mean(&policy.each(|outcome| outcome.dollars)),
            stats::mean(&policy.each(|outcome| f64::from(outcome.alerts))),
            1e3 * stats::mean(&policy.each(|outcome| outcome.seconds)),
            ratio.mean,
            interval(ratio, 3),
        )?;
    }
    out.flush()
}

/// Drawn worlds, those first in which the first policy does worst against the second, and then all of them together.
pub(crate) fn drawn(out: &mut impl Write, worlds: &mut [(String, Vec<Played>)]) -> io::Result<()> {
    let regret = |played: &[Played], at: usize| {
        played.get(at).map_or(f64::NAN, |policy| stats::mean(&policy.each(|outcome| outcome.regret)))
    };
    let behind = |played: &[Played]| regret(played, 0) / regret(played, 1);
    worlds.sort_by(|(_, a), (_, b)| behind(b).total_cmp(&behind(a)));
    for (title, played) in &*worlds {
        let regrets: Vec<String> =
            (0..played.len()).map(|at| format!("{:7.1}", regret(played, at))).collect();
        writeln!(out, "{:6.2} x {}   {title}", behind(played), regrets.join(" "))?;
    }
    let Some((_, first)) = worlds.first() else { return Ok(()) };
    for (at, rival) in first.iter().enumerate().skip(1) {
        let logs: Vec<f64> =
            worlds.iter().map(|(_, played)| (regret(played, 0) / regret(played, at)).ln()).collect();
        let of = |runs: &[usize]| (runs.iter().map(|&run| logs[run]).sum::<f64>() / runs.len() as f64).exp();
        let found = stats::bootstrap(logs.len(), of);
        let wins = logs.iter().filter(|log| **log < 0.0).count();
        writeln!(
            out,
            "  {} / {:40}{:.3} {}   {wins} of {}",
            first[0].name,
            rival.name,
            found.mean,
            interval(found, 3),
            logs.len()
        )?;
    }
    out.flush()
}

fn interval(found: Estimate, digits: usize) -> String {
    format!("[{:.digits$}, {:.digits$}]", found.low, found.high)
}
