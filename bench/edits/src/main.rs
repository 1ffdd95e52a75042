//! How exactly edits are graded, and what a fingerprint gives away: see README.md beside this.

mod attack;
mod edits;
mod texts;

use std::io::Write as _;
use std::time::Instant;

use clap::Parser;
use kalibr_core::ids::TraceId;
use kalibr_signals::edit::{similarity, similarity_from_diff};
use kalibr_signals::fingerprint::{Fingerprint, Key};
use rand::SeedableRng;
use rand::rngs::StdRng;

use edits::{EDITS, SIZES, edited};
use texts::{KINDS, Kind, Language, join, text};

/// Tokens of the texts.
const LENGTHS: [usize; 7] = [3, 10, 40, 150, 600, 2_500, 10_000];

/// Measures edit grading against true token similarity, and a guessing attack, and prints Markdown tables.
#[derive(Debug, Parser)]
struct Cli {
    /// Texts of each kind, length, edit and size.
    #[arg(long, default_value_t = 10)]
    texts: usize,
    /// Texts of each length that are attacked.
    #[arg(long, default_value_t = 40)]
    attacked: usize,
    /// Where the texts start.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Errors of one kind of estimate.
#[derive(Default, Clone)]
struct Errors(Vec<f64>);

impl Errors {
    fn mean(&self) -> f64 {
        self.0.iter().map(|error| error.abs()).sum::<f64>() / self.0.len().max(1) as f64
    }

    fn bias(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len().max(1) as f64
    }

    fn quantile(&self, q: f64) -> f64 {
        let mut sorted: Vec<f64> = self.0.iter().map(|error| error.abs()).collect();
        sorted.sort_by(f64::total_cmp);
        sorted
            .get(((sorted.len() as f64 * q) as usize).min(sorted.len().saturating_sub(1)))
            .copied()
            .unwrap_or(0.0)
    }
}

/// One edit, and how it was graded.
struct Case {
    kind: Kind,
    length: usize,
    edit: edits::Edit,
    truth: f64,
    from_print: f64,
    from_diff: f64,
    from_lone_diff: f64,
}

fn main() -> std::io::Result<()> {
    let cli = Cli::parse();
    let mut out = std::io::stdout().lock();
    let language = Language::new();
    let cases = grade(&language, &cli);
    let all = |estimate: fn(&Case) -> f64, of: &dyn Fn(&Case) -> bool| {
        Errors(cases.iter().filter(|case| of(case)).map(|case| estimate(case) - case.truth).collect())
    };
    let print = |case: &Case| case.from_print;
    writeln!(
        out,
        "| estimate, {} edits | mean absolute error | bias | 95 % are within | bar | moonshot |",
        cases.len()
    )?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    let rows: [(&str, fn(&Case) -> f64, f64, Option<f64>); 3] = [
        ("from a diff, the answer's fingerprint known", |case| case.from_diff, 0.01, None),
        ("from a diff alone (all lines shown)", |case| case.from_lone_diff, 0.01, None),
        ("from fingerprints", print, 0.08, Some(0.04)),
    ];
    for (name, estimate, bar, moonshot) in rows {
        let errors = all(estimate, &|_| true);
        let verdict = |limit: f64| if errors.mean() <= limit { "hit" } else { "MISSED" };
        let moonshot = moonshot.map_or(String::new(), |limit| format!("<= {limit}: {}", verdict(limit)));
        writeln!(
            out,
            "| {name} | {:.4} | {:+.4} | {:.3} | <= {bar}: {} | {moonshot} |",
            errors.mean(),
            errors.bias(),
            errors.quantile(0.95),
            verdict(bar)
        )?;
    }
    writeln!(
        out,
        "\nFrom fingerprints, by what was edited:\n\n| | mean absolute error | bias | 95 % are within |\n|---|---|---|---|"
    )?;
    let mut row = |name: String, of: &dyn Fn(&Case) -> bool| {
        let errors = all(print, of);
        writeln!(
            out,
            "| {name} | {:.4} | {:+.4} | {:.3} |",
            errors.mean(),
            errors.bias(),
            errors.quantile(0.95)
        )
    };
    for kind in KINDS {
        row(format!("{kind:?}"), &|case| case.kind == kind)?;
    }
    for length in LENGTHS {
        row(format!("{length} tokens"), &|case| case.length == length)?;
    }
    for edit in EDITS {
        row(format!("{edit:?}"), &|case| case.edit == edit)?;
    }
    for (low, high) in [(0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 0.9), (0.9, 1.01)] {
        row(format!("truth {low} to {:.2}", f64::min(high, 1.0)), &|case| (low..high).contains(&case.truth))?;
    }
    writeln!(out, "\nWords rebuilt by guessing, {} texts of each length:\n", cli.attacked)?;
    writeln!(
        out,
        "| words | insider: all | beyond the 1,000 most frequent | runs of 8, all right | outsider: all | beyond | runs |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    let mut rng = StdRng::seed_from_u64(cli.seed ^ 0xa77a);
    for words in [4, 16, 60, 240, 480, 2_000, 8_000] {
        let [insider, outsider] = attack::attack(&language, words, cli.attacked, &mut rng);
        let percents = |r: attack::Rebuilt| {
            format!("{:.1} % | {:.1} % | {:.1} %", r.all.percent(), r.rare.percent(), r.runs.percent())
        };
        writeln!(out, "| {words} | {} | {} |", percents(insider), percents(outsider))?;
    }
    writeln!(out, "\n| fingerprint of | ms |\n|---|---|")?;
    for (name, tokens) in [("1 kB", 180), ("100 kB", 18_000), ("1 MB", 180_000)] {
        let text = join(&text(&language, Kind::Prose, tokens, &mut rng), Kind::Prose);
        let started = Instant::now();
        let runs = 20;
        for _ in 0..runs {
            std::hint::black_box(Fingerprint::of(&Key::new([7; 16]), &text));
        }
        let ms = started.elapsed().as_secs_f64() * 1e3 / f64::from(runs);
        writeln!(out, "| {name} of prose ({} bytes) | {ms:.3} |", text.len())?;
    }
    Ok(())
}

fn grade(language: &Language, cli: &Cli) -> Vec<Case> {
    let mut rng = StdRng::seed_from_u64(cli.seed);
    let mut cases = Vec::new();
    for kind in KINDS {
        for length in LENGTHS {
            // The long ones take the time, and scatter less.
            let texts = if length > 1_000 { cli.texts.div_ceil(3) } else { cli.texts };
            for round in 0..texts {
                let key = Key::new([3; 16]).of_run(TraceId::from_bytes([round as u8 + 1; 16]));
                let before = text(language, kind, length, &mut rng);
                let written = join(&before, kind);
                let print = Fingerprint::of(&key, &written);
                for edit in EDITS {
                    for share in SIZES {
                        let after = join(&edited(language, kind, &before, (edit, share), &mut rng), kind);
                        let diff = similar::TextDiff::from_lines(&written, &after);
                        let short = diff.unified_diff().context_radius(3).to_string();
                        let whole = diff.unified_diff().context_radius(1 << 30).to_string();
                        let read = |diff: &str, tokens| {
                            // A diff that is too long is refused, and grades nothing.
                            similarity_from_diff(diff, tokens).ok()
                        };
                        let truth = similarity(&written, &after);
                        let (Some(from_diff), Some(from_lone_diff)) =
                            (read(&short, Some(print.tokens())), read(&whole, None))
                        else {
                            continue;
                        };
                        let from_print = print.edit_similarity(&Fingerprint::of(&key, &after));
                        cases.push(Case { kind, length, edit, truth, from_print, from_diff, from_lone_diff });
                    }
                }
            }
        }
    }
    cases
}
