//! Logs as JSON lines.
//!
//! A decision is one object on one line; only `path`, `considered` and what it earned are needed:
//!
//! ```json
//! {"path": "gpt-4o", "considered": [{"path": "gpt-4o", "propensity": 0.9}, {"path": "haiku", "propensity": 0.1}], "reward": 1}
//! ```
//!
//! | field | meaning |
//! |---|---|
//! | `path` | the path that was chosen: a name, or an identity of 32 hexadecimal digits |
//! | `considered` | every path that was looked at, and the exact probability with which it could have been chosen; 0 if it could not |
//! | `reward` | how well the answer served, 0..=1; left out where nobody graded it |
//! | `dollars` | what the first attempt cost, where that is known |
//! | `drawn` | `false` for a decision that was forced or only observed: it teaches, and is not evaluated. Default `true` |
//! | `pipeline`, `bucket` | what learning is kept apart by. Default: none, and `all` |
//! | `epoch` | the stretch of the goal's decisions that it counts in. Default: 25 to each |
//! | `decided_at` | microseconds since 1970 in UTC. Default: the number of the line |
//! | `trace_id` | 32 hexadecimal digits; a decision that comes twice counts once. Default: the number of the line |
//! | `attempts` | in place of `reward`, all evidence of each attempt, the path that was chosen first: `path`, `evidence` (the pattern's bits) and `score` (2^-20ths) |
//!
//! The first line may be a head instead, and is one in what Kalibr writes: `{"goal", "half_life", "rules", "paths"}`,
//! with `path`, `model` and `label` of each path. No line holds anything that a user wrote, nor a session or a user.

use std::fmt::Write as _;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Map;

use super::log::{Log, Logged, PathName};
use crate::counters::Epoch;
use crate::evidence::{Pattern, Register, Signal, Source, Strength, Value};
use crate::ids::{Bucket, Goal, PathId, Pipeline, SignalId, Timestamp, TraceId};
use crate::path::PathSpec;
use crate::rules::ChoiceRules;
use crate::trace::Share;

/// What a log says of its goal.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Its goal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<Goal>,
    /// Its half-life in graded decisions; 0 forgets nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_life: Option<f64>,
    /// How it chooses. Rules without a sharpness were written before there was one, when it was 1 for all.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "as_written")]
    pub rules: Option<ChoiceRules>,
    /// Its paths.
    pub paths: Vec<NamedPath>,
}

/// A path of a head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedPath {
    /// Its identity.
    pub path: PathId,
    /// Its model.
    pub model: String,
    /// Model, tools and params in short.
    pub label: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace_id: Option<TraceId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decided_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pipeline: Option<Pipeline>,
    #[serde(default)]
    bucket: Bucket,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<u32>,
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    drawn: bool,
    path: String,
    considered: Vec<ConsideredLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempts: Option<Vec<AttemptLine>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reward: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dollars: Option<f64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsideredLine {
    path: String,
    propensity: f64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttemptLine {
    path: String,
    evidence: u32,
    score: u32,
}

fn as_written<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ChoiceRules>, D::Error> {
    let Some(mut rules) = Option::<Map<String, serde_json::Value>>::deserialize(from)? else {
        return Ok(None);
    };
    rules.entry("sharpness").or_insert_with(|| 1.0.into());
    ChoiceRules::deserialize(serde_json::Value::Object(rules)).map(Some).map_err(D::Error::custom)
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_yes(it: &bool) -> bool {
    *it
}

/// A line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the log: {problem}")]
pub struct BadLine {
    /// Which line, from 1.
    line: usize,
    /// What is wrong, and what to do.
    problem: String,
}

/// Reads a log, line by line; empty lines are passed over.
#[derive(Debug, Default)]
pub struct LineReader {
    line: usize,
    head: Head,
    names: Vec<PathName>,
    decisions: Vec<Logged>,
}

impl LineReader {
    /// Takes in one line.
    ///
    /// ```
    /// use kalibr_core::replay::{LineReader, Policy};
    ///
    /// let mut reader = LineReader::default();
    /// for i in 0..200 {
    ///     let (path, reward) = if i % 2 == 0 { ("gpt-4o", 1) } else { ("haiku", 0) };
    ///     reader.take(&format!(
    ///         r#"{{"path": "{path}", "reward": {reward}, "considered": [{{"path": "gpt-4o", "propensity": 0.5}},
    ///            {{"path": "haiku", "propensity": 0.5}}]}}"#
    ///     ))?;
    /// }
    /// let (_, log) = reader.finish();
    /// let found = log.replay(&Policy::Always("gpt-4o".into()), &Default::default(), None)?;
    /// assert!(found.worth?.value.low > 0.9);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`BadLine`] when it is no decision, and no head in the first place.
    pub fn take(&mut self, text: &str) -> Result<(), BadLine> {
        self.line += 1;
        let text = text.trim();
        if text.is_empty() {
            return Ok(());
        }
        let line = self.line;
        let bad = |problem: String| BadLine { line, problem };
        if self.decisions.is_empty()
            && self.names.is_empty()
            && let Ok(head) = serde_json::from_str::<Head>(text)
        {
            let name = |named: &NamedPath| PathName {
                path: named.path,
                model: named.model.clone(),
                label: named.label.clone(),
            };
            self.names = head.paths.iter().map(name).collect();
            self.head = head;
            return Ok(());
        }
        // serde's complaint would repeat what is in the line.
        let row: Line = serde_json::from_str(text).map_err(|error| {
            let column = error.column();
            bad(format!(
                "it goes wrong at column {column}; a decision is an object of path, considered, and if need be trace_id, \
                 decided_at, pipeline, bucket, epoch, drawn, attempts or reward, and dollars"
            ))
        })?;
        let decision = self.decision(row).map_err(bad)?;
        self.decisions.push(decision);
        Ok(())
    }

    /// The log, and what it says of its goal.
    pub fn finish(self) -> (Head, Log) {
        (self.head, Log::new(self.names, self.decisions))
    }

    fn decision(&mut self, row: Line) -> Result<Logged, String> {
        let nth = self.line as u64;
        let path = self.path(&row.path)?;
        let considered = row
            .considered
            .iter()
            .map(|c| self.path(&c.path).map(|path| (path, c.propensity)))
            .collect::<Result<_, _>>()?;
        let attempts = match (row.attempts, row.reward) {
            (Some(_), Some(_)) => return Err("attempts and reward are two ways to say one thing".into()),
            (Some(attempts), None) => attempts
                .iter()
                .map(|a| {
                    let pattern = Pattern::from_bits(a.evidence);
                    self.path(&a.path).map(|path| Share { path, pattern, score: a.score })
                })
                .collect::<Result<_, _>>()?,
            (None, reward) => vec![graded(path, reward)?],
        };
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&nth.to_be_bytes());
        Ok(Logged {
            trace: row.trace_id.unwrap_or_else(|| TraceId::from_bytes(bytes)),
            at: Timestamp(row.decided_at.unwrap_or(nth as i64)),
            pipeline: row.pipeline,
            bucket: row.bucket,
            epoch: row.epoch.map(Epoch),
            drawn: row.drawn,
            path,
            considered,
            attempts,
            dollars: row.dollars,
        })
    }

    /// The path of this name: its identity, or a model's.
    fn path(&mut self, name: &str) -> Result<PathId, String> {
        if let Ok(path) = name.parse() {
            return Ok(path);
        }
        if let Some(known) = self.names.iter().find(|known| known.label == name) {
            return Ok(known.path);
        }
        let path = PathSpec::model(name).map_err(|error| error.to_string())?.id();
        self.names.push(PathName { path, model: name.to_owned(), label: name.to_owned() });
        Ok(path)
    }
}

/// A reward as evidence: the caller's own metric, which is taken at its word.
fn graded(path: PathId, reward: Option<f64>) -> Result<Share, String> {
    let Some(reward) = reward else { return Ok(Share { path, pattern: Pattern::PENDING, score: 0 }) };
    let strength = Strength::new(reward).map_err(|_| "reward is a number from 0 to 1".to_owned())?;
    let mut register = Register::default();
    let value = if strength.get() >= 0.5 { Value::Passed } else { Value::Failed };
    register.take(&Signal {
        id: SignalId::provider(),
        source: Source::Metric,
        value,
        strength,
        confidence: Strength::ONE,
        at: Timestamp(0),
        attempt: None,
    });
    Ok(Share { path, pattern: register.pattern(), score: strength.units() })
}

impl Head {
    /// The head as the first line of a log, with its end of line.
    pub fn line(&self) -> String {
        to_line(self)
    }
}

impl Logged {
    /// The decision as a line of a log, with its end of line. Nothing is lost: what is read again is equal to it.
    pub fn line(&self) -> String {
        let name = |path: PathId| path.to_string();
        to_line(&Line {
            trace_id: Some(self.trace),
            decided_at: Some(self.at.0),
            pipeline: self.pipeline.clone(),
            bucket: self.bucket.clone(),
            epoch: self.epoch.map(|epoch| epoch.0),
            drawn: self.drawn,
            path: name(self.path),
            considered: self
                .considered
                .iter()
                .map(|&(path, propensity)| ConsideredLine { path: name(path), propensity })
                .collect(),
            attempts: Some(
                self.attempts
                    .iter()
                    .map(|share| AttemptLine {
                        path: name(share.path),
                        evidence: share.pattern.bits(),
                        score: share.score,
                    })
                    .collect(),
            ),
            reward: None,
            dollars: self.dollars,
        })
    }
}

fn to_line(value: &impl Serialize) -> String {
    // Numbers that JSON has no word for were never in a ledger: they become null, and are refused when read.
    let mut line = serde_json::to_string(value).unwrap_or_default();
    let _ = writeln!(line);
    line
}
