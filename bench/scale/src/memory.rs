//! Memory of many goals, and the time to create them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kalibr_core::counters::Counters;
use kalibr_engine::{Config, DecideRequest, Engine, EngineConfig, GoalSettings, Home, PathUpdate};
use kalibr_store::Ledger;

use crate::process::{mib, peak, resident};
use crate::row;
use crate::synthetic::{Synthetic, name};
use crate::traffic::paths;

pub(crate) fn engine_on(ledger: Arc<dyn Ledger>, folder: &Path) -> anyhow::Result<Engine> {
    Ok(Engine::open_on(ledger, EngineConfig::new(Home::at(folder), &Config::default(), &|_| None)?)?)
}

pub(crate) fn loaded(goals: u32) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let ledger = Arc::new(Synthetic::new(goals, false)?);
    let before = resident()?;
    let begun = Instant::now();
    let engine = engine_on(Arc::clone(&ledger) as Arc<dyn Ledger>, folder.path())?;
    let took = begun.elapsed().as_secs_f64();
    let (all, most) = (resident()?, peak()?);
    anyhow::ensure!(
        engine.decide(&DecideRequest::of(name(goals - 1)?)).is_ok(),
        "the last goal does not route"
    );
    row(
        &format!("memory of {goals} goals x 4 paths x 200 decisions over 7 days, signals on 30 %"),
        &format!(
            "{:.0} MiB ({:.1} KiB a goal; peak {:.0} MiB; loaded in {took:.1} s, making the data up included)",
            mib(all),
            (all - before) / 1024.0 / f64::from(goals),
            mib(most)
        ),
        mib(all),
        Some((2_048.0, 600.0, "MiB")),
    )?;
    let rows = ledger.counters(0);
    let counters: Counters = rows.iter().copied().collect();
    row(
        "counters of one such goal",
        &format!(
            "{} rows in the ledger, {} cells after merging by age, {} bytes",
            rows.len(),
            counters.iter().count(),
            counters.heap_bytes()
        ),
        0.0,
        None,
    )
}

pub(crate) fn lived(goals: u32) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let ledger = Arc::new(Synthetic::new(goals, true)?);
    let engine = engine_on(Arc::clone(&ledger) as Arc<dyn Ledger>, folder.path())?;
    let begun = Instant::now();
    while !ledger.is_over() {
        std::thread::sleep(Duration::from_millis(10));
        anyhow::ensure!(engine.health().alive, "the refresher has died");
    }
    let all = resident()?;
    let learned =
        engine.goal(&name(goals - 1)?).map(|goal| goal.learned[0].paths.clone()).unwrap_or_default();
    let attempts: i64 = learned.iter().map(|path| path.attempts).sum();
    // The last page may still be on its way into the tables.
    anyhow::ensure!(attempts >= 790, "the last goal has counted {attempts} of 800 decisions");
    row(
        &format!("the same, {goals} goals that lived through it change by change"),
        &format!(
            "{:.0} MiB ({:.1} KiB a goal with all that the process holds, {:.0} s)",
            mib(all),
            all / 1024.0 / f64::from(goals),
            begun.elapsed().as_secs_f64()
        ),
        0.0,
        None,
    )
}

pub(crate) fn create(goals: u32) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let engine = engine_on(Arc::new(Synthetic::new(0, false)?), folder.path())?;
    let (paths, part) = (paths()?, (goals / 10).max(1));
    let mut times = Vec::new();
    for tenth in 0..10 {
        let begun = Instant::now();
        for goal in tenth * part..(tenth + 1) * part {
            engine.put_goal(&name(goal)?, &GoalSettings::default(), &paths, PathUpdate::Replace)?;
        }
        times.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(part));
    }
    row(
        &format!("creating {goals} goals one by one, each waited for until it routes, without the disk"),
        &format!("first tenth {:.0} µs a goal, last tenth {:.0} µs a goal", times[0], times[9]),
        0.0,
        None,
    )
}
