//! `kalibr doctor`: whether what was learned is what happened.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use kalibr_engine::{Checkup, Home, checkup};

/// Fails when something is wrong and was not repaired, so that a script can tell.
pub(crate) fn doctor(home: &Home, repair: bool, json: bool) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        home.ledger().exists(),
        "there is no ledger in the data folder: check that KALIBR_HOME names the right one"
    );
    let found = checkup(home, repair)?;
    let text = if json { serde_json::to_string_pretty(&found)? + "\n" } else { text(&found) };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(if found.wrong == 0 || found.repaired { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(found: &Checkup) -> String {
    let Checkup { decisions, counters, wrong, .. } = found;
    if *wrong == 0 {
        return format!("counters agree with the facts: {counters} counters, {decisions} decisions\n");
    }
    let what = if *wrong == 1 { "counter does" } else { "counters do" };
    let mut text = format!("{wrong} {what} not agree with the facts of {decisions} decisions\n");
    for counter in &found.examples {
        let goal = counter.goal.as_ref().map_or("a goal that is gone", |goal| goal.as_str());
        let (count, how) =
            (counter.attempts.abs(), if counter.attempts < 0 { "too many" } else { "missing" });
        let pipeline = counter.pipeline.as_ref().map_or_else(String::new, |id| format!(", pipeline {id}"));
        let _ = writeln!(
            text,
            "  {goal}{pipeline}, bucket {}, epoch {}, {}: {count} attempts {how}, strength off by {:.2}",
            counter.bucket, counter.epoch, counter.path, -counter.strength
        );
    }
    if *wrong > found.examples.len() as u64 {
        text += "  and more\n";
    }
    text += if found.repaired {
        "repaired: they agree now, and running processes follow\n"
    } else {
        "put them right with `kalibr doctor --repair`; a copy of the data folder beforehand does no harm\n"
    };
    text
}
