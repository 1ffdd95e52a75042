//! What a whole run needs besides Rust: a Python with the other libraries, and the real prompts.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

/// Where the Python half lies.
pub(crate) fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Makes a virtual environment in `at`, or uses the one that is there, and installs what a requirements file lists.
///
/// # Errors
/// When there is no Python with venv, or a package cannot be fetched after several tries.
pub(crate) fn python(at: &Path, requirements: &str) -> anyhow::Result<PathBuf> {
    let python = at.join("bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(at)).context(
            "no virtual environment could be made: install Python 3.11 or later with venv, or name one with --python",
        )?;
    }
    let file = folder().join(requirements);
    retried(|| {
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(&file))
    })?;
    Ok(python)
}

/// Prepares the real prompts in `cache`; those that are there already are left alone.
///
/// # Errors
/// When data.py fails: without a network, say, and nothing in the cache.
pub(crate) fn data(python: &Path, cache: &Path, zeroeval: Option<&Path>) -> anyhow::Result<Vec<PathBuf>> {
    let command = || {
        let mut command = Command::new(python);
        command.arg(folder().join("data.py")).arg(cache);
        if let Some(file) = zeroeval {
            command.arg("--zeroeval").arg(file);
        }
        command
    };
    retried(|| run(&mut command()))?;
    let mut sets = vec![cache.join("paretobandit")];
    if zeroeval.is_some() {
        sets.push(cache.join("zeroeval"));
    }
    Ok(sets)
}

/// Draws the pictures of some results.
///
/// # Errors
/// When plots.py fails: without matplotlib, say.
pub(crate) fn pictures(python: &Path, results: &Path, to: &Path) -> anyhow::Result<()> {
    run(Command::new(python).arg(folder().join("plots.py")).arg(results).arg(to))
}

/// Registries drop a connection now and then.
fn retried(mut what: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
    for pause in [2, 10, 30] {
        match what() {
            Ok(()) => return Ok(()),
            Err(error) => writeln!(std::io::stderr(), "trying again in {pause} s: {error:#}")?,
        }
        std::thread::sleep(Duration::from_secs(pause));
    }
    what()
}

/// Runs a command, whose output is shown only when it fails.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let what = format!("{command:?}");
    let done = command.output().with_context(|| format!("{what} cannot be started"))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        let last: Vec<&str> = said.lines().rev().take(4).collect();
        bail!("{what} failed: {}", last.into_iter().rev().collect::<Vec<_>>().join(" / "));
    }
    Ok(())
}
