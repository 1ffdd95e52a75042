//! How well Kalibr learns, side by side with other learners fed the same streams: see README.md beside this.

mod ours;
mod policies;
mod policy;
mod run;
mod scenarios;
mod simulator;
mod stats;
mod table;

use clap::Parser;

use ours::Settings;
use policies::Named;
use run::Seeds;

/// Plays policies through scenarios and prints their regret.
#[derive(Debug, Parser)]
struct Cli {
    /// Scenarios to play; see --list.
    #[arg(long, value_delimiter = ',', default_values_t = ["drift".to_owned(), "stationary".to_owned()])]
    scenario: Vec<String>,
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
    /// Says what there is to choose from.
    #[arg(long)]
    list: bool,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let mut out = std::io::stdout().lock();
    if cli.list {
        return Ok(list(&mut out)?);
    }
    let mut settings = Settings::default();
    for setting in &cli.settings {
        settings.set(setting)?;
    }
    let policies: Vec<Named> =
        cli.policies.iter().map(|name| Named::parse(name, &settings)).collect::<anyhow::Result<_>>()?;
    for name in &cli.scenario {
        let scenario = scenarios::named(name)?;
        let outcomes = run::all(&scenario, &policies, cli.seeds, cli.runs, cli.threads);
        table::scenario(&mut out, &scenario, &policies, &outcomes)?;
    }
    Ok(())
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
