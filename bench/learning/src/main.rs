//! How well Kalibr learns, side by side with other learners fed the same streams: see README.md beside this.

mod bars;
mod limits;
mod markdown;
mod ours;
mod peers;
mod policies;
mod policy;
mod prompts;
mod real;
mod replaying;
mod run;
mod scenarios;
mod setup;
mod simulator;
mod stats;
mod table;
mod whole;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use ours::Settings;
use peers::Hosts;
use policies::Named;
use prompts::{Data, Prompts};
use run::{Runs, Seeds};
use simulator::Simulated;

/// Plays policies through scenarios and prints their regret.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    play: Play,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Everything: all bars, axes and parts, on the reported seeds, into one table.
    Whole(whole::Asked),
}

/// A few policies in a few worlds, for looking and tuning.
#[derive(Debug, Args)]
struct Play {
    /// Scenarios to play; see --list.
    #[arg(long, value_delimiter = ',')]
    scenario: Vec<String>,
    /// Worlds in which everything is drawn: their numbers, as 1000..1060. Figures are reported from 0..20, so tune on others.
    #[arg(long, value_parser = numbers)]
    drawn: Option<std::ops::Range<u64>>,
    /// Policies to compare; see --list. The first is compared with each of the others.
    #[arg(
        long,
        value_delimiter = ';',
        default_value = "kalibr;beta-ts;average;waiting;truth-ts;kalibr-like;track-and-stop;uniform"
    )]
    policies: Vec<String>,
    /// Runs of each.
    #[arg(long, default_value_t = 40)]
    runs: usize,
    /// Which seeds.
    #[arg(long, value_enum, default_value = "tuning")]
    seeds: Seeds,
    /// Runs at once.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// A setting of ours, key=value; may be given again. `--policies 'kalibr;kalibr:floor=0'` compares two.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// A folder that data.py wrote: its prompts are played too.
    #[arg(long)]
    data: Vec<PathBuf>,
    /// A Python that has other libraries: `peers` among the policies then stands for all that peers.py has there.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Says what there is to choose from.
    #[arg(long)]
    list: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    if let Some(Part::Whole(asked)) = cli.part {
        return Ok(if whole::run(asked)? { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    play(&cli.play)?;
    Ok(ExitCode::SUCCESS)
}

fn play(cli: &Play) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if cli.list || cli.scenario.is_empty() && cli.data.is_empty() && cli.drawn.is_none() {
        return Ok(list(&mut out)?);
    }
    let mut settings = Settings::default();
    for setting in &cli.settings {
        settings.set(setting)?;
    }
    let mut policies = Vec::new();
    for name in &cli.policies {
        match (&cli.python, name.as_str()) {
            (Some(python), "peers") => policies.extend(peers_of(python)?),
            _ => policies.push(Named::parse(name, &settings)?),
        }
    }
    let runs = Runs { seeds: cli.seeds, count: cli.runs, threads: cli.threads };
    for name in &cli.scenario {
        let scenario = scenarios::named(name)?;
        let played = run::all(|seed| Simulated::new(scenario.clone(), seed), &policies, runs);
        let title = format!("{name}: {} ({} runs of {})", scenario.about, cli.runs, scenario.decisions);
        table::world(&mut out, &title, &played)?;
    }
    for folder in &cli.data {
        let data = Arc::new(Data::load(folder)?);
        let played = run::all(|seed| Prompts::new(Arc::clone(&data), seed), &policies, runs);
        let title = format!("{}: {} ({} runs)", data.name, data.models.join(", "), cli.runs);
        table::world(&mut out, &title, &played)?;
    }
    if let Some(numbers) = cli.drawn.clone() {
        let mut worlds = Vec::new();
        for scenario in numbers.map(scenarios::random) {
            let played = run::all(|seed| Simulated::new(scenario.clone(), seed), &policies, runs);
            worlds.push((format!("{}: {}", scenario.name, scenario.about), played));
        }
        table::drawn(&mut out, &mut worlds)?;
    }
    Ok(())
}

fn numbers(text: &str) -> anyhow::Result<std::ops::Range<u64>> {
    let (first, end) = text.split_once("..").context("two numbers as in 1000..1060")?;
    Ok(first.parse()?..end.parse()?)
}

/// All policies of other libraries that this Python has; what it has not is named on the way.
fn peers_of(python: &Path) -> anyhow::Result<Vec<Named>> {
    let hosts = Hosts::new(python.to_owned(), setup::folder().join("peers.py"));
    let listing = hosts.list()?;
    for missing in &listing.missing {
        writeln!(std::io::stderr(), "{} is missing: {}", missing.name, missing.why)?;
    }
    let others = listing.algorithms.iter().filter(|algorithm| algorithm.name != "uniform");
    Ok(others.map(|algorithm| Named::peer(&algorithm.name, &hosts, None)).collect())
}

fn list(out: &mut impl std::io::Write) -> std::io::Result<()> {
    writeln!(out, "scenarios")?;
    for scenario in scenarios::every() {
        writeln!(out, "  {:24}{}", scenario.name, scenario.about)?;
    }
    writeln!(out, "policies")?;
    for (name, about) in policies::NAMES {
        writeln!(out, "  {name:24}{about}")?;
    }
    writeln!(out, "settings of ours")?;
    for (key, about) in ours::SETTINGS {
        writeln!(out, "  {key:24}{about}")?;
    }
    out.flush()
}
