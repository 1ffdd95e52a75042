//! `kalibr classify`: how a follow-up message reads.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use kalibr_engine::signals::turn::{Prior, Thresholds, Told, classify_with};
use serde::Deserialize;
use serde_json::error::Category;

/// Clues that are shown to people; the rest decides little.
const SHOWN: usize = 6;

/// What `kalibr classify` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The message.
    #[arg(required_unless_present = "input", allow_hyphen_values = true)]
    message: Option<String>,
    /// The answer that it follows.
    #[arg(long)]
    prior: Option<String>,
    /// The request before that answer.
    #[arg(long)]
    prior_prompt: Option<String>,
    /// Classify rows of JSON lines, with user_message and, if known, prior_output and prior_user_prompt; - is standard
    /// input. Writes a row for each, in their order; blank lines are skipped.
    #[arg(long, conflicts_with_all = ["message", "prior", "prior_prompt", "json"])]
    input: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A row of the input. Other fields are the caller's own.
#[derive(Deserialize)]
struct Row {
    user_message: String,
    prior_output: Option<String>,
    prior_user_prompt: Option<String>,
}

pub(crate) fn classify(asked: &Arguments, thresholds: &Thresholds) -> anyhow::Result<ExitCode> {
    if let Some(file) = &asked.input {
        return rows(file, thresholds);
    }
    let message = asked.message.as_deref().context("give a message, or a file with --input")?;
    let told = read(message, asked.prior_prompt.as_deref(), asked.prior.as_deref(), thresholds);
    let text = if asked.json { serde_json::to_string_pretty(&told)? + "\n" } else { text(&told) };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn read(message: &str, prompt: Option<&str>, answer: Option<&str>, thresholds: &Thresholds) -> Told {
    classify_with(message, &Prior::of(prompt, answer).before(), thresholds).into()
}

fn rows(file: &Path, thresholds: &Thresholds) -> anyhow::Result<ExitCode> {
    let name = if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() };
    let input: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        let opened = std::fs::File::open(file)
            .with_context(|| format!("cannot read {name}; name a file of JSON lines"))?;
        Box::new(BufReader::new(opened))
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let result = input.lines().enumerate().try_for_each(|(index, line)| {
        let place = || format!("{name}, line {}", index + 1);
        let line = line.with_context(|| format!("{}: it is not UTF-8, or cannot be read", place()))?;
        // Spreadsheets and editors on Windows begin a file with a byte order mark.
        let line = if index == 0 { line.trim_start_matches('\u{feff}') } else { &line };
        if line.trim().is_empty() {
            return Ok(());
        }
        let row: Row = serde_json::from_str(line).map_err(|error| {
            // The parser's own words may repeat what a user wrote.
            let what = match error.classify() {
                Category::Data => {
                    "user_message must be a text, and prior_output and prior_user_prompt texts or null"
                }
                _ => "this is no JSON object; write one row to a line",
            };
            anyhow::anyhow!("{}, column {}: {what}", place(), error.column())
        })?;
        let told = read(
            &row.user_message,
            row.prior_user_prompt.as_deref(),
            row.prior_output.as_deref(),
            thresholds,
        );
        serde_json::to_writer(&mut out, &told).map_err(std::io::Error::from)?;
        out.write_all(b"\n").map_err(Into::into)
    });
    // What was read before a bad row is written all the same.
    out.flush()?;
    result.map(|()| ExitCode::SUCCESS)
}

fn text(told: &Told) -> String {
    let mut text = told.label.as_str().to_owned();
    text.push_str(if told.asserted { ", and sure enough to be a signal" } else { ", and no signal" });
    if let Some(dimension) = told.dimension {
        let _ = write!(text, "; it is about {}", dimension.as_str());
    }
    let of = &told.probabilities;
    for (name, probability) in
        [("acceptance", of.acceptance), ("rejection", of.rejection), ("continuation", of.continuation)]
    {
        let _ = write!(text, "\n  {name:<13}{probability:.3}");
    }
    let shown = told.reasons.iter().filter(|reason| reason.contribution.abs() >= 0.05).take(SHOWN);
    let clues: Vec<String> =
        shown.map(|reason| format!("{} {:+.1}", reason.clue.as_str(), reason.contribution)).collect();
    if !clues.is_empty() {
        let _ = write!(text, "\n  decided by   {}", clues.join(", "));
    }
    text.push('\n');
    text
}
