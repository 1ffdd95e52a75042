//! The table of detectors, and how one runs.

use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

use super::entity::Entity;
use super::{Find, keys, money, national, network, person, phone, secret};

/// Looks at a candidate in the text and says which part of it is the thing, if any.
pub(super) type Check = fn(&str, Range<usize>) -> Option<Range<usize>>;

/// One kind of thing, in one of its forms.
pub(super) struct Detector {
    pub entity: Entity,
    /// A text without one of these bytes has none; empty if that cannot be said.
    pub needs: &'static [u8],
    pub how: How,
}

/// How a thing is looked for.
pub(super) enum How {
    /// By a pattern. It knows ASCII only, is case-sensitive unless it says `(?i)`, and the group named `it` is the
    /// candidate, or all of it. A pattern without a bound on its length goes with [`whole`], which never refuses:
    /// after a refusal the search goes on at the next word, inside what was read.
    Pattern(&'static str, Check),
    /// By a loop over the text.
    Scan(fn(&str, &mut Vec<Range<usize>>)),
}

/// Where to change what is found: a row in one of these tables.
const TABLES: [&[Detector]; 7] = [
    keys::DETECTORS,
    secret::DETECTORS,
    money::DETECTORS,
    national::DETECTORS,
    network::DETECTORS,
    person::DETECTORS,
    phone::DETECTORS,
];

struct Compiled {
    detector: &'static Detector,
    regex: Option<(Regex, usize)>,
}

static ALL: LazyLock<Vec<Compiled>> = LazyLock::new(|| {
    let compile = |detector: &'static Detector| {
        let How::Pattern(pattern, _) = detector.how else { return Compiled { detector, regex: None } };
        let regex = RegexBuilder::new(pattern).unicode(false).build().expect("a test compiles all patterns");
        let group = regex.capture_names().position(|name| name == Some("it")).unwrap_or(0);
        Compiled { detector, regex: Some((regex, group)) }
    };
    TABLES.iter().copied().flatten().map(compile).collect()
});

/// Everything that the detectors find in a text, overlaps included.
pub(super) fn all(text: &str) -> Vec<Find> {
    let mut present = [false; 256];
    for byte in text.bytes() {
        present[usize::from(byte.min(127))] = true;
    }
    present[usize::from(b'0')] = (b'0'..=b'9').any(|digit| present[usize::from(digit)]);
    let mut finds = Vec::new();
    let mut ranges = Vec::new();
    for Compiled { detector, regex } in ALL.iter() {
        if !detector.needs.iter().all(|byte| present[usize::from(*byte)]) {
            continue;
        }
        match (&detector.how, regex) {
            (How::Pattern(_, check), Some((regex, group))) => scan(regex, *group, *check, text, &mut ranges),
            (How::Scan(scan), _) => scan(text, &mut ranges),
            (How::Pattern(..), None) => {}
        }
        let find = |range| Find { entity: detector.entity, range };
        finds.extend(ranges.drain(..).filter(|range: &Range<usize>| !range.is_empty()).map(find));
    }
    finds
}

fn scan(regex: &Regex, group: usize, check: Check, text: &str, out: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at <= bytes.len() {
        let (whole, part) = if group == 0 {
            let Some(found) = regex.find_at(bytes, at) else { break };
            (found.range(), found.range())
        } else {
            let Some(found) = regex.captures_at(bytes, at) else { break };
            let (Some(whole), Some(part)) = (found.get(0), found.get(group)) else { break };
            (whole.range(), part.range())
        };
        let part = text.floor_char_boundary(part.start)..text.ceil_char_boundary(part.end);
        if let Some(range) = check(text, part) {
            at = range.end.max(at + 1);
            out.push(range);
        } else {
            at = next_word(bytes, whole.start);
        }
    }
}

/// The end of the word that begins here, or one byte on.
fn next_word(bytes: &[u8], start: usize) -> usize {
    let word = bytes[start.min(bytes.len())..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    start + word.max(1)
}

/// The check of a pattern that says everything.
#[expect(clippy::unnecessary_wraps, reason = "it is one of the checks")]
pub(super) fn whole(_: &str, range: Range<usize>) -> Option<Range<usize>> {
    Some(range)
}

/// The byte before a position, or a line feed at the beginning.
pub(super) fn before(text: &str, at: usize) -> u8 {
    at.checked_sub(1).map_or(b'\n', |at| text.as_bytes()[at])
}

/// The byte at a position, or a line feed at the end.
pub(super) fn after(text: &str, at: usize) -> u8 {
    text.as_bytes().get(at).copied().unwrap_or(b'\n')
}

/// The ASCII digits of a text, as numbers.
pub(super) fn digits(text: &str) -> Vec<u8> {
    text.bytes().filter(u8::is_ascii_digit).map(|byte| byte - b'0').collect()
}

/// The letters and digits of a text, in capitals.
pub(super) fn alphanumerics(text: &str) -> Vec<u8> {
    text.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_uppercase()).collect()
}

/// Whether one of the words stands shortly before a position, in the same paragraph. `cue` is matched against the
/// lower-case text before it.
pub(super) fn cued(text: &str, at: usize, cue: &Regex) -> bool {
    let from = text.floor_char_boundary(at.saturating_sub(CUE));
    let window = &text[from..at];
    let window = window.rfind("\n\n").map_or(window, |line| &window[line..]);
    cue.is_match(window.as_bytes())
}

/// How far before a thing, in bytes, the word may stand that says what it is: a short clause ("my citizen service number,
/// as far as I remember, is"). Further, and it speaks of something else.
const CUE: usize = 48;

/// A pattern for [`cued`]: any of the words, as whole words, in any case.
pub(super) fn cue(words: &str) -> Regex {
    let pattern = format!("(?i)(?:^|[^a-z])(?:{words})(?:[^a-z]|$)");
    RegexBuilder::new(&pattern).unicode(false).build().expect("a test compiles all patterns")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_patterns_compile() {
        assert_eq!(ALL.len(), TABLES.iter().map(|table| table.len()).sum::<usize>());
    }

    #[test]
    fn a_refused_candidate_hides_nothing_that_begins_in_it() {
        let regex = RegexBuilder::new("[0-9]{2} [0-9]{2}").unicode(false).build().expect("compiles");
        let mut out = Vec::new();
        scan(
            &regex,
            0,
            |text, range| (&text[range.clone()] == "22 33").then_some(range),
            "11 22 33",
            &mut out,
        );
        assert_eq!(out.first(), Some(&(3..8)));
        assert_eq!(out.len(), 1);
    }
}
