//! Fingerprints of prompts and answers: made, kept and found again on a thread of their own.
//!
//! A caller hands a text over, which takes a microsecond (13 at the 99th percentile), and goes on; taking it apart and
//! hashing its tokens takes some 20 µs for a kilobyte, 3 ms for 100. The text dies on that thread: what leaves it is a
//! keyed fingerprint. Questions go through the same queue, so that whoever asks about an answer finds it, however short
//! ago it came.
//!
//! A text wakes nobody while there is traffic, as facts do not wake the ledger's writer: a thread that wakes twice a
//! request takes the processor from the request itself. The thread looks every [`LOOK`], and sleeps when it was quiet.
//!
//! The latest runs of this process are found in memory, all others in the ledger. What another process on the same
//! ledger knows of a session is seen once it is committed.

mod recent;
mod text;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kalibr_core::ids::{HashKey, KeyedHash, Timestamp, TraceId};
use kalibr_signals::fingerprint::{Fingerprint, Key};
use kalibr_store::{About, Fact, PrintFact, PrintOf, StoreError};
use kalibr_upstream::ChatRequest;

use crate::engine::Engine;
use crate::report::{PrivateText, Run};
use recent::{Known, Recent};
pub(crate) use text::{Streamed, prompt};

/// Most bytes of texts that wait. What does not fit leaves no fingerprint, which is counted.
const WAITING: usize = 32 << 20;

/// How often the thread looks for texts while there are some.
const LOOK: Duration = Duration::from_millis(2);
/// How long it goes on looking when there are none.
const QUIET: Duration = Duration::from_millis(100);
/// How long it sleeps at most: the end of the engine wakes nobody.
const SLEEP: Duration = Duration::from_secs(1);

/// What is kept of a run's texts, and the key to compare others with them.
#[derive(Debug, Clone)]
pub struct Prints {
    /// The run.
    pub trace: TraceId,
    /// When it was.
    pub at: Timestamp,
    /// A text that is to be compared with these gets its fingerprint under this key.
    pub key: Key,
    /// Of what the user asked: the last message of theirs.
    pub prompt: Option<Fingerprint>,
    /// Of the answer that came out in the end.
    pub answer: Option<Fingerprint>,
}

/// A text as it came, not yet taken apart.
pub(crate) enum Text {
    Request(Box<ChatRequest>),
    Answer(Bytes),
    Plain(String),
    Told(PrivateText),
}

impl Text {
    fn len(&self) -> usize {
        match self {
            Self::Request(body) => body.get("messages").map_or(0, |messages| messages.get().len()),
            Self::Answer(body) => body.len(),
            Self::Plain(text) => text.len(),
            Self::Told(text) => text.0.len(),
        }
    }

    fn read(self) -> Option<String> {
        match self {
            Self::Request(body) => text::prompt(&body),
            Self::Answer(body) => text::answer(&body),
            Self::Plain(text) => Some(text),
            Self::Told(text) => Some(text.0.to_string()),
        }
    }
}

type Answered = Box<dyn FnOnce(Result<Option<Prints>, StoreError>) + Send>;

enum Job {
    Text { engine: Engine, trace: TraceId, of: PrintOf, text: Text },
    Find { engine: Engine, run: Run, at: Timestamp, answered: Answered },
    Barrier(SyncSender<()>),
}

impl Job {
    /// Whether somebody waits for it.
    fn is_urgent(&self) -> bool {
        !matches!(self, Self::Text { .. })
    }
}

/// The queue is gone: the thread has ended.
struct Ended;

/// The thread, and what it shares.
pub(crate) struct Printer {
    jobs: Sender<Job>,
    /// Whether the thread sleeps until it is woken, and does not look by itself.
    asleep: Arc<AtomicBool>,
    key: Key,
    recent: Arc<Mutex<Recent>>,
    waiting: AtomicUsize,
    dropped: AtomicU64,
    thread: JoinHandle<()>,
}

impl std::fmt::Debug for Printer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Printer").field("dropped", &self.dropped).finish_non_exhaustive()
    }
}

impl Printer {
    /// Starts the thread, which ends with the engine.
    pub(crate) fn start(secret: &HashKey) -> std::io::Result<Self> {
        let (jobs, work) = channel();
        let asleep = Arc::new(AtomicBool::new(false));
        let queue = Queue { work, asleep: Arc::clone(&asleep) };
        let thread = std::thread::Builder::new().name("kalibr-prints".into()).spawn(move || run(&queue))?;
        Ok(Self {
            jobs,
            asleep,
            key: Key::from(secret),
            recent: Arc::default(),
            waiting: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            thread,
        })
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, job: Job) -> Result<(), Ended> {
        let urgent = job.is_urgent();
        self.jobs.send(job).map_err(|_| Ended)?;
        // Pairs with the fence of `Queue::next`: either it sees what was queued, or this sees it asleep.
        fence(Ordering::SeqCst);
        if urgent || self.asleep.load(Ordering::Relaxed) {
            self.thread.thread().unpark();
        }
        Ok(())
    }

    /// Forgets the runs in memory: the ledger knows which of them are still there.
    pub(crate) fn forget(&self) {
        *self.recent() = Recent::default();
    }

    /// As [`Printer::forget`], for whoever hears that another process has erased something.
    pub(crate) fn forgetting(&self) -> impl Fn() + Send + 'static {
        let recent = Arc::clone(&self.recent);
        move || *recent.lock().unwrap_or_else(PoisonError::into_inner) = Recent::default()
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Waits until all texts that were handed over have their fingerprints in the writer's queue.
    pub(crate) fn settle(&self, patience: Duration) -> bool {
        let (done, settled) = sync_channel(1);
        self.send(Job::Barrier(done)).is_ok() && settled.recv_timeout(patience).is_ok()
    }
}

/// The thread's end of the queue.
struct Queue {
    work: Receiver<Job>,
    asleep: Arc<AtomicBool>,
}

impl Queue {
    /// Waits for the next job; `None` once nobody is left who could send one.
    fn next(&self) -> Option<Job> {
        let begun = Instant::now();
        loop {
            match self.work.try_recv() {
                Ok(job) => return Some(job),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) if begun.elapsed() < QUIET => std::thread::park_timeout(LOOK),
                Err(TryRecvError::Empty) => {
                    self.asleep.store(true, Ordering::Relaxed);
                    fence(Ordering::SeqCst);
                    let job = self.work.try_recv();
                    if matches!(job, Err(TryRecvError::Empty)) {
                        std::thread::park_timeout(SLEEP);
                    }
                    self.asleep.store(false, Ordering::Relaxed);
                    if let Ok(job) = job {
                        return Some(job);
                    }
                }
            }
        }
    }
}

fn run(queue: &Queue) {
    while let Some(job) = queue.next() {
        match job {
            Job::Text { engine, trace, of, text } => {
                let len = text.len();
                // A text that breaks its reader costs its fingerprint, and not the thread.
                let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    text.read()
                        .filter(|text| text.len() <= text::LONGEST)
                        .map(|text| engine.print(trace, of, &text))
                }));
                engine.printer().waiting.fetch_sub(len, Ordering::Relaxed);
                if let Ok(Some(fact)) = made {
                    engine.log(fact);
                }
            }
            Job::Find { engine, run, at, answered } => answered(engine.look_up(run, at)),
            Job::Barrier(done) => drop(done.send(())),
        }
    }
}

impl Engine {
    /// A run of this process, so that its prints are found by it and by its session.
    pub(crate) fn note_run(&self, trace: TraceId, at: Timestamp, session: Option<KeyedHash>) {
        self.printer().recent().note(trace, at, session);
    }

    /// Has a text of a run that was noted fingerprinted, some time soon.
    pub(crate) fn hand_over(&self, trace: TraceId, of: PrintOf, text: Text) {
        let printer = self.printer();
        let len = text.len();
        let engine = self.clone();
        if printer.waiting.fetch_add(len, Ordering::Relaxed) + len <= WAITING
            && printer.send(Job::Text { engine, trace, of, text }).is_ok()
        {
            return;
        }
        printer.waiting.fetch_sub(len, Ordering::Relaxed);
        let dropped = printer.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        if dropped.is_power_of_two() {
            tracing::warn!(dropped, "texts are not fingerprinted: too many wait");
        }
    }

    /// The fingerprint of a text of a run, in memory and ready to be stored.
    fn print(&self, trace: TraceId, of: PrintOf, text: &str) -> Fact {
        let print = Fingerprint::of(&self.printer().key.of_run(trace), text);
        self.printer().recent().keep(trace, of, &print);
        Fact::Print(PrintFact { trace, of, print: print.to_bytes(), at: self.clock().now() })
    }

    /// What is kept of the texts of a run that this process made a short while ago, from memory and at once; `None` where
    /// only [`Engine::prints`] can tell. What was handed over within the last moments may be missing.
    pub fn recent_prints(&self, run: Run, at: Timestamp) -> Option<Prints> {
        let recent = self.printer().recent();
        recent.find(run, at).map(|known| self.known(known.clone()))
    }

    /// What is kept of the texts of the run that a signal of this moment speaks of: a decision, or the session's latest
    /// run at or before `at`. Looked up on a thread of its own, in memory and in the ledger. `None` when there is no such
    /// run.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot be read.
    pub async fn prints(&self, run: Run, at: Timestamp) -> Result<Option<Prints>, StoreError> {
        self.with_prints(run, at, |prints| prints).await
    }

    /// Works with what [`Engine::prints`] finds, on its thread.
    pub(crate) async fn with_prints<T: Send + 'static>(
        &self,
        run: Run,
        at: Timestamp,
        work: impl FnOnce(Result<Option<Prints>, StoreError>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (found, answer) = tokio::sync::oneshot::channel();
        let answered: Answered = Box::new(move |prints| drop(found.send(work(prints))));
        let job = Job::Find { engine: self.clone(), run, at, answered };
        if self.printer().send(job).is_err() {
            return Err(StoreError::Closed);
        }
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    fn known(&self, known: Known) -> Prints {
        Prints {
            trace: known.trace,
            at: known.at,
            key: self.printer().key.of_run(known.trace),
            prompt: known.prompt,
            answer: known.answer.map(|(_, print)| print),
        }
    }

    fn look_up(&self, run: Run, at: Timestamp) -> Result<Option<Prints>, StoreError> {
        let recent = self.recent_prints(run, at);
        let (about, complete) = match run {
            Run::Trace(trace) => (
                About::Trace(trace),
                recent.as_ref().is_some_and(|prints| prints.prompt.is_some() && prints.answer.is_some()),
            ),
            // A session may have had a later run elsewhere.
            Run::Session(session) => (About::Session(session), false),
        };
        if complete {
            return Ok(recent);
        }
        let stored = match self.ledger().prints(about, at) {
            Ok(stored) => stored,
            Err(error) => return if recent.is_some() { Ok(recent) } else { Err(error) },
        };
        let read = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| Fingerprint::from_bytes(&bytes).ok());
        let stored = stored.map(|stored| Prints {
            trace: stored.trace,
            at: stored.at,
            key: self.printer().key.of_run(stored.trace),
            prompt: read(stored.prompt),
            answer: read(stored.answer),
        });
        Ok(match (recent, stored) {
            (Some(recent), Some(stored)) if recent.trace == stored.trace => Some(Prints {
                prompt: recent.prompt.or(stored.prompt),
                answer: recent.answer.or(stored.answer),
                ..stored
            }),
            (Some(recent), Some(stored)) => {
                let later = (recent.at, recent.trace) > (stored.at, stored.trace);
                Some(if later { recent } else { stored })
            }
            (recent, stored) => recent.or(stored),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::{Config, EngineConfig, Home};

    #[test]
    fn whoever_hands_a_long_answer_over_does_not_wait_for_its_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let config = EngineConfig::new(Home::at(folder.path()), &Config::default(), &|_| None).unwrap();
        let engine = Engine::open(config).unwrap();
        let text = "some words of an answer ".repeat(4_000);
        let body = serde_json::json!({ "choices": [{ "message": { "content": text } }] }).to_string();
        let body = Bytes::from(body);
        let key = Key::new([1; 16]);
        let alone = Instant::now();
        let _ = Fingerprint::of(&key, &text);
        let alone = alone.elapsed();
        let mut took: Vec<Duration> = (0..100_u8)
            .map(|n| {
                let (trace, body) = (TraceId::from_bytes([n + 1; 16]), body.clone());
                let began = Instant::now();
                engine.note_run(trace, Timestamp(i64::from(n)), None);
                engine.hand_over(trace, PrintOf::Answer(0), Text::Answer(body));
                began.elapsed()
            })
            .collect();
        took.sort();
        assert!(took[50] < alone / 20, "{:?} of {alone:?}", took[50]);
        assert!(engine.flush(Duration::from_mins(1)));
        let last = engine.recent_prints(Run::Trace(TraceId::from_bytes([100; 16])), Timestamp(0)).unwrap();
        assert_eq!(last.answer, Some(Fingerprint::of(&last.key, &text)));

        assert!(engine.close(Duration::from_mins(1)));
    }

    #[test]
    fn texts_beyond_what_may_wait_are_counted_and_hold_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let config = EngineConfig::new(Home::at(folder.path()), &Config::default(), &|_| None).unwrap();
        let engine = Engine::open(config).unwrap();
        let trace = TraceId::from_bytes([1; 16]);
        engine.hand_over(trace, PrintOf::Prompt, Text::Answer(Bytes::from(vec![b' '; WAITING + 1])));
        assert_eq!(engine.printer().dropped.load(Ordering::Relaxed), 1);
        assert_eq!(engine.printer().waiting.load(Ordering::Relaxed), 0);
        assert!(engine.close(Duration::from_mins(1)));
    }
}
