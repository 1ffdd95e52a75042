//! How exactly edits are graded, and what a fingerprint gives away: see README.md beside this.

mod attack;
mod edits;
mod texts;

use std::time::Instant;

use clap::Parser;
use kalibr_core::ids::TraceId;
use kalibr_signals::edit::{Diff, similarity};
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
    #[arg(long, default_value_t = 20)]
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

type Estimate = fn(&Case) -> f64;

/// Errors of an estimate over these cases.
fn errors(cases: &[Case], estimate: Estimate, of: impl Fn(&Case) -> bool) -> Errors {
    Errors(cases.iter().filter(|case| of(case)).map(|case| estimate(case) - case.truth).collect())
}

fn main() -> std::io::Result<()> {
    let cli = Cli::parse();
    let mut out = std::io::stdout().lock();
    let language = Language::new();
    let cases = grade(&language, &cli);
    bars(&cases, &mut out)?;
    parts(&cases, &mut out)?;
    let mut rng = StdRng::seed_from_u64(cli.seed ^ 0xa77a);
    guessing(&language, &cli, &mut rng, &mut out)?;
    times(&language, &mut rng, &mut out)
}

fn bars(cases: &[Case], out: &mut impl std::io::Write) -> std::io::Result<()> {
    writeln!(
        out,
        "| estimate, {} edits | mean absolute error | bias | 95 % are within | bar | moonshot |\n|---|---|---|---|---|---|",
        cases.len()
    )?;
    let rows: [(&str, Estimate, f64, Option<f64>); 3] = [
        ("from a diff, the answer's fingerprint known", |case| case.from_diff, 0.01, None),
        ("from a diff alone that shows all lines", |case| case.from_lone_diff, 0.01, None),
        ("from fingerprints", |case| case.from_print, 0.08, Some(0.04)),
    ];
    for (name, estimate, bar, moonshot) in rows {
        let errors = errors(cases, estimate, |_| true);
        let verdict =
            |limit: f64| format!("<= {limit}: {}", if errors.mean() <= limit { "hit" } else { "MISSED" });
        writeln!(
            out,
            "| {name} | {:.4} | {:+.4} | {:.3} | {} | {} |",
            errors.mean(),
            errors.bias(),
            errors.quantile(0.95),
            verdict(bar),
            moonshot.map(verdict).unwrap_or_default()
        )?;
    }
    Ok(())
}

fn parts(cases: &[Case], out: &mut impl std::io::Write) -> std::io::Result<()> {
    const TRUTHS: [(f64, f64); 5] = [(0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 0.9), (0.9, 1.01)];
    writeln!(
        out,
        "\n| from fingerprints | mean absolute error | bias | 95 % are within |\n|---|---|---|---|"
    )?;
    let mut row = |name: String, of: &dyn Fn(&Case) -> bool| {
        let errors = errors(cases, |case| case.from_print, of);
        let (mean, bias, most) = (errors.mean(), errors.bias(), errors.quantile(0.95));
        writeln!(out, "| {name} | {mean:.4} | {bias:+.4} | {most:.3} |")
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
    for (low, high) in TRUTHS {
        row(format!("similarity {low} to {:.2}", high.min(1.0)), &|case| (low..high).contains(&case.truth))?;
    }
    Ok(())
}

fn guessing(
    language: &Language,
    cli: &Cli,
    rng: &mut StdRng,
    out: &mut impl std::io::Write,
) -> std::io::Result<()> {
    writeln!(
        out,
        "\n| words rebuilt by guessing, {} texts a row | insider: all | beyond the 1,000 most frequent | runs of 8, all \
         right | outsider: all | beyond | runs |\n|---|---|---|---|---|---|---|",
        cli.attacked
    )?;
    for words in [4, 16, 60, 240, 480, 2_000, 8_000] {
        let rebuilt = attack::attack(language, words, cli.attacked, rng);
        let [insider, outsider] = rebuilt.map(|rebuilt| {
            let (all, rare, runs) = (rebuilt.all.percent(), rebuilt.rare.percent(), rebuilt.runs.percent());
            format!("{all:.1} % | {rare:.1} % | {runs:.1} %")
        });
        writeln!(out, "| {words} | {insider} | {outsider} |")?;
    }
    Ok(())
}

fn times(language: &Language, rng: &mut StdRng, out: &mut impl std::io::Write) -> std::io::Result<()> {
    const RUNS: u32 = 20;
    writeln!(out, "\n| fingerprint of prose | ms |\n|---|---|")?;
    for tokens in [180, 18_000, 180_000] {
        let text = join(&text(language, Kind::Prose, tokens, rng), Kind::Prose);
        let started = Instant::now();
        for _ in 0..RUNS {
            std::hint::black_box(Fingerprint::of(&Key::new([7; 16]), &text));
        }
        let ms = started.elapsed().as_secs_f64() * 1e3 / f64::from(RUNS);
        writeln!(out, "| {} bytes | {ms:.3} |", text.len())?;
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
                            Diff::read(diff).ok().map(|diff| diff.similarity(tokens))
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
