//! Takes personal and secret things out of a text: each is replaced by a typed placeholder such as `[EMAIL]`.
//!
//! For texts that an operator wants to keep or to show to a classifier model. Rules, not a model: each kind of thing has
//! a shape, most have a checksum, and the weak ones need a word beside them that says what they are (a run of nine digits
//! is a Dutch citizen's number only where somebody calls it one). So a find can be explained, and plain numbers, hashes
//! and source code mostly stay as they are. What a rule cannot tell stays too: a name without a cue ("ask Maria"), a street
//! without its word for street. Redacted is not anonymous.
//!
//! How it goes:
//!
//! 1. [`shadow`] rewrites the text for reading: full-width and other digits as ASCII, odd spaces and dashes as plain ones,
//!    invisible characters left out, placeholders as one character that nothing matches.
//! 2. Each [`detector`] of the table looks for its thing, and checks it.
//! 3. Finds that overlap become one, under the name that comes first in [`Entity`]: nothing that one detector saw
//!    can come through because another saw something beside it.
//! 4. A replacement may uncover what was not one before, so the result is read again until nothing is found (at most
//!    [`PASSES`] times). Redacting twice changes nothing.
//!
//! The time is linear in the text: patterns run on finite automata, and each has a bounded length or takes what it has read.

mod checksum;
mod detector;
mod entity;
mod keys;
mod money;
mod national;
mod network;
mod person;
mod phone;
mod secret;
mod shadow;

use std::ops::Range;

pub use entity::{Counts, Entity};

/// A text is read so many times at most. One pass finds nearly everything, the second sees that it did; more are needed
/// only by texts made for it.
pub const PASSES: usize = 4;

/// A text without the personal and secret things that rules can tell, and how many of each there were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted {
    /// The text with placeholders.
    pub text: String,
    /// What was replaced.
    pub counts: Counts,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Find {
    /// What it is.
    pub entity: Entity,
    /// Where it is, in bytes of the text; always at character boundaries.
    pub range: Range<usize>,
}

/// Replaces what is personal or secret by placeholders.
///
/// Never fails. Idempotent: a redacted text is left as it is. Linear in the length of the text. The result is at most
/// [`Entity::LONGEST`] bytes longer per thing replaced.
///
/// ```
/// use kalibr_signals::redact::{Entity, redact};
///
/// let redacted = redact("Write to ada@example.org or call +44 20 7946 0958.");
/// assert_eq!(redacted.text, "Write to [EMAIL] or call [PHONE].");
/// assert_eq!(redacted.counts.of(Entity::Email), 1);
/// assert_eq!(redacted.counts.total(), 2);
/// ```
pub fn redact(text: &str) -> Redacted {
    let mut counts = Counts::default();
    let mut text = text.to_owned();
    for _ in 0..PASSES {
        let finds = finds(&text);
        if finds.is_empty() {
            break;
        }
        text = replace(&text, &finds, &mut counts);
    }
    Redacted { text, counts }
}

/// What one reading of a text finds: in order, without overlaps.
///
/// ```
/// use kalibr_signals::redact::finds;
///
/// let text = "My card is 4111 1111 1111 1111, thanks";
/// assert_eq!(&text[finds(text)[0].range.clone()], "4111 1111 1111 1111");
/// ```
pub fn finds(text: &str) -> Vec<Find> {
    let shadow = shadow::Shadow::of(text);
    let mut found = detector::all(&shadow.text);
    found.sort_by_key(|find| (find.range.start, find.range.end, find.entity));
    let mut merged: Vec<Find> = Vec::with_capacity(found.len());
    for next in found {
        match merged.last_mut() {
            Some(last) if next.range.start < last.range.end => {
                last.range.end = last.range.end.max(next.range.end);
                last.entity = last.entity.min(next.entity);
            }
            _ => merged.push(next),
        }
    }
    for find in &mut merged {
        find.range = shadow.original(&find.range);
    }
    merged
}

fn replace(text: &str, finds: &[Find], counts: &mut Counts) -> String {
    let mut out = String::with_capacity(text.len() + finds.len() * Entity::LONGEST);
    let mut at = 0;
    for find in finds {
        out.push_str(&text[at..find.range.start]);
        out.push_str(find.entity.placeholder());
        counts.add(find.entity);
        at = find.range.end;
    }
    out.push_str(&text[at..]);
    out
}

#[cfg(test)]
mod tests;
