//! The traffic that all parts measure with: which paths are called, what comes of it, what users do.
//!
//! Everything follows from seeds, so that nothing has to be held which would count as memory of the engine.

use kalibr_core::counters::Epoch;
use kalibr_core::evidence::{Signal, Source, Strength, Value};
use kalibr_core::ids::{PathId, SignalId, Timestamp};
use kalibr_core::outcome::Reply;
use kalibr_core::path::PathSpec;
use kalibr_core::policy::uniform;
use kalibr_core::trace::{Attempt, Share, Trace};

/// Paths of every goal.
pub(crate) const PATHS: u32 = 4;
/// Seven days in microseconds.
pub(crate) const WEEK: i64 = 7 * 24 * Epoch::MICROS;

/// What users do, with weights out of 100; three in ten decisions hear anything.
const SAID: [(Source, Value, u32); 8] = [
    (Source::Turn, Value::Acceptance, 30),
    (Source::Turn, Value::Rejection, 20),
    (Source::Explicit, Value::UserAccepted, 15),
    (Source::Explicit, Value::UserRejected, 10),
    (Source::Action, Value::OutputUsedVerbatim, 8),
    (Source::Action, Value::OutputCopied, 7),
    (Source::Action, Value::OutputEdited, 6),
    (Source::Action, Value::OutputDiscarded, 4),
];

/// The paths of every goal.
pub(crate) fn paths() -> anyhow::Result<Vec<PathSpec>> {
    ["openai/gpt-4o", "openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5", "deepseek/deepseek-chat"]
        .into_iter()
        .map(|model| Ok(PathSpec::model(model)?))
        .collect()
}

/// What comes of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fate {
    pub(crate) reply: Reply,
    pub(crate) said: Option<(Source, Value)>,
}

/// What comes of decision `number` of the stream with this seed: 3 % of calls fail, 30 % of decisions have a signal.
pub(crate) fn fate(seed: u64, number: u64) -> Fate {
    let draw = |salt: u64| uniform(seed ^ (salt << 56), number);
    let reply = if draw(1) < 0.03 { Reply::Failed } else { Reply::Answered };
    let said = (draw(2) < 0.3).then(|| {
        let mut left = (draw(3) * 100.0) as u32;
        let (source, value, _) = SAID.iter().find(|(.., weight)| {
            let found = left < *weight;
            left = left.saturating_sub(*weight);
            found
        })?;
        Some((*source, *value))
    });
    Fate { reply, said: said.flatten() }
}

/// All that can come of a decision.
pub(crate) fn fates() -> impl Iterator<Item = Fate> {
    [Reply::Failed, Reply::Answered].into_iter().flat_map(|reply| {
        let said = SAID.into_iter().map(|(source, value, _)| Some((source, value)));
        said.chain([None]).map(move |said| Fate { reply, said })
    })
}

/// A signal that says this.
pub(crate) fn signal(id: &str, (source, value): (Source, Value), at: Timestamp) -> anyhow::Result<Signal> {
    Ok(Signal {
        id: SignalId::new(id)?,
        source,
        value,
        strength: value.default_strength(),
        confidence: Strength::ONE,
        at,
        attempt: None,
    })
}

/// What a decision on `path` counts for.
pub(crate) fn share(path: PathId, fate: Fate) -> anyhow::Result<Share> {
    let signals = fate.said.map(|said| signal("s", said, Timestamp(0))).transpose()?;
    let attempts = vec![Attempt { index: 0, path, reply: fate.reply }];
    let shares = Trace { attempts, signals: signals.into_iter().collect(), side: None }.shares();
    shares.into_iter().next().ok_or_else(|| anyhow::anyhow!("an attempt counts for nothing"))
}

/// The epoch rule, for one goal: an epoch closes after 25 decisions or an hour.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Epochs {
    epoch: u32,
    decisions: u32,
    started: i64,
}

impl Epochs {
    /// The epoch of a decision at `now`.
    pub(crate) fn tick(&mut self, now: i64) -> Epoch {
        if self.decisions >= Epoch::DECISIONS || now - self.started >= Epoch::MICROS {
            *self = Self { epoch: self.epoch + 1, decisions: 0, started: now };
        }
        self.decisions += 1;
        Epoch(self.epoch)
    }
}
