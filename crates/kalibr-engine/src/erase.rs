//! The right to be forgotten, and to see first what would be.

use std::fmt::Write as _;
use std::io;
use std::time::{Duration, Instant};

use kalibr_core::evidence::Source;
use kalibr_core::ids::{Bucket, Goal, KeyedHash, PathId, Pipeline, SignalId, TraceId};
use kalibr_core::outcome::{FailureCategory, Reply};
use kalibr_evals::Reason;
use kalibr_store::{
    AttemptFact, Considered, DecisionFact, DecisionKind, Held, HeldPiece, HeldRun, PrintOf, SignalRecord,
    StepFact, StoreError, TextKind, TextRecord, Whose,
};
use serde::Serialize;

use crate::checks::failed;
use crate::clock::rfc3339;
use crate::engine::{Engine, GOAL_PATIENCE, patiently};
use crate::error::ExportError;

/// A ledger up to this size is copied anew at once: other writers wait for some 0.2 s. A larger one is in the background,
/// for all that was erased within the hour together.
const SOON: u64 = 32 << 20;
/// A pause between two steps, in which others get hold of the ledger's lock.
const BREATH: Duration = Duration::from_millis(4);

/// What became of an erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erasure {
    /// What is gone.
    pub held: Held,
    /// Whether no file of the data folder holds a copy of it any more. Of a ledger above 32 MB it takes longer: it is done
    /// within the hour by any process that is open, or at once by [`Engine::scrub`]. Until then what is deleted is
    /// overwritten where it was, but pages may hold copies from when SQLite moved rows between them.
    pub scrubbed: bool,
}

impl Engine {
    /// Erases what is somebody's: rows are gone, and so is what was learned from them, in all processes. The counters are
    /// those of a ledger that never saw it, with the others' decisions in the same epochs.
    ///
    /// What this process had queued before is written first, and erased with the rest; what comes in later is new. What
    /// was cut off is finished by erasing again. Blocks.
    ///
    /// What was decided by what was known stays: choices made for others with their probabilities, a rollback to the
    /// baseline, and what a goal that is frozen routes by. What calls cost and how long they took is averaged in memory
    /// until the process ends.
    ///
    /// # Errors
    /// [`StoreError::Behind`] when what was queued is not written in time; nothing is erased then. Another when the ledger
    /// cannot be written; a part may be gone by then.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use kalibr_engine::core::ids::SessionId;
    /// use kalibr_engine::{Config, Engine, EngineConfig, Home, Whose};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = std::env::temp_dir().join(format!("kalibr-erase-{}", std::process::id()));
    /// # let engine = Engine::open(EngineConfig::new(Home::at(&folder), &Config::default(), &|_| None)?)?;
    /// let whose = Whose::Session(engine.session_hash(&SessionId::new("user-session-123")?));
    /// assert_eq!(engine.held(&whose)?.decisions, 0);
    /// assert!(engine.erase(&whose)?.scrubbed);
    /// # engine.close(Duration::from_secs(1));
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn erase(&self, whose: &Whose) -> Result<Erasure, StoreError> {
        // What the classifier model says after this of what was reported before it is not sent.
        self.forget_unsure();
        self.settled()?;
        let due = self.clock().now();
        let mut held = Held::default();
        let seq = loop {
            let erased = patiently(|| self.ledger().erase(whose, due))?;
            held += erased.held;
            if !erased.more {
                break erased.seq;
            }
            std::thread::sleep(BREATH);
        };
        self.printer().forget();
        self.forget_unsure();
        let small = self.ledger().leftovers()?.is_none_or(|left| left.bytes <= SOON);
        let scrubbed = if small { self.scrub()? } else { false };
        self.learned().wake_at_once();
        self.learned().wait_for(seq, Instant::now() + GOAL_PATIENCE);
        Ok(Erasure { held, scrubbed })
    }

    /// What was sent before is in the ledger, so that it is found there.
    fn settled(&self) -> Result<(), StoreError> {
        if self.flush(GOAL_PATIENCE) { Ok(()) } else { Err(StoreError::Behind) }
    }

    fn forget_unsure(&self) {
        if let Some(classifier) = self.second() {
            classifier.forget();
        }
    }

    /// Makes sure that no file of the data folder holds a copy of what was erased. Returns whether none does; it cannot be
    /// helped while another process reads for long. Blocks, and others wait to write, some seconds for each gigabyte.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot be written.
    pub fn scrub(&self) -> Result<bool, StoreError> {
        let deadline = Instant::now() + GOAL_PATIENCE;
        loop {
            if patiently(|| self.ledger().scrub())? {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// How much [`Engine::erase`] would erase. Blocks.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot be read, or is [behind](StoreError::Behind).
    pub fn held(&self, whose: &Whose) -> Result<Held, StoreError> {
        self.settled()?;
        let mut held = Held::default();
        self.ledger().held(whose, &mut |piece| match piece {
            HeldPiece::Run(run) => {
                held += Held {
                    decisions: run.decision.is_some().into(),
                    attempts: run.attempts.len() as u64,
                    signals: run.signals.len() as u64,
                    texts: run.texts.len() as u64,
                    fingerprints: run.fingerprints.len() as u64,
                    steps: run.steps.len() as u64,
                };
            }
            HeldPiece::Signal(_) => held.signals += 1,
            HeldPiece::Text(_) => held.texts += 1,
            HeldPiece::Step(_) => held.steps += 1,
        })?;
        Ok(held)
    }

    /// Hands over all that is held of somebody, as lines of JSON: exactly what [`Engine::erase`] would erase. Each line has
    /// a `record`: `decision`, `attempt`, `signal`, `text`, `fingerprint` or `step`. Blocks.
    ///
    /// # Errors
    /// [`ExportError`] when the ledger cannot be read, is [behind](StoreError::Behind), or `take` fails.
    pub fn export(
        &self,
        whose: &Whose,
        take: &mut dyn FnMut(&str) -> io::Result<()>,
    ) -> Result<(), ExportError> {
        self.settled()?;
        let mut wrong = None;
        self.ledger().held(whose, &mut |piece| {
            for record in records(&piece) {
                if wrong.is_none() {
                    wrong = line(&record).and_then(|line| take(&line)).err();
                }
            }
        })?;
        wrong.map_or(Ok(()), |error| Err(error.into()))
    }
}

fn line(record: &Record<'_>) -> io::Result<String> {
    Ok(serde_json::to_string(record)? + "\n")
}

/// A line of an export.
#[derive(Serialize)]
#[serde(tag = "record", rename_all = "snake_case")]
enum Record<'r> {
    Decision {
        trace_id: TraceId,
        goal: &'r Goal,
        pipeline: Option<&'r Pipeline>,
        bucket: &'r Bucket,
        epoch: u32,
        kind: DecisionKind,
        decided_at: String,
        path_id: PathId,
        model: Option<&'r str>,
        propensity: f64,
        table_version: u64,
        considered: &'r [Considered],
        frozen: bool,
        rolled_back: bool,
        /// As the ledger keeps them: nobody can tell from it whose they are, without the installation's secret.
        session_hash: Option<KeyedHash>,
        user_hash: Option<KeyedHash>,
    },
    Attempt {
        trace_id: TraceId,
        index: u16,
        path_id: PathId,
        answered: Option<bool>,
        failure_category: Option<FailureCategory>,
        status: Option<u16>,
        prompt_tokens: Option<u32>,
        completion_tokens: Option<u32>,
        latency_ms: Option<u32>,
        /// `null` where none was made.
        failed_checks: Option<Vec<Reason>>,
        at: String,
    },
    Signal {
        trace_id: Option<TraceId>,
        signal_id: &'r SignalId,
        source: Source,
        value: &'static str,
        strength: f64,
        confidence: f64,
        attempt: Option<u16>,
        event_time: String,
        received_at: String,
        addressed_by: &'static str,
        withdrawn: bool,
    },
    Text {
        trace_id: Option<TraceId>,
        kind: TextKind,
        text: &'r str,
        at: String,
    },
    Fingerprint {
        trace_id: TraceId,
        kind: TextKind,
        #[serde(skip_serializing_if = "Option::is_none")]
        attempt: Option<u16>,
        bytes: String,
    },
    Step {
        id: &'r SignalId,
        session_hash: KeyedHash,
        /// Both absent where the caller ended the session.
        acceptance: Option<f64>,
        rejection: Option<f64>,
        at: String,
    },
}

fn records(piece: &HeldPiece) -> Vec<Record<'_>> {
    match piece {
        HeldPiece::Run(run) => of_run(run),
        HeldPiece::Signal(record) => vec![signal(None, record)],
        HeldPiece::Text(record) => vec![text(None, record)],
        HeldPiece::Step(fact) => vec![step(fact)],
    }
}

fn of_run(run: &HeldRun) -> Vec<Record<'_>> {
    let decision = run.decision.iter().map(|(fact, goal)| decision(fact, goal));
    let attempts = run.attempts.iter().map(|fact| attempt(fact, &run.failed_checks));
    let signals = run.signals.iter().map(|record| signal(Some(run.trace), record));
    let texts = run.texts.iter().map(|record| text(Some(run.trace), record));
    let prints = run.fingerprints.iter().map(|(of, print)| fingerprint(run.trace, *of, print));
    let steps = run.steps.iter().map(step);
    decision.chain(attempts).chain(signals).chain(texts).chain(prints).chain(steps).collect()
}

fn decision<'r>(fact: &'r DecisionFact, goal: &'r Goal) -> Record<'r> {
    Record::Decision {
        trace_id: fact.trace,
        goal,
        pipeline: fact.pipeline.as_ref(),
        bucket: &fact.bucket,
        epoch: fact.epoch.0,
        kind: fact.kind,
        decided_at: rfc3339(fact.at),
        path_id: fact.path,
        model: fact.model.as_deref(),
        propensity: fact.propensity,
        table_version: fact.table_version,
        considered: &fact.considered,
        frozen: fact.marks.frozen,
        rolled_back: fact.marks.rolled_back,
        session_hash: fact.session,
        user_hash: fact.user,
    }
}

fn attempt<'r>(fact: &'r AttemptFact, failed_checks: &[(u16, u64)]) -> Record<'r> {
    Record::Attempt {
        trace_id: fact.trace,
        index: fact.index,
        path_id: fact.path,
        answered: match fact.reply {
            Reply::Answered => Some(true),
            Reply::Failed => Some(false),
            Reply::Unknown | Reply::Refused => None,
        },
        failure_category: fact.category,
        status: fact.status,
        prompt_tokens: fact.prompt_tokens,
        completion_tokens: fact.completion_tokens,
        latency_ms: fact.latency_ms,
        failed_checks: failed(fact.index, failed_checks),
        at: rfc3339(fact.at),
    }
}

fn signal(trace_id: Option<TraceId>, record: &SignalRecord) -> Record<'_> {
    Record::Signal {
        trace_id,
        signal_id: &record.signal.id,
        source: record.signal.source,
        value: record.signal.value.name(),
        strength: record.signal.strength.get(),
        confidence: record.signal.confidence.get(),
        attempt: record.signal.attempt,
        event_time: rfc3339(record.signal.at),
        received_at: rfc3339(record.received_at),
        addressed_by: if record.by_session { "session" } else { "trace" },
        withdrawn: record.withdrawn,
    }
}

fn fingerprint<'r>(trace_id: TraceId, of: PrintOf, print: &[u8]) -> Record<'r> {
    let (kind, attempt) = match of {
        PrintOf::Prompt => (TextKind::Prompt, None),
        PrintOf::Answer(attempt) => (TextKind::Answer, Some(attempt)),
    };
    let bytes = print.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    Record::Fingerprint { trace_id, kind, attempt, bytes }
}

fn step(fact: &StepFact) -> Record<'_> {
    let share = |of: u8| f64::from(of) / f64::from(u8::MAX);
    Record::Step {
        id: &fact.id,
        session_hash: fact.session,
        acceptance: fact.read.map(|(acceptance, _)| share(acceptance)),
        rejection: fact.read.map(|(_, rejection)| share(rejection)),
        at: rfc3339(fact.at),
    }
}

fn text(trace_id: Option<TraceId>, record: &TextRecord) -> Record<'_> {
    Record::Text { trace_id, kind: record.kind, text: &record.text, at: rfc3339(record.at) }
}
