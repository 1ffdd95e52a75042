//! What the model sees of a message: hashed pieces of its words, and a few dozen numbers.
//!
//! One implementation for training and for use: `bench/turns` trains on what [`Features::of`] gives. A piece is a word
//! or two or three in a row, a word under a negation, how the message and its clauses open, the whole of a short
//! message, a few letters in a row (typing slips and endings), or characters of scripts without spaces. Pieces of one
//! kind share a unit of weight, so that ten words do not outvote three.

use super::fold::{Script, script};
use super::page::Page;
use super::weigh::{Weighed, weigh};
use super::words::{self, Clause};
use super::{Before, Clue, Dimension, TurnLabel};
use super::{cues, dimension, litotes, task};

/// The hash space of the pieces.
pub(super) const PIECES: usize = 1 << 18;
/// How many numbers there are.
pub(super) const NUMBERS: usize = 52;

/// The number that says that there are at most five words.
pub(super) const FEW_WORDS: usize = 27;
/// The numbers of faces.
const SIGNS: std::ops::Range<usize> = 21..23;
/// Words of the beginning that are read, and words of the end: verdicts stand there.
const HEAD_WORDS: usize = 60;
const TAIL_WORDS: usize = 30;
/// Clauses whose opening is read.
const OPENINGS: usize = 8;
/// A message of no more words than this is also one piece as a whole.
const WHOLE_WORDS: usize = 6;
/// Words after a negator that it turns round.
const NEGATION_REACH: usize = 3;
/// Letters in a row.
const LETTERS: std::ops::RangeInclusive<usize> = 3..=5;
/// Characters in a row of scripts without spaces.
const RUNNING: std::ops::RangeInclusive<usize> = 1..=4;
/// Characters of such a script that are read.
const RUNNING_CHARS: usize = 160;

/// A kind of pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Words,
    Negated,
    Openings,
    Whole,
    Asked,
    Letters,
    Running,
}

const KINDS: [Kind; 7] =
    [Kind::Words, Kind::Negated, Kind::Openings, Kind::Whole, Kind::Asked, Kind::Letters, Kind::Running];

impl Kind {
    fn clue(self) -> Clue {
        match self {
            Self::Words => Clue::Words,
            Self::Negated => Clue::NegatedWords,
            Self::Openings => Clue::Opening,
            Self::Whole => Clue::WholeMessage,
            Self::Asked => Clue::Question,
            Self::Letters => Clue::Letters,
            Self::Running => Clue::Characters,
        }
    }
}

/// What the model sees of a message.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a finding of its own, asked for by its name")]
pub(super) struct Features {
    /// Slots of the hash space, kind by kind.
    pub(super) slots: Vec<u32>,
    /// Where each kind's slots end, its clue, and what one of them counts.
    pub(super) kinds: [(usize, Clue, f32); KINDS.len()],
    /// The numbers, most of them in 0..=1.
    pub(super) numbers: [f32; NUMBERS],
    /// The message is nothing but words like "no" and "ok".
    pub(super) bare: bool,
    /// It holds no word and no sign at all.
    pub(super) empty: bool,
    /// Its first words, and whether an error was pasted: what it finds fault with is looked for only in rejections.
    said: String,
    failed: bool,
    /// It asks for something new, of something that it brings along.
    new_task: bool,
}

impl Features {
    /// Reads an excerpt of a message.
    pub(super) fn of(excerpt: &str, before: &Before<'_>) -> Self {
        let page = Page::of(excerpt);
        let clauses = words::clauses(&page.prose, usize::MAX);
        let words: Vec<&str> = clauses.iter().flat_map(|c| c.words.iter().map(String::as_str)).collect();
        let bare = (1..=4).contains(&words.len())
            && page.errors == 0
            && page.code == 0
            && words.iter().all(|w| cues::BARE.contains(w));
        let mut pieces = Pieces::default();
        let mut kinds = [(0, Clue::Words, 0.0); KINDS.len()];
        let mut start = 0;
        for (kind, place) in KINDS.into_iter().zip(&mut kinds) {
            pieces.collect(kind, &clauses, &words);
            let count = pieces.slots.len() - start;
            start = pieces.slots.len();
            *place = (start, kind.clue(), 1.0 / (count.max(1) as f32).sqrt());
        }
        let weighed = weigh(&clauses);
        let numbers =
            Numbers { excerpt, page: &page, clauses: &clauses, words: &words, weighed, bare }.all(before);
        let signs = numbers[SIGNS].iter().any(|&sign| sign > 0.0);
        let empty = words.is_empty() && page.code == 0 && page.errors == 0 && !signs;
        let new_task = task::is_new(&page, &clauses);
        let said = dimension::said(words.iter().copied());
        Self { slots: pieces.slots, kinds, numbers, bare, empty, said, failed: page.errors > 0, new_task }
    }

    /// What the message finds fault with, if it is a rejection.
    pub(super) fn dimension(&self) -> Option<Dimension> {
        dimension::dimension(&self.said, self.failed)
    }

    /// Whether the phrases, read by rule, say the opposite of a label.
    pub(super) fn phrases_contradict(&self, label: TurnLabel) -> bool {
        let [praise, complaint] = [self.numbers[0], self.numbers[1]];
        match label {
            TurnLabel::Acceptance => complaint > praise,
            // In a longer message the praise may be of one thing and the complaint of another.
            TurnLabel::Rejection => {
                (praise > complaint && self.numbers[FEW_WORDS] > 0.0)
                    || self.new_task
                    || litotes::is_among(&self.said)
            }
            TurnLabel::Continuation => false,
        }
    }

    /// The slots with what each counts and its clue.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (&[u32], Clue, f32)> {
        let starts = std::iter::once(0).chain(self.kinds.iter().map(|kind| kind.0));
        starts.zip(self.kinds).map(|(start, (end, clue, value))| (&self.slots[start..end], clue, value))
    }
}

#[derive(Default)]
struct Pieces {
    slots: Vec<u32>,
    letters: Vec<char>,
}

/// FNV-1a over the bytes of a word, the kind as its seed.
fn hash(seed: u64, text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn join(left: u64, right: u64) -> u64 {
    (left.rotate_left(23) ^ right).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn slot(hash: u64) -> u32 {
    let mixed = (hash ^ (hash >> 31)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (mixed >> (64 - PIECES.trailing_zeros())) as u32
}

/// The words at the beginning and at the end that are read.
fn read<'a>(words: &'a [&'a str]) -> (&'a [&'a str], &'a [&'a str]) {
    let head = words.len().min(HEAD_WORDS);
    let tail = words.len().saturating_sub(TAIL_WORDS).max(head);
    (&words[..head], &words[tail..])
}

fn is_running(word: &str) -> bool {
    word.chars().any(|c| script(c) == Script::Running)
}

impl Pieces {
    fn push(&mut self, hash: u64) {
        self.slots.push(slot(hash));
    }

    fn collect(&mut self, kind: Kind, clauses: &[Clause], words: &[&str]) {
        let seed = kind as u64 + 1;
        let (head, tail) = read(words);
        match kind {
            Kind::Words => {
                self.grams(seed, head, true, tail.is_empty());
                self.grams(seed, tail, false, !tail.is_empty());
            }
            Kind::Negated => clauses.iter().take(4 * OPENINGS).for_each(|clause| {
                let mut reach = 0;
                for word in &clause.words {
                    if reach > 0 {
                        self.push(hash(seed, word));
                        reach -= 1;
                    }
                    if cues::NEGATORS.contains(&word.as_str()) {
                        reach = NEGATION_REACH;
                    }
                }
            }),
            Kind::Openings => {
                for (i, clause) in clauses.iter().take(OPENINGS).enumerate() {
                    let mut opening = seed + if i == 0 { 1000 } else { 2000 };
                    for word in clause.words.iter().take(3) {
                        opening = join(opening, hash(seed, word));
                        self.push(opening);
                    }
                }
            }
            Kind::Whole if words.len() <= WHOLE_WORDS => {
                let whole = words.iter().fold(seed, |h, word| join(h, hash(seed, word)));
                self.push(join(whole, u64::from(clauses.iter().any(|clause| clause.question))));
            }
            Kind::Whole => {}
            Kind::Asked => {
                for clause in clauses.iter().filter(|clause| clause.question).take(OPENINGS) {
                    clause.words.iter().take(12).for_each(|word| self.push(hash(seed, word)));
                }
            }
            Kind::Letters => {
                for word in head.iter().chain(tail).filter(|word| !is_running(word)) {
                    self.letters.clear();
                    self.letters.push(' ');
                    self.letters.extend(word.chars().take(20));
                    self.letters.push(' ');
                    self.runs(seed, LETTERS);
                }
            }
            Kind::Running => {
                let mut left = RUNNING_CHARS;
                for word in head.iter().chain(tail).filter(|word| is_running(word)) {
                    self.letters.clear();
                    self.letters.push(' ');
                    self.letters.extend(word.chars().take(left));
                    self.letters.push(' ');
                    left = left.saturating_sub(self.letters.len());
                    self.runs(seed, RUNNING);
                }
            }
        }
    }

    /// One, two and three words in a row, with the edges of the message as words.
    fn grams(&mut self, seed: u64, words: &[&str], begins: bool, ends: bool) {
        let edge = hash(seed, "\u{1}");
        let mut last: [Option<u64>; 2] = [None, begins.then_some(edge)];
        let hashes = words.iter().map(|word| (hash(seed, word), true));
        let all = hashes.chain((ends && !words.is_empty()).then_some((edge ^ 1, false)));
        for (word, is_word) in all {
            if is_word {
                self.push(word);
            }
            if let Some(one) = last[1] {
                self.push(join(one, word));
                if let Some(two) = last[0] {
                    self.push(join(join(two, one), word));
                }
            }
            last = [last[1], Some(word)];
        }
    }

    fn runs(&mut self, seed: u64, lengths: std::ops::RangeInclusive<usize>) {
        for start in 0..self.letters.len() {
            let mut run = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            for length in 1..=*lengths.end() {
                let Some(&c) = self.letters.get(start + length - 1) else { break };
                run = (run ^ u64::from(c)).wrapping_mul(0x0100_0000_01b3_0193);
                let blank = length == 1 && c == ' ';
                if length >= *lengths.start() && !blank {
                    self.slots.push(slot(join(run, length as u64)));
                }
            }
        }
    }
}

/// What the numbers are computed from.
struct Numbers<'a> {
    excerpt: &'a str,
    page: &'a Page,
    clauses: &'a [Clause],
    words: &'a [&'a str],
    weighed: Weighed,
    bare: bool,
}

fn flag(is: bool) -> f32 {
    f32::from(u8::from(is))
}

/// A count on a scale where the first few count most.
fn log(count: usize) -> f32 {
    (count as f32).ln_1p() / 5.0
}

impl Numbers<'_> {
    fn all(&self, before: &Before<'_>) -> [f32; NUMBERS] {
        let mut numbers = Vec::with_capacity(NUMBERS);
        numbers.extend(self.phrases());
        numbers.extend(self.marks());
        numbers.extend(self.size());
        numbers.extend(self.pasted());
        numbers.extend(before.numbers(self.excerpt));
        let mut all = [0.0; NUMBERS];
        debug_assert_eq!(numbers.len(), NUMBERS);
        all.iter_mut().zip(numbers).for_each(|(place, number)| *place = number);
        all
    }

    fn phrases(&self) -> [f32; 12] {
        let Weighed { praise, complaint, ironic, requested } = self.weighed;
        let (praise, complaint) = ((praise / 5.0).min(1.5) as f32, (complaint / 5.0).min(1.5) as f32);
        let thanks =
            self.words.iter().take(HEAD_WORDS).any(|w| cues::THANKS.iter().any(|t| w.starts_with(t)));
        let few = self.words.len() <= 6;
        let contrast =
            self.clauses.iter().skip(1).any(|clause| words::CONTRASTS.contains(&clause.words[0].as_str()));
        [
            praise,
            complaint,
            flag(praise > 0.5 && self.words.len() <= 8),
            flag(complaint > 0.5 && self.words.len() <= 12),
            flag(praise > 0.0 && complaint > 0.0),
            flag(ironic),
            flag(requested),
            flag(thanks && few && !requested),
            flag(thanks && (!few || requested)),
            flag(contrast),
            flag(contrast && (praise > 0.0 || thanks)),
            flag(self.bare),
        ]
    }

    fn marks(&self) -> [f32; 13] {
        let count = |mark: &[char]| self.excerpt.chars().filter(|c| mark.contains(c)).count();
        let letters = self.excerpt.chars().filter(|c| c.is_alphabetic()).count();
        let capitals = self.excerpt.chars().filter(|c| c.is_uppercase()).count();
        let shouted = letters > 8 && capitals * 10 > letters * 7 && self.page.code == 0;
        let asked = self.clauses.iter().filter(|clause| clause.question).count();
        let sentences: usize = self.clauses.last().map_or(0, |clause| clause.sentence + 1);
        let low = self.excerpt.to_lowercase();
        let plain = low.is_ascii();
        let any = |signs: &[&str]| signs.iter().any(|sign| (!plain || sign.is_ascii()) && low.contains(sign));
        let exclaimed = count(&['!', '！']);
        [
            flag(asked > 0),
            flag(self.clauses.last().is_some_and(|clause| clause.question)),
            flag(self.clauses.first().is_some_and(|clause| clause.question)),
            asked as f32 / sentences.max(1) as f32,
            flag(exclaimed > 0),
            flag(exclaimed > 2),
            flag(low.contains("?!") || low.contains("??") || low.contains("!?")),
            flag(low.contains("...") || low.contains('…')),
            flag(shouted),
            flag(any(&cues::HAPPY)),
            flag(any(&cues::UNHAPPY)),
            flag(self.excerpt.contains('"') || self.excerpt.contains('\u{201c}')),
            flag(self.words.iter().any(|word| is_running(word))),
        ]
    }

    fn size(&self) -> [f32; 8] {
        let words = self.words.len();
        [
            log(words),
            flag(words <= 2),
            flag(words <= 5),
            flag(words > 12),
            flag(words > 30),
            flag(words > 100),
            log(self.excerpt.len() / 16),
            log(self.clauses.len()),
        ]
    }

    fn pasted(&self) -> [f32; 11] {
        let Page { lines, code, errors, traces, opens_with_error, ends_with_error, fenced, .. } = *self.page;
        let asked = self.clauses.iter().any(|clause| clause.question);
        let failed = errors + traces > 0;
        let digits = self.excerpt.bytes().filter(u8::is_ascii_digit).count();
        [
            code as f32 / lines.max(1) as f32,
            log(code),
            flag(fenced),
            log(errors),
            flag(traces > 0),
            flag(opens_with_error),
            flag(ends_with_error),
            flag(failed && self.words.len() <= 10),
            flag(failed && asked),
            flag(failed && code > 2),
            digits as f32 / self.excerpt.len().max(1) as f32,
        ]
    }
}

/// The clue that a number is.
pub(super) fn clue(number: usize) -> Clue {
    match number {
        0 | 2 => Clue::Praise,
        1 | 3 | 4 => Clue::Complaint,
        5 => Clue::Irony,
        6 => Clue::Request,
        7 | 8 => Clue::Thanks,
        9 | 10 => Clue::Contrast,
        11 => Clue::BareAnswer,
        12..=15 | 18 => Clue::Question,
        16 | 17 | 19 | 20 | 23 | 24 => Clue::Emphasis,
        21 | 22 => Clue::Faces,
        25..=32 => Clue::Length,
        33..=35 | 43 => Clue::PastedCode,
        36..=42 => Clue::PastedError,
        44..=47 => Clue::RepeatsPrompt,
        _ => Clue::QuotesAnswer,
    }
}
