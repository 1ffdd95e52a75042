//! `kalibr replay`: what another policy would have earned.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use kalibr_engine::core::ids::Goal;
use kalibr_engine::core::objective::Price;
use kalibr_engine::core::replay::{Estimate, Policy};
use kalibr_engine::{Clock, Engine, ReplayOptions, ReplayReport, moment, replay_lines};

const PATIENCE: Duration = Duration::from_secs(1);

/// What `kalibr replay` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The goal whose log is replayed.
    #[arg(required_unless_present = "input")]
    goal: Option<Goal>,
    /// The policy: always:MODEL, best-per-bucket, uniform, delta:0.05 or half-life:400.
    #[arg(long, required_unless_present = "export")]
    policy: Option<Policy>,
    /// Only decisions from this moment on count (2026-11-01T00:00:00Z, 7d, 12h); earlier ones teach.
    #[arg(long)]
    since: Option<String>,
    /// The most decisions that are read, the latest.
    #[arg(long, default_value_t = ReplayOptions::default().most)]
    most: usize,
    /// What a model costs, for delta: MODEL=INPUT,OUTPUT in dollars per million tokens. May be given again.
    #[arg(long = "price", value_parser = price)]
    prices: Vec<(String, Price)>,
    /// Replay a log of JSON lines instead of the ledger; - is standard input.
    #[arg(long, conflicts_with_all = ["goal", "export", "prices"])]
    input: Option<PathBuf>,
    /// Write the goal's log as JSON lines, for --input or other tools, instead of replaying it.
    #[arg(long, conflicts_with_all = ["policy", "json"])]
    export: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn price(text: &str) -> Result<(String, Price), String> {
    let parts = text.rsplit_once('=').and_then(|(model, price)| {
        let (input, output) = price.split_once(',')?;
        let price = Price { input: input.trim().parse().ok()?, output: output.trim().parse().ok()? };
        Some((model.to_owned(), price)).filter(|(model, _)| !model.is_empty())
    });
    let (model, price) = parts.ok_or("a price is MODEL=INPUT,OUTPUT, such as gpt-4o=2.5,10")?;
    price.problem().map_or(Ok((model, price)), |problem| Err(problem.to_owned()))
}

/// `open` is asked for an engine where the ledger is needed.
pub(crate) fn replay(
    asked: Arguments,
    open: impl FnOnce() -> anyhow::Result<Option<Engine>>,
) -> anyhow::Result<ExitCode> {
    let since = asked.since.as_deref().map(|text| moment(text, Clock::system().now()));
    let since = since.transpose().map_err(anyhow::Error::msg)?;
    let options = ReplayOptions { since, most: asked.most, prices: asked.prices.into_iter().collect() };
    if let (Some(file), Some(policy)) = (&asked.input, &asked.policy) {
        return say(&replay_lines(lines(file)?, policy, &options)?, asked.json);
    }
    let goal = asked.goal.context("name a goal, or a file with --input")?;
    let engine = open()?.with_context(|| {
        format!("there is no goal named {goal}: the data folder has no ledger; check that KALIBR_HOME names the right one")
    })?;
    let result = match &asked.policy {
        Some(policy) => {
            engine.replay(&goal, policy, &options).map_err(Into::into).and_then(|r| say(&r, asked.json))
        }
        None => export(&engine, &goal, &options),
    };
    engine.close(PATIENCE);
    result
}

fn lines(file: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if file == Path::new("-") {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    let opened = std::fs::File::open(file).with_context(|| {
        format!("cannot read {}; name a log that kalibr replay --export wrote", file.display())
    })?;
    Ok(Box::new(BufReader::new(opened)))
}

fn export(engine: &Engine, goal: &Goal, options: &ReplayOptions) -> anyhow::Result<ExitCode> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    match engine.export_log(goal, options, &mut |line| out.write_all(line.as_bytes())) {
        // Told as what it is, so that `kalibr replay g --export | head` is no failure.
        Err(kalibr_engine::ReplayError::Io(error)) => return Err(error.into()),
        result => result?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn say(report: &ReplayReport, json: bool) -> anyhow::Result<ExitCode> {
    let text = if json { serde_json::to_string_pretty(report)? + "\n" } else { text(report) };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn text(report: &ReplayReport) -> String {
    let goal = report.goal.as_ref().map_or_else(|| "the log".to_owned(), |goal| format!("goal {goal}"));
    let mut text = format!("{goal}, {}\n", report.policy);
    let share = 100.0 * report.graded as f64 / (report.decisions as f64).max(1.0);
    let _ = writeln!(
        text,
        "  {} decisions in which it could have been followed, {} of them graded ({share:.1} %)",
        report.decisions, report.graded
    );
    if let Some(done) = report.done {
        let _ = writeln!(text, "  success of what was done      {done:.3}");
    }
    if let Some(worth) = &report.worth {
        let between = |e: &Estimate, plus: bool| {
            if plus {
                format!("{:+.3}   95 % interval {:+.3} to {:+.3}", e.value, e.low, e.high)
            } else {
                format!("{:.3}    95 % interval {:.3} to {:.3}", e.value, e.low, e.high)
            }
        };
        let _ = writeln!(text, "  success of this policy        {}", between(&worth.value, false));
        let _ = writeln!(text, "  difference                   {}", between(&worth.difference, true));
        let _ = writeln!(
            text,
            "  effective decisions           {:.0}; by other estimates: IPS {:.3}, SNIPS {:.3}, doubly robust {:.3}",
            report.effective, worth.ips, worth.snips, worth.dr
        );
        let verdict = if worth.difference.low > 0.0 {
            "it would have done better than what was done"
        } else if worth.difference.high < 0.0 {
            "it would have done worse than what was done"
        } else {
            "the log cannot tell it from what was done"
        };
        let _ = writeln!(text, "  {verdict}");
    }
    if let Some(refused) = &report.refused {
        let _ = writeln!(text, "  {}", refused.message);
    }
    for (count, what) in [
        (report.unsupported, "in which its path could not be chosen"),
        (report.not_drawn, "that were forced or only observed"),
        (report.malformed, "whose numbers cannot be right"),
        (report.duplicates, "that came more than once"),
    ] {
        if count > 0 {
            let _ = writeln!(text, "  left out: {count} {what}");
        }
    }
    if report.unanswered > 0 {
        let _ = writeln!(text, "  not graded: {} whose first attempt brought no answer", report.unanswered);
    }
    for note in &report.notes {
        let _ = writeln!(text, "  note: {note}");
    }
    text
}
