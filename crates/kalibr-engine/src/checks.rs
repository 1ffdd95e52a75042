//! Answers are held against their goal's contract on a thread of their own.
//!
//! Whoever has an answer hands it over, which takes a microsecond, and goes on: a check may take a fraction of a second
//! where an answer is long. Of the verdict the ledger gets a signal of the structural source, and which checks failed, by
//! numbers from a closed list. The answer dies on that thread.
//!
//! What could not be evaluated is no evidence: then nothing is said at all.

mod said;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use kalibr_core::evidence::{Signal, Source, Strength, Value};
use kalibr_core::ids::{Goal, PathId, TraceId};
use kalibr_evals::{Contract, Reason, Reasons, Verdict};
use kalibr_store::{About, CheckedFact, Fact, SignalFact, StoreError};
use kalibr_upstream::ChatRequest;
use serde::Serialize;

use crate::engine::Engine;
use crate::goal::GoalState;
use crate::report::fresh_signal_id;
pub(crate) use said::Said;

/// Most bytes of answers that wait. What does not fit is not checked, which is counted.
const WAITING: usize = 32 << 20;

/// An answer that is to come, of a goal that has a contract.
pub(crate) struct Awaited {
    goal: Arc<GoalState>,
    asked: ChatRequest,
    /// Of a stream: what has come until now.
    said: Said,
}

impl Awaited {
    pub(crate) fn new(goal: Arc<GoalState>, asked: ChatRequest) -> Box<Self> {
        Box::new(Self { goal, asked, said: Said::default() })
    }

    /// Whole server-sent events, as they are handed on.
    pub(crate) fn see(&mut self, events: &[u8]) {
        self.said.see(events);
    }
}

struct Work {
    engine: Engine,
    trace: TraceId,
    index: u16,
    awaited: Box<Awaited>,
    /// An answer that came whole, not yet taken apart.
    whole: Option<Bytes>,
}

impl Work {
    fn len(&self) -> usize {
        self.whole.as_ref().map_or_else(|| self.awaited.said.len(), Bytes::len)
    }

    fn verdict(&mut self) -> Option<Verdict> {
        let contract = self.awaited.goal.contract()?;
        let said = match self.whole.take() {
            Some(body) => Said::whole(&body)?,
            None => std::mem::take(&mut self.awaited.said),
        };
        said.check(contract, &self.awaited.asked)
    }
}

enum Job {
    Check(Box<Work>),
    Barrier(SyncSender<()>),
}

/// The thread, and what it shares.
#[derive(Debug)]
pub(crate) struct Checker {
    jobs: Sender<Job>,
    waiting: AtomicUsize,
    dropped: AtomicU64,
    thread: JoinHandle<()>,
}

impl Checker {
    /// Starts the thread, which ends with the engine.
    pub(crate) fn start() -> std::io::Result<Self> {
        let (jobs, work) = channel();
        let thread = std::thread::Builder::new().name("kalibr-checks".into()).spawn(move || run(&work))?;
        Ok(Self { jobs, waiting: AtomicUsize::new(0), dropped: AtomicU64::new(0), thread })
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Waits until the verdicts on all answers that were handed over are in the writer's queue.
    pub(crate) fn settle(&self, patience: Duration) -> bool {
        let (done, settled) = sync_channel(1);
        self.jobs.send(Job::Barrier(done)).is_ok() && settled.recv_timeout(patience).is_ok()
    }
}

fn run(jobs: &Receiver<Job>) {
    for job in jobs {
        match job {
            Job::Check(mut work) => {
                let len = work.len();
                // An answer that breaks a check costs its verdict, and not the thread.
                let verdict = catch_unwind(AssertUnwindSafe(|| work.verdict()));
                work.engine.checker().waiting.fetch_sub(len, Ordering::Relaxed);
                match verdict {
                    Ok(Some(verdict)) => work.engine.record_verdict(work.trace, work.index, &verdict),
                    Ok(None) => {}
                    Err(_) => {
                        let goal = &work.awaited.goal.record.name;
                        tracing::error!(%goal, "a check of an answer broke: the answer counts as unchecked");
                    }
                }
            }
            Job::Barrier(done) => drop(done.send(())),
        }
    }
}

impl Engine {
    /// Has an answer checked, some time soon. `whole` is one that did not come as a stream.
    pub(crate) fn hand_to_check(
        &self,
        trace: TraceId,
        index: u16,
        awaited: Box<Awaited>,
        whole: Option<Bytes>,
    ) {
        let checker = self.checker();
        let work = Work { engine: self.clone(), trace, index, awaited, whole };
        let len = work.len();
        if checker.waiting.fetch_add(len, Ordering::Relaxed) + len <= WAITING
            && checker.jobs.send(Job::Check(Box::new(work))).is_ok()
        {
            return;
        }
        checker.waiting.fetch_sub(len, Ordering::Relaxed);
        let dropped = checker.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        if dropped.is_power_of_two() {
            tracing::warn!(dropped, "answers are not held against their contracts: too many wait");
        }
    }

    fn record_verdict(&self, trace: TraceId, index: u16, verdict: &Verdict) {
        if !verdict.is_conclusive() {
            return;
        }
        let now = self.clock().now();
        let value = if verdict.passed() { Value::Passed } else { Value::Failed };
        let signal = Signal {
            id: fresh_signal_id(),
            source: Source::Structural,
            value,
            // Not the share of checks that passed: an answer that breaks its contract does not serve, however nearly.
            strength: value.default_strength(),
            confidence: Strength::ONE,
            at: now,
            attempt: Some(index),
        };
        let failed = verdict.reasons().collect::<Reasons>().bits();
        self.log(Fact::Checked(CheckedFact { trace, index, failed }));
        self.log(Fact::Signal(SignalFact { signal, about: About::Trace(trace), received_at: now }));
    }
}

/// The checks that an attempt failed, of all that its decision's attempts failed; `None` where none was made.
pub(crate) fn failed(index: u16, failed_checks: &[(u16, u64)]) -> Option<Vec<Reason>> {
    let bits = failed_checks.iter().find(|(of, _)| *of == index).map(|(_, bits)| *bits)?;
    Some(Reasons::from_bits(bits).iter().collect())
}

/// How many of a goal's latest decisions are looked at to say how its paths keep the contract.
const LATEST: u32 = 1_000;

/// How the answers of a path keep the goal's contract, over the latest 1,000 decisions of the goal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PathChecks {
    /// Which path.
    pub path_id: PathId,
    /// Its model, and what sets it apart, in short.
    pub label: String,
    /// Its answers that were held against the contract, and where anything could be evaluated.
    pub checked: u64,
    /// Those of them that broke it.
    pub failed: u64,
    /// Why, with how many answers for each reason, the most frequent first. One answer may break it for several.
    pub reasons: Vec<ReasonCount>,
}

/// How many answers broke a contract for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ReasonCount {
    /// Why.
    pub reason: Reason,
    /// How many.
    pub count: u64,
}

impl Engine {
    /// How the answers of a goal's paths keep its contract. Empty where it has none, and while nothing was checked. Blocks
    /// on the ledger.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot be read.
    pub fn checks(&self, name: &Goal) -> Result<Vec<PathChecks>, StoreError> {
        let Some(goal) = self.learned().goal(name.as_str()).filter(|goal| goal.settings.contract.is_some())
        else {
            return Ok(Vec::new());
        };
        let mut paths: BTreeMap<PathId, (u64, u64, BTreeMap<Reason, u64>)> = BTreeMap::new();
        self.ledger().failed_checks(goal.record.id, LATEST, &mut |path, bits| {
            let Some(bits) = bits else { return };
            let (checked, failed, reasons) = paths.entry(path).or_default();
            *checked += 1;
            *failed += u64::from(bits != 0);
            Reasons::from_bits(bits).iter().for_each(|reason| *reasons.entry(reason).or_default() += 1);
        })?;
        let checks = |(path_id, (checked, failed, reasons)): (PathId, (u64, u64, BTreeMap<Reason, u64>))| {
            let mut reasons: Vec<ReasonCount> =
                reasons.into_iter().map(|(reason, count)| ReasonCount { reason, count }).collect();
            reasons.sort_by_key(|one| std::cmp::Reverse(one.count));
            PathChecks { path_id, label: goal.label(path_id), checked, failed, reasons }
        };
        Ok(paths.into_iter().map(checks).collect())
    }
}

impl Said {
    /// `None` where it is longer than what is looked at.
    fn check(&self, contract: &Contract, asked: &ChatRequest) -> Option<Verdict> {
        let input = crate::prints::prompt(asked);
        let offered = said::offered(asked);
        self.with_answer(offered.as_deref(), input.as_deref(), |answer| contract.check(answer))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use kalibr_core::path::PathSpec;
    use kalibr_evals::ContractSpec;

    use super::*;
    use crate::{Config, EngineConfig, GoalSettings, Home, PathUpdate};

    fn engine(folder: &std::path::Path) -> (Engine, Arc<GoalState>) {
        let config = EngineConfig::new(Home::at(folder), &Config::default(), &|_| None).unwrap();
        let engine = Engine::open(config).unwrap();
        let contract: ContractSpec =
            serde_json::from_str(r#"{"no_refusal": true, "words": {"max": 3}}"#).unwrap();
        let settings = GoalSettings { contract: Some(contract), ..GoalSettings::default() };
        let name = Goal::new("g").unwrap();
        engine.put_goal(&name, &settings, &[PathSpec::model("m").unwrap()], PathUpdate::Replace).unwrap();
        let goal = engine.learned().goal("g").unwrap();
        (engine, goal)
    }

    fn awaited(goal: &Arc<GoalState>) -> Box<Awaited> {
        let asked =
            ChatRequest::parse(br#"{"model":"m","messages":[{"role":"user","content":"a"}]}"#).unwrap();
        Awaited::new(Arc::clone(goal), asked)
    }

    #[test]
    fn whoever_hands_a_long_answer_over_does_not_wait_for_its_check() {
        let folder = tempfile::tempdir().unwrap();
        let (engine, goal) = engine(folder.path());
        let text = "some words of an answer ".repeat(40_000);
        let body = serde_json::json!({ "choices": [{ "message": { "content": text } }] }).to_string();
        let body = Bytes::from(body);
        let alone = Instant::now();
        let said = Said::whole(&body).unwrap();
        assert!(!said.check(goal.contract().unwrap(), &awaited(&goal).asked).unwrap().passed());
        let alone = alone.elapsed();
        let mut took: Vec<Duration> = (0..20_u8)
            .map(|n| {
                let (trace, body, awaited) = (TraceId::from_bytes([n + 1; 16]), body.clone(), awaited(&goal));
                let began = Instant::now();
                engine.hand_to_check(trace, 0, awaited, Some(body));
                began.elapsed()
            })
            .collect();
        took.sort();
        assert!(took[10] < alone / 20, "{:?} of {alone:?}", took[10]);
        assert!(engine.close(Duration::from_mins(1)));
    }

    #[test]
    fn answers_beyond_what_may_wait_are_counted_and_hold_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let (engine, goal) = engine(folder.path());
        let body = Bytes::from(vec![b' '; WAITING + 1]);
        engine.hand_to_check(TraceId::from_bytes([1; 16]), 0, awaited(&goal), Some(body));
        assert_eq!(engine.checker().dropped.load(Ordering::Relaxed), 1);
        assert_eq!(engine.checker().waiting.load(Ordering::Relaxed), 0);
        assert!(engine.close(Duration::from_mins(1)));
    }
}
