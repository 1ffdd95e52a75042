//! One pass over the bounded parts of a text: words, numbers, and the marks of code, formulas and options.

use std::ops::Range;

use super::hints::{self, ASK, ENGLISH, FOREIGN, Hint, LONGEST, NUMBER, QUANTITY};
use super::language::{Language, Letters};
use super::{HEAD, TAIL};

/// What a text is about, if its words tell. The order is that of the weights in a [`Hint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    Code,
    Maths,
    Extraction,
    Choice,
}

/// Evidence from which a topic is asserted: one word that says it all, or several that hint.
const ENOUGH: u32 = 3;
/// A longer text holds more words, so more of them hint by chance: one more is needed for so many bytes.
const BYTES_PER_CHANCE: usize = 768;
/// More marks of one kind than this add nothing.
const MOST_MARKS: u32 = 6;
/// A text longer than this is no word problem, however many numbers it has.
const LONGEST_PROBLEM: usize = 1_000;
/// How far behind "what" a quantity may stand: "what is the total number".
const ASK_REACH: u8 = 5;

/// From here on (CJK) words are not divided by spaces.
const UNSPACED: char = '\u{2e80}';

/// What was seen in a text.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Weights of the words, by topic.
    words: [u32; 4],
    /// Whether a word of weight 2 or 3 speaks for a topic: weaker ones are in every text.
    firm: [bool; 4],
    /// Code between fences.
    fences: u32,
    /// `==`, `=>`, `();` and other marks that prose does not have.
    code_marks: u32,
    /// An operator between two operands.
    sums: u32,
    /// `$x`, `\[`: LaTeX begins.
    formulas: u32,
    /// Numbers, in digits or words.
    numbers: u32,
    /// `75%`
    percentages: u32,
    /// "how many" and the like.
    quantities: u32,
    /// Options (A), (B) ... that follow one another.
    options: u8,
    /// Bytes read.
    bytes: usize,
    letters: Letters,
}

/// Reads a text's beginning and end.
pub(super) fn read(text: &str) -> Seen {
    let mut reader = Reader::default();
    if text.len() <= HEAD + TAIL {
        reader.read(text);
    } else {
        reader.read(&text[..text.floor_char_boundary(HEAD)]);
        reader.read(&text[text.ceil_char_boundary(text.len() - TAIL)..]);
    }
    reader.seen
}

impl Seen {
    /// The topic that the most evidence speaks for, if it is enough; equal evidence goes to the first.
    pub(super) fn topic(&self) -> Option<Topic> {
        // Listed options are a form, not a guess: whatever they are about, the answer is one of them.
        if self.options >= 2 && self.fences == 0 {
            return Some(Topic::Choice);
        }
        let enough = ENOUGH + (self.bytes / BYTES_PER_CHANCE) as u32;
        // Formulas are full of what looks like code, and code of what looks like sums.
        let (code_marks, sums) = if self.formulas >= 2 {
            (0, self.sums)
        } else {
            (self.code_marks, if self.code_marks >= 2 { 0 } else { self.sums })
        };
        let marks = |topic| match topic {
            Topic::Code => self.fences * 2 + code_marks.min(MOST_MARKS),
            Topic::Maths => (sums * 2 + self.formulas).min(MOST_MARKS) + self.word_problem(),
            Topic::Extraction | Topic::Choice => 0,
        };
        [Topic::Code, Topic::Maths, Topic::Extraction, Topic::Choice]
            .into_iter()
            .map(|topic| (topic, marks(topic)))
            .filter(|(topic, marks)| *marks >= 2 || self.firm[*topic as usize])
            .map(|(topic, marks)| (topic, marks + self.words[topic as usize]))
            .filter(|(_, evidence)| *evidence >= enough)
            .reduce(|best, one| if one.1 > best.1 { one } else { best })
            .map(|(topic, _)| topic)
    }

    /// A question for a quantity is a sum to do when it states others: "how many people live there" is not.
    fn word_problem(&self) -> u32 {
        if self.quantities == 0 || self.bytes > LONGEST_PROBLEM {
            return 0;
        }
        match self.numbers + self.percentages {
            0 | 1 => 0,
            2 => 2,
            _ => ENOUGH,
        }
    }

    pub(super) fn language(&self) -> Language {
        self.letters.language()
    }
}

/// What came before the place that is read.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Before {
    #[default]
    Nothing,
    /// A number or a variable of one letter, or a closing bracket.
    Operand,
    /// An operator behind an operand.
    Operator,
}

/// The length and the key of the word at the beginning, if it is one as most are: up to [`LONGEST`] letters of ASCII, only
/// the first of them a capital, and no part of a longer word. All its bytes are looked at together;
/// texts are mostly such words.
fn plain(bytes: &[u8]) -> Option<(usize, u128)> {
    const ONES: u128 = u128::from_ne_bytes([1; 16]);
    const TOPS: u128 = ONES << 7;
    let sixteen: [u8; LONGEST] = *bytes.first_chunk()?;
    // The first byte lowest. Bytes of ASCII plus a number below 128 stay in their bytes.
    let word = u128::from_le_bytes(sixteen);
    let lower = word | (ONES * 0x20);
    let low = lower & !TOPS;
    let letters =
        (low + ONES * (0x80 - u128::from(b'a'))) & !(low + ONES * (0x7f - u128::from(b'z'))) & !lower & TOPS;
    let length = (!letters & TOPS).trailing_zeros() as usize / 8;
    let after = bytes.get(length).copied()?;
    let is_part = after.is_ascii_digit() || after == b'_' || after >= 0x80;
    let rest = u128::MAX.checked_shr(128 - 8 * length as u32)?;
    // Capitals lack the bit that `lower` has.
    let capitals = !word & (ONES * 0x20) & rest & !0xff;
    (!is_part && !after.is_ascii_alphabetic() && capitals == 0)
        .then(|| (length, (lower & rest).swap_bytes() >> (128 - 8 * length)))
}

#[derive(Debug)]
struct Reader {
    seen: Seen,
    /// Slots of the words that were counted: a word counts once, however often it is said.
    counted: [u64; hints::SLOTS / 64],
    before: Before,
    line_start: bool,
    /// For how many more words a quantity is one that is asked for.
    asking: u8,
}

impl Default for Reader {
    fn default() -> Self {
        let (seen, counted) = (Seen::default(), [0; hints::SLOTS / 64]);
        Self { seen, counted, before: Before::Nothing, line_start: true, asking: 0 }
    }
}

impl Reader {
    fn read(&mut self, text: &str) {
        let bytes = text.as_bytes();
        self.seen.bytes += bytes.len();
        (self.before, self.line_start) = (Before::Nothing, true);
        let mut i = 0;
        while let Some(&b) = bytes.get(i) {
            let start = i;
            i = match b {
                b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'\\' | 0x80.. => self.word(text, i),
                b'0'..=b'9' => self.number(bytes, i),
                _ => self.mark(bytes, i),
            };
            self.line_start = b == b'\n' || (self.line_start && matches!(b, b' ' | b'\t'));
            debug_assert!(i > start, "each step reads something");
        }
    }

    /// Reads a word, in any script, and returns where it ends.
    fn word(&mut self, text: &str, start: usize) -> usize {
        let bytes = text.as_bytes();
        if let Some((length, key)) = plain(&bytes[start..]) {
            self.seen.letters.latin += length as u32;
            let i = start + length;
            self.said(bytes, start..i, key);
            return i;
        }
        let mut key = 0u128;
        let mut i = start;
        let (mut letters, mut joined) = (0, false);
        while let Some(&b) = bytes.get(i) {
            match b {
                b'a'..=b'z' | b'A'..=b'Z' => {
                    letters += 1;
                    // camelCase, but neither iPhone nor TikTok.
                    joined |= b.is_ascii_uppercase()
                        && i >= start + 3
                        && bytes[start].is_ascii_lowercase()
                        && bytes[i - 1].is_ascii_lowercase();
                }
                b'0'..=b'9' => {}
                // snake_case, but not the x_1 of formulas.
                b'_' => {
                    joined |= i >= start + 2
                        && bytes[i - 1].is_ascii_lowercase()
                        && bytes[i + 1..].iter().take(2).filter(|b| b.is_ascii_lowercase()).count() == 2;
                }
                b'\\' if i == start => {}
                0x80.. => {
                    let Some(c) = text[i..].chars().next() else { break };
                    // Scripts without spaces: what comes along until the next space is no word of the table.
                    if c >= UNSPACED {
                        self.seen.letters.see(c);
                        i += c.len_utf8();
                        continue;
                    }
                    if !c.is_alphanumeric() {
                        break;
                    }
                    self.seen.letters.see(c);
                    for b in &bytes[i..i + c.len_utf8()] {
                        key = key << 8 | u128::from(*b);
                    }
                    i += c.len_utf8();
                    continue;
                }
                _ => break,
            }
            key = key << 8 | u128::from(b.to_ascii_lowercase());
            i += 1;
        }
        if i == start + 1 && bytes[start] == b'\\' {
            self.seen.formulas += u32::from(bytes.get(i).is_some_and(|b| matches!(b, b'[' | b'(')));
            self.before = Before::Nothing;
            return i;
        }
        if i == start {
            // A sign that is no letter.
            self.before = Before::Nothing;
            return start + text[start..].chars().next().map_or(1, char::len_utf8);
        }
        self.seen.letters.latin += letters;
        self.seen.code_marks += u32::from(joined);
        self.said(bytes, start..i, key);
        i
    }

    /// Takes in the word that lies here.
    fn said(&mut self, bytes: &[u8], word: Range<usize>, key: u128) {
        if word.len() == 1 {
            self.letter(bytes, word.start);
        } else {
            self.before = Before::Nothing;
        }
        // "Option 1:"
        if word.len() == 6
            && let [b' ', name @ (b'A'..=b'Z' | b'1'..=b'9'), b':', ..] = bytes[word.end..]
            && bytes[word.clone()].eq_ignore_ascii_case(b"option")
        {
            self.option(name);
        }
        self.asking = self.asking.saturating_sub(1);
        if word.len() <= LONGEST
            && let Some((hint, slot)) = hints::look_up(key)
        {
            self.hint(hint, slot);
        }
    }

    /// A word of one letter: an option, a variable, or C++.
    fn letter(&mut self, bytes: &[u8], at: usize) {
        let next = |n: usize| bytes.get(at + n).copied().unwrap_or(0);
        if self.line_start && matches!(next(1), b')' | b'.') && bytes[at].is_ascii_uppercase() {
            self.option(bytes[at]);
        }
        if matches!(bytes[at], b'c' | b'C') && (next(1) == b'#' || (next(1), next(2)) == (b'+', b'+')) {
            self.seen.code_marks += ENOUGH;
        }
        if self.before == Before::Operator {
            self.seen.sums += 1;
        }
        self.before = if bytes[at].is_ascii_alphabetic() { Before::Operand } else { Before::Nothing };
    }

    fn hint(&mut self, hint: Hint, slot: usize) {
        self.seen.numbers += u32::from(hint.is(NUMBER));
        if hint.is(QUANTITY) && self.asking > 0 {
            self.seen.quantities += 1;
        }
        if hint.is(ASK) {
            self.asking = ASK_REACH;
        }
        let (word, bit) = (slot / 64, 1 << (slot % 64));
        if self.counted[word] & bit != 0 {
            return;
        }
        self.counted[word] |= bit;
        self.seen.letters.english_words += u32::from(hint.is(ENGLISH));
        self.seen.letters.foreign_words += u32::from(hint.is(FOREIGN));
        if hint.is_topical() {
            for topic in [Topic::Code, Topic::Maths, Topic::Extraction, Topic::Choice] {
                let weight = hint.weight(topic);
                self.seen.words[topic as usize] += weight;
                self.seen.firm[topic as usize] |= weight >= 2;
            }
        }
    }

    /// Reads a number such as `1,234.5`, and returns where it ends.
    fn number(&mut self, bytes: &[u8], start: usize) -> usize {
        let mut i = start;
        while let Some(&b) = bytes.get(i) {
            let goes_on = b.is_ascii_digit()
                || (matches!(b, b'.' | b',') && bytes.get(i + 1).is_some_and(u8::is_ascii_digit));
            if !goes_on {
                break;
            }
            i += 1;
        }
        self.seen.numbers += 1;
        if self.before == Before::Operator {
            self.seen.sums += 1;
        }
        self.seen.percentages += u32::from(bytes.get(i) == Some(&b'%'));
        self.before = Before::Operand;
        i
    }

    /// Reads a mark of ASCII, and returns where it ends.
    fn mark(&mut self, bytes: &[u8], i: usize) -> usize {
        let next = bytes.get(i + 1).copied().unwrap_or(0);
        match (bytes[i], next) {
            (b'`', b'`') if bytes.get(i + 2) == Some(&b'`') => {
                self.seen.fences += 1;
                return i + 3;
            }
            (b'=' | b'!' | b'+', b'=')
            | (b'=' | b'-' | b'/', b'>')
            | (b':', b':')
            | (b'+', b'+')
            | (b'&', b'&')
            | (b'|', b'|')
            | (b'<', b'/')
            | (b'(', b')')
            | (b')', b';' | b'{')
            | (b'[', b']')
            | (b'{', b'}')
            | (b';', b'\n') => {
                self.seen.code_marks += 1;
                self.before = Before::Nothing;
                return i + 2;
            }
            (b')', b' ') if bytes.get(i + 2) == Some(&b'{') => {
                self.seen.code_marks += 1;
                self.before = Before::Nothing;
                return i + 3;
            }
            // Money is followed by a digit.
            (b'$', b'a'..=b'z' | b'A'..=b'Z' | b'\\' | b'(' | b'|') => {
                self.seen.formulas += 1;
                self.before = Before::Nothing;
            }
            (b'(', letter @ (b'A'..=b'Z' | b'1'..=b'9')) if bytes.get(i + 2) == Some(&b')') => {
                if letter.is_ascii_alphabetic() || self.line_start {
                    self.option(letter);
                }
                self.before = Before::Nothing;
                return i + 3;
            }
            (b'+' | b'*' | b'^' | b'=', _) => self.operator(),
            // Dates, ranges and words joined by hyphens have these too, but without spaces.
            (b'-' | b'/' | b'<' | b'>', b' ') if i > 0 && bytes[i - 1] == b' ' => self.operator(),
            (b')' | b']', _) => self.before = Before::Operand,
            (b' ' | b'(' | b'[' | b'-' | b'$' | b'%', _) => {}
            _ => self.before = Before::Nothing,
        }
        i + 1
    }

    fn operator(&mut self) {
        self.before = if self.before == Before::Operand { Before::Operator } else { Before::Nothing };
    }

    /// Counts an option that is the next of its list.
    fn option(&mut self, letter: u8) {
        let place = letter.wrapping_sub(if letter.is_ascii_digit() { b'1' } else { b'A' });
        if place == self.seen.options {
            self.seen.options += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_plain_word_is_read_whole_and_as_its_letters(text in "[a-cA-Cy-zY-Z@\\[`{ 19_é.]{0,24}") {
            let bytes = text.as_bytes();
            let length = bytes.iter().take_while(|b| b.is_ascii_alphabetic()).count();
            let after = bytes.get(length).copied();
            let is_plain = (1..=LONGEST).contains(&length)
                && bytes.len() >= LONGEST
                && after.is_some_and(|b| b.is_ascii() && !b.is_ascii_alphanumeric() && b != b'_')
                && !bytes[1..length].iter().any(u8::is_ascii_uppercase);
            let key = || hints::key(text[..length].to_ascii_lowercase().as_bytes());
            prop_assert_eq!(plain(bytes), is_plain.then(|| (length, key())));
        }
    }
}
