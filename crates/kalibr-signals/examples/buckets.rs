//! Classes prompts from standard input (one JSON string a line) into buckets, one name a line; `bench/buckets` measures
//! with it. With the argument `time` it prints how long classing takes instead, for prompts of several lengths.

use std::io::{BufRead, Write};
use std::time::Instant;

use kalibr_signals::bucket::{Offer, classify};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    if std::env::args().nth(1).as_deref() == Some("time") {
        return time(&mut out);
    }
    for line in std::io::stdin().lock().lines() {
        let prompt: String = serde_json::from_str(&line?)?;
        let class = classify(Offer { text_bytes: prompt.len(), ..Offer::default() }, [&prompt]);
        writeln!(out, "{}", class.map_or("all", |class| class.as_str()))?;
    }
    Ok(())
}

/// Texts of prose, code and Chinese, each of about `bytes` bytes, none of which gives its topic away early.
fn prompts(bytes: usize) -> [(&'static str, String); 3] {
    let prose =
        "We walked along the river until the light was gone, and she told me of the house by the sea. ";
    let code = "fn add(a: u32, b: u32) -> u32 {\n    let sum = a + b;\n    sum\n}\n";
    let chinese = "我们沿着河边走，直到天黑，她给我讲了海边的那座房子。";
    [("prose", prose), ("code", code), ("chinese", chinese)].map(|(name, text)| {
        (
            name,
            text.chars()
                .cycle()
                .scan(0, |size, c| {
                    *size += c.len_utf8();
                    (*size <= bytes).then_some(c)
                })
                .collect(),
        )
    })
}

fn time(out: &mut impl Write) -> Result<(), Box<dyn std::error::Error>> {
    const CALLS: usize = 200_000;
    writeln!(out, "{:>10} {:>9} {:>9} {:>9} {:>9}", "text", "bytes", "p50 ns", "p99 ns", "max ns")?;
    for bytes in [200, 2_000, 20_000] {
        for (name, prompt) in prompts(bytes) {
            let mut took: Vec<u64> = (0..CALLS)
                .map(|_| {
                    let start = Instant::now();
                    std::hint::black_box(classify(Offer::default(), [std::hint::black_box(&prompt)]));
                    start.elapsed().as_nanos() as u64
                })
                .collect();
            took.sort_unstable();
            let (p50, p99, max) = (took[CALLS / 2], took[CALLS * 99 / 100], took[CALLS - 1]);
            writeln!(out, "{name:>10} {bytes:>9} {p50:>9} {p99:>9} {max:>9}")?;
        }
    }
    Ok(())
}
