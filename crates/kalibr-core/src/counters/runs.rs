//! The bytes in which counters are kept.
//!
//! A busy installation holds tens of millions of cells, nearly all of them with a count below 64 and a score of none or
//! all of it. As a map entry such a cell takes 60 bytes, here 3. A byte string is a row of runs, one for each epoch that
//! has cells, oldest first:
//!
//! ```text
//! run    epoch, length of the entries in bytes, entries
//! entry  path number, pattern number << 2 | shape, n, and the score where the shape does not say it
//! ```
//!
//! All numbers are LEB128 (seven bits a byte, least first), signed ones zigzagged, so a count that outgrows its byte
//! takes another and nothing has to be widened. The length lets a search hop from run to run; within a run entries are
//! in the order of the cells that they stand for, which their numbers alone do not tell.

use std::ops::Range;

use super::{Count, Epoch};
use crate::evidence::Strength;

/// Where a run lies.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) epoch: Epoch,
    /// From its epoch to the end of its entries.
    pub(super) whole: Range<usize>,
    /// Its entries.
    pub(super) body: Range<usize>,
}

/// One cell of a run.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) path: usize,
    pub(super) pattern: usize,
    pub(super) count: Count,
    /// Where it lies.
    pub(super) at: Range<usize>,
}

/// The runs of a byte string, in order.
pub(super) fn runs(bytes: &[u8]) -> impl Iterator<Item = Run> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        (at < bytes.len()).then(|| {
            let start = at;
            let epoch = Epoch(read(bytes, &mut at) as u32);
            let length = read(bytes, &mut at) as usize;
            let body = at..at + length;
            at = body.end;
            Run { epoch, whole: start..at, body }
        })
    })
}

/// The entries in this part of a byte string, in order.
pub(super) fn entries(bytes: &[u8], body: Range<usize>) -> impl Iterator<Item = Entry> + '_ {
    let mut at = body.start;
    std::iter::from_fn(move || {
        (at < body.end).then(|| {
            let start = at;
            let path = read(bytes, &mut at) as usize;
            let pattern = read(bytes, &mut at);
            let n = signed(read(bytes, &mut at));
            let score = match Shape::of_code(pattern) {
                Shape::Nothing => 0,
                Shape::Full => full(n).unwrap_or(0),
                Shape::Else => signed(read(bytes, &mut at)),
            };
            Entry { path, pattern: (pattern >> 2) as usize, count: Count { n, score }, at: start..at }
        })
    })
}

/// Appends an entry.
pub(super) fn write_entry(path: usize, pattern: usize, count: Count, out: &mut Vec<u8>) {
    let shape = Shape::of(count);
    write(path as u64, out);
    write((pattern as u64) << 2 | shape as u64, out);
    write(zigzag(count.n), out);
    if shape == Shape::Else {
        write(zigzag(count.score), out);
    }
}

/// Appends a run's head, for entries of this many bytes.
pub(super) fn write_head(epoch: Epoch, length: usize, out: &mut Vec<u8>) {
    write(u64::from(epoch.0), out);
    write(length as u64, out);
}

/// Puts `new` in the place of a part of `bytes`.
pub(super) fn replace(bytes: &mut Vec<u8>, part: Range<usize>, new: &[u8]) {
    if part.len() == new.len() {
        bytes[part].copy_from_slice(new);
        return;
    }
    let longer = (bytes.len() - part.len() + new.len()).saturating_sub(bytes.capacity());
    if longer > 0 {
        // Doubling would leave half of all memory empty; an eighth still makes growing amortised.
        bytes.reserve_exact((bytes.len() / 8).max(16) + new.len());
    }
    bytes.splice(part, new.iter().copied());
}

/// What an entry leaves out because it follows from the rest.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Shape {
    /// The score is 0.
    Nothing = 0,
    /// Every attempt has the full strength.
    Full = 1,
    /// The score follows.
    Else = 2,
}

impl Shape {
    fn of(count: Count) -> Self {
        if count.score == 0 {
            Self::Nothing
        } else if full(count.n) == Some(count.score) {
            Self::Full
        } else {
            Self::Else
        }
    }

    fn of_code(code: u64) -> Self {
        match code & 3 {
            0 => Self::Nothing,
            1 => Self::Full,
            _ => Self::Else,
        }
    }
}

fn full(n: i64) -> Option<i64> {
    n.checked_mul(i64::from(Strength::UNITS))
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn signed(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn write(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read(bytes: &[u8], at: &mut usize) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_count_survives_being_written(
            path in 0usize..100_000, pattern in 0usize..100_000, n: i64, score: i64, shape in 0u8..3,
        ) {
            let score = match shape {
                0 => 0,
                1 => full(n).unwrap_or(score),
                _ => score,
            };
            let mut bytes = Vec::new();
            write_entry(path, pattern, Count { n, score }, &mut bytes);
            let read: Vec<Entry> = entries(&bytes, 0..bytes.len()).collect();
            prop_assert_eq!(read.len(), 1);
            prop_assert_eq!((read[0].path, read[0].pattern, read[0].count), (path, pattern, Count { n, score }));
        }
    }

    #[test]
    fn an_ordinary_cell_takes_three_bytes() {
        for count in [Count { n: 5, score: 0 }, Count { n: 5, score: 5 * i64::from(Strength::UNITS) }] {
            let mut bytes = Vec::new();
            write_entry(3, 12, count, &mut bytes);
            assert_eq!(bytes.len(), 3);
        }
    }
}
