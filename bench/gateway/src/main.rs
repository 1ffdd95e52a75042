//! What a gateway costs a request, ours beside a bare proxy and others: see README.md beside this.

mod bare;
mod ledger;
mod load;
mod memory;
mod mock;
mod peers;
mod process;
mod rows;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use load::{Shape, Until};
use peers::{Peer, Places, Running};
use rows::Rows;

/// A user's message in a small body, and in a large one.
const SIZES: [usize; 2] = [200, 100_000];

/// Measures gateways side by side in front of a fixed-reply mock, and prints Markdown tables and bars.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    /// The program to measure: a release build.
    #[arg(long, default_value = "target/release/kalibr")]
    kalibr: PathBuf,
    /// Where the others are installed.
    #[arg(long, default_value = "target/bench-gateway")]
    peers: PathBuf,
    /// Install the others first, from PyPI and npm.
    #[arg(long)]
    install: bool,
    /// Ours and the bare proxy only, few short slices: a smoke test.
    #[arg(long)]
    quick: bool,
    /// Measure ours and the bare proxy only.
    #[arg(long)]
    ours: bool,
    /// Rounds; each has one slice of every gateway and shape.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long a slice takes.
    #[arg(long, default_value_t = 1_000)]
    slice_ms: u64,
    /// Instead: memory over so many requests.
    #[arg(long, value_name = "REQUESTS")]
    soak: Option<u64>,
    /// Instead: memory while so many streams are read slowly.
    #[arg(long, value_name = "STREAMS")]
    slow_streams: Option<usize>,
    /// How long the slow streams are read.
    #[arg(long, default_value_t = 20)]
    slow_seconds: u64,
}

/// What runs in a process of its own, so that its processor time is its own.
#[derive(Debug, Subcommand)]
enum Part {
    /// The provider.
    #[command(hide = true)]
    Mock { port: u16 },
    /// The bare proxy.
    #[command(hide = true)]
    Bare { port: u16, to: u16 },
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    match cli.part {
        // One thread each for what is not measured: two cores are shared.
        Some(Part::Mock { port }) => {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(mock::serve(port))?;
        }
        // As ours has it.
        Some(Part::Bare { port, to }) => tokio::runtime::Runtime::new()?.block_on(bare::serve(port, to))?,
        None => {
            return tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(bench(&cli));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

async fn bench(cli: &Cli) -> anyhow::Result<ExitCode> {
    if cli.install {
        peers::install(&cli.peers)?;
    }
    let scratch = tempfile::tempdir()?;
    let places = Places {
        kalibr: std::path::absolute(&cli.kalibr)?,
        peers: std::path::absolute(&cli.peers)?,
        scratch: scratch.path().to_owned(),
    };
    if let Some(why) = peers::skipped(Peer::Learning, &places) {
        anyhow::bail!("{why}; build it with: cargo build --release -p kalibr");
    }
    let mock = process::free_port()?;
    let direct = peers::start(Peer::Direct, &places, mock)?;
    let (text, sound) = if let Some(requests) = cli.soak {
        memory::soak(&places, mock, requests).await?
    } else if let Some(streams) = cli.slow_streams {
        memory::slow_streams(&places, mock, streams, Duration::from_secs(cli.slow_seconds)).await?
    } else {
        measure(cli, &places, mock, direct).await?
    };
    say(&text)?;
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn shapes() -> Vec<Shape> {
    let mut shapes = Vec::new();
    for connections in [1, 32] {
        for stream in [false, true] {
            shapes.extend(SIZES.map(|size| Shape { connections, stream, size }));
        }
    }
    shapes
}

async fn measure(cli: &Cli, places: &Places, mock: u16, direct: Running) -> anyhow::Result<(String, bool)> {
    let peers: &[Peer] = if cli.quick || cli.ours { &Peer::OURS } else { &Peer::ALL };
    let mut running = vec![direct];
    for &peer in peers.iter().filter(|&&peer| peer != Peer::Direct) {
        match peers::skipped(peer, places) {
            Some(why) => say(&why)?,
            None => match peers::start(peer, places, mock) {
                Ok(started) => running.push(started),
                Err(error) if !Peer::OURS.contains(&peer) => {
                    say(&format!("{}: skipped, {error}", peer.name()))?;
                }
                Err(error) => return Err(error),
            },
        }
    }
    let shapes = shapes();
    let (rounds, slice) = if cli.quick { (2, 200) } else { (cli.rounds, cli.slice_ms) };
    let until = Until::Elapsed(Duration::from_millis(slice));
    let mut rows = Rows::default();
    let mut expected: BTreeMap<Peer, u64> = BTreeMap::new();
    for _ in 0..rounds {
        for (at, &shape) in shapes.iter().enumerate() {
            for gateway in &running {
                let slice = load::run(&gateway.door, shape, until).await?;
                rows.add(at, gateway.peer, &slice);
                if let Some(path) = &gateway.ledger {
                    let expected = expected.entry(gateway.peer).or_default();
                    *expected += slice.sent;
                    let held = ledger::settled(path, *expected).await?;
                    if held != *expected {
                        rows.void(
                            at,
                            gateway.peer,
                            format!("{held} decisions of {expected} requests are in the ledger"),
                        );
                        *expected = held;
                    }
                }
            }
        }
    }
    let mut text = String::new();
    for (at, &shape) in shapes.iter().enumerate() {
        text += &rows.table(at, &rows::name(shape));
    }
    text += &rows.bars(&shapes);
    Ok((text, !rows.any_void()))
}
