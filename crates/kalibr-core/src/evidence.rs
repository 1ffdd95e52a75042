//! Evidence: what each source last said of an attempt, and which of them wins.

use serde::{Deserialize, Serialize};

use crate::ids::{SignalId, Timestamp};
use crate::outcome::Reply;
use crate::safety::Side;

/// Where a piece of evidence came from.
///
/// The order of the variants is the ladder, weakest first: see [`LADDER`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Source {
    /// Whether the provider answered at all. It speaks of availability, not of quality.
    Provider = 0,
    /// A structural eval of the answer.
    Structural = 1,
    /// An LLM that grades answers.
    Judge = 2,
    /// The caller's own declared success: `success_when`, `score_when`, `report`.
    Metric = 3,
    /// How the session ended.
    SessionEnd = 4,
    /// A follow-up message, classified.
    Turn = 5,
    /// The user said so: accepted, rejected.
    Explicit = 6,
    /// What the user did with the answer.
    Action = 7,
}

/// Which signal wins where several speak of one attempt: the first in this list that has spoken.
///
/// Users stand above technical sources; among users what they did stands above what they said, and that above what
/// was guessed from their words. `Provider` is not listed: an answer that never came was not graded.
pub const LADDER: [Source; 7] = [
    Source::Action,
    Source::Explicit,
    Source::Turn,
    Source::SessionEnd,
    Source::Metric,
    Source::Judge,
    Source::Structural,
];

impl Source {
    /// All sources, weakest first.
    pub const ALL: [Self; 8] = [
        Self::Provider,
        Self::Structural,
        Self::Judge,
        Self::Metric,
        Self::SessionEnd,
        Self::Turn,
        Self::Explicit,
        Self::Action,
    ];

    /// The design's word for the source.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Structural => "structural",
            Self::Judge => "judge",
            Self::Metric => "metric",
            Self::SessionEnd => "session_end",
            Self::Turn => "turn",
            Self::Explicit => "explicit",
            Self::Action => "action",
        }
    }

    /// The source with this number, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// Whether the source speaks of what a user did, and so of the whole trace; the others name their attempt.
    pub const fn is_user(self) -> bool {
        matches!(self, Self::SessionEnd | Self::Turn | Self::Explicit | Self::Action)
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who speaks within a source. How far it can be believed is learned for each voice apart ([`crate::reliability`]); on the
/// ladder, and within the register, a source is one: of its voices the one that spoke last by event time is heard.
///
/// Most sources have one voice of their own name. A source of several says by its value whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Voice {
    /// Of [`Source::Provider`].
    Provider,
    /// Of [`Source::Structural`].
    Structural,
    /// Of [`Source::Judge`].
    Judge,
    /// Of [`Source::Metric`].
    Metric,
    /// Of [`Source::SessionEnd`]: where a session's messages were heading.
    Momentum,
    /// Of [`Source::SessionEnd`]: the note on which a session closed that nobody gave a verdict on.
    SessionSign,
    /// Of [`Source::SessionEnd`]: the caller knows how the session ended.
    SessionEnd,
    /// Of [`Source::Turn`]: the classifier model that is asked where the local classifier cannot tell.
    TurnModel,
    /// Of [`Source::Turn`]: the local classifier.
    Turn,
    /// Of [`Source::Explicit`].
    Explicit,
    /// Of [`Source::Action`].
    Action,
}

impl Voice {
    /// All voices, those of weaker sources first.
    pub const ALL: [Self; 11] = [
        Self::Provider,
        Self::Structural,
        Self::Judge,
        Self::Metric,
        Self::Momentum,
        Self::SessionSign,
        Self::SessionEnd,
        Self::TurnModel,
        Self::Turn,
        Self::Explicit,
        Self::Action,
    ];

    /// The source that it is a voice of.
    pub const fn source(self) -> Source {
        match self {
            Self::Provider => Source::Provider,
            Self::Structural => Source::Structural,
            Self::Judge => Source::Judge,
            Self::Metric => Source::Metric,
            Self::Momentum | Self::SessionSign | Self::SessionEnd => Source::SessionEnd,
            Self::TurnModel | Self::Turn => Source::Turn,
            Self::Explicit => Source::Explicit,
            Self::Action => Source::Action,
        }
    }

    const fn of(source: Source, value: Value) -> Self {
        match (source, value) {
            (_, Value::AcceptanceByModel | Value::RejectionByModel) => Self::TurnModel,
            (_, Value::MomentumUp | Value::MomentumDown) => Self::Momentum,
            (_, Value::EndedWell | Value::EndedBadly) => Self::SessionSign,
            (Source::Provider, _) => Self::Provider,
            (Source::Structural, _) => Self::Structural,
            (Source::Judge, _) => Self::Judge,
            (Source::Metric, _) => Self::Metric,
            (Source::SessionEnd, _) => Self::SessionEnd,
            (Source::Turn, _) => Self::Turn,
            (Source::Explicit, _) => Self::Explicit,
            (Source::Action, _) => Self::Action,
        }
    }
}

/// What a source said, quantised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// The provider answered.
    Answered,
    /// The provider failed.
    ProviderFailed,
    /// The request was refused, or did not fit.
    RequestRefused,
    /// A structural eval, the judge or the caller's metric: passed.
    Passed,
    /// A structural eval, the judge or the caller's metric: failed.
    Failed,
    /// The judge was undecided.
    Middling,
    /// The session closed well.
    SessionSatisfied,
    /// The session closed badly.
    SessionDissatisfied,
    /// Nobody said how the session closed; its last message sounded content.
    EndedWell,
    /// Nobody said how the session closed; its last message sounded discontent, and no answer came after it.
    EndedBadly,
    /// The session's messages sounded better and better.
    MomentumUp,
    /// The session's messages sounded worse and worse.
    MomentumDown,
    /// The follow-up message accepted the answer.
    Acceptance,
    /// The follow-up message rejected the answer.
    Rejection,
    /// The follow-up message accepted the answer, by the classifier model.
    AcceptanceByModel,
    /// The follow-up message rejected the answer, by the classifier model.
    RejectionByModel,
    /// The user accepted.
    UserAccepted,
    /// The user rejected.
    UserRejected,
    /// The user used the answer as it was.
    OutputUsedVerbatim,
    /// The user copied the answer.
    OutputCopied,
    /// The user changed the answer before using it.
    OutputEdited,
    /// The user threw the answer away.
    OutputDiscarded,
}

/// One row of the table below: a value of a source, its number within that source (1..=7, 0 is "said nothing"), its
/// name, and the strength it has when nothing finer was said.
struct Row(Source, Value, u8, &'static str, f64);

/// Numbers are kept in ledgers: never change or reuse one.
const VALUES: [Row; 26] = [
    Row(Source::Provider, Value::Answered, 1, "answered", 1.0),
    Row(Source::Provider, Value::ProviderFailed, 2, "failed", 0.0),
    Row(Source::Provider, Value::RequestRefused, 3, "refused", 0.0),
    Row(Source::Structural, Value::Passed, 1, "passed", 1.0),
    Row(Source::Structural, Value::Failed, 2, "failed", 0.0),
    Row(Source::Judge, Value::Passed, 1, "passed", 1.0),
    Row(Source::Judge, Value::Failed, 2, "failed", 0.0),
    Row(Source::Judge, Value::Middling, 3, "middling", 0.5),
    Row(Source::Metric, Value::Passed, 1, "passed", 1.0),
    Row(Source::Metric, Value::Failed, 2, "failed", 0.0),
    Row(Source::SessionEnd, Value::SessionSatisfied, 1, "satisfied", 1.0),
    Row(Source::SessionEnd, Value::SessionDissatisfied, 2, "dissatisfied", 0.0),
    // What is inferred of a session is no verdict: its strengths are no nearer to the ends than that allows.
    Row(Source::SessionEnd, Value::EndedWell, 3, "ended_well", 0.65),
    Row(Source::SessionEnd, Value::EndedBadly, 4, "ended_badly", 0.25),
    Row(Source::SessionEnd, Value::MomentumUp, 5, "momentum_up", 0.6),
    Row(Source::SessionEnd, Value::MomentumDown, 6, "momentum_down", 0.3),
    Row(Source::Turn, Value::Acceptance, 1, "acceptance", 1.0),
    Row(Source::Turn, Value::Rejection, 2, "rejection", 0.0),
    Row(Source::Turn, Value::AcceptanceByModel, 3, "acceptance_by_model", 1.0),
    Row(Source::Turn, Value::RejectionByModel, 4, "rejection_by_model", 0.0),
    Row(Source::Explicit, Value::UserAccepted, 1, "user_accepted", 1.0),
    Row(Source::Explicit, Value::UserRejected, 2, "user_rejected", 0.0),
    Row(Source::Action, Value::OutputUsedVerbatim, 1, "output_used_verbatim", 1.0),
    Row(Source::Action, Value::OutputCopied, 2, "output_copied", 0.9),
    Row(Source::Action, Value::OutputEdited, 3, "output_edited", 0.4),
    Row(Source::Action, Value::OutputDiscarded, 4, "output_discarded", 0.0),
];

impl Value {
    fn row(self, source: Source) -> Option<&'static Row> {
        VALUES.iter().find(|row| row.0 == source && row.1 == self)
    }

    /// The value's number within `source`, or `None` where that source cannot say it.
    pub fn code(self, source: Source) -> Option<u8> {
        self.row(source).map(|row| row.2)
    }

    /// The value with this number within `source`.
    pub fn from_code(source: Source, code: u8) -> Option<Self> {
        VALUES.iter().find(|row| row.0 == source && row.2 == code).map(|row| row.1)
    }

    /// The value's name, as signals over HTTP and `explain` spell it.
    pub fn name(self) -> &'static str {
        VALUES.iter().find(|row| row.1 == self).map_or("", |row| row.3)
    }

    /// Whose it is where `source` says it.
    pub const fn voice(self, source: Source) -> Voice {
        Voice::of(source, self)
    }

    /// Whether it speaks for the answer and not against it: an edited answer was not good enough as it was.
    pub fn praises(self) -> bool {
        self.default_strength().get() >= 0.5
    }

    /// The strength that the value has when the sender gives none.
    pub fn default_strength(self) -> Strength {
        let strength = VALUES.iter().find(|row| row.1 == self).map_or(0.5, |row| row.4);
        Strength::clamped(strength)
    }
}

/// How well the answer served, in 0..=1, as a fixed-point number: sums of it subtract exactly, which floats do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Strength(u32);

/// A number that should have been a strength, a score or a confidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a strength, score or confidence is a number from 0 to 1; send one in that range")]
pub struct OutOfRange;

impl Strength {
    /// Units in a strength of 1.
    pub const UNITS: u32 = 1 << 20;
    /// A failure.
    pub const ZERO: Self = Self(0);
    /// A full success.
    pub const ONE: Self = Self(Self::UNITS);

    /// The strength nearest to `value`.
    ///
    /// # Errors
    /// [`OutOfRange`] for a number outside 0..=1, an infinity or not a number.
    pub fn new(value: f64) -> Result<Self, OutOfRange> {
        if (0.0..=1.0).contains(&value) { Ok(Self::clamped(value)) } else { Err(OutOfRange) }
    }

    fn clamped(value: f64) -> Self {
        Self((value.clamp(0.0, 1.0) * f64::from(Self::UNITS)).round() as u32)
    }

    /// The strength of this many units, as a ledger kept it; more than a full success counts as one.
    pub const fn from_units(units: u32) -> Self {
        Self(if units > Self::UNITS { Self::UNITS } else { units })
    }

    /// The strength in units of 2^-20.
    pub const fn units(self) -> u32 {
        self.0
    }

    /// The strength as a number in 0..=1.
    pub fn get(self) -> f64 {
        f64::from(self.0) / f64::from(Self::UNITS)
    }
}

/// One signal about a trace, as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// Names it; sending it again changes nothing.
    pub id: SignalId,
    /// Where it came from.
    pub source: Source,
    /// What it says.
    pub value: Value,
    /// How well the answer served, by this signal.
    pub strength: Strength,
    /// How sure the sender is.
    pub confidence: Strength,
    /// When the event was, by the sender.
    pub at: Timestamp,
    /// The attempt it speaks of; user signals speak of the attempt that was served.
    pub attempt: Option<u16>,
}

/// What each source last said of one attempt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Register {
    readings: [Option<Reading>; Source::ALL.len()],
}

#[derive(Debug, Clone, PartialEq)]
struct Reading {
    value: Value,
    strength: Strength,
    at: Timestamp,
    id: SignalId,
    /// Whether the source ever praised the answer, and whether it ever faulted it.
    praised: bool,
    faulted: bool,
}

impl Register {
    /// Takes a signal in: within a source the latest by event time stays, ties go to the greater signal id.
    ///
    /// The result does not depend on the order in which signals are taken in.
    pub fn take(&mut self, signal: &Signal) {
        let slot = &mut self.readings[signal.source as usize];
        let newer = slot.as_ref().is_none_or(|known| (signal.at, &signal.id) > (known.at, &known.id));
        let praises = signal.value.praises();
        let praised = praises || slot.as_ref().is_some_and(|known| known.praised);
        let faulted = !praises || slot.as_ref().is_some_and(|known| known.faulted);
        if newer {
            *slot = Some(Reading {
                value: signal.value,
                strength: signal.strength,
                at: signal.at,
                id: signal.id.clone(),
                praised,
                faulted,
            });
        } else if let Some(known) = slot {
            (known.praised, known.faulted) = (praised, faulted);
        }
    }

    /// Notes what came of the call.
    pub fn reply(&mut self, reply: Reply) {
        let value = match reply {
            Reply::Unknown => None,
            Reply::Answered => Some(Value::Answered),
            Reply::Failed => Some(Value::ProviderFailed),
            Reply::Refused => Some(Value::RequestRefused),
        };
        self.readings[Source::Provider as usize] = value.map(|value| Reading {
            value,
            strength: value.default_strength(),
            at: Timestamp(0),
            id: SignalId::provider(),
            praised: false,
            faulted: false,
        });
    }

    /// What `source` last said.
    pub fn value(&self, source: Source) -> Option<Value> {
        self.readings[source as usize].as_ref().map(|reading| reading.value)
    }

    /// The source that wins by the ladder, with how well the answer served by its word.
    ///
    /// `None` while nobody has graded the answer, and where there was none: an answer that never came was not graded.
    pub fn winner(&self) -> Option<(Source, Strength)> {
        if never_came(self.value(Source::Provider)) {
            return None;
        }
        LADDER.iter().find_map(|&source| {
            self.readings[source as usize].as_ref().map(|reading| (source, reading.strength))
        })
    }

    /// The register quantised: see [`Pattern`].
    pub fn pattern(&self) -> Pattern {
        let mut pattern = Pattern::PENDING;
        for source in Source::ALL {
            let Some(reading) = &self.readings[source as usize] else { continue };
            let code = reading.value.code(source).unwrap_or(0);
            let revised = if reading.value.praises() { reading.faulted } else { reading.praised };
            pattern = pattern.with(source, code | if revised { Pattern::REVISED } else { 0 });
        }
        pattern
    }
}

/// A register quantised: four bits for each source, so that decisions of which the same is known count together. Three
/// of them are the value's number, the fourth says that the source once said the opposite.
///
/// Nobody revises what the provider answered, and its values take two bits: the other two of its four say on which
/// [`Side`] of a comparison with the baseline the decision was made. They are no evidence, see [`Pattern::evidence`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(u32);

impl Pattern {
    /// Nothing is known yet.
    pub const PENDING: Self = Self(0);
    /// The bit of a source's four that says that it revised itself.
    const REVISED: u8 = 8;
    /// The bits of a source's four that are its value's number.
    const VALUE: u8 = 7;
    /// The bits of the provider's four that are the side.
    const SIDE: u8 = 0b1100;

    /// The pattern as a ledger kept it.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The pattern's bits: four for each source, by the source's number.
    pub const fn bits(self) -> u32 {
        self.0
    }

    const fn with(self, source: Source, code: u8) -> Self {
        let shift = 4 * source as u32;
        Self((self.0 & !(0xf << shift)) | ((code as u32 & 0xf) << shift))
    }

    /// What `source` said.
    pub fn value(self, source: Source) -> Option<Value> {
        let value = if source == Source::Provider { Self::VALUE & !Self::SIDE } else { Self::VALUE };
        Value::from_code(source, self.nibble(source) & value)
    }

    /// The voice of `source` that spoke last, if it said anything.
    pub fn voice(self, source: Source) -> Option<Voice> {
        self.value(source).map(|value| value.voice(source))
    }

    /// Whether `source` said the opposite of its value before: praised what it now faults, or the reverse.
    pub fn revised(self, source: Source) -> bool {
        source != Source::Provider && self.nibble(source) & Self::REVISED != 0
    }

    /// On which side of a comparison with the baseline the decision was made, if on one.
    pub fn side(self) -> Option<Side> {
        Side::from_code((self.nibble(Source::Provider) & Self::SIDE) >> 2)
    }

    /// The same pattern on this side.
    #[must_use]
    pub fn on(self, side: Option<Side>) -> Self {
        let code = side.map_or(0, |side| side as u8);
        self.with(Source::Provider, self.nibble(Source::Provider) & !Self::SIDE | code << 2)
    }

    /// The pattern without its side: what is known of the answer. Learning reads this, so that a decision teaches the
    /// same of its path whoever chose it.
    #[must_use]
    pub const fn evidence(self) -> Self {
        Self(self.0 & !((Self::SIDE as u32) << (4 * Source::Provider as u32)))
    }

    const fn nibble(self, source: Source) -> u8 {
        (self.0 >> (4 * source as u32) & 0xf) as u8
    }

    /// The source that decides what a decision of this pattern counts for; `None` where nothing graded the answer.
    pub fn winner(self) -> Option<Source> {
        if never_came(self.value(Source::Provider)) {
            return None;
        }
        LADDER.into_iter().find(|&source| self.value(source).is_some())
    }

    /// Whether there may have been an answer.
    pub fn came(self) -> bool {
        !never_came(self.value(Source::Provider))
    }
}

/// Whether the provider's word is that there was no answer.
fn never_came(provider: Option<Value>) -> bool {
    matches!(provider, Some(Value::ProviderFailed | Value::RequestRefused))
}

#[cfg(test)]
mod tests;
