//! Fingerprints of the latest runs of this process, in memory: what users do mostly speaks of a moment ago.

use std::collections::{HashMap, VecDeque};

use kalibr_core::ids::{KeyedHash, Timestamp, TraceId};
use kalibr_signals::fingerprint::Fingerprint;
use kalibr_store::PrintOf;

use crate::report::Run;

/// Most runs that are kept: some 4 MB of fingerprints.
const MOST: usize = 4_096;
/// Most sessions that lead to one run.
const MOST_SESSIONS: usize = 4;

/// A run's fingerprints, as far as there are some.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) trace: TraceId,
    pub(super) at: Timestamp,
    pub(super) prompt: Option<Fingerprint>,
    /// Of which attempt's answer.
    pub(super) answer: Option<(u16, Fingerprint)>,
    sessions: Vec<KeyedHash>,
}

#[derive(Default)]
pub(super) struct Recent {
    runs: HashMap<TraceId, Known>,
    order: VecDeque<TraceId>,
    sessions: HashMap<KeyedHash, Vec<(Timestamp, TraceId)>>,
}

impl Recent {
    /// A run; its time is what was first said of it.
    pub(super) fn note(&mut self, trace: TraceId, at: Timestamp, session: Option<KeyedHash>) {
        if !self.runs.contains_key(&trace) {
            while self.order.len() >= MOST {
                self.forget_oldest();
            }
            self.order.push_back(trace);
            self.runs.insert(trace, Known { trace, at, prompt: None, answer: None, sessions: Vec::new() });
        }
        let Some(known) = self.runs.get_mut(&trace) else { return };
        if let Some(session) = session
            && !known.sessions.contains(&session)
            && known.sessions.len() < MOST_SESSIONS
        {
            known.sessions.push(session);
            self.sessions.entry(session).or_default().push((known.at, trace));
        }
    }

    fn forget_oldest(&mut self) {
        let Some(known) = self.order.pop_front().and_then(|trace| self.runs.remove(&trace)) else { return };
        for session in known.sessions {
            if let Some(runs) = self.sessions.get_mut(&session) {
                runs.retain(|(_, trace)| *trace != known.trace);
                if runs.is_empty() {
                    self.sessions.remove(&session);
                }
            }
        }
    }

    /// The print of a text of a run that was noted. The first of a text stays; of answers the last attempt's counts.
    pub(super) fn keep(&mut self, trace: TraceId, of: PrintOf, print: &Fingerprint) {
        let Some(known) = self.runs.get_mut(&trace) else { return };
        match of {
            PrintOf::Prompt => {
                known.prompt.get_or_insert_with(|| print.clone());
            }
            PrintOf::Answer(attempt) => {
                if known.answer.as_ref().is_none_or(|(before, _)| *before < attempt) {
                    known.answer = Some((attempt, print.clone()));
                }
            }
        }
    }

    /// The run that a signal of this moment speaks of, as far as this process knows.
    pub(super) fn find(&self, run: Run, at: Timestamp) -> Option<&Known> {
        let trace = match run {
            Run::Trace(trace) => trace,
            Run::Session(session) => {
                self.sessions.get(&session)?.iter().filter(|(run_at, _)| *run_at <= at).max()?.1
            }
        };
        self.runs.get(&trace)
    }
}

#[cfg(test)]
mod tests {
    use kalibr_signals::fingerprint::Key;

    use super::*;

    fn trace(n: u32) -> TraceId {
        format!("{:032x}", n + 1).parse().unwrap()
    }

    fn print(text: &str) -> Fingerprint {
        Fingerprint::of(&Key::new([1; 16]), text)
    }

    #[test]
    fn a_session_leads_to_its_latest_run_at_or_before_a_moment() {
        let (mut recent, session) = (Recent::default(), KeyedHash::from_bytes([1; 16]));
        recent.note(trace(1), Timestamp(10), Some(session));
        recent.note(trace(2), Timestamp(20), Some(session));
        recent.note(trace(2), Timestamp(5), Some(session));
        let found = |at| recent.find(Run::Session(session), Timestamp(at)).map(|known| known.trace);
        assert_eq!([9, 10, 19, 20].map(found), [None, Some(trace(1)), Some(trace(1)), Some(trace(2))]);
        assert!(recent.find(Run::Session(KeyedHash::from_bytes([2; 16])), Timestamp(99)).is_none());
    }

    #[test]
    fn the_answer_of_the_last_attempt_counts_and_the_first_prompt() {
        let mut recent = Recent::default();
        recent.note(trace(1), Timestamp(1), None);
        for (of, text) in [
            (PrintOf::Answer(1), "fallback"),
            (PrintOf::Answer(0), "primary"),
            (PrintOf::Prompt, "first"),
            (PrintOf::Prompt, "second one"),
        ] {
            recent.keep(trace(1), of, &print(text));
        }
        let known = recent.find(Run::Trace(trace(1)), Timestamp(0)).unwrap();
        assert_eq!(known.answer, Some((1, print("fallback"))));
        assert_eq!(known.prompt, Some(print("first")));
    }

    #[test]
    fn the_oldest_runs_are_forgotten_and_their_sessions_with_them() {
        let mut recent = Recent::default();
        for n in 0..2 * MOST as u32 {
            let session = KeyedHash::from_bytes(*trace(n).as_bytes());
            recent.note(trace(n), Timestamp(i64::from(n)), Some(session));
        }
        assert_eq!((recent.runs.len(), recent.order.len(), recent.sessions.len()), (MOST, MOST, MOST));
        assert!(recent.find(Run::Trace(trace(0)), Timestamp(0)).is_none());
    }
}
