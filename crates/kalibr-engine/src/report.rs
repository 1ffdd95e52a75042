//! Hearing what users did: from a caller's words to facts in the ledger.
//!
//! Text is classified here, in the process that received it, before anything is queued: what leaves this module are
//! numbers, names from closed lists and keyed hashes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use kalibr_core::evidence::{Signal, Source, Strength, Value};
use kalibr_core::ids::{Goal, KeyedHash, PathId, SignalId, Timestamp, TraceId};
use kalibr_core::path::PathSpec;
use kalibr_signals::momentum::Reading;
use kalibr_signals::turn::{Before, Prior, Verdict, classify_with};
use kalibr_signals::vocabulary::{self, SignalType};
use kalibr_store::{
    About, Ack, AnchorFact, DecisionFact, DecisionKind, Fact, PathUpdate, PrintOf, Receipt, SignalFact,
    StepFact,
};
use kalibr_upstream::undated;

use crate::classifier::{TurnText, Unsure};
use crate::engine::Engine;
use crate::error::{GoalError, SignalError};
use crate::goal::GoalState;
use crate::prints::{Prints, Text};

/// Which run a signal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// A decision.
    Trace(TraceId),
    /// The latest run of a session at or before the signal's event time; see [`Engine::session_hash`].
    Session(KeyedHash),
}

/// What all signals have in common. Everything has a default.
#[derive(Debug, Clone, Default)]
pub struct SignalMeta {
    /// Names the signal: sending it again under its id changes nothing. Made up when absent.
    pub id: Option<SignalId>,
    /// When it happened; now, when absent.
    pub at: Option<Timestamp>,
}

/// A session's run, or a call that Kalibr did not route.
#[derive(Debug, Clone, Default)]
pub struct RunReport {
    /// The decision that it was, if Kalibr routed it.
    pub trace: Option<TraceId>,
    /// The caller's own id of the run, hashed: see [`Engine::alias_hash`].
    pub alias: Option<KeyedHash>,
    /// The goal, where no decision is named.
    pub goal: Option<Goal>,
    /// The model that answered, where no decision is named.
    pub model: Option<String>,
    /// When the run was; now, when absent.
    pub at: Option<Timestamp>,
    /// What the user asked: the last message of theirs. Only a keyed fingerprint of it is kept.
    pub prompt: Option<PrivateText>,
    /// The answer. Only a keyed fingerprint of it is kept, to compare an edited answer with.
    pub output: Option<PrivateText>,
}

/// A text of a user's or a model's on its way through this process. It shows itself to no log.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateText(pub Arc<str>);

impl std::fmt::Debug for PrivateText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateText(..)")
    }
}

impl From<&str> for PrivateText {
    fn from(text: &str) -> Self {
        Self(Arc::from(text))
    }
}

/// A run, ready to be sent.
#[derive(Debug, Clone)]
pub struct ReportedRun {
    /// Names the decision.
    pub trace: TraceId,
    /// Whether the run teaches about one of the goal's paths; false for a model that none of them calls.
    pub known_path: bool,
    /// What to send.
    pub facts: Vec<Fact>,
}

/// A follow-up message, ready to be sent.
#[derive(Debug, Clone)]
pub struct ReportedTurn {
    /// How it was read.
    pub verdict: Verdict,
    /// Names the signal that it asserts, or may yet assert by the classifier model's word; to be withdrawn by.
    pub id: SignalId,
    /// Whether the classifier model is asked about it. It may still find nothing in it.
    pub asked: bool,
    /// What to send: the signal that it asserts, if it asserts one, and how it read, if it is of a session.
    pub facts: Vec<Fact>,
}

impl Engine {
    /// A signal of a type by its name, checked and ready to be sent.
    ///
    /// `strength` is how well the answer served, from 0 to 1; the type's own when absent.
    ///
    /// # Errors
    /// [`SignalError`] for an unknown type, or a strength or confidence outside 0..=1.
    pub fn signal(
        &self,
        run: Run,
        kind: &SignalType,
        strength: Option<f64>,
        confidence: Option<f64>,
        meta: SignalMeta,
    ) -> Result<Fact, SignalError> {
        let strength = strength.map(Strength::new).transpose()?.unwrap_or(kind.default_strength());
        let confidence = confidence.map(Strength::new).transpose()?.unwrap_or(Strength::ONE);
        Ok(self.fact(run, kind.source, kind.value, strength, confidence, meta))
    }

    /// The caller's own verdict on an answer: `success_when`, `score_when`, `report`.
    ///
    /// # Errors
    /// [`SignalError::Number`] for a score outside 0..=1.
    pub fn metric(
        &self,
        run: Run,
        success: bool,
        score: Option<f64>,
        meta: SignalMeta,
    ) -> Result<Fact, SignalError> {
        let value = if success { Value::Passed } else { Value::Failed };
        let strength = score.map(Strength::new).transpose()?.unwrap_or(value.default_strength());
        Ok(self.fact(run, Source::Metric, value, strength, Strength::ONE, meta))
    }

    /// How a session ended, where the caller knows it.
    pub fn session_end(&self, session: KeyedHash, satisfied: bool, meta: SignalMeta) -> Fact {
        let value = if satisfied { Value::SessionSatisfied } else { Value::SessionDissatisfied };
        let (source, strength) = (Source::SessionEnd, value.default_strength());
        self.fact(Run::Session(session), source, value, strength, Strength::ONE, meta)
    }

    /// A follow-up message, classified: see [`Engine::verdict`]. The message itself goes nowhere; where it asserts nothing
    /// and a classifier model is configured, that model is asked about it later, see [`Engine::classifier`].
    pub fn turn<'a>(&self, run: Run, text: impl Into<TurnText<'a>>, meta: SignalMeta) -> ReportedTurn {
        let text = text.into();
        let verdict = self.verdict(run, text, meta.at);
        self.turn_read(run, verdict, text, meta)
    }

    /// As [`Engine::turn`], and what only the ledger knows of the run before it is looked up: see
    /// [`Engine::verdict_after`].
    pub async fn turn_after(&self, run: Run, text: TurnText<'_>, meta: SignalMeta) -> ReportedTurn {
        let verdict = self.verdict_after(run, text, meta.at).await;
        self.turn_read(run, verdict, text, meta)
    }

    fn turn_read(&self, run: Run, verdict: Verdict, text: TurnText<'_>, meta: SignalMeta) -> ReportedTurn {
        let unsure = self.has_classifier() && verdict.asserted.is_none();
        self.turned(run, verdict, unsure.then(|| Unsure::of(text)), meta)
    }

    /// What to send of a message that was classified before. `text` is what a classifier model may be asked about.
    pub fn turned(&self, run: Run, verdict: Verdict, text: Option<Unsure>, meta: SignalMeta) -> ReportedTurn {
        let id = meta.id.unwrap_or_else(fresh_signal_id);
        let at = self.event_time(meta.at);
        let mut facts = Vec::with_capacity(2);
        if let Some(value) = verdict.asserted {
            let confidence = Strength::new(verdict.confidence()).unwrap_or(Strength::ONE);
            let meta = SignalMeta { id: Some(id.clone()), at: Some(at) };
            facts.push(self.fact(run, Source::Turn, value, value.default_strength(), confidence, meta));
        }
        if let Run::Session(session) = run {
            let read = Reading::from(&verdict);
            let read = Some((read.acceptance, read.rejection));
            facts.push(Fact::Step(StepFact { id: id.clone(), session, read, at }));
        }
        let asked = verdict.asserted.is_none()
            && self.second().filter(|second| second.wants(verdict.continuation)).zip(text).is_some_and(
                |(second, text)| second.ask(text, about(run), id.clone(), at, &self.learned().turn_model()),
            );
        ReportedTurn { verdict, id, asked, facts }
    }

    /// How a follow-up message reads after the prompt and the answer that the caller passes along, or else after what this
    /// process remembers of the run before it. Never waits: what only the ledger knows of the run,
    /// [`Engine::verdict_after`] looks up.
    pub fn verdict<'a>(&self, run: Run, text: impl Into<TurnText<'a>>, at: Option<Timestamp>) -> Verdict {
        let text = text.into();
        self.read_given(text).unwrap_or_else(|| {
            self.read_turn(self.recent_prints(run, self.event_time(at)).as_ref(), text.message)
        })
    }

    /// As [`Engine::verdict`], after what is kept of the run before it in memory or in the ledger. A ledger that cannot be
    /// read costs what it knows of the run, and not the verdict.
    pub async fn verdict_after(&self, run: Run, text: TurnText<'_>, at: Option<Timestamp>) -> Verdict {
        if let Some(verdict) = self.read_given(text) {
            return verdict;
        }
        let prints = self.prints(run, self.event_time(at)).await.ok().flatten();
        self.read_turn(prints.as_ref(), text.message)
    }

    /// How a follow-up message reads to whoever knows what came before it; nothing is looked up, kept or recorded.
    pub fn read(&self, message: &str, before: &Before<'_>) -> Verdict {
        classify_with(message, before, self.thresholds())
    }

    fn read_given(&self, text: TurnText<'_>) -> Option<Verdict> {
        if text.prompt.is_none() && text.answer.is_none() {
            return None;
        }
        Some(self.read(text.message, &Prior::of(text.prompt, text.answer).before()))
    }

    fn read_turn(&self, before: Option<&Prints>, message: &str) -> Verdict {
        let known =
            before.map(|prints| Before::of(&prints.key, prints.prompt.as_ref(), prints.answer.as_ref()));
        self.read(message, &known.unwrap_or_default())
    }

    /// What the user did with the answer. `edit_ratio` is how much of it was changed, from 0 to 1, for
    /// `output_edited`.
    ///
    /// # Errors
    /// [`SignalError`] for an unknown action, or a ratio outside 0..=1.
    pub fn action(
        &self,
        run: Run,
        action: &str,
        edit_ratio: Option<f64>,
        meta: SignalMeta,
    ) -> Result<Fact, SignalError> {
        let kind = vocabulary::action(action)?;
        let graded = edit_ratio.map(vocabulary::edit_strength).transpose()?;
        let strength =
            graded.filter(|_| kind.value == Value::OutputEdited).unwrap_or(kind.default_strength());
        Ok(self.fact(run, kind.source, kind.value, strength, Strength::ONE, meta))
    }

    /// A signal is taken back, whether it has arrived or not.
    pub fn withdrawal(&self, id: SignalId) -> Fact {
        Fact::Withdrawal(id, self.clock().now())
    }

    /// The facts of a session's run: a link to a decision, or else a decision of its own for a call that Kalibr did not
    /// route. Fingerprints of its texts are made some time soon, and stored whether or not these facts are.
    ///
    /// # Errors
    /// [`SignalError`] when neither a decision nor a goal and a model are named, or there is no such goal.
    pub fn run(&self, session: Option<KeyedHash>, report: &RunReport) -> Result<ReportedRun, SignalError> {
        let at = self.event_time(report.at);
        // A run that is reported again under its caller's id is the same run.
        let named = report.alias.map(|alias| TraceId::from_bytes(*alias.as_bytes()));
        let trace = report.trace.or(named).unwrap_or_else(|| self.new_trace());
        let (mut facts, mut known_path) = (Vec::new(), true);
        match (&report.goal, &report.model) {
            (Some(goal), Some(model)) => {
                let (fact, known) = self.observed(trace, goal, model, session, at)?;
                facts.push(fact);
                known_path = known;
            }
            _ if report.trace.is_none() => return Err(SignalError::NothingRun),
            _ => {}
        }
        if let Some(session) = session {
            facts.push(Fact::Anchor(AnchorFact { session, trace, alias: report.alias, at }));
        }
        self.note_run(trace, at, session);
        // Which attempt answered is not said. Where Kalibr made the call itself it has seen the answer, and that stays.
        let texts = [(PrintOf::Prompt, &report.prompt), (PrintOf::Answer(0), &report.output)];
        for (of, text) in texts {
            if let Some(text) = text {
                self.hand_over(trace, of, Text::Told(text.clone()));
            }
        }
        Ok(ReportedRun { trace, known_path, facts })
    }

    /// A call that Kalibr did not route, and whether one of the goal's paths made it. Should the trace turn out to be a
    /// routed one, the ledger keeps that.
    fn observed(
        &self,
        trace: TraceId,
        goal: &Goal,
        model: &str,
        session: Option<KeyedHash>,
        at: Timestamp,
    ) -> Result<(Fact, bool), SignalError> {
        let unknown = || SignalError::UnknownGoal(goal.clone());
        let state = self.learned().goal(goal.as_str()).ok_or_else(unknown)?;
        let plain = PathSpec::model(model)?;
        let path = self.path_of(&state, &plain);
        if path.is_none() {
            tracing::warn!(goal = %goal, "a run was reported of a model that is on none of the goal's paths: it teaches nothing about them");
        }
        let decision = DecisionFact {
            trace,
            goal: state.record.id,
            pipeline: None,
            bucket: kalibr_core::ids::Bucket::default(),
            epoch: state.epoch(self.clock().now()),
            kind: DecisionKind::Observed,
            path: path.unwrap_or(plain.id()),
            propensity: 0.0,
            table_version: 0,
            considered: Arc::default(),
            model: Some(plain.model),
            session,
            user: None,
            marks: state.marks(None),
            at,
        };
        Ok((Fact::Decision(Box::new(decision)), path.is_some()))
    }

    /// The path that a model's run is about: of the same provider and model, a plain path before one that is set apart
    /// by tools or params. Providers answer with a dated name of what was asked for, so `gpt-4o-2024-08-06` is `gpt-4o`.
    fn path_of(&self, goal: &GoalState, called: &PathSpec) -> Option<PathId> {
        let place = |model: &str| {
            let target = self.upstream().resolve(model).ok()?;
            Some((target.provider.name().to_owned(), target.model))
        };
        // Where two providers have a model of one name, the one that the name resolves to comes first.
        let same = |path: &PathSpec, model: &str| {
            path.model == model || place(&path.model).is_some_and(|known| Some(known) == place(model))
        };
        let alike = |path: &PathSpec, model: &str| path.model.rsplit('/').next() == Some(model);
        let mut paths: Vec<_> = goal.record.paths.iter().filter(|path| path.enabled).collect();
        paths.sort_by_key(|path| path.id != called.id() && !path.spec.is_plain());
        let find = |model: &str| {
            let first = |fits: &dyn Fn(&PathSpec, &str) -> bool| {
                paths.iter().find(|path| fits(&path.spec, model)).map(|path| path.id)
            };
            first(&same).or_else(|| first(&alike))
        };
        find(&called.model).or_else(|| find(undated(&called.model)?))
    }

    pub(crate) fn fact(
        &self,
        run: Run,
        source: Source,
        value: Value,
        strength: Strength,
        confidence: Strength,
        meta: SignalMeta,
    ) -> Fact {
        Fact::Signal(SignalFact {
            signal: Signal {
                id: meta.id.unwrap_or_else(fresh_signal_id),
                source,
                value,
                strength,
                confidence,
                at: self.event_time(meta.at),
                attempt: None,
            },
            about: about(run),
            received_at: self.clock().now(),
        })
    }

    pub(crate) fn event_time(&self, at: Option<Timestamp>) -> Timestamp {
        // What was heard by now happened by now: a clock that is ahead would credit the run after this one.
        let now = self.clock().now();
        at.map_or(now, |at| at.min(now))
    }

    /// Queues facts and returns at once.
    ///
    /// # Errors
    /// [`SignalError::Full`] when the queue is full; what was not taken is lost unless it is sent again.
    pub fn send(&self, facts: Vec<Fact>) -> Result<(), SignalError> {
        self.noticed(&facts);
        facts.into_iter().try_for_each(|fact| self.append(fact, None))
    }

    /// Queues facts and waits until they are committed and synced. One receipt for each, in order.
    ///
    /// # Errors
    /// [`SignalError::Full`] when the queue is full, [`SignalError::Unconfirmed`] when the ledger did not confirm
    /// within `patience`: sending them again under their ids is safe in both cases.
    pub async fn commit(
        &self,
        facts: Vec<Fact>,
        patience: std::time::Duration,
    ) -> Result<Vec<Receipt>, SignalError> {
        self.noticed(&facts);
        let mut waiting = Vec::with_capacity(facts.len());
        for fact in facts {
            let (heard, receipt) = tokio::sync::oneshot::channel();
            let ack: Ack = Box::new(move |result| drop(heard.send(result)));
            self.append(fact, Some(ack))?;
            waiting.push(receipt);
        }
        let all = async {
            let mut receipts = Vec::with_capacity(waiting.len());
            for receipt in waiting {
                match receipt.await {
                    Ok(Ok((receipt, _))) => receipts.push(receipt),
                    _ => return Err(SignalError::Unconfirmed),
                }
            }
            Ok(receipts)
        };
        tokio::time::timeout(patience, all).await.unwrap_or(Err(SignalError::Unconfirmed))
    }
}

fn about(run: Run) -> About {
    match run {
        Run::Trace(trace) => About::Trace(trace),
        Run::Session(session) => About::Session(session),
    }
}

/// A fresh signal id, greater than all that this process made before: of two signals of one moment the greater id wins,
/// and a user who rejects right after accepting must have rejected.
pub fn fresh_signal_id() -> SignalId {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let later = |last: u64| now.max(last.saturating_add(1));
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(later(last)));
    let mine = later(last.unwrap_or_default());
    loop {
        // Hex digits are always a valid name; the loop is for the type alone.
        if let Ok(id) = SignalId::new(&format!("{mine:016x}{:016x}", rand::random::<u64>())) {
            return id;
        }
    }
}

impl Engine {
    /// Adds these paths to a goal and leaves its settings alone, creating it where needed: what a `Router` does when it
    /// is made.
    ///
    /// # Errors
    /// [`GoalError`] as [`Engine::put_goal`].
    pub fn register(&self, name: &Goal, paths: &[PathSpec]) -> Result<(), GoalError> {
        self.write_goal(name, None, paths, PathUpdate::Add)
    }
}
