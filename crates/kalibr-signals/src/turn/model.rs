//! The trained weights, and how probabilities come of them.
//!
//! There are three linear models over the same features: one of all messages that were collected, one of phrases that
//! were written for the purpose, in many languages, and one of conversations about taste alone, where people praise and
//! complain of many things. A fourth, the gate, says how much a message is like one of those conversations. A blend,
//! which depends on the gate and on how much of a message the first model knows, gives the probabilities, and
//! calibrates them.
//!
//! `weights.bin` is made by `bench/turns/train.py`, and MODEL_CARD.md beside it says from what. Little-endian: the mark
//! `KTURN2\0\0`; numbers of slots, of numbers and of thresholds (u32); then as f32 the scales of the slots, the
//! intercepts, the blend (by label), thresholds as (precision, acceptance, rejection, and both again for unfamiliar
//! messages), and the weights of the numbers; then as i8 the weights of the slots. Weights come in tens: acceptance,
//! rejection and continuation by each of the three models, then the gate.

use std::sync::LazyLock;

use super::features::{FEW_WORDS, Features, NUMBERS, PIECES, clue};
use super::{Clue, Reason};

static BYTES: &[u8] = include_bytes!("weights.bin");

const MARK: &[u8] = b"KTURN2\0\0";
const LABELS: usize = 3;
/// Numbers of a row of the threshold table.
const LINE: usize = 5;
/// Scores of the models that know of any message.
const GENERAL: usize = 2 * LABELS;
/// Scores of all models.
const SCORES: usize = GENERAL + LABELS;
/// The same, and the gate.
const COLUMNS: usize = SCORES + 1;
/// What the blend sees: the general scores, the same times the coverage, all scores times the gate, the gate, the
/// coverage, and 1.
const BLEND: usize = 2 * GENERAL + SCORES + 3;
/// Scores beyond this say no more.
const CLIP: f32 = 8.0;
/// Below this coverage a message is unfamiliar: most that are not in English.
const FAMILIAR: f32 = 0.6;
/// What of the gate is left where a message has few words: those hardly tell what conversation they are from.
const FEW_TELL: f32 = 0.7;

type Scores = [f32; COLUMNS];

/// The model.
pub(super) static MODEL: LazyLock<Model> =
    LazyLock::new(|| Model::parse(BYTES).unwrap_or_else(Model::ignorant));

/// A row of the threshold table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) precision: f32,
    pub(super) acceptance: f32,
    pub(super) rejection: f32,
    pub(super) unfamiliar_acceptance: f32,
    pub(super) unfamiliar_rejection: f32,
}

/// The linear models and their blend.
#[derive(Debug)]
pub(super) struct Model {
    scale: Scores,
    intercepts: Scores,
    blend: [[f32; BLEND]; LABELS],
    /// Thresholds by rising precision.
    pub(super) lines: Vec<Line>,
    numbers: Vec<Scores>,
    slots: &'static [u8],
}

/// What the models say of a message.
#[derive(Debug)]
pub(super) struct Read {
    /// Of acceptance, rejection and continuation.
    pub(super) probabilities: [f64; LABELS],
    clues: Vec<(Clue, Scores)>,
    coverage: f32,
    gate: f32,
}

impl Read {
    /// Whether the model of collected messages knows little of it.
    pub(super) fn unfamiliar(&self) -> bool {
        self.coverage < FAMILIAR
    }
}

impl Model {
    /// Knows nothing and asserts nothing: what a weights file of another shape would give. The crate's tests see that the
    /// one shipped fits.
    fn ignorant() -> Self {
        let mut blend = [[0.0; BLEND]; LABELS];
        blend[LABELS - 1][BLEND - 1] = 9.0;
        Self {
            scale: [0.0; COLUMNS],
            intercepts: [0.0; COLUMNS],
            blend,
            lines: Vec::new(),
            numbers: vec![[0.0; COLUMNS]; NUMBERS],
            slots: &[],
        }
    }

    fn parse(bytes: &'static [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MARK)?;
        let (head, rest) = rest.split_at_checked(12)?;
        let count = |i: usize| Some(u32::from_le_bytes(*head[4 * i..].first_chunk::<4>()?) as usize);
        let (slots, numbers, lines) = (count(0)?, count(1)?, count(2)?);
        let floats = 2 * COLUMNS + LABELS * BLEND + LINE * lines + COLUMNS * numbers;
        let (floats, slot_bytes) = rest.split_at_checked(4 * floats)?;
        if slots != PIECES || numbers != NUMBERS || slot_bytes.len() != slots * COLUMNS {
            return None;
        }
        let mut floats = floats.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let mut next = || floats.next().unwrap_or_default();
        Some(Self {
            scale: std::array::from_fn(|_| next()),
            intercepts: std::array::from_fn(|_| next()),
            blend: std::array::from_fn(|_| std::array::from_fn(|_| next())),
            lines: (0..lines)
                .map(|_| Line {
                    precision: next(),
                    acceptance: next(),
                    rejection: next(),
                    unfamiliar_acceptance: next(),
                    unfamiliar_rejection: next(),
                })
                .collect(),
            numbers: (0..numbers).map(|_| std::array::from_fn(|_| next())).collect(),
            slots: slot_bytes,
        })
    }

    /// What the models say of a message.
    pub(super) fn read(&self, features: &Features) -> Read {
        let mut clues: Vec<(Clue, Scores)> = Vec::with_capacity(24);
        let mut add = |clue: Clue, scores: Scores| match clues.iter_mut().find(|known| known.0 == clue) {
            Some((_, sums)) => sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score),
            None => clues.push((clue, scores)),
        };
        let (mut known, mut all) = (0.0, 0.0);
        for (slots, clue, value) in features.pieces() {
            if slots.is_empty() {
                continue;
            }
            let mut sums = [0_i32; COLUMNS];
            let mut covered = 0_usize;
            for &slot in slots {
                let at = slot as usize * COLUMNS;
                let Some(weights) = self.slots.get(at..at + COLUMNS) else { continue };
                covered += usize::from(weights[0] | weights[1] | weights[2] != 0);
                for (sum, &weight) in sums.iter_mut().zip(weights) {
                    *sum += i32::from(weight.cast_signed());
                }
            }
            known += covered as f32 * value;
            all += slots.len() as f32 * value;
            add(clue, std::array::from_fn(|i| sums[i] as f32 * self.scale[i] * value));
        }
        for (i, (number, weights)) in features.numbers.iter().zip(&self.numbers).enumerate() {
            if *number != 0.0 {
                add(clue(i), weights.map(|weight| weight * number));
            }
        }
        let coverage = known / f32::max(all, 1e-9);
        let mut scores = self.intercepts;
        for (_, sums) in &clues {
            scores.iter_mut().zip(sums).for_each(|(score, sum)| *score += sum);
        }
        let scores = scores.map(|score| score.clamp(-CLIP, CLIP));
        let doubt = if features.numbers[FEW_WORDS] > 0.0 { FEW_TELL } else { 1.0 };
        let gate = doubt / (1.0 + (-scores[SCORES]).exp());
        let blended: [f64; LABELS] = std::array::from_fn(|label| {
            let weights = &self.blend[label];
            f64::from(
                self.share(label, &scores, coverage, gate)
                    + weights[BLEND - 3] * gate
                    + weights[BLEND - 2] * coverage
                    + weights[BLEND - 1],
            )
        });
        let most = blended.into_iter().fold(f64::NEG_INFINITY, f64::max);
        let odds = blended.map(|score| (score - most).exp());
        let total: f64 = odds.iter().sum();
        Read { probabilities: odds.map(|odds| odds / total), clues, coverage, gate }
    }

    /// What scores add to the log-odds of a label.
    fn share(&self, label: usize, scores: &Scores, coverage: f32, gate: f32) -> f32 {
        let (plain, rest) = self.blend[label].split_at(GENERAL);
        let (covered, gated) = rest.split_at(GENERAL);
        let general = scores.iter().zip(plain.iter().zip(covered));
        general.map(|(score, (plain, covered))| score * (plain + coverage * covered)).sum::<f32>()
            + scores[..SCORES].iter().zip(gated).map(|(score, weight)| score * gate * weight).sum::<f32>()
    }

    /// What decided for a label, the weightiest first: what each clue added to its log-odds against the mean of the
    /// other two.
    pub(super) fn reasons(&self, read: &Read, label: usize) -> Vec<Reason> {
        let reason = |(clue, scores): &(Clue, Scores)| {
            let shares: [f32; LABELS] =
                std::array::from_fn(|label| self.share(label, scores, read.coverage, read.gate));
            let others = (shares.iter().sum::<f32>() - shares[label]) / (LABELS - 1) as f32;
            Reason { clue: *clue, contribution: f64::from(shares[label] - others) }
        };
        let mut reasons: Vec<Reason> = read.clues.iter().map(reason).collect();
        reasons.sort_by(|a, b| b.contribution.abs().total_cmp(&a.contribution.abs()));
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::super::Before;
    use super::*;

    #[test]
    fn the_weights_that_ship_fit_the_features_and_are_small() {
        assert!(BYTES.len() <= 3_000_000);
        let model = Model::parse(BYTES).expect("weights.bin was made for other features: train again");
        assert!(!model.lines.is_empty());
        assert!(model.numbers.iter().flatten().all(|weight| weight.is_finite()));
    }

    #[test]
    fn a_file_of_another_shape_is_refused() {
        for bytes in [&b""[..], MARK, &BYTES[..20], &BYTES[..BYTES.len() - 1]] {
            assert!(Model::parse(bytes).is_none());
        }
        let read = Model::ignorant().read(&Features::of("this is wrong", &Before::default()));
        assert!(read.probabilities[2] > 0.99);
    }

    #[test]
    fn more_precision_asks_for_no_less_probability() {
        for lines in MODEL.lines.windows(2) {
            assert!(lines[0].precision < lines[1].precision);
            assert!(lines[0].acceptance <= lines[1].acceptance && lines[0].rejection <= lines[1].rejection);
            assert!(lines[0].unfamiliar_acceptance <= lines[1].unfamiliar_acceptance);
            assert!(lines[0].unfamiliar_rejection <= lines[1].unfamiliar_rejection);
        }
    }
}
