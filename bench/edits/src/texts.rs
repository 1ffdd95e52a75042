//! Texts of a seeded generator: prose over a vocabulary whose words are as frequent as English ones are, code, and
//! prose in a script without spaces.
//!
//! Words follow each other by a table of bigrams that the attacker is given too, so that what the attack rebuilds is an
//! upper end: real language models know a text less well than its own generator does.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Small words, the most frequent ones first.
const SMALL: [&str; 40] = [
    "the", "of", "and", "to", "in", "a", "is", "that", "for", "it", "as", "was", "with", "be", "by", "on",
    "not", "this", "are", "or", "from", "an", "at", "which", "you", "have", "can", "if", "has", "will",
    "your", "but", "more", "when", "their", "its", "we", "these", "one", "also",
];
/// Words of the vocabulary.
pub(crate) const VOCABULARY: usize = 30_000;
/// Words that like to follow a word, and how often one of them does.
const FOLLOWERS: usize = 8;
pub(crate) const FOLLOWS: f64 = 0.4;

/// What texts are made of.
pub(crate) struct Language {
    pub(crate) words: Vec<String>,
    /// How frequent each word is, all of them together 1.
    pub(crate) frequency: Vec<f64>,
    cumulative: Vec<f64>,
    followers: Vec<[usize; FOLLOWERS]>,
}

impl Language {
    pub(crate) fn new() -> Self {
        let mut rng = StdRng::seed_from_u64(0x1a46);
        let mut words: Vec<String> = SMALL.iter().map(|&word| word.to_owned()).collect();
        let mut seen: std::collections::HashSet<String> = words.iter().cloned().collect();
        while words.len() < VOCABULARY {
            let word = made_up(&mut rng);
            if seen.insert(word.clone()) {
                words.push(word);
            }
        }
        // Zipf's law with Mandelbrot's shift, as English has it.
        let weights: Vec<f64> = (0..VOCABULARY).map(|rank| 1.0 / (rank as f64 + 2.7)).collect();
        let total: f64 = weights.iter().sum();
        let frequency: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
        let mut sum = 0.0;
        let cumulative = frequency
            .iter()
            .map(|part| {
                sum += part;
                sum
            })
            .collect();
        let mut language = Self { words, frequency, cumulative, followers: Vec::new() };
        language.followers =
            (0..VOCABULARY).map(|_| std::array::from_fn(|_| language.word(&mut rng))).collect();
        language
    }

    fn word(&self, rng: &mut StdRng) -> usize {
        let at: f64 = rng.random();
        self.cumulative.partition_point(|&sum| sum < at).min(VOCABULARY - 1)
    }

    /// A word after this one.
    pub(crate) fn after(&self, word: usize, rng: &mut StdRng) -> usize {
        if rng.random_bool(FOLLOWS) {
            self.followers[word][rng.random_range(0..FOLLOWERS)]
        } else {
            self.word(rng)
        }
    }

    /// How likely a word is after another, as the generator has it.
    pub(crate) fn likelihood(&self, before: usize, word: usize) -> f64 {
        let liked = self.followers[before].iter().filter(|&&follower| follower == word).count();
        FOLLOWS * liked as f64 / FOLLOWERS as f64 + (1.0 - FOLLOWS) * self.frequency[word]
    }

    /// So many words, one after the other.
    pub(crate) fn run(&self, words: usize, rng: &mut StdRng) -> Vec<usize> {
        let mut run = Vec::with_capacity(words);
        let mut word = self.word(rng);
        for _ in 0..words {
            run.push(word);
            word = self.after(word, rng);
        }
        run
    }
}

fn made_up(rng: &mut StdRng) -> String {
    const ONSETS: [&str; 16] =
        ["b", "c", "d", "f", "g", "l", "m", "n", "p", "r", "s", "t", "v", "st", "tr", "pl"];
    const REST: [&str; 12] = ["a", "e", "i", "o", "u", "an", "er", "ion", "al", "ing", "or", "es"];
    let syllables = rng.random_range(2..5);
    (0..syllables).fold(String::new(), |word, _| {
        word + ONSETS[rng.random_range(0..ONSETS.len())] + REST[rng.random_range(0..REST.len())]
    })
}

/// A text as its lines; an edit works on these.
pub(crate) type Lines = Vec<Vec<String>>;

/// What a text is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Prose,
    Code,
    Unspaced,
}

pub(crate) const KINDS: [Kind; 3] = [Kind::Prose, Kind::Code, Kind::Unspaced];

/// A text of about so many tokens.
pub(crate) fn text(language: &Language, kind: Kind, tokens: usize, rng: &mut StdRng) -> Lines {
    let mut lines = Vec::new();
    let mut count = 0;
    while count < tokens {
        let mut line = match kind {
            Kind::Prose => sentence(language, rng),
            Kind::Code => statement(language, rng),
            Kind::Unspaced => characters(rng),
        };
        line.truncate(tokens - count);
        count += line.len();
        lines.push(line);
    }
    lines
}

fn sentence(language: &Language, rng: &mut StdRng) -> Vec<String> {
    let mut sentence: Vec<String> = Vec::new();
    for word in language.run(rng.random_range(6..25), rng) {
        sentence.push(language.words[word].clone());
        if rng.random_bool(0.07) {
            sentence.push(",".to_owned());
        }
    }
    sentence.push(".".to_owned());
    sentence
}

fn statement(language: &Language, rng: &mut StdRng) -> Vec<String> {
    let name = |rng: &mut StdRng| {
        // Names of a file come back again and again.
        let word = &language.words[SMALL.len() + rng.random_range(0..60)];
        if rng.random_bool(0.3) { format!("{word}_{}", rng.random_range(0..4)) } else { word.clone() }
    };
    let (a, b, c) = (name(rng), name(rng), name(rng));
    let number = rng.random_range(0..100);
    let line = match rng.random_range(0..6) {
        0 => format!("let {a} = {b} ( {c} , {number} ) ;"),
        1 => format!("if {a} . {b} ( ) > {number} {{"),
        2 => format!("return {a} + {b} [ {number} ] ;"),
        3 => "}".to_owned(),
        4 => format!("for {a} in {b} . iter ( ) {{"),
        _ => format!("fn {a} ( {b} : & str , {c} : u32 ) - > Result < {a} > {{"),
    };
    line.split(' ').map(str::to_owned).collect()
}

fn characters(rng: &mut StdRng) -> Vec<String> {
    let mut line: Vec<String> = (0..rng.random_range(6..30))
        .map(|_| {
            // Frequent characters are much more frequent than rare ones.
            let rank = (2_000.0_f64.powf(rng.random::<f64>()) - 1.0) as u32;
            char::from_u32(0x4E00 + rank).unwrap_or('一').to_string()
        })
        .collect();
    line.push("。".to_owned());
    line
}

/// The text that lines are.
pub(crate) fn join(lines: &Lines, kind: Kind) -> String {
    let space = if kind == Kind::Unspaced { "" } else { " " };
    lines.iter().map(|line| line.join(space) + "\n").collect()
}
