//! How much of an answer an edit changed.
//!
//! The measure is the same wherever it comes from: the similarity of two texts is `2 * common / (before + after)`, with
//! `common` the length of the longest common subsequence of their tokens (see [`crate::tokens`]), `before` and `after`
//! their numbers of tokens. 1 is unchanged, 0 has nothing in common. It is the normalised indel similarity: a token that
//! was replaced is one taken out and one put in.

use std::collections::HashMap;

use rapidfuzz::distance::lcs_seq;

use crate::tokens;

#[cfg(test)]
mod tests;

/// Longest diff that is read, in bytes: comparing the tokens of a hunk takes time with the square of its length, and
/// a second at worst at this one.
pub const MAX_DIFF: usize = 512 * 1024;

/// Why a diff cannot be read. The message repeats nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadDiff {
    /// Not a unified diff.
    #[error(
        "the diff has no hunk that begins with @@ -line,count +line,count @@; send a unified diff, as diff -u, git diff or \
         Python's difflib.unified_diff write it"
    )]
    NoHunk,
    /// A hunk is not what its header says.
    #[error("line {0} of the diff does not fit its hunk's header; send the diff as it was written, uncut")]
    Line(usize),
    /// Too long.
    #[error("the diff is longer than {MAX_DIFF} bytes; send edit_ratio instead")]
    TooLong,
}

/// The similarity of two texts that are at hand, exactly.
///
/// ```
/// let similarity = kalibr_signals::edit::similarity("The capital is Paris", "The capital is Lyon");
/// assert_eq!(similarity, 0.75);
/// ```
pub fn similarity(before: &str, after: &str) -> f64 {
    let mut words = Words::default();
    let (before, after) = (words.read(before), words.read(after));
    ratio(common(&before, &after), before.len(), after.len())
}

/// What a unified diff of an answer and what was made of it shows: numbers, and nothing of its text.
///
/// ```
/// use kalibr_signals::edit::Diff;
///
/// let diff = Diff::read("@@ -1,2 +1,2 @@\n The capital\n-is Paris\n+is Lyon\n").unwrap();
/// assert_eq!(diff.similarity(None), 0.75);
/// assert!(Diff::read("I changed the city").is_err());
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Diff {
    common: usize,
    before: usize,
    after: usize,
    /// Lines of the answer that are shown.
    lines: usize,
    /// Lines of the answer before the last hunk that are not.
    skipped_lines: usize,
}

impl Diff {
    /// Reads a diff. File headers and whatever stands before the first hunk are skipped; an empty one is no change.
    ///
    /// # Errors
    /// [`BadDiff`] for what is no unified diff.
    pub fn read(diff: &str) -> Result<Self, BadDiff> {
        if diff.len() > MAX_DIFF {
            return Err(BadDiff::TooLong);
        }
        let (mut seen, mut next, mut hunks) = (Self::default(), 1, 0);
        let mut lines = diff.lines().enumerate();
        while let Some((at, line)) = lines.next() {
            if !line.starts_with("@@ ") {
                continue;
            }
            hunks += 1;
            let hunk = Header::parse(line).ok_or(BadDiff::Line(at + 1))?;
            // A line that was put in after line 7 is said to be at 7, one that is shown at its own number.
            let start = if hunk.old_lines == 0 { hunk.old_start + 1 } else { hunk.old_start };
            seen.skipped_lines += start.checked_sub(next).ok_or(BadDiff::Line(at + 1))?;
            next = start + hunk.old_lines;
            seen.lines += hunk.old_lines;
            let (before, after) = hunk.read(&mut lines, at)?;
            let mut words = Words::default();
            let (before, after) = (words.read(&before), words.read(&after));
            seen.common += common(&before, &after);
            seen.before += before.len();
            seen.after += after.len();
        }
        if hunks == 0 && !diff.trim().is_empty() { Err(BadDiff::NoHunk) } else { Ok(seen) }
    }

    /// The similarity of the answer and what was made of it.
    ///
    /// A diff leaves out what is far from any change. How much that is follows from `answer_tokens`, the answer's number
    /// of tokens, where it is known; then the similarity is exact but for tokens that moved from one hunk to another.
    /// Where it is not, lines that were skipped between hunks are taken to be as long as those that are shown, and
    /// nothing is known of what follows the last hunk, so a change looks larger than it is.
    pub fn similarity(&self, answer_tokens: Option<u32>) -> f64 {
        let hidden = match answer_tokens {
            Some(all) => (all as usize).saturating_sub(self.before),
            None => self.before * self.skipped_lines / self.lines.max(1),
        };
        ratio(self.common + hidden, self.before + hidden, self.after + hidden)
    }
}

fn ratio(common: usize, before: usize, after: usize) -> f64 {
    if before + after == 0 { 1.0 } else { 2.0 * common as f64 / (before + after) as f64 }
}

struct Header {
    old_start: usize,
    old_lines: usize,
    new_lines: usize,
}

impl Header {
    /// Reads `@@ -3,7 +3,8 @@ what follows`; a count that is not there is 1.
    fn parse(line: &str) -> Option<Self> {
        let (ranges, _) = line.strip_prefix("@@ -")?.split_once(" @@")?;
        let (old, new) = ranges.split_once(" +")?;
        let range = |text: &str| -> Option<(usize, usize)> {
            let (start, lines) = text.split_once(',').unwrap_or((text, "1"));
            let number = |text: &str| text.parse::<u32>().ok().map(|number| number as usize);
            Some((number(start)?, number(lines)?))
        };
        let ((old_start, old_lines), (_, new_lines)) = (range(old)?, range(new)?);
        Some(Self { old_start, old_lines, new_lines })
    }

    /// Both sides of the hunk below this header, which is line `at`, counted from 0.
    fn read<'a>(
        &self,
        lines: &mut impl Iterator<Item = (usize, &'a str)>,
        at: usize,
    ) -> Result<(String, String), BadDiff> {
        let (mut before, mut after) = (String::new(), String::new());
        let (mut old, mut new) = (self.old_lines, self.new_lines);
        let add = |text: &str, left: &mut usize, side: &mut String, line| {
            *left = left.checked_sub(1).ok_or(BadDiff::Line(line))?;
            side.push_str(text);
            side.push('\n');
            Ok(())
        };
        while old > 0 || new > 0 {
            let (at, line) = lines.next().ok_or(BadDiff::Line(at + 1))?;
            let at = at + 1;
            match line.as_bytes().first() {
                Some(b'-') => add(&line[1..], &mut old, &mut before, at)?,
                Some(b'+') => add(&line[1..], &mut new, &mut after, at)?,
                Some(b'\\') => {}
                // Editors take the blank off an empty line of context.
                Some(b' ') | None => {
                    let text = line.get(1..).unwrap_or_default();
                    add(text, &mut old, &mut before, at)?;
                    add(text, &mut new, &mut after, at)?;
                }
                Some(_) => return Err(BadDiff::Line(at)),
            }
        }
        Ok((before, after))
    }
}

/// Numbers for tokens: equal tokens, equal numbers.
#[derive(Default)]
struct Words(HashMap<String, u32>);

impl Words {
    fn read(&mut self, text: &str) -> Vec<u32> {
        let mut read = Vec::new();
        tokens::for_each(text, |token| {
            let number = self.0.get(token).copied().unwrap_or_else(|| {
                let number = self.0.len() as u32;
                self.0.insert(token.to_owned(), number);
                number
            });
            read.push(number);
        });
        read
    }
}

fn common(before: &[u32], after: &[u32]) -> usize {
    lcs_seq::similarity(before.iter().copied(), after.iter().copied())
}
