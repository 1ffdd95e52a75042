//! What training and measuring of the turn classifier need of Rust: see README.md beside this.

use std::io::{BufRead as _, BufWriter, Write as _};

use clap::{Parser, Subcommand};
use hdrhistogram::Histogram;
use kalibr_signals::turn::training::{self, NUMBERS};
use kalibr_signals::turn::{Prior, classify};
use serde::Deserialize;

const WARM_UP: usize = 2_000;

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Features of the rows on standard input: per row, little-endian, the number of pieces as u32, then slot (u32) and
    /// count (f32) of each, then the numbers (f32).
    Features,
    /// Verdicts on the rows on standard input, as JSON lines.
    Classify,
    /// How long a verdict takes: one timing per message and round, of messages of about 200 characters.
    Time {
        /// Timings, all in all.
        #[arg(long, default_value_t = 50_000)]
        rounds: usize,
        /// Characters of a message.
        #[arg(long, default_value_t = 200)]
        chars: usize,
    },
}

/// What is read of a row; whatever else it has is for others.
#[derive(Debug, Deserialize)]
struct Row {
    user_message: String,
    #[serde(default)]
    prior_output: Option<String>,
    #[serde(default)]
    prior_user_prompt: Option<String>,
}

impl Row {
    fn prior(&self) -> Prior {
        Prior::of(self.prior_user_prompt.as_deref(), self.prior_output.as_deref())
    }
}

fn rows() -> impl Iterator<Item = anyhow::Result<Row>> {
    std::io::stdin().lock().lines().map(|line| Ok(serde_json::from_str(&line?)?))
}

fn main() -> anyhow::Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    match Cli::parse().command {
        Command::Features => {
            for row in rows() {
                let row = row?;
                let features = training::row(&row.user_message, &row.prior().before());
                out.write_all(&u32::try_from(features.pieces.len())?.to_le_bytes())?;
                for (slot, value) in features.pieces {
                    out.write_all(&slot.to_le_bytes())?;
                    out.write_all(&value.to_le_bytes())?;
                }
                assert_eq!(features.numbers.len(), NUMBERS);
                for number in features.numbers {
                    out.write_all(&number.to_le_bytes())?;
                }
            }
        }
        Command::Classify => {
            for row in rows() {
                let row = row?;
                let verdict = classify(&row.user_message, &row.prior().before());
                serde_json::to_writer(&mut out, &verdict)?;
                out.write_all(b"\n")?;
            }
        }
        Command::Time { rounds, chars } => time(&mut out, rounds, chars)?,
    }
    Ok(out.flush()?)
}

/// Messages of one length from what comes in on standard input, with what came before them.
fn time(out: &mut impl std::io::Write, rounds: usize, chars: usize) -> anyhow::Result<()> {
    let mut messages = Vec::new();
    for row in rows() {
        let row = row?;
        let message: String = row.user_message.chars().chain(" ".chars()).cycle().take(chars).collect();
        messages.push((message, row.prior()));
    }
    anyhow::ensure!(!messages.is_empty(), "no rows on standard input: give it a data file");
    let mut taken = Histogram::<u64>::new_with_max(1_000_000_000, 3)?;
    let cold = WARM_UP / messages.len();
    for round in 0..=cold + rounds.div_ceil(messages.len()).max(1) {
        for (message, prior) in &messages {
            let start = std::time::Instant::now();
            let verdict = classify(std::hint::black_box(message), &prior.before());
            std::hint::black_box(verdict);
            let took = start.elapsed();
            if round > cold {
                taken.saturating_record(u64::try_from(took.as_nanos())?);
            }
        }
    }
    let at = |percentile| taken.value_at_quantile(percentile) as f64 / 1000.0;
    let summary = serde_json::json!({
        "messages": messages.len(), "characters": chars, "timings": taken.len(),
        "p50_us": at(0.5), "p90_us": at(0.9), "p99_us": at(0.99), "p99.9_us": at(0.999),
    });
    writeln!(out, "{summary}")?;
    Ok(())
}
