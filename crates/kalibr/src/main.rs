//! `kalibr`: a self-hosted LLM gateway that learns from what users did with an answer.

mod change;
mod classify;
mod demo;
mod doctor;
mod people;
mod replay;
mod serve;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use kalibr_engine::core::ids::Goal;
use kalibr_engine::signals::turn::Thresholds;
use kalibr_engine::{Config, Engine, EngineConfig, Home};

/// Route each request to the model, tools and parameters that have been working for real users.
#[derive(Debug, Parser)]
#[command(name = "kalibr", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Serve {
        /// Where to listen; a loopback address. [default: 127.0.0.1:8600, or the configuration's]
        #[arg(long)]
        listen: Option<String>,
        /// The configuration file. [default: kalibr.toml in the data folder, if there is one]
        #[arg(long, env = "KALIBR_CONFIG")]
        config: Option<PathBuf>,
    },
    /// Show learning happen, without a key and without a network.
    Demo {
        /// Print one JSON object instead of drawing.
        #[arg(long)]
        json: bool,
        /// Keep the server up afterwards, until Ctrl-C.
        #[arg(long)]
        serve: bool,
    },
    /// List the goals and what was learned of their paths.
    Goals {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Freeze a goal: it routes by what is known now and learns nothing, until it is thawed.
    Freeze {
        /// Its name.
        goal: Goal,
    },
    /// Let a frozen goal learn again.
    Thaw {
        /// Its name.
        goal: Goal,
    },
    /// Let a goal learn from scratch. What happened stays in the ledger.
    Reset {
        /// Its name.
        goal: Goal,
        /// Undo the last reset instead.
        #[arg(long)]
        undo: bool,
    },
    /// Let a goal that was rolled back to its baseline follow what is learned again.
    Resume {
        /// Its name.
        goal: Goal,
    },
    /// Tell what was known, what was chosen, what came of it, and what that changed.
    Explain {
        /// A decision's trace id, or an id that its session was anchored with.
        trace_id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Tell what another policy would have earned, from the log and its exact probabilities.
    Replay(replay::Arguments),
    /// Erase what is somebody's: gone from the ledger, and from what was learned. Exits with 3 where nothing is stored.
    Erase(people::Erase),
    /// Write all that is held of somebody, as lines of JSON: what `kalibr erase` would erase. Exits with 3 where nothing is.
    Export(people::Export),
    /// Tell how a follow-up message reads: does it accept the answer before it, reject it, or just go on.
    Classify(classify::Arguments),
    /// Check that what was learned is what happened: count everything again from the facts and compare.
    Doctor {
        /// Put wrong counters right. Nothing need be stopped.
        #[arg(long)]
        repair: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("KALIBR_LOG").unwrap_or_else(|_| "warn".into()),
        )
        .init();
    let result = match Cli::parse().command {
        Command::Serve { listen, config } => serve::serve(listen.as_deref(), config.as_deref()),
        Command::Demo { json, serve } => demo::demo(json, serve),
        Command::Goals { json } => open().and_then(|engine| show::goals(engine.as_ref(), json)),
        Command::Freeze { goal } => {
            open().and_then(|engine| change::change(engine.as_ref(), &goal, change::FREEZE))
        }
        Command::Thaw { goal } => {
            open().and_then(|engine| change::change(engine.as_ref(), &goal, change::THAW))
        }
        Command::Reset { goal, undo } => {
            let what = if undo { change::UNDO_RESET } else { change::RESET };
            open().and_then(|engine| change::change(engine.as_ref(), &goal, what))
        }
        Command::Resume { goal } => {
            open().and_then(|engine| change::change(engine.as_ref(), &goal, change::RESUME))
        }
        Command::Explain { trace_id, json } => {
            open().and_then(|engine| show::explain(engine.as_ref(), &trace_id, json))
        }
        Command::Replay(asked) => replay::replay(asked, open),
        Command::Erase(asked) => open().and_then(|engine| people::erase(engine.as_ref(), &asked)),
        Command::Export(asked) => open().and_then(|engine| people::export(engine.as_ref(), &asked)),
        Command::Classify(asked) => thresholds().and_then(|sure| classify::classify(&asked, &sure)),
        Command::Doctor { repair, json } => {
            Home::from_env(&env).map_err(Into::into).and_then(|home| doctor::doctor(&home, repair, json))
        }
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            // Reading `kalibr goals | head` to its end is no failure.
            if error
                .downcast_ref::<std::io::Error>()
                .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
            {
                return ExitCode::SUCCESS;
            }
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("kalibr: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The configuration: the named file, which must exist, or the data folder's own, which need not.
fn config(home: &Home, file: Option<&std::path::Path>) -> anyhow::Result<Config> {
    let default = home.config();
    Ok(Config::load(file.unwrap_or(&default), file.is_some())?)
}

/// How sure a message must be to become a signal, by the configuration.
fn thresholds() -> anyhow::Result<Thresholds> {
    let file = env("KALIBR_CONFIG").map(PathBuf::from);
    let config = config(&Home::from_env(&env)?, file.as_deref())?;
    Ok(Thresholds::for_precision(config.turns.precision))
}

/// An engine on the data folder of this user; `None` where there is no ledger yet. Looking must not create one: a
/// mistyped folder would look like an empty installation.
fn open() -> anyhow::Result<Option<Engine>> {
    let home = Home::from_env(&env)?;
    if !home.ledger().exists() {
        return Ok(None);
    }
    let file = env("KALIBR_CONFIG").map(PathBuf::from);
    let config = config(&home, file.as_deref())?;
    Engine::open(EngineConfig::new(home, &config, &env)?).map(Some).context("cannot start")
}
