//! What is kept of a text so that another can be compared with it later, when the text itself is long gone.
//!
//! A fingerprint is the text's tokens (see [`crate::tokens`]) in their order, each shrunk to a keyed hash of
//! [`SYMBOL_BITS`] bits, its *symbol*. Of a long text only every second, fourth, eighth ... token is kept, so that
//! there are never more than [`MAX_SYMBOLS`]. Which ones is decided by the token's hash, not by its place: an edit at
//! the start does not shift what is kept of the rest, and two texts of one key keep the same tokens. That makes one
//! sequence answer three questions: how much two texts share, how much of one is in the other, and how much of it
//! survives in order, which is what edits change. Sets of shingles, the usual choice, answer the last one badly: one
//! word changed in ten takes away a quarter of all three-word shingles, and a moved paragraph none.
//!
//! Words of at most three letters and single signs (not characters of scripts without spaces) have symbols of their own
//! quarter and are the first to go: a sample that is chosen by hash would otherwise be one of commas, or of none.
//!
//! How exact it is, by `bench/edits` (8,700 edits of prose, code and Chinese, 3 to 10,000 tokens): similarity is off by
//! 0.021 on average and by less than 0.11 in 95 of 100 cases; by 0.003 on average where more than 90 % was kept, and by
//! 0.07, too high, where less than a quarter was. What guessing rebuilds of a text from it: who has the secret, the
//! run's id, the whole vocabulary and a perfect model of which words follow each other gets 45 % of the words of a text
//! of up to 480 tokens right, 26 % of those beyond the thousand most frequent, 2 % of runs of eight words, and can
//! check a guess of a whole text; of 2,000 words 5 %, nearly all of them frequent ones. Who lacks the secret gets 4 %
//! at most, and none beyond the thousand most frequent.

use std::fmt;
use std::hash::Hasher;

use kalibr_core::ids::{HashKey, TraceId};
use rapidfuzz::distance::lcs_seq;
use siphasher::sip::SipHasher24;

use crate::tokens;

#[cfg(test)]
mod tests;

/// Most symbols that a fingerprint has.
pub const MAX_SYMBOLS: usize = 480;

/// Bits of a symbol.
pub const SYMBOL_BITS: u32 = 6;

/// Most bytes that [`Fingerprint::to_bytes`] gives, whatever the length of the text.
pub const MAX_BYTES: usize = HEADER + MAX_SYMBOLS;

const VERSION: u8 = 1;
const HEADER: usize = 6;
/// At this level a text of thirty million tokens still fits; what is beyond is cut off.
const MAX_LEVEL: u8 = 16;
/// Keys from here on belong to words of at most three letters and to signs. They are above half of all keys, so that
/// the first level above 0 is without them.
const SHORT: u32 = 0xC000_0000;
/// The same as a symbol of level 0.
const SHORT_SYMBOL: u8 = (SHORT >> (32 - SYMBOL_BITS)) as u8;
/// Two texts whose levels are further apart than this share too few bits of a symbol. One is then at least a dozen
/// times as long as the other.
const MAX_LEVELS_APART: u8 = 3;
/// Sets are of longer runs when a set of shorter ones has more than this of all that there could be.
const MOST_FILLED: f64 = 0.3;
const MAX_RUN: usize = 3;

/// How two texts relate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Relation {
    /// How much of the first is in the second: [`Fingerprint::containment`], as is the next.
    pub contained: f64,
    /// How much of the second is in the first.
    pub contains: f64,
    /// [`Fingerprint::resemblance`].
    pub resemblance: f64,
}

/// The secret that symbols are made under. Without it a fingerprint tells the length of a text and nothing else.
#[derive(Clone)]
pub struct Key([u8; 16]);

impl Key {
    /// A key of these 16 secret bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The key for the texts of one run.
    ///
    /// Fingerprints that are stored are made under keys of their own, so that equal words of two of them have nothing in
    /// common: who has the ledger and not the secret can count no words over it. A text that is to be compared with a
    /// stored one is at hand, and its fingerprint is made under the same run's key.
    ///
    /// ```
    /// use kalibr_core::ids::TraceId;
    /// use kalibr_signals::fingerprint::{Fingerprint, Key};
    ///
    /// let (key, trace) = (Key::new([7; 16]), TraceId::from_bytes([1; 16]));
    /// let stored = Fingerprint::of(&key.of_run(trace), "Paris, of course.");
    /// let message = Fingerprint::of(&key.of_run(trace), "Paris?");
    /// assert!(message.containment(&stored) > 0.9);
    /// ```
    pub fn of_run(&self, trace: TraceId) -> Self {
        let hash = |part: u8| {
            let mut hasher = SipHasher24::new_with_key(&self.0);
            hasher.write(&[part]);
            hasher.write(trace.as_bytes());
            hasher.finish().to_le_bytes()
        };
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&hash(0));
        bytes[8..].copy_from_slice(&hash(1));
        Self(bytes)
    }

    fn hash(&self, token: &str) -> u32 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(token.as_bytes());
        (hasher.finish() >> 32) as u32
    }
}

impl From<&HashKey> for Key {
    /// The installation's secret, set apart from its other uses.
    fn from(secret: &HashKey) -> Self {
        Self(*secret.hash("fingerprint", "").as_bytes())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(secret)")
    }
}

/// What is kept of a text; see the [module](self).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// The share of tokens that were candidates is one half to this power.
    level: u8,
    tokens: u32,
    symbols: Box<[u8]>,
}

/// Bytes that are no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Written by a newer Kalibr, or something else altogether.
    #[error("the fingerprint is of version {0}, and this program reads version {VERSION}")]
    Version(u8),
    /// They contradict themselves.
    #[error("the bytes are no fingerprint")]
    Bytes,
}

impl Fingerprint {
    /// The fingerprint of a text of any length, made in one pass.
    ///
    /// ```
    /// use kalibr_signals::fingerprint::{Fingerprint, Key};
    ///
    /// let key = Key::new([7; 16]);
    /// let answer = Fingerprint::of(&key, "The capital of France is Paris.");
    /// let edited = Fingerprint::of(&key, "The capital of France is beautiful Paris.");
    /// assert!(answer.edit_similarity(&edited) > 0.9);
    /// let other = Fingerprint::of(&key, "Ask somebody else next time");
    /// assert!(answer.edit_similarity(&other) < 0.5); // 0 in truth: of so short a text a word or two agree by chance
    /// ```
    pub fn of(key: &Key, text: &str) -> Self {
        let (mut level, mut count, mut keys) = (0, 0_u32, Vec::new());
        tokens::for_each(text, |token| {
            count = count.saturating_add(1);
            let hash = key.hash(token);
            let place = if is_short(token) { SHORT | (hash >> 2) } else { hash - (hash >> 2) };
            if !reaches(place, level) {
                return;
            }
            keys.push(place);
            while keys.len() > MAX_SYMBOLS {
                if level == MAX_LEVEL {
                    keys.truncate(MAX_SYMBOLS);
                } else {
                    level += 1;
                    keys.retain(|&place| reaches(place, level));
                }
            }
        });
        let symbols = keys.iter().map(|place| ((place << level) >> (32 - SYMBOL_BITS)) as u8).collect();
        Self { level, tokens: rounded(count), symbols }
    }

    /// How many tokens the text had: exactly up to [`MAX_SYMBOLS`], beyond that within 2 %.
    pub fn tokens(&self) -> u32 {
        self.tokens
    }

    /// How much of both texts together is in both, from 0 to 1, whatever its order: an estimate of the Jaccard index of
    /// their sets of words. Words of more than three letters count, or all tokens where a text has no such word. Of texts
    /// with more than some fifteen such words, pairs of neighbouring ones are compared.
    pub fn resemblance(&self, other: &Self) -> f64 {
        self.relation(other).resemblance
    }

    /// How much of this text is in the other, from 0 to 1, whatever its order: an estimate of the share of its words
    /// that are among the other's. Which words count is as in [`Fingerprint::resemblance`].
    ///
    /// ```
    /// use kalibr_signals::fingerprint::{Fingerprint, Key};
    ///
    /// let of = |text| Fingerprint::of(&Key::new([7; 16]), text);
    /// let prompt = of("Write a function in Python that sorts a list of words by their length.");
    /// assert!(of("sorts words by their length, in python").containment(&prompt) > 0.7);
    /// assert!(of("which oceans surround Madagascar entirely").containment(&prompt) < 0.5);
    /// ```
    pub fn containment(&self, other: &Self) -> f64 {
        self.relation(other).contained
    }

    /// Containment both ways and resemblance for the price of one.
    pub fn relation(&self, other: &Self) -> Relation {
        let every = |share| Relation { contained: share, contains: share, resemblance: share };
        if self == other {
            return every(1.0);
        }
        let Some((a, b)) = self.sets(other) else { return every(0.0) };
        let both = common(&a.runs, &b.runs);
        let (contained, contains) = (shared(both, &a, &b), shared(both, &b, &a));
        let (size_a, size_b) = (a.size(), b.size());
        // Taken both ways and averaged, so that neither text comes first.
        let common = f64::midpoint(contained * size_a, contains * size_b).min(size_a).min(size_b);
        Relation { contained, contains, resemblance: common / (size_a + size_b - common) }
    }

    /// How much of a text survived an edit, from 0 to 1: an estimate of `2 * common / (before + after)`, where `common`
    /// is the length of the longest common subsequence of their tokens, `before` and `after` their numbers of tokens.
    pub fn edit_similarity(&self, other: &Self) -> f64 {
        if self == other {
            return 1.0;
        }
        let (n, m) = (f64::from(self.tokens), f64::from(other.tokens));
        if n == 0.0 || m == 0.0 {
            return 0.0;
        }
        let most = 2.0 * n.min(m) / (n + m);
        // A sample may be empty by ill luck; half of what is possible is then never far off for texts so unlike in
        // length, and no claim either way for others.
        let unknown = most / 2.0;
        let Some((a, b, _)) = self.aligned(other) else { return unknown };
        let shorter = a.len().min(b.len());
        if shorter == 0 {
            return unknown;
        }
        let common = lcs_seq::similarity(a.iter().copied(), b.iter().copied());
        most * common as f64 / shorter as f64
    }

    /// The fingerprint to be stored, at most [`MAX_BYTES`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.symbols.len());
        bytes.extend([VERSION, self.level]);
        bytes.extend(self.tokens.to_le_bytes());
        bytes.extend(&self.symbols);
        bytes
    }

    /// The fingerprint that was stored.
    ///
    /// # Errors
    /// [`Malformed`] for anything but the result of [`Fingerprint::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let (&version, rest) = bytes.split_first().ok_or(Malformed::Bytes)?;
        if version != VERSION {
            return Err(Malformed::Version(version));
        }
        let (&level, rest) = rest.split_first().ok_or(Malformed::Bytes)?;
        let (&tokens, symbols) = rest.split_first_chunk::<4>().ok_or(Malformed::Bytes)?;
        let tokens = u32::from_le_bytes(tokens);
        let whole = level == 0 && tokens as usize == symbols.len();
        // The first lengths beyond a whole fingerprint are rounded down to its own.
        let sampled = level > 0 && tokens as usize >= MAX_SYMBOLS && rounded(tokens) == tokens;
        let strange = symbols.iter().any(|symbol| symbol >> SYMBOL_BITS != 0);
        if level > MAX_LEVEL || symbols.len() > MAX_SYMBOLS || strange || !(whole || sampled) {
            return Err(Malformed::Bytes);
        }
        Ok(Self { level, tokens, symbols: symbols.into() })
    }

    /// Both sequences as if both had been made at the higher level of the two, and how many bits a symbol then has.
    /// `None` where that would leave too few.
    fn aligned(&self, other: &Self) -> Option<(Vec<u8>, Vec<u8>, u32)> {
        let level = self.level.max(other.level);
        let apart = self.level.abs_diff(other.level);
        if apart > MAX_LEVELS_APART {
            return None;
        }
        let bits = SYMBOL_BITS - u32::from(apart);
        let raise = |print: &Self| -> Vec<u8> {
            if print.level == level {
                print.symbols.iter().map(|symbol| symbol >> apart).collect()
            } else {
                let keep = |symbol: &&u8| u32::from(**symbol) >> bits == 0;
                print.symbols.iter().filter(keep).copied().collect()
            }
        };
        Some((raise(self), raise(other), bits))
    }

    /// What the two texts have, as sets of single symbols, or of runs of two or three where single ones are so many that
    /// chance would decide.
    fn sets(&self, other: &Self) -> Option<(Set, Set)> {
        let (mut a, mut b, bits) = self.aligned(other)?;
        let mut letters = f64::from(1_u32 << bits);
        // Short tokens are at level 0 only.
        let words = |symbols: &[u8]| symbols.iter().any(|&symbol| symbol < SHORT_SYMBOL);
        if self.level.max(other.level) == 0 && words(&a) && words(&b) {
            a.retain(|&symbol| symbol < SHORT_SYMBOL);
            b.retain(|&symbol| symbol < SHORT_SYMBOL);
            letters = f64::from(SHORT_SYMBOL);
        }
        if a.is_empty() || b.is_empty() {
            return None;
        }
        let of = |run| (Set::of(&a, run, letters), Set::of(&b, run, letters));
        let sets = (1..MAX_RUN).map(of).find(|(a, b)| a.fill().max(b.fill()) <= MOST_FILLED);
        Some(sets.unwrap_or_else(|| of(MAX_RUN)))
    }
}

impl fmt::Debug for Fingerprint {
    /// Its size alone: symbols belong in no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({} tokens)", self.tokens)
    }
}

/// A set of runs of symbols.
struct Set {
    runs: Vec<u32>,
    /// How many runs there could be.
    possible: f64,
}

impl Set {
    /// All runs of `length` symbols; the whole, where there are fewer.
    fn of(symbols: &[u8], length: usize, letters: f64) -> Self {
        let number =
            |run: &[u8]| run.iter().fold(0, |number, &symbol| number << SYMBOL_BITS | u32::from(symbol));
        let numbers = symbols.windows(length.min(symbols.len())).map(number);
        let possible = letters.powi(length as i32);
        if length >= MAX_RUN {
            let mut runs: Vec<u32> = numbers.collect();
            runs.sort_unstable();
            runs.dedup();
            return Self { runs, possible };
        }
        // Short runs are few: a bit for each sorts them, and leaves out what comes again.
        let mut bits = [0_u64; 1 << (SYMBOL_BITS * (MAX_RUN as u32 - 1) - 6)];
        for number in numbers {
            bits[number as usize / 64] |= 1 << (number % 64);
        }
        let mut runs = Vec::with_capacity(symbols.len());
        for (word, mut left) in (0_u32..).zip(bits) {
            while left != 0 {
                runs.push(word * 64 + left.trailing_zeros());
                left &= left - 1;
            }
        }
        Self { runs, possible }
    }

    fn len(&self) -> f64 {
        self.runs.len() as f64
    }

    fn fill(&self) -> f64 {
        self.len() / self.possible
    }

    /// How many different things it takes, on average, to make so many different runs.
    fn size(&self) -> f64 {
        // Half a run short of all, so that a full set is of many things and not of infinitely many.
        let free = (self.possible - self.len()).max(0.5);
        (free / self.possible).ln() / (-1.0 / self.possible).ln_1p()
    }
}

/// How many runs two sorted lists have in common.
fn common(mut a: &[u32], mut b: &[u32]) -> usize {
    let mut both = 0;
    while let ([first_a, rest_a @ ..], [first_b, rest_b @ ..]) = (a, b) {
        let order = first_a.cmp(first_b);
        both += usize::from(order.is_eq());
        if order.is_le() {
            a = rest_a;
        }
        if order.is_ge() {
            b = rest_b;
        }
    }
    both
}

/// The share of a's runs that are b's, less what chance alone would give.
fn shared(both: usize, a: &Set, b: &Set) -> f64 {
    let chance = b.fill();
    if chance >= 1.0 { 1.0 } else { ((both as f64 / a.len() - chance) / (1.0 - chance)).max(0.0) }
}

/// Whether a token is a word of at most three letters or a sign. A character of a script without spaces is neither.
fn is_short(token: &str) -> bool {
    let mut chars = token.chars();
    let first = chars.next();
    let alone = token.len() > 1 && chars.as_str().is_empty();
    chars.nth(2).is_none() && !(alone && first.is_some_and(char::is_alphanumeric))
}

/// Whether a token's key is kept at this level.
fn reaches(place: u32, level: u8) -> bool {
    level == 0 || place.leading_zeros() >= u32::from(level)
}

/// Rounded down to six binary digits where a text is longer than a fingerprint: its exact length is nobody's business.
fn rounded(tokens: u32) -> u32 {
    if tokens as usize <= MAX_SYMBOLS {
        return tokens;
    }
    let drop = 26 - tokens.leading_zeros();
    tokens >> drop << drop
}
