//! What `bench/redaction` runs.
//!
//! `redact finds` reads a JSON object with `text` a line, and writes what is found in it as `[[start, end, "EMAIL"], ...]`.
//! `redact speed` reads a text and tells how fast it and texts made to be slow are redacted, a megabyte each.

use std::io::{BufWriter, Read, Write};
use std::time::Instant;

use kalibr_signals::redact::{finds, redact};

#[derive(serde::Deserialize)]
struct Row {
    text: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    match std::env::args().nth(1).as_deref() {
        Some("finds") => {
            for line in std::io::stdin().lines() {
                let row: Row = serde_json::from_str(&line?)?;
                let found: Vec<_> = finds(&row.text)
                    .into_iter()
                    .map(|find| (find.range.start, find.range.end, find.entity.name()))
                    .collect();
                serde_json::to_writer(&mut out, &found)?;
                out.write_all(b"\n")?;
            }
        }
        Some("speed") => {
            let mut prose = String::new();
            std::io::stdin().read_to_string(&mut prose)?;
            speed(&mut out, &prose)?;
        }
        _ => return Err("say `finds` or `speed`".into()),
    }
    Ok(out.flush()?)
}

/// A megabyte of each, and the half of it: what takes more than twice as long for twice the text is not linear.
fn speed(out: &mut impl Write, prose: &str) -> std::io::Result<()> {
    const MEGABYTE: usize = 1_000_000;
    redact("the first call compiles the patterns");
    writeln!(
        out,
        "\n## Speed, one megabyte at a time\n\n| text | ms | MB/s | ms of a half |\n|---|---|---|---|"
    )?;
    let made = [
        ("presidio's sentences, filled", prose),
        ("the same without digits", &prose.replace(|c: char| c.is_ascii_digit(), "")),
        ("digits", "4"),
        ("digits and spaces", "4111 "),
        ("dots and digits", "1."),
        ("colons", "1:"),
        ("at signs", "a@"),
        ("letters", "a"),
        ("dashes", "-----BEGIN PRIVATE KEY"),
        ("secrets without an end", "password=\""),
        ("web tokens without an end", "eyJhbGciOi"),
        ("capitals", "Dear Ada "),
        ("full-width digits", "４１"),
        ("placeholders", "[EMAIL]"),
    ];
    for (name, piece) in made {
        let text: String = piece.chars().cycle().take(if piece.is_empty() { 0 } else { MEGABYTE }).collect();
        let half: String = text.chars().take(MEGABYTE / 2).collect();
        let time = |text: &str| {
            let began = Instant::now();
            redact(text);
            began.elapsed().as_secs_f64() * 1_000.0
        };
        let (whole, half) = (time(&text), time(&half));
        let rate = text.len() as f64 / 1_000.0 / whole;
        writeln!(out, "| {name} | {whole:.0} | {rate:.1} | {half:.0} |")?;
    }
    let short = "Hi, the function from your last answer fails on an empty list, could you fix it and send the tests to ada@example.org? It is for 12 people by Friday, and the version is 3.2.1; thanks a lot for the help so far.";
    let began = Instant::now();
    for _ in 0..2_000 {
        redact(short);
    }
    writeln!(
        out,
        "\nA message of {} bytes with one find: {:.0} µs.",
        short.len(),
        began.elapsed().as_secs_f64() * 1e6 / 2_000.0
    )
}
