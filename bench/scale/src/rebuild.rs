//! Times on a real ledger: opening an engine on it, checking its counters, computing them anew.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use kalibr_core::ids::{Goal, Timestamp, TraceId};
use kalibr_core::path::PathSpec;
use kalibr_core::policy::uniform;
use kalibr_store::{
    About, AttemptFact, Considered, DecisionFact, DecisionKind, Fact, GoalId, Ledger, PathUpdate, SignalFact,
    SqliteLedger,
};

use crate::memory::engine_on;
use crate::process::{mib, peak};
use crate::row;
use crate::traffic::{self, Epochs, PATHS, WEEK};

/// Facts in one transaction: as few syncs as need be.
const BATCH: usize = 20_000;

pub(crate) fn rebuild(decisions: u32, goals: u32) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("ledger.db");
    let ledger = Arc::new(SqliteLedger::open(&file)?);
    let begun = Instant::now();
    let signals = fill(&ledger, decisions, goals)?;
    let filled = begun.elapsed().as_secs_f64();
    let what = format!("{decisions} decisions, {signals} signals, {goals} goals");
    let size = std::fs::metadata(&file)?.len() as f64;
    row(
        &format!("a ledger of {what}"),
        &format!("{:.0} MiB, filled in {filled:.0} s through commits of {BATCH} facts", mib(size)),
        0.0,
        None,
    )?;

    let open = time(|| load(&ledger, folder.path()))?;
    let opened = format!("{open:.2} s (peak of the process {:.0} MiB)", mib(peak()?));
    row(
        &format!("rebuild of all state from the ledger's counters: {what}"),
        &opened,
        open,
        Some((10.0, 3.0, "s")),
    )?;

    let mut found = None;
    let check = time(|| {
        found = Some(ledger.recount(false)?);
        Ok(())
    })?;
    anyhow::ensure!(found.is_some_and(|found| found.wrong == 0), "the counters do not agree with the facts");
    row("every counter checked against the facts", &format!("{check:.2} s"), check, None)?;

    // The worst that can happen to them.
    rusqlite::Connection::open(&file)?.execute("DELETE FROM counters", [])?;
    let repair = time(|| {
        anyhow::ensure!(ledger.recount(true)?.repaired, "nothing was repaired");
        Ok(())
    })?;
    let again = time(|| load(&ledger, folder.path()))?;
    anyhow::ensure!(ledger.recount(false)?.wrong == 0, "the repair is wrong");
    row(
        "all counters lost: looked at, computed anew, written and loaded",
        &format!("{:.2} s (of which {repair:.2} s in the ledger)", repair + again),
        repair + again,
        Some((10.0, 3.0, "s")),
    )?;
    row("", &format!("peak of the process {:.0} MiB", mib(peak()?)), 0.0, None)
}

fn fill(ledger: &SqliteLedger, decisions: u32, goals: u32) -> anyhow::Result<u32> {
    let paths = traffic::paths()?;
    let mut ids = Vec::new();
    for goal in 0..goals {
        let name = Goal::new(&format!("goal-{goal}"))?;
        ids.push(ledger.put_goal(&name, None, &paths, PathUpdate::Replace, Timestamp(0))?.0.id);
    }
    let mut epochs = vec![Epochs::default(); goals as usize];
    let (mut batch, mut signals) = (Vec::with_capacity(BATCH + 3), 0);
    for number in 0..decisions {
        let goal = (uniform(9, u64::from(number)) * f64::from(goals)) as usize;
        let at = (f64::from(number) / f64::from(decisions) * WEEK as f64) as i64;
        let fate = traffic::fate(7, u64::from(number));
        let trace = trace(number);
        let decision =
            decision(trace, ids[goal], epochs[goal].tick(at), &paths, number % PATHS, Timestamp(at));
        batch.push(Fact::Attempt(AttemptFact {
            trace,
            index: 0,
            path: decision.path,
            reply: fate.reply,
            category: None,
            status: Some(200),
            prompt_tokens: Some(900),
            completion_tokens: Some(300),
            latency_ms: Some(1_200),
            at: Timestamp(at),
        }));
        batch.push(Fact::Decision(Box::new(decision)));
        if let Some(said) = fate.said {
            signals += 1;
            let signal = traffic::signal(&format!("{trace}-said"), said, Timestamp(at))?;
            let about = About::Trace(trace);
            batch.push(Fact::Signal(SignalFact { signal, about, received_at: Timestamp(at) }));
        }
        if batch.len() >= BATCH {
            ledger.commit(&batch)?;
            batch.clear();
        }
    }
    ledger.commit(&batch)?;
    ledger.maintain(Timestamp(WEEK))?;
    Ok(signals)
}

/// Trace ids are random, so their order says nothing of when a decision was made.
fn trace(number: u32) -> TraceId {
    let half = |seed| (uniform(seed, u64::from(number)) * f64::exp2(53.0)) as u128;
    TraceId::from_bytes((half(1) << 64 | half(2) << 11 | 1).to_be_bytes())
}

fn decision(
    trace: TraceId,
    goal: GoalId,
    epoch: kalibr_core::counters::Epoch,
    paths: &[PathSpec],
    path: u32,
    at: Timestamp,
) -> DecisionFact {
    let considered = paths.iter().map(|path| Considered {
        path: path.id(),
        propensity: 0.25,
        expected: 0.731_058_578_630_004_9,
        graded: 57,
        not_eligible: None,
    });
    DecisionFact {
        trace,
        goal,
        pipeline: None,
        bucket: kalibr_core::ids::Bucket::default(),
        epoch,
        kind: DecisionKind::Routed,
        path: paths[path as usize].id(),
        propensity: 0.25,
        table_version: 1,
        considered: considered.collect(),
        model: None,
        session: None,
        user: None,
        marks: kalibr_store::Marks::default(),
        at,
    }
}

fn time(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed().as_secs_f64())
}

/// An engine from nothing until all its tables stand.
fn load(ledger: &Arc<SqliteLedger>, folder: &Path) -> anyhow::Result<()> {
    engine_on(Arc::clone(ledger) as Arc<dyn Ledger>, folder).map(drop)
}
