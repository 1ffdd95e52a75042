//! How long a decision takes, with its record enqueued: see README.md beside this.

use std::io::Write as _;
use std::time::Duration;

use clap::Parser;
use hdrhistogram::Histogram;
use kalibr_engine::core::ids::Goal;
use kalibr_engine::core::path::PathSpec;
use kalibr_engine::signals::vocabulary;
use kalibr_engine::upstream::ChatRequest;
use kalibr_engine::{
    Buckets, Config, DecideRequest, Engine, EngineConfig, GoalSettings, Home, PathUpdate, Run, SignalMeta,
    bucket_of,
};
use quanta::Clock;

/// Paths of the goal.
const PATHS: usize = 8;
/// Calls between two looks at the writer's queue.
const CHUNK: u64 = 256;
/// Records that may wait before the caller pauses, and how few must be left before it goes on. The queue takes 65,536.
const QUEUE: (usize, usize) = (8_192, 2_048);
/// Calls that are made of a writer that sleeps, a millisecond apart.
const LONE_CALLS: u64 = 10_000;
const PATIENCE: Duration = Duration::from_mins(2);

/// Measures `decide` in process, on the real engine and the real ledger, and prints a Markdown table.
#[derive(Debug, Parser)]
struct Cli {
    /// Calls of each row.
    #[arg(long, default_value_t = 10_000_000)]
    calls: u64,
    /// After so many calls a new data folder is begun, so that the ledger does not fill the disk.
    #[arg(long, default_value_t = 1_000_000)]
    calls_per_ledger: u64,
}

/// A row under way.
struct Row {
    clock: Clock,
    times: Histogram<u64>,
    dropped: u64,
    lost: u64,
}

impl Row {
    fn new(clock: &Clock) -> anyhow::Result<Self> {
        Ok(Self { clock: clock.clone(), times: Histogram::new(3)?, dropped: 0, lost: 0 })
    }

    fn time<T>(&mut self, call: impl FnOnce() -> T) -> anyhow::Result<T> {
        let begun = self.clock.raw();
        let done = call();
        let ended = self.clock.raw();
        self.times.record(self.clock.delta_as_nanos(begun, ended))?;
        Ok(done)
    }

    fn print(&self, what: &str, bar: Option<(f64, f64)>) -> anyhow::Result<()> {
        let micros = |quantile: f64| self.times.value_at_quantile(quantile) as f64 / 1e3;
        let p99 = micros(0.99);
        let verdict = match bar {
            _ if self.dropped + self.lost > 0 => "VOID: records are missing".to_owned(),
            None => "| |".to_owned(),
            Some((bar, moonshot)) => {
                let verdict = if p99 < moonshot {
                    "moonshot"
                } else if p99 < bar {
                    "hit"
                } else {
                    "MISSED"
                };
                format!("p99 < {bar} µs | p99 < {moonshot} µs | {verdict}")
            }
        };
        Ok(writeln!(
            std::io::stdout(),
            "| {what} | {} | {:.3} | {:.3} | {p99:.3} | {:.3} | {} | {verdict} |",
            self.times.len(),
            micros(0.5),
            micros(0.9),
            micros(0.999),
            self.dropped,
        )?)
    }
}

/// An engine on a fresh ledger, with a goal that has learned something.
struct Bench {
    engine: Engine,
    request: DecideRequest,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn open(buckets: Buckets) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = EngineConfig {
            seed: Some(1),
            ..EngineConfig::new(Home::at(folder.path()), &Config::default(), &|_| None)?
        };
        let engine = Engine::open(config)?;
        let goal = Goal::new("bench")?;
        let paths =
            (0..PATHS).map(|i| PathSpec::model(&format!("model-{i}"))).collect::<Result<Vec<_>, _>>()?;
        let settings = GoalSettings { buckets, ..GoalSettings::default() };
        engine.put_goal(&goal, &settings, &paths, PathUpdate::Replace)?;
        let request = DecideRequest::of(goal);
        let (good, bad) = (vocabulary::lookup("user_accepted")?, vocabulary::lookup("user_rejected")?);
        for call in 0..400_usize {
            let decision = engine.decide(&request)?;
            let rank = paths.iter().position(|path| path.id() == decision.path_id).unwrap_or_default();
            let kind = if call * 7 % PATHS >= rank { good } else { bad };
            let run = Run::Trace(decision.trace);
            engine.send(vec![engine.signal(run, kind, None, None, SignalMeta::default())?])?;
            if call % 25 == 0 {
                anyhow::ensure!(engine.flush(PATIENCE), "the ledger is too slow");
            }
        }
        anyhow::ensure!(engine.flush(PATIENCE), "the ledger is too slow");
        Ok(Self { engine, request, _folder: folder })
    }

    /// Lets the writer catch up, so that no record is refused.
    fn pace(&self) {
        if self.engine.health().waiting > QUEUE.0 {
            while self.engine.health().waiting > QUEUE.1 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn close(self, row: &mut Row) -> anyhow::Result<()> {
        anyhow::ensure!(self.engine.flush(PATIENCE), "the ledger is too slow");
        let health = self.engine.health();
        row.dropped += health.dropped;
        row.lost += health.lost;
        self.engine.close(PATIENCE);
        Ok(())
    }
}

/// Calls in a tight loop while the writer commits what they enqueue.
fn busy(
    cli: &Cli,
    row: &mut Row,
    buckets: Buckets,
    call: impl Fn(&Engine, &DecideRequest) -> bool,
) -> anyhow::Result<()> {
    let mut left = cli.calls;
    while left > 0 {
        let bench = Bench::open(buckets)?;
        let mut here = left.min(cli.calls_per_ledger);
        left -= here;
        while here > 0 {
            let chunk = here.min(CHUNK);
            for _ in 0..chunk {
                anyhow::ensure!(row.time(|| call(&bench.engine, &bench.request))?, "a decision failed");
            }
            here -= chunk;
            bench.pace();
        }
        bench.close(row)?;
    }
    Ok(())
}

/// Some 2 kB of a conversation, whose class only its words tell.
fn body() -> anyhow::Result<ChatRequest> {
    let story =
        "The committee met on Tuesday and went through the list of repairs, one house after the other. ";
    let text = format!("{}\\nWhat should we tell the tenants?", story.repeat(19));
    let body = format!(r#"{{"model": "goal:bench", "messages": [{{"role": "user", "content": "{text}"}}]}}"#);
    Ok(ChatRequest::parse(body.as_bytes())?)
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let clock = Clock::new();
    let mut out = std::io::stdout();
    writeln!(out, "| what | calls | p50 µs | p90 µs | p99 µs | p99.9 µs | dropped | bar | moonshot | |")?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|")?;

    let mut row = Row::new(&clock)?;
    for _ in 0..cli.calls {
        row.time(|| ())?;
    }
    row.print("nothing: the timer itself", None)?;

    let mut row = Row::new(&clock)?;
    busy(&cli, &mut row, Buckets::Off, |engine, request| engine.decide(request).is_ok())?;
    row.print("decide, without bucketing", Some((2.0, 0.5)))?;

    let body = body()?;
    let mut row = Row::new(&clock)?;
    busy(&cli, &mut row, Buckets::Auto, |engine, request| {
        let request = DecideRequest { bucket: bucket_of(&body), ..request.clone() };
        engine.decide(&request).is_ok()
    })?;
    row.print("decide, a body of 2 kB classed", Some((10.0, 0.5)))?;

    let mut row = Row::new(&clock)?;
    let bench = Bench::open(Buckets::Off)?;
    for _ in 0..LONE_CALLS {
        std::thread::sleep(Duration::from_millis(1));
        anyhow::ensure!(row.time(|| bench.engine.decide(&bench.request).is_ok())?, "a decision failed");
    }
    bench.close(&mut row)?;
    row.print("decide, one a millisecond: the writer sleeps and is woken", None)?;
    Ok(())
}
