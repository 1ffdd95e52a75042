//! What people do to an answer before they use it.

use rand::RngExt;
use rand::rngs::StdRng;

use crate::texts::{Kind, Language, Lines, text};

/// A way to edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edit {
    /// Words here and there replaced by others.
    Substitute,
    /// Words here and there taken out.
    Delete,
    /// Words here and there put in.
    Insert,
    /// All three, here and there.
    Polish,
    /// One stretch of lines written anew.
    Rewrite,
    /// Stretches of lines moved elsewhere.
    Move,
    /// The end cut off.
    Truncate,
    /// More written after it, or before it.
    Append,
    /// The beginning or the end replaced, and the rest polished.
    Mixed,
    /// Another text altogether.
    Replace,
}

pub(crate) const EDITS: [Edit; 10] = [
    Edit::Substitute,
    Edit::Delete,
    Edit::Insert,
    Edit::Polish,
    Edit::Rewrite,
    Edit::Move,
    Edit::Truncate,
    Edit::Append,
    Edit::Mixed,
    Edit::Replace,
];

/// How much is edited, as a share of the text.
pub(crate) const SIZES: [f64; 5] = [0.02, 0.1, 0.3, 0.6, 0.9];

/// The text after this edit of this share of it.
pub(crate) fn edited(
    language: &Language,
    kind: Kind,
    before: &Lines,
    (edit, share): (Edit, f64),
    rng: &mut StdRng,
) -> Lines {
    let tokens: usize = before.iter().map(Vec::len).sum();
    let some = ((tokens as f64 * share).round() as usize).max(1);
    let new = |tokens: usize, rng: &mut StdRng| text(language, kind, tokens.max(1), rng);
    match edit {
        Edit::Substitute => scattered(before, share, [1.0, 0.0, 0.0], language, kind, rng),
        Edit::Delete => scattered(before, share, [0.0, 1.0, 0.0], language, kind, rng),
        Edit::Insert => scattered(before, share, [0.0, 0.0, 1.0], language, kind, rng),
        Edit::Polish => scattered(before, share, [0.5, 0.3, 0.2], language, kind, rng),
        Edit::Rewrite => {
            let (start, end) = stretch(before, share, rng);
            [before[..start].to_vec(), new(some, rng), before[end..].to_vec()].concat()
        }
        Edit::Move => {
            let (start, end) = stretch(before, share / 2.0, rng);
            let mut rest = [before[..start].to_vec(), before[end..].to_vec()].concat();
            let place = rng.random_range(0..=rest.len());
            rest.splice(place..place, before[start..end].iter().cloned());
            rest
        }
        Edit::Truncate => cut(before, tokens - some.min(tokens)),
        Edit::Append => {
            let more = new(some, rng);
            if rng.random_bool(0.5) {
                [before.clone(), more].concat()
            } else {
                [more, before.clone()].concat()
            }
        }
        Edit::Mixed => {
            let half = new(some / 2, rng);
            let kept = cut(before, tokens - (some / 2).min(tokens));
            let kept = scattered(&kept, share / 2.0, [0.5, 0.3, 0.2], language, kind, rng);
            [half, kept].concat()
        }
        Edit::Replace => new(tokens, rng),
    }
}

/// The first tokens.
fn cut(lines: &Lines, tokens: usize) -> Lines {
    let mut left = tokens;
    let mut kept = Vec::new();
    for line in lines {
        if left == 0 {
            break;
        }
        kept.push(line[..line.len().min(left)].to_vec());
        left -= line.len().min(left);
    }
    kept
}

fn stretch(lines: &Lines, share: f64, rng: &mut StdRng) -> (usize, usize) {
    let long = ((lines.len() as f64 * share).round() as usize).clamp(1, lines.len());
    let start = rng.random_range(0..=lines.len() - long);
    (start, start + long)
}

fn scattered(
    lines: &Lines,
    share: f64,
    [substitute, delete, insert]: [f64; 3],
    language: &Language,
    kind: Kind,
    rng: &mut StdRng,
) -> Lines {
    let fresh = |rng: &mut StdRng| {
        let line = text(language, kind, 12, rng).swap_remove(0);
        let at = rng.random_range(0..line.len());
        line[at].clone()
    };
    let edit_line = |line: &Vec<String>| {
        let mut edited = Vec::new();
        for token in line {
            let what: f64 = rng.random::<f64>() / share;
            if what < substitute {
                edited.push(fresh(rng));
            } else if what < substitute + delete {
            } else {
                edited.push(token.clone());
                if what < substitute + delete + insert {
                    edited.push(fresh(rng));
                }
            }
        }
        edited
    };
    lines.iter().map(edit_line).collect()
}
