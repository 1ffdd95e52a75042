//! What a trainer sees of messages: exactly what the classifier sees, so that there is one implementation of both.

use super::features::{self, Features};
use super::{Before, excerpt};

/// Slots that a piece of a message may fall into.
pub const PIECES: usize = features::PIECES;
/// Numbers beside the pieces.
pub const NUMBERS: usize = features::NUMBERS;

/// The features of one message.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Slots below [`PIECES`], a slot as often as pieces fall into it, each with what it counts.
    pub pieces: Vec<(u32, f32)>,
    /// [`NUMBERS`] numbers, most of them in 0..=1.
    pub numbers: Vec<f32>,
}

/// The features of a message.
///
/// ```
/// use kalibr_signals::turn::Before;
/// use kalibr_signals::turn::training::{NUMBERS, row};
///
/// let row = row("This is wrong.", &Before::default());
/// assert_eq!(row.numbers.len(), NUMBERS);
/// assert!(row.pieces.iter().all(|piece| piece.1 > 0.0));
/// ```
pub fn row(message: &str, before: &Before<'_>) -> Row {
    let features = Features::of(&excerpt(message), before);
    let pieces = features.pieces().flat_map(|(slots, _, value)| slots.iter().map(move |&slot| (slot, value)));
    Row { pieces: pieces.collect(), numbers: features.numbers.to_vec() }
}
