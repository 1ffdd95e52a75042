//! How long it takes to class a request's body: `cargo run --release -p kalibr-engine --example bucket_time`.
//!
//! Three kinds of text, each as one message and as a talk of many; reading the body itself is there to compare with.

use std::io::Write;
use std::time::Instant;

use kalibr_engine::bucket_of;
use kalibr_engine::upstream::ChatRequest;
use serde_json::json;

const PROSE: &str =
    "We walked along the river until the light was gone, and she told me of \"the house\" by the sea.\n";
const CODE: &str = "fn add(a: u32, b: u32) -> u32 {\n    let sum = a + b;\n    sum\n}\n";
const CHINESE: &str = "我们沿着河边走，直到天黑，她给我讲了海边的那座房子。";

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let (p50, p99) = ("p50 ns", "p99 ns");
    writeln!(
        out,
        "{:>10} {:>9} {:>9} {p50:>9} {p99:>9} {:>12}",
        "text", "bytes", "messages", "parse p50 ns"
    )?;
    for bytes in [200, 2_000, 100_000] {
        for (name, piece) in [("prose", PROSE), ("code", CODE), ("chinese", CHINESE)] {
            let text = piece.repeat(bytes / piece.len() + 1);
            let talk: Vec<_> =
                std::iter::repeat_n(json!({ "role": "user", "content": piece }), bytes / piece.len())
                    .collect();
            for messages in [json!([{ "role": "user", "content": text }]), json!(talk)] {
                let count = messages.as_array().map_or(0, Vec::len);
                let body = json!({ "model": "goal:g", "messages": messages }).to_string();
                let calls = if bytes > 10_000 { 5_000 } else { 100_000 };
                let parsed = ChatRequest::parse(body.as_bytes()).map_err(std::io::Error::other)?;
                let class = percentiles(calls, || bucket_of(&parsed));
                let parse = percentiles(calls / 10, || ChatRequest::parse(body.as_bytes()));
                let (p50, p99) = class;
                writeln!(out, "{name:>10} {bytes:>9} {count:>9} {p50:>9} {p99:>9} {:>12}", parse.0)?;
            }
        }
    }
    Ok(())
}

/// Median and 99th percentile of the calls, in nanoseconds.
fn percentiles<T>(calls: usize, call: impl Fn() -> T) -> (u64, u64) {
    let mut took: Vec<u64> = (0..calls)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(call());
            start.elapsed().as_nanos() as u64
        })
        .collect();
    took.sort_unstable();
    (took[calls / 2], took[calls * 99 / 100])
}
