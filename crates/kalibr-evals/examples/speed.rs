//! How long checks take: `cargo run --release -p kalibr-evals --example speed`.
#![expect(clippy::print_stdout, reason = "it is what it is for")]

use std::time::{Duration, Instant};

use kalibr_evals::{Answer, Contract, Finish};

const PROSE: &str = "The river rose again in spring, and took the old bridge with it. Nobody was hurt; the town has asked for help. ";
const CODE: &str =
    "def total(items):\n    return sum(item.price * item.count for item in items if item.count > 0)\n\n";

/// The median of many runs.
fn median(work: impl Fn()) -> Duration {
    let mut took: Vec<Duration> = (0..41)
        .map(|_| {
            let began = Instant::now();
            work();
            began.elapsed()
        })
        .collect();
    took.sort();
    took[took.len() / 2]
}

fn main() {
    let rows = |bytes: usize| {
        let row = r#"{"name": "Ada Lovelace", "born": 1815, "city": "London"}"#;
        format!("[{}{row}]", format!("{row},").repeat(bytes / row.len()))
    };
    let prose = |bytes: usize| PROSE.repeat(bytes / PROSE.len() + 1);
    let code = |bytes: usize| format!("```python\n{}```", CODE.repeat(bytes / CODE.len() + 1));
    let schema = r#"{"json_schema": {"type": "array", "items": {"type": "object", "required": ["name", "born"],
        "properties": {"name": {"type": "string", "minLength": 1}, "born": {"type": "integer"}}}}}"#;
    for (what, contract, text) in [
        ("nothing declared", "", &prose as &dyn Fn(usize) -> String),
        ("JSON of a schema", schema, &rows),
        ("code_generation", "preset = \"code_generation\"", &code),
        ("summarization", "preset = \"summarization\"", &prose),
        (
            "language, sections, regex",
            "language = \"en\"\nsections = [\"Summary\"]\nregex = \"[0-9]+ %\"",
            &prose,
        ),
    ] {
        let contract = Contract::parse(contract).unwrap_or_else(|error| panic!("{what}: {error}"));
        for bytes in [1_000, 100_000, 1_000_000] {
            let (text, input) = (text(bytes), prose(4_000));
            let answer =
                Answer { text: Some(&text), finish: Finish::Stop, input: Some(&input), ..Answer::default() };
            let took = median(|| {
                std::hint::black_box(contract.check(&answer));
            });
            println!("{what:<28} {bytes:>9} bytes {:>10.1} µs", took.as_secs_f64() * 1e6);
        }
    }
}
