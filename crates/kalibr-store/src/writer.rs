//! Group commit: one thread per process turns facts from everywhere into one synced transaction after another.
//!
//! While a transaction is being synced, facts queue up and the next one takes them all, so throughput grows with load
//! and a lone fact waits for nobody. The queue keeps order: within a process a signal is never committed before the
//! decision it speaks of.
//!
//! Facts that nobody waits for also wake nobody: waking a thread costs the caller more than everything else that a
//! decision does. While there is traffic the writer looks into its queue every [`LOOK`]; once it was quiet for
//! [`QUIET`], it sleeps, and the next fact wakes it. Whoever waits for an answer wakes it at once.
//!
//! The queue is bounded. Facts that nobody waits for (decisions, attempts, prints) are refused when it is full, and counted;
//! signals have a bound of their own, so that a flood of decisions never pushes evidence out.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use kalibr_core::ids::Timestamp;

use crate::error::StoreError;
use crate::facts::{Fact, Receipt};
use crate::ledger::{Committed, Ledger};

/// Called once with what became of a fact, and the number of the last change at that moment.
pub type Ack = Box<dyn FnOnce(Result<(Receipt, i64), StoreError>) + Send>;

/// The queue is full: the fact was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the queue before the ledger is full: the store is slower than the traffic, or stands still; try again later"
)]
pub struct QueueFull;

/// Bounds of the queue.
#[derive(Debug, Clone, Copy)]
pub struct WriterConfig {
    /// Most decisions, attempts, prints and texts that wait.
    pub log_limit: usize,
    /// Most signals, withdrawals and anchors that wait.
    pub evidence_limit: usize,
    /// Most facts in one transaction.
    pub batch: usize,
}

impl Default for WriterConfig {
    fn default() -> Self {
        Self { log_limit: 65_536, evidence_limit: 262_144, batch: 2_048 }
    }
}

/// How often the ledger is cleaned of what has outlived its use.
const MAINTENANCE: Duration = Duration::from_hours(1);
/// Waits between tries while the ledger is out of reach: doubled from the first to the last.
const RETRY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// A turn of the writer that took this long is followed by a pause, in which other processes on the same file get
/// hold of the lock.
const LONG: Duration = Duration::from_millis(10);
const BREATH: Duration = Duration::from_millis(4);

/// How often the writer looks for facts that nobody waits for, while there are some.
const LOOK: Duration = Duration::from_millis(2);
/// How long it goes on looking when there are none.
const QUIET: Duration = Duration::from_millis(100);

enum Message {
    Append(Fact, Option<Ack>),
    /// Commits nothing; its ack tells that all before it is in.
    Barrier(Ack),
    Stop,
}

/// What the queue's two ends know of each other.
#[derive(Default)]
struct Shared {
    log: AtomicUsize,
    evidence: AtomicUsize,
    dropped: AtomicU64,
    lost: AtomicU64,
    stopping: AtomicBool,
    /// Whether the worker sleeps until it is woken, and does not look by itself.
    asleep: AtomicBool,
    /// Whether nobody sends any more.
    abandoned: AtomicBool,
    stalled_since: Mutex<Option<Instant>>,
}

impl Shared {
    fn stalled_lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.stalled_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stalled_since(&self) -> Option<Instant> {
        *self.stalled_lock()
    }
}

/// Whether a fact is of the log, which nobody waits for, or evidence.
fn is_log(fact: &Fact) -> bool {
    match fact {
        Fact::Decision(_) | Fact::Attempt(_) | Fact::Checked(_) | Fact::Print(_) | Fact::Text(_) => true,
        Fact::Signal(_) | Fact::Withdrawal(..) | Fact::Anchor(_) | Fact::Step(_) | Fact::Ended(_) => false,
    }
}

/// The way into the ledger.
pub struct Writer {
    queue: Sender<Message>,
    shared: Arc<Shared>,
    config: WriterConfig,
    thread: Mutex<Option<JoinHandle<()>>>,
    worker: Thread,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("waiting", &self.waiting())
            .field("lost", &self.lost())
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// Starts the thread. `committed` is called on it after every transaction, with the number of the last change.
    ///
    /// # Errors
    /// The system's, when it cannot start a thread.
    pub fn start(
        ledger: Arc<dyn Ledger>,
        config: WriterConfig,
        clock: impl Fn() -> Timestamp + Send + 'static,
        committed: impl Fn(i64) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (queue, messages) = channel();
        let shared = Arc::new(Shared::default());
        let work =
            Worker { ledger, shared: Arc::clone(&shared), messages, batch: config.batch, clock, committed };
        let thread = std::thread::Builder::new().name("kalibr-writer".into()).spawn(move || work.run())?;
        let worker = thread.thread().clone();
        Ok(Self { queue, shared, config, thread: Mutex::new(Some(thread)), worker })
    }

    /// Queues a fact; `ack` hears what became of it once it is durable.
    ///
    /// # Errors
    /// [`QueueFull`] when the fact was not taken; a decision or attempt that was not taken is counted in
    /// [`Writer::dropped`].
    pub fn append(&self, fact: Fact, ack: Option<Ack>) -> Result<(), QueueFull> {
        let log = is_log(&fact);
        let (depth, limit) = if log {
            (&self.shared.log, self.config.log_limit)
        } else {
            (&self.shared.evidence, self.config.evidence_limit)
        };
        let urgent = !log || ack.is_some();
        if depth.fetch_add(1, Ordering::Relaxed) >= limit
            || self.queue.send(Message::Append(fact, ack)).is_err()
        {
            depth.fetch_sub(1, Ordering::Relaxed);
            if log {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            }
            return Err(QueueFull);
        }
        self.wake(urgent);
        Ok(())
    }

    /// Tells the worker that something was queued: at once, or only if it would not look by itself.
    fn wake(&self, urgent: bool) {
        // Pairs with the fence of `Worker::sleep`: either it sees what was queued, or this sees it asleep.
        fence(Ordering::SeqCst);
        if urgent || self.shared.asleep.load(Ordering::Relaxed) {
            self.worker.unpark();
        }
    }

    /// `ack` is called once everything queued before is durable.
    pub fn barrier(&self, ack: Ack) {
        if let Err(unsent) = self.queue.send(Message::Barrier(ack))
            && let Message::Barrier(ack) = unsent.0
        {
            ack(Err(StoreError::Closed));
        }
        self.wake(true);
    }

    /// Facts that wait for the ledger.
    pub fn waiting(&self) -> usize {
        self.shared.log.load(Ordering::Relaxed) + self.shared.evidence.load(Ordering::Relaxed)
    }

    /// Decisions and attempts that were not taken because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Facts that were taken and could not be written: the ledger refused them, or the process closed before.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// How long the ledger has been out of reach; `None` when it is not, as far as known.
    pub fn stalled(&self) -> Option<Duration> {
        self.shared.stalled_since().map(|since| since.elapsed())
    }

    /// Whether the thread runs.
    pub fn is_alive(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Writes what is queued and stops. Facts that cannot be written within `patience` (and the second that a call may
    /// wait for another process) are given up: they are counted in [`Writer::lost`], and their acks hear
    /// [`StoreError::Closed`]. Returns whether everything was written.
    pub fn close(&self, patience: Duration) -> bool {
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return self.waiting() == 0;
        };
        let _ = self.queue.send(Message::Stop);
        self.wake(true);
        let deadline = Instant::now() + patience;
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        let in_time = thread.is_finished();
        self.shared.stopping.store(true, Ordering::Relaxed);
        let _ = thread.join();
        in_time
    }
}

impl Drop for Writer {
    /// A worker that nobody can send to any more writes what is queued and ends: it must look for that.
    fn drop(&mut self) {
        self.shared.abandoned.store(true, Ordering::Release);
        self.worker.unpark();
    }
}

struct Worker<C, D> {
    ledger: Arc<dyn Ledger>,
    shared: Arc<Shared>,
    messages: Receiver<Message>,
    batch: usize,
    clock: C,
    committed: D,
}

/// What one turn of the writer takes from the queue.
#[derive(Default)]
struct Taken {
    facts: Vec<Fact>,
    acks: Vec<Option<Ack>>,
    barriers: Vec<Ack>,
    stop: bool,
}

impl<C: Fn() -> Timestamp, D: Fn(i64)> Worker<C, D> {
    fn run(self) {
        let mut maintained: Option<Instant> = None;
        // Facts lost since a barrier last heard of it.
        let mut lost = 0;
        while let Some(taken) = self.take() {
            let Taken { facts, acks, barriers, stop } = taken;
            let begun = Instant::now();
            lost += self.write(&facts, acks);
            if !barriers.is_empty() {
                let reached = if lost == 0 { self.patiently(&[]) } else { Err(StoreError::Closed) };
                lost = 0;
                for ack in barriers {
                    ack(match &reached {
                        Ok(committed) => Ok((Receipt::default(), committed.seq)),
                        Err(_) => Err(StoreError::Closed),
                    });
                }
            }
            if stop {
                return;
            }
            // Only who writes cleans up: a process that merely reads should not take the lock.
            if !facts.is_empty() && maintained.is_none_or(|at| at.elapsed() >= MAINTENANCE) {
                if let Err(error) = self.ledger.maintain((self.clock)()) {
                    tracing::warn!(%error, "the ledger could not be cleaned; it is tried again in an hour");
                }
                maintained = Some(Instant::now());
            }
            if begun.elapsed() > LONG {
                std::thread::sleep(BREATH);
            }
        }
    }

    /// Waits for something to do; `None` when nobody can send any more.
    fn take(&self) -> Option<Taken> {
        let mut taken = Taken::default();
        let mut next = Some(self.next()?);
        while let Some(message) = next {
            match message {
                Message::Append(fact, ack) => {
                    taken.facts.push(fact);
                    taken.acks.push(ack);
                }
                // What comes after a barrier is not its business.
                Message::Barrier(ack) => {
                    taken.barriers.push(ack);
                    break;
                }
                Message::Stop => {
                    taken.stop = true;
                    break;
                }
            }
            next = if taken.facts.len() < self.batch { self.messages.try_recv().ok() } else { None };
        }
        Some(taken)
    }

    fn next(&self) -> Option<Message> {
        let begun = Instant::now();
        loop {
            // Before looking: what was sent before the last sender went is still found.
            let abandoned = self.shared.abandoned.load(Ordering::Acquire);
            match self.messages.try_recv() {
                Ok(message) => return Some(message),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) if abandoned => return None,
                Err(TryRecvError::Empty) if begun.elapsed() < QUIET => std::thread::park_timeout(LOOK),
                Err(TryRecvError::Empty) => {
                    if let Some(message) = self.sleep() {
                        return Some(message);
                    }
                }
            }
        }
    }

    /// Sleeps until it is woken, unless something is queued already.
    fn sleep(&self) -> Option<Message> {
        self.shared.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let queued = self.messages.try_recv().ok();
        if queued.is_none() && !self.shared.abandoned.load(Ordering::Acquire) {
            std::thread::park();
        }
        self.shared.asleep.store(false, Ordering::Relaxed);
        queued
    }

    /// Commits the facts and tells who waits. Returns how many were lost.
    fn write(&self, facts: &[Fact], mut acks: Vec<Option<Ack>>) -> u64 {
        if facts.is_empty() {
            return 0;
        }
        match self.patiently(facts) {
            Ok(Committed { receipts, seq }) => {
                self.leave(facts);
                (self.committed)(seq);
                for (ack, receipt) in acks.into_iter().zip(receipts) {
                    if let Some(ack) = ack {
                        ack(Ok((receipt, seq)));
                    }
                }
                0
            }
            Err(StoreError::Refused { .. } | StoreError::Damaged { .. }) if facts.len() > 1 => {
                // One fact that the ledger cannot take must not take the others with it.
                let mut lost = 0;
                for (fact, ack) in facts.iter().zip(acks.drain(..)) {
                    lost += self.write(std::slice::from_ref(fact), vec![ack]);
                }
                lost
            }
            Err(error) => {
                tracing::error!(%error, lost = facts.len(), "facts could not be written to the ledger");
                self.leave(facts);
                self.shared.lost.fetch_add(facts.len() as u64, Ordering::Relaxed);
                let mut error = Some(error);
                for ack in acks.into_iter().flatten() {
                    ack(Err(error.take().unwrap_or(StoreError::Closed)));
                }
                facts.len() as u64
            }
        }
    }

    fn leave(&self, facts: &[Fact]) {
        // At once and not one by one: senders count on the same numbers.
        let log = facts.iter().filter(|fact| is_log(fact)).count();
        self.shared.log.fetch_sub(log, Ordering::Relaxed);
        self.shared.evidence.fetch_sub(facts.len() - log, Ordering::Relaxed);
    }

    /// Commits, again and again while the ledger is out of reach and the process is not closing.
    fn patiently(&self, facts: &[Fact]) -> Result<Committed, StoreError> {
        let mut wait = RETRY.0;
        loop {
            if self.shared.stopping.load(Ordering::Relaxed) && self.shared.stalled_since().is_some() {
                // It was just now out of reach: waiting again for each of what is left would take for ever.
                return Err(StoreError::Closed);
            }
            let result = self.ledger.commit(facts);
            let Err(error) = result else {
                *self.shared.stalled_lock() = None;
                return result;
            };
            if !error.is_transient() {
                return Err(error);
            }
            self.shared.stalled_lock().get_or_insert_with(Instant::now);
            tracing::warn!(%error, waiting = facts.len(), "facts wait for the ledger");
            std::thread::sleep(wait);
            wait = (wait * 2).min(RETRY.1);
        }
    }
}
