//! Sessions that have ended without a verdict: found off the hot path, and taken in.
//!
//! What such a session says is in [`kalibr_signals::session`]; it follows from the steps that the ledger holds, and is
//! written under ids that follow from the session and the moment, so that several processes on one ledger say it once. A
//! thread looks for them. A caller who ends a session wakes it; otherwise it looks every minute at the most.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use kalibr_core::evidence::{Signal, Source, Strength};
use kalibr_core::ids::{KeyedHash, SignalId, Timestamp};
use kalibr_signals::momentum::Reading;
use kalibr_signals::session::{Sign, Step, signs};
use kalibr_store::{EndedFact, Fact, Ledger, SessionStep, SessionTrail, StepFact, StoreError, Writer};
use serde::Deserialize;

use crate::clock::Clock;
use crate::engine::{Engine, Refresh};
use crate::error::EngineError;
use crate::report::{SignalMeta, fresh_signal_id};

/// Sessions that are looked at in one go.
const AT_ONCE: usize = 200;
/// How often sessions are looked for, at the least and at the most.
const LOOK: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(1));
/// When to look after a caller has ended a session: once its word is in the ledger, which may be slow.
const SOON: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(500), Duration::from_secs(5)];

/// The `[sessions]` table of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionsConfig {
    /// After so many seconds in which nothing happened in a session it has ended, though nobody said so; 0: never. Default
    /// 1800. Whatever it is, a session says something only where its messages leaned to a side: see
    /// [`kalibr_signals::session`].
    pub idle_seconds: u32,
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self { idle_seconds: 1_800 }
    }
}

impl SessionsConfig {
    fn idle(self) -> i64 {
        i64::from(self.idle_seconds) * 1_000_000
    }
}

/// Looks for sessions that have ended.
#[derive(Debug)]
pub(crate) struct Sessions {
    config: SessionsConfig,
    wake: Arc<Wake>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Wake {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stopping: bool,
    soon: bool,
}

impl Sessions {
    /// Starts the thread, but where nothing is to happen by itself.
    pub(crate) fn start(
        config: SessionsConfig,
        refresh: Refresh,
        ledger: Arc<dyn Ledger>,
        writer: &Arc<Writer>,
        clock: Clock,
    ) -> Result<Self, EngineError> {
        let wake = Arc::new(Wake::default());
        let thread = match refresh {
            Refresh::AtFlush => None,
            Refresh::Soon => {
                let (woken, writer) = (Arc::clone(&wake), Arc::downgrade(writer));
                let look = move || run(config, &woken, &*ledger, &writer, &clock);
                let thread = std::thread::Builder::new().name("kalibr-sessions".into()).spawn(look);
                Some(thread.map_err(EngineError::Thread)?)
            }
        };
        Ok(Self { config, wake, thread: Mutex::new(thread) })
    }

    /// A caller ended a session.
    fn look_soon(&self) {
        self.wake.state.lock().unwrap_or_else(PoisonError::into_inner).soon = true;
        self.wake.changed.notify_all();
    }

    pub(crate) fn close(&self) {
        self.stop();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }

    fn stop(&self) {
        self.wake.state.lock().unwrap_or_else(PoisonError::into_inner).stopping = true;
        self.wake.changed.notify_all();
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(config: SessionsConfig, wake: &Wake, ledger: &dyn Ledger, writer: &Weak<Writer>, clock: &Clock) {
    let idle = Duration::from_secs(config.idle_seconds.into());
    // With nothing to wait for there may still be what a caller of another process ended, and did not live to take in.
    let pace = if idle.is_zero() { LOOK.1 } else { (idle / 10).clamp(LOOK.0, LOOK.1) };
    let mut looks = SOON.len();
    loop {
        let wait = SOON.get(looks).copied().unwrap_or(pace);
        let state = wake.state.lock().unwrap_or_else(PoisonError::into_inner);
        let calm = |state: &mut State| !state.stopping && !state.soon;
        let (mut state, _) =
            wake.changed.wait_timeout_while(state, wait, calm).unwrap_or_else(PoisonError::into_inner);
        if state.stopping {
            return;
        }
        if std::mem::take(&mut state.soon) {
            looks = 0;
            continue;
        }
        drop(state);
        looks = looks.saturating_add(1);
        let Some(writer) = writer.upgrade() else { return };
        match find(ledger, config, clock.now()) {
            // What the queue does not take is found again.
            Ok(found) => found.into_iter().for_each(|fact| _ = writer.append(fact, None)),
            Err(error) => tracing::warn!(%error, "sessions that have ended are not looked for just now"),
        }
    }
}

/// What sessions say that have ended by now, of which it has not been said.
fn find(ledger: &dyn Ledger, config: SessionsConfig, now: Timestamp) -> Result<Vec<Fact>, StoreError> {
    let idle = config.idle();
    let since = (idle > 0).then(|| Timestamp(now.0.saturating_sub(idle)));
    let trails = ledger.ended_sessions(since, AT_ONCE)?;
    Ok(trails.into_iter().filter_map(|trail| read(trail, idle, now)).collect())
}

fn read(trail: SessionTrail, idle: i64, now: Timestamp) -> Option<Fact> {
    let step = |step: SessionStep| match step {
        SessionStep::Run => Step::Run,
        SessionStep::Message { acceptance, rejection } => Step::Message(Reading { acceptance, rejection }),
        SessionStep::End => Step::End,
    };
    let steps: Vec<(Timestamp, Step)> = trail.steps.iter().map(|(at, what)| (*at, step(*what))).collect();
    let found = signs(&steps, idle, now);
    let mut said: Vec<Signal> = found.signs.iter().filter_map(|sign| signal(trail.session, sign)).collect();
    // Of two messages of one moment the later one of the row speaks.
    said.reverse();
    said.sort_by(|a, b| a.id.cmp(&b.id));
    said.dedup_by(|later, first| later.id == first.id);
    let through = match found.through {
        Some(through) => through,
        // Its caller ended it so many steps ago that the end is not looked at any more.
        None if trail.from > Timestamp(i64::MIN) => Timestamp(trail.from.0 - 1),
        None => return None,
    };
    Some(Fact::Ended(Box::new(EndedFact { trail, through, signs: said, received_at: now })))
}

fn signal(session: KeyedHash, sign: &Sign) -> Option<Signal> {
    let voice = sign.value.voice(Source::SessionEnd);
    // Of one moment the greater id is heard: the end, after the way to it.
    let kind = if voice == kalibr_core::evidence::Voice::Momentum { "momentum" } else { "session_end" };
    Some(Signal {
        id: SignalId::new(&format!("{kind}-{session}-{}", sign.at.0)).ok()?,
        source: Source::SessionEnd,
        value: sign.value,
        strength: sign.value.default_strength(),
        confidence: Strength::new(sign.confidence).ok()?,
        at: sign.at,
        attempt: None,
    })
}

impl Engine {
    /// A session ended, and the caller does not know how: what its messages leaned to, if to anything, is taken in soon
    /// after this is committed. See [`Engine::session_end`] for a caller who knows.
    pub fn session_over(&self, session: KeyedHash, meta: SignalMeta) -> Fact {
        let id = meta.id.unwrap_or_else(fresh_signal_id);
        Fact::Step(StepFact { id, session, read: None, at: self.event_time(meta.at) })
    }

    /// Takes in what sessions say that have ended, as a thread does every minute by itself (but where the engine refreshes
    /// [at flush](Refresh::AtFlush)). Returns how many were found, 200 at the most. Blocks on the ledger; what is found is
    /// queued.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot be read.
    pub fn take_in_sessions(&self) -> Result<usize, StoreError> {
        let found = find(self.ledger(), self.sessions().config, self.clock().now())?;
        // What the queue does not take is found again.
        Ok(found.into_iter().filter(|fact| self.append(fact.clone(), None).is_ok()).count())
    }

    pub(crate) fn noticed(&self, facts: &[Fact]) {
        if facts.iter().any(|fact| matches!(fact, Fact::Step(StepFact { read: None, .. }))) {
            self.sessions().look_soon();
        }
    }
}
