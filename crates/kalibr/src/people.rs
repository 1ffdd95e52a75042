//! `kalibr erase` and `kalibr export`: the right to be forgotten, and to see first what would be.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use kalibr_engine::core::ids::SessionId;
use kalibr_engine::{Clock, Engine, ExportError, Held, Whose, moment};

/// Nothing else is queued: closing is quick.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whose data is meant: one of these.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Person {
    /// A session: its runs, and all that was said of them.
    #[arg(long)]
    session: Option<String>,
    /// A user: the runs made for this user, as `x-kalibr-user` or `user=` named them.
    #[arg(long)]
    user: Option<String>,
    /// A tenant: all runs of its goals. The tenant of a data folder is `default`.
    #[arg(long)]
    tenant: Option<String>,
}

/// What `kalibr erase` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Erase {
    #[command(flatten)]
    whose: Erased,
    /// Only count what would be erased.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Whose data is to be gone: one of these.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Erased {
    /// A session: its runs, and all that was said of them.
    #[arg(long)]
    session: Option<String>,
    /// A user: the runs made for this user, as `x-kalibr-user` or `user=` named them.
    #[arg(long)]
    user: Option<String>,
    /// A tenant: all runs of its goals. The tenant of a data folder is `default`.
    #[arg(long)]
    tenant: Option<String>,
    /// Everyone: all runs from before this moment (2026-11-01T00:00:00Z, or 90d for 90 days ago).
    #[arg(long)]
    before: Option<String>,
}

/// What `kalibr export` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    #[command(flatten)]
    whose: Person,
    /// The file to write, which must not exist yet; standard output unless given.
    #[arg(long)]
    output: Option<PathBuf>,
}

impl Erased {
    fn resolve(&self, engine: &Engine) -> anyhow::Result<Whose> {
        if let Some(before) = &self.before {
            let now = Clock::system().now();
            let moment = moment(before, now).map_err(anyhow::Error::msg)?;
            // A year that was mistyped would erase everyone.
            anyhow::ensure!(
                moment <= now,
                "--before names a moment that is still to come, which would erase everything: say --before 0h if that is meant"
            );
            return Ok(Whose::Before(moment));
        }
        whose(engine, self.session.as_deref(), self.user.as_deref(), self.tenant.as_deref())
    }
}

fn whose(
    engine: &Engine,
    session: Option<&str>,
    user: Option<&str>,
    tenant: Option<&str>,
) -> anyhow::Result<Whose> {
    match (session, user, tenant) {
        (Some(id), _, _) => Ok(Whose::Session(engine.session_hash(&SessionId::new(id)?))),
        (_, Some(id), _) => Ok(Whose::User(engine.user_hash(id))),
        (_, _, Some(name)) => Ok(Whose::Tenant(name.to_owned())),
        _ => anyhow::bail!("say whose: --session, --user or --tenant"),
    }
}

/// What the program ends with where nothing is stored of whom it was asked: an id that was mistyped is no success.
const NOTHING_STORED: u8 = 3;

/// Says so, and of whom.
fn nothing_stored(whose: &Whose) -> std::io::Result<ExitCode> {
    let of = match whose {
        Whose::Session(_) => "of this session",
        Whose::User(_) => "of this user",
        Whose::Tenant(_) => "of this tenant",
        Whose::Before(_) => "from before this moment",
    };
    writeln!(std::io::stderr(), "nothing is stored {of}: check what was given, and KALIBR_HOME")?;
    Ok(ExitCode::from(NOTHING_STORED))
}

const NO_LEDGER: &str = "there is no ledger in the data folder: check that KALIBR_HOME names the right one";

/// Counts, asks, erases. Not agreeing is no success, so that a script can tell.
pub(crate) fn erase(engine: Option<&Engine>, asked: &Erase) -> anyhow::Result<ExitCode> {
    let engine = engine.context(NO_LEDGER)?;
    let done = erase_on(engine, asked);
    engine.close(PATIENCE);
    done
}

fn erase_on(engine: &Engine, asked: &Erase) -> anyhow::Result<ExitCode> {
    let whose = asked.whose.resolve(engine)?;
    if asked.dry_run {
        let held = engine.held(&whose)?;
        say(held, None, asked.json)?;
        return Ok(if held.is_nothing() { nothing_stored(&whose)? } else { ExitCode::SUCCESS });
    }
    if !asked.yes {
        let held = engine.held(&whose)?;
        if held.is_nothing() {
            return Ok(nothing_stored(&whose)?);
        }
        if !agreed(held)? {
            writeln!(std::io::stderr(), "nothing was erased")?;
            return Ok(ExitCode::FAILURE);
        }
    }
    let erased = engine.erase(&whose)?;
    let scrubbed = erased.scrubbed || engine.scrub()?;
    say(erased.held, Some(scrubbed), asked.json)?;
    if erased.held.is_nothing() {
        return Ok(nothing_stored(&whose)?);
    }
    Ok(if scrubbed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn agreed(held: Held) -> anyhow::Result<bool> {
    let mut stdin = std::io::stdin().lock();
    anyhow::ensure!(
        stdin.is_terminal(),
        "this erases {}, for good: say --yes to do it, or --dry-run to only count",
        counted(held)
    );
    write!(std::io::stderr(), "Erase {}, for good? Type yes: ", counted(held))?;
    let mut answer = String::new();
    stdin.read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

fn counted(held: Held) -> String {
    let Held { decisions, attempts, signals, texts, fingerprints, steps } = held;
    format!(
        "{decisions} decisions, {attempts} attempts, {signals} signals, {texts} texts, {fingerprints} fingerprints and \
         {steps} steps of sessions"
    )
}

fn say(held: Held, scrubbed: Option<bool>, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    if json {
        let mut told = serde_json::to_value(held)?;
        if let Some(scrubbed) = scrubbed {
            told["scrubbed"] = scrubbed.into();
        }
        writeln!(out, "{told:#}")?;
        return Ok(());
    }
    match scrubbed {
        None => writeln!(out, "{} would be erased", counted(held))?,
        Some(true) => {
            writeln!(out, "{} are erased, and no file of the data folder holds a copy", counted(held))?;
        }
        Some(false) => writeln!(
            out,
            "{} are erased; the files may still hold copies, for another process is reading them: run the same command \
             again, or leave it to a running server",
            counted(held)
        )?,
    }
    Ok(())
}

/// Writes lines of JSON.
pub(crate) fn export(engine: Option<&Engine>, asked: &Export) -> anyhow::Result<ExitCode> {
    let engine = engine.context(NO_LEDGER)?;
    let done = export_from(engine, asked);
    engine.close(PATIENCE);
    done
}

fn export_from(engine: &Engine, asked: &Export) -> anyhow::Result<ExitCode> {
    let Person { session, user, tenant } = &asked.whose;
    let whose = whose(engine, session.as_deref(), user.as_deref(), tenant.as_deref())?;
    let mut out: Box<dyn std::io::Write> = match &asked.output {
        None => Box::new(std::io::BufWriter::new(std::io::stdout().lock())),
        Some(file) => Box::new(std::io::BufWriter::new(private(file)?)),
    };
    let mut any = false;
    let mut take = |line: &str| {
        any = true;
        out.write_all(line.as_bytes())
    };
    match engine.export(&whose, &mut take) {
        // Told as what it is, so that `kalibr export | head` is no failure.
        Err(ExportError::Io(error)) => return Err(error.into()),
        result => result?,
    }
    out.flush()?;
    Ok(if any { ExitCode::SUCCESS } else { nothing_stored(&whose)? })
}

/// A new file that only its owner can read.
fn private(file: &std::path::Path) -> anyhow::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(file)
        .with_context(|| format!("cannot create {}; name a file that does not exist", file.display()))
}
