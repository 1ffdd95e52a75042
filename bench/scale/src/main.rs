//! How much memory and time Kalibr takes when there is much of everything: see README.md beside this.

mod memory;
mod process;
mod rebuild;
mod synthetic;
mod traffic;

use std::io::Write as _;
use std::process::Command;

use clap::{Parser, Subcommand};

/// Measures memory and rebuild times against their bars, and prints a Markdown table.
#[derive(Debug, Parser)]
struct Cli {
    /// One part alone; all of them without.
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Memory of an engine that has loaded this many goals.
    Memory {
        #[arg(long, default_value_t = 100_000)]
        goals: u32,
    },
    /// Memory of an engine that has lived through the same traffic, change by change.
    Lived {
        #[arg(long, default_value_t = 5_000)]
        goals: u32,
    },
    /// Time to create goals one by one.
    Create {
        #[arg(long, default_value_t = 100_000)]
        goals: u32,
    },
    /// Time to load, check and rebuild from a ledger with this many decisions.
    Rebuild {
        #[arg(long, default_value_t = 1_000_000)]
        decisions: u32,
        #[arg(long, default_value_t = 10_000)]
        goals: u32,
    },
}

/// A row of the table: what, how much, the bar, the moonshot, and what became of it.
fn row(what: &str, measured: &str, value: f64, bars: Option<(f64, f64, &str)>) -> anyhow::Result<()> {
    let verdict = match bars {
        None => "| |".to_owned(),
        Some((bar, moonshot, unit)) => {
            let verdict = if value < moonshot {
                "moonshot"
            } else if value < bar {
                "hit"
            } else {
                "MISSED"
            };
            format!("< {bar} {unit} | < {moonshot} {unit} | {verdict}")
        }
    };
    Ok(writeln!(std::io::stdout(), "| {what} | {measured} | {verdict} |")?)
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().part {
        Some(Part::Memory { goals }) => memory::loaded(goals),
        Some(Part::Lived { goals }) => memory::lived(goals),
        Some(Part::Create { goals }) => memory::create(goals),
        Some(Part::Rebuild { decisions, goals }) => rebuild::rebuild(decisions, goals),
        None => all(),
    }
}

/// Each part in a process of its own: what one has allocated must not count for the next.
fn all() -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "| what | measured | bar | moonshot | |\n|---|---|---|---|---|")?;
    for part in [&["memory"][..], &["lived"], &["create"], &["rebuild"], &["rebuild", "--goals", "1"]] {
        let status = Command::new(std::env::current_exe()?).args(part).status()?;
        anyhow::ensure!(status.success(), "{part:?} failed");
    }
    Ok(())
}
