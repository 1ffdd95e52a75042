//! The engine: everything that one process needs to route, record and learn.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kalibr_core::ids::{Goal, HashKey, KeyedHash, SessionId, TraceId};
use kalibr_core::objective::Price;
use kalibr_core::path::{MAX_PATHS, PathSpec};
use kalibr_signals::turn::Thresholds;
use kalibr_store::{Ack, Fact, Ledger, PathUpdate, SqliteLedger, StoreError, Writer, WriterConfig};
use kalibr_upstream::{Prices, Upstream};

use crate::checks::Checker;
use crate::classifier::{Classifier, ClassifierSetup};
use crate::clock::Clock;
use crate::config::Config;
use crate::error::{EngineError, GoalError, SignalError};
use crate::goal::GoalSettings;
use crate::home::Home;
use crate::keeper::Keeper;
use crate::learn::Learned;
use crate::outages::Outages;
use crate::prints::Printer;
use crate::privacy::Privacy;
use crate::sessions::{Sessions, SessionsConfig};
use crate::traces::{Traces, from_system};

/// How long a changed goal may take to be in the policy table.
pub(crate) const GOAL_PATIENCE: Duration = Duration::from_secs(10);

/// What an engine is made of.
#[derive(Debug)]
pub struct EngineConfig {
    /// Where its data is.
    pub home: Home,
    /// The providers that it can call.
    pub upstream: Upstream,
    /// Where its time comes from.
    pub clock: Clock,
    /// The seed of its draws; random when absent.
    pub seed: Option<u64>,
    /// What models cost, where the list of prices is to be corrected or completed.
    pub prices: BTreeMap<String, Price>,
    /// When what was heard changes the choices.
    pub refresh: Refresh,
    /// Bounds of the queue before the ledger.
    pub writer: WriterConfig,
    /// How sure a follow-up message must be to become a signal.
    pub thresholds: Thresholds,
    /// The model that is asked about follow-up messages which the local classifier cannot tell, if one is configured.
    pub classifier: Option<ClassifierSetup>,
    /// When sessions have ended.
    pub sessions: SessionsConfig,
    /// What is kept of people, and for how long.
    pub privacy: Privacy,
}

/// When what was heard changes the choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refresh {
    /// Soon after it was committed.
    #[default]
    Soon,
    /// At [`Engine::flush`], and when a goal is changed. The same stream with the same seed and clock then makes the same
    /// decisions, however fast the disk is: for replays and tests.
    AtFlush,
}

impl EngineConfig {
    /// An engine in this folder with the providers of this configuration and the environment.
    ///
    /// # Errors
    /// [`EngineError::Config`] when a provider's configuration cannot be used.
    pub fn new(
        home: Home,
        config: &Config,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, EngineError> {
        Ok(Self {
            home,
            upstream: config.upstream(env)?,
            clock: Clock::system(),
            seed: None,
            prices: config.prices.clone(),
            refresh: Refresh::default(),
            writer: WriterConfig::default(),
            thresholds: Thresholds::for_precision(config.turns.precision),
            classifier: ClassifierSetup::of(config, env)?,
            sessions: config.sessions,
            privacy: config.privacy,
        })
    }
}

/// Routes requests to paths, records what came of them and of what users did, and learns. Cheap to clone; safe to use
/// from any thread. [`Engine::close`] writes what is queued: call it before the process ends.
#[derive(Debug, Clone)]
pub struct Engine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ledger: Arc<dyn Ledger>,
    writer: Arc<Writer>,
    classifier: Option<Classifier>,
    sessions: Sessions,
    learned: Arc<Learned>,
    outages: Arc<Outages>,
    refresher: Mutex<Option<JoinHandle<()>>>,
    keeper: Arc<Keeper>,
    keeping: Mutex<Option<JoinHandle<()>>>,
    privacy: Privacy,
    upstream: Upstream,
    clock: Clock,
    hash_key: HashKey,
    seed: u64,
    draws: AtomicU64,
    traces: Traces,
    thresholds: Thresholds,
    printer: Printer,
    checker: Checker,
}

impl Drop for Inner {
    /// The threads of an engine that nobody holds any more end by themselves: the writer when its queue is empty.
    fn drop(&mut self) {
        self.learned.stop();
        self.keeper.stop();
    }
}

/// Writes to the ledger, again and again for some seconds while other processes hold it.
pub(crate) fn patiently<T>(write: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let deadline = Instant::now() + GOAL_PATIENCE;
    loop {
        match write() {
            Err(error) if error.is_transient() && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

/// How the engine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Facts that wait for the ledger.
    pub waiting: usize,
    /// Decisions and attempts that were not recorded because the queue was full. Anything but 0 deserves an alarm:
    /// replay misses these rows.
    pub dropped: u64,
    /// Facts that were taken and could not be written. Anything but 0 deserves an alarm.
    pub lost: u64,
    /// How long the ledger has been out of reach, if it is.
    pub stalled: Option<Duration>,
    /// How long ago the policy tables were last looked after; it grows while the ledger cannot be read.
    pub refreshed: Duration,
    /// Whether all threads run. They should, until the engine is closed.
    pub alive: bool,
}

impl Health {
    /// Whether signals can be taken in and learned from just now. Decisions go on in any case.
    pub fn is_well(&self) -> bool {
        const TOO_LONG: Duration = Duration::from_secs(10);
        self.alive && self.refreshed < TOO_LONG && self.stalled.is_none_or(|stalled| stalled < TOO_LONG)
    }
}

impl Engine {
    /// Opens the data folder, loads what was learned, and starts the threads that write and refresh.
    ///
    /// # Errors
    /// [`EngineError`] when the data folder, its secret or its ledger cannot be used.
    pub fn open(config: EngineConfig) -> Result<Self, EngineError> {
        let ledger = Arc::new(SqliteLedger::open(&config.home.ledger())?);
        Self::open_on(ledger, config)
    }

    /// As [`Engine::open`], on a ledger of the caller's; the data folder is used for the secret alone.
    ///
    /// # Errors
    /// [`EngineError`] when the secret or the ledger cannot be used.
    pub fn open_on(ledger: Arc<dyn Ledger>, config: EngineConfig) -> Result<Self, EngineError> {
        let hash_key = config.home.hash_key()?;
        let seed = config.seed.unwrap_or_else(from_system);
        let providers = config.upstream.providers().clone();
        let outages = Outages::new(providers.clone(), config.clock.clone(), seed);
        outages.load(&*ledger)?;
        let outages = Arc::new(outages);
        let prices = Arc::new(Prices::new(config.prices, providers));
        let learned = Learned::load(&*ledger, &config.clock, Arc::clone(&outages), prices, config.refresh)?;
        let learned = Arc::new(learned);
        let (wake, clock) = (Arc::clone(&learned), config.clock.clone());
        let writer =
            Writer::start(Arc::clone(&ledger), config.writer, move || clock.now(), move |_| wake.wake())
                .map_err(EngineError::Thread)?;
        let printer = Printer::start(&hash_key).map_err(EngineError::Thread)?;
        let checker = Checker::start().map_err(EngineError::Thread)?;
        let writer = Arc::new(writer);
        let classifier = config
            .classifier
            .map(|setup| {
                let price = learned.prices().of(setup.model());
                Classifier::start(setup, price, Arc::clone(&writer), config.clock.clone())
            })
            .transpose()?;
        let sessions = Sessions::start(
            config.sessions,
            config.refresh,
            Arc::clone(&ledger),
            &writer,
            config.clock.clone(),
        )?;
        let (refreshing, tailed, clock) = (Arc::clone(&learned), Arc::clone(&ledger), config.clock.clone());
        let forget = printer.forgetting();
        let refresher = std::thread::Builder::new()
            .name("kalibr-refresher".into())
            .spawn(move || refreshing.run(&*tailed, &clock, &forget))
            .map_err(EngineError::Thread)?;
        let keeper = Arc::new(Keeper::default());
        let (kept, forgetting, clock) = (Arc::clone(&keeper), Arc::clone(&ledger), config.clock.clone());
        let keeping = std::thread::Builder::new()
            .name("kalibr-keeper".into())
            .spawn(move || kept.run(&*forgetting, config.privacy, &clock))
            .map_err(EngineError::Thread)?;
        Ok(Self(Arc::new(Inner {
            ledger,
            writer,
            classifier,
            sessions,
            learned,
            outages,
            refresher: Mutex::new(Some(refresher)),
            keeper,
            keeping: Mutex::new(Some(keeping)),
            privacy: config.privacy,
            upstream: config.upstream,
            clock: config.clock,
            hash_key,
            seed,
            draws: AtomicU64::new(0),
            traces: Traces::new(),
            printer,
            checker,
            thresholds: config.thresholds,
        })))
    }

    /// Creates or changes a goal, and waits until it routes.
    ///
    /// # Errors
    /// [`GoalError`] when the goal cannot be as asked; nothing was changed then, except for [`GoalError::Slow`].
    pub fn put_goal(
        &self,
        name: &Goal,
        settings: &GoalSettings,
        paths: &[PathSpec],
        update: PathUpdate,
    ) -> Result<(), GoalError> {
        if let Some(problem) = settings.problem(paths) {
            return Err(GoalError::Settings(problem));
        }
        self.write_goal(name, Some(settings), paths, update)
    }

    /// Without settings the goal keeps those that it has.
    pub(crate) fn write_goal(
        &self,
        name: &Goal,
        settings: Option<&GoalSettings>,
        paths: &[PathSpec],
        update: PathUpdate,
    ) -> Result<(), GoalError> {
        if paths.is_empty() {
            return Err(GoalError::NoPaths);
        }
        let known = match update {
            PathUpdate::Add => self.0.learned.goal(name.as_str()).map_or(0, |goal| {
                let new =
                    |p: &&kalibr_store::PathRecord| p.enabled && !paths.iter().any(|path| path.id() == p.id);
                goal.record.paths.iter().filter(new).count()
            }),
            PathUpdate::Replace => 0,
        };
        // A path that is listed twice is one path.
        let mut ids = HashSet::new();
        let distinct: Vec<PathSpec> = paths.iter().filter(|path| ids.insert(path.id())).cloned().collect();
        if known + distinct.len() > MAX_PATHS {
            return Err(GoalError::TooManyPaths);
        }
        // A float that is no number cannot be written; settings with one were refused before.
        let settings =
            settings.map(|settings| serde_json::to_string(settings).unwrap_or_else(|_| "{}".to_owned()));
        let now = self.0.clock.now();
        let write = || self.0.ledger.put_goal(name, settings.as_deref(), &distinct, update, now);
        let (_, seq) = patiently(write)?;
        self.goal_visible(seq)
    }

    /// Stops a goal from routing; its history stays. Returns whether there was one.
    ///
    /// # Errors
    /// [`GoalError::Store`] when the ledger failed, [`GoalError::Slow`] when the tables did not follow in time.
    pub fn remove_goal(&self, name: &Goal) -> Result<bool, GoalError> {
        let Some(seq) = self.0.ledger.remove_goal(name, self.0.clock.now())? else {
            return Ok(false);
        };
        self.goal_visible(seq).map(|()| true)
    }

    pub(crate) fn goal_visible(&self, seq: i64) -> Result<(), GoalError> {
        self.0.learned.wake_at_once();
        let visible = self.0.learned.wait_for(seq, Instant::now() + GOAL_PATIENCE);
        if visible { Ok(()) } else { Err(GoalError::Slow) }
    }

    /// Waits until everything queued so far is committed and in the policy tables. Returns whether it is, within
    /// `patience`.
    pub fn flush(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        if !(self.0.checker.settle(patience) && self.0.printer.settle(patience)) {
            return false;
        }
        let slot = Arc::new((Mutex::new(None), Condvar::new()));
        let heard = Arc::clone(&slot);
        self.0.writer.barrier(Box::new(move |result| {
            *heard.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(result.map(|(_, seq)| seq));
            heard.1.notify_all();
        }));
        let answer = slot.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, _) = slot
            .1
            .wait_timeout_while(answer, patience, |answer| answer.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        match &*answer {
            Some(Ok(seq)) => {
                self.0.learned.wake_at_once();
                self.0.learned.wait_for(*seq, deadline)
            }
            _ => false,
        }
    }

    /// Writes what is queued and stops the engine's threads. Returns whether everything was written within `patience`.
    ///
    /// Messages that wait for the classifier model are dropped after two seconds, and counted.
    pub fn close(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        // They still write.
        self.0.sessions.close();
        if let Some(classifier) = &self.0.classifier {
            classifier.close(patience / 2);
        }
        let left = || deadline.saturating_duration_since(Instant::now());
        let settled = self.0.checker.settle(left()) & self.0.printer.settle(left());
        let written = self.0.writer.close(left()) && settled;
        self.0.learned.stop();
        self.0.keeper.stop();
        for thread in [&self.0.refresher, &self.0.keeping] {
            if let Some(thread) = thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
                let _ = thread.join();
            }
        }
        written
    }

    /// Closes every file and keeps all threads out of the ledger until [`Engine::resume`]: for the moment of a `fork`,
    /// across which a SQLite connection must not live. The child opens an engine of its own.
    pub fn suspend(&self) {
        self.0.ledger.suspend();
    }

    /// Goes on after [`Engine::suspend`].
    pub fn resume(&self) {
        self.0.ledger.resume();
    }

    /// How the engine is doing.
    pub fn health(&self) -> Health {
        let refresher = self.0.refresher.lock().unwrap_or_else(PoisonError::into_inner);
        Health {
            waiting: self.0.writer.waiting(),
            dropped: self.0.writer.dropped(),
            lost: self.0.writer.lost(),
            stalled: self.0.writer.stalled(),
            refreshed: self.0.learned.refreshed(),
            alive: self.0.writer.is_alive()
                && self.0.printer.is_alive()
                && self.0.checker.is_alive()
                && refresher.as_ref().is_some_and(|thread| !thread.is_finished()),
        }
    }

    /// A session's id as the ledger keeps it.
    pub fn session_hash(&self, session: &SessionId) -> KeyedHash {
        self.0.hash_key.hash("session", session.as_str())
    }

    /// A user's id as the ledger keeps it.
    pub fn user_hash(&self, user: &str) -> KeyedHash {
        self.0.hash_key.hash("user", user)
    }

    /// A caller's own id of a run as the ledger keeps it.
    pub fn alias_hash(&self, alias: &str) -> KeyedHash {
        self.0.hash_key.hash("run", alias)
    }

    /// The providers.
    pub fn upstream(&self) -> &Upstream {
        &self.0.upstream
    }

    pub(crate) fn second(&self) -> Option<&Classifier> {
        self.0.classifier.as_ref()
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    pub(crate) fn ledger(&self) -> &dyn Ledger {
        &*self.0.ledger
    }

    pub(crate) fn learned(&self) -> &Learned {
        &self.0.learned
    }

    pub(crate) fn outages(&self) -> &Outages {
        &self.0.outages
    }

    pub(crate) fn checker(&self) -> &Checker {
        &self.0.checker
    }

    pub(crate) fn printer(&self) -> &Printer {
        &self.0.printer
    }

    pub(crate) fn prices(&self) -> &Prices {
        self.0.learned.prices()
    }

    /// How sure a follow-up message must be to become a signal.
    pub fn thresholds(&self) -> &Thresholds {
        &self.0.thresholds
    }

    pub(crate) fn privacy(&self) -> Privacy {
        self.0.privacy
    }

    /// Forgets what is due by now, as the engine does by itself every hour: texts whose days are over, and runs where
    /// [`Privacy::keep_days`] lets them expire. Returns whether all was done. Blocks.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot be written.
    pub fn forget_expired(&self) -> Result<bool, StoreError> {
        self.0.keeper.look(self.ledger(), self.0.privacy, self.0.clock.now())
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(crate) fn seed(&self) -> u64 {
        self.0.seed
    }

    /// A fresh trace id.
    pub(crate) fn new_trace(&self) -> TraceId {
        self.0.traces.next()
    }

    pub(crate) fn next_draw(&self) -> u64 {
        self.0.draws.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn append(&self, fact: Fact, ack: Option<Ack>) -> Result<(), SignalError> {
        self.0.writer.append(fact, ack).map_err(|_| SignalError::Full)
    }

    /// Queues a row of the log. A row that is not taken is counted by the writer, and said once in a while here.
    pub(crate) fn log(&self, fact: Fact) {
        if self.append(fact, None).is_err() {
            let dropped = self.0.writer.dropped();
            if dropped.is_power_of_two() {
                tracing::error!(dropped, "decisions are not recorded: the queue before the ledger is full");
            }
        }
    }
}
