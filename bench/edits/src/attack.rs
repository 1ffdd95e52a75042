//! What somebody who guesses gets out of a fingerprint.
//!
//! The insider has the installation's secret and the run's id, so all symbols of all words of the dictionary, and the
//! bigrams that the texts were generated from: with them the likeliest text that has such a fingerprint (Viterbi). The
//! outsider has the same knowledge of the language, and the fingerprints, and no secret: what is left is that equal words
//! of one text have equal symbols, so the most frequent symbol is taken for the most frequent word, and so on.

use std::collections::HashMap;
use std::hash::Hasher as _;

use kalibr_signals::fingerprint::{Fingerprint, Key, SYMBOL_BITS};
use rand::rngs::StdRng;
use siphasher::sip::SipHasher24;

use crate::texts::Language;

/// Share of words that were guessed right, of the texts of one length.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Rebuilt {
    pub(crate) all: Share,
    /// Of the words beyond the thousand most frequent, which carry what is private.
    pub(crate) rare: Share,
    /// Of runs of eight words, every word right.
    pub(crate) runs: Share,
}

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Share {
    right: usize,
    of: usize,
}

impl Share {
    fn add(&mut self, right: bool) {
        self.right += usize::from(right);
        self.of += 1;
    }

    pub(crate) fn percent(self) -> f64 {
        100.0 * self.right as f64 / self.of.max(1) as f64
    }
}

impl Rebuilt {
    fn add(&mut self, text: &[usize], guess: &[Option<usize>]) {
        let right: Vec<bool> = text
            .iter()
            .enumerate()
            .map(|(at, word)| guess.get(at).copied().flatten() == Some(*word))
            .collect();
        for (&right, &word) in right.iter().zip(text) {
            self.all.add(right);
            if word >= 1000 {
                self.rare.add(right);
            }
        }
        right.chunks_exact(8).for_each(|run| self.runs.add(run.iter().all(|&right| right)));
    }
}

/// Symbols of a stored fingerprint and its level, read as an attacker would read the bytes.
fn stolen(print: &Fingerprint) -> (u8, Vec<u8>) {
    let bytes = print.to_bytes();
    (bytes[1], bytes[6..].to_vec())
}

/// The symbol that a word has at a level, if it is kept there: computed as the fingerprint does it.
fn symbol(key: [u8; 16], word: &str, level: u8) -> Option<u8> {
    let mut hasher = SipHasher24::new_with_key(&key);
    hasher.write(word.as_bytes());
    let hash = (hasher.finish() >> 32) as u32;
    let place = if word.len() <= 3 { 0xC000_0000 | (hash >> 2) } else { hash - (hash >> 2) };
    (place.leading_zeros() >= u32::from(level)).then_some(((place << level) >> (32 - SYMBOL_BITS)) as u8)
}

/// Attacks so many texts of so many words, with the secret and without: what each of the two rebuilt.
pub(crate) fn attack(language: &Language, words: usize, texts: usize, rng: &mut StdRng) -> [Rebuilt; 2] {
    let mut rebuilt = [Rebuilt::default(); 2];
    for text in 0..texts {
        let key = [text as u8; 16];
        let run = language.run(words, rng);
        let written: Vec<&str> = run.iter().map(|&word| language.words[word].as_str()).collect();
        let print = Fingerprint::of(&Key::new(key), &written.join(" "));
        let (level, symbols) = stolen(&print);
        // Which words of a long text were kept is no secret to who has the key; the others are lost to everybody.
        let kept: Vec<bool> =
            run.iter().map(|&word| symbol(key, &language.words[word], level).is_some()).collect();
        for (who, guess) in
            [insider(language, key, level, &symbols), outsider(language, &symbols)].into_iter().enumerate()
        {
            let mut guess = guess.into_iter();
            let guess: Vec<Option<usize>> =
                kept.iter().map(|&kept| if kept { guess.next() } else { None }).collect();
            rebuilt[who].add(&run, &guess);
        }
    }
    rebuilt
}

fn insider(language: &Language, key: [u8; 16], level: u8, symbols: &[u8]) -> Vec<usize> {
    let mut by_symbol: HashMap<u8, Vec<usize>> = HashMap::new();
    for (word, text) in language.words.iter().enumerate() {
        if let Some(symbol) = symbol(key, text, level) {
            by_symbol.entry(symbol).or_default().push(word);
        }
    }
    let none = Vec::new();
    let mut paths: Vec<Vec<(usize, f64, usize)>> = Vec::new();
    for (at, seen) in symbols.iter().enumerate() {
        let candidates = by_symbol.get(seen).unwrap_or(&none);
        let column = candidates
            .iter()
            .map(|&word| {
                // Between kept words of a long text there are lost ones: there only the frequency says something.
                let best = paths.last().filter(|_| level == 0).and_then(|before| {
                    before
                        .iter()
                        .enumerate()
                        .map(|(from, &(previous, score, _))| {
                            (from, score + language.likelihood(previous, word).ln())
                        })
                        .max_by(|a, b| a.1.total_cmp(&b.1))
                });
                match best {
                    Some((from, score)) => (word, score, from),
                    None => (word, language.frequency[word].ln(), 0),
                }
            })
            .collect::<Vec<_>>();
        // A symbol without any word of the dictionary cannot be: all texts are made of it.
        assert!(!column.is_empty(), "symbol {at} fits no word");
        paths.push(column);
    }
    let mut guess = vec![0; paths.len()];
    let mut at = None;
    for (column, guess) in paths.iter().zip(&mut guess).rev() {
        let index = at.filter(|_| level == 0).unwrap_or_else(|| best(column));
        let (word, _, from) = column[index];
        *guess = word;
        at = Some(from);
    }
    guess
}

fn best(column: &[(usize, f64, usize)]) -> usize {
    (0..column.len()).max_by(|&a, &b| column[a].1.total_cmp(&column[b].1)).unwrap_or_default()
}

fn outsider(language: &Language, symbols: &[u8]) -> Vec<usize> {
    let mut counts = [0_usize; 256];
    symbols.iter().for_each(|&symbol| counts[usize::from(symbol)] += 1);
    let mut ranked: Vec<usize> = (0..256).filter(|&symbol| counts[symbol] > 0).collect();
    ranked.sort_by_key(|&symbol| std::cmp::Reverse(counts[symbol]));
    // Words stand in the order of their frequency.
    let rank: HashMap<u8, usize> =
        ranked.iter().enumerate().map(|(rank, &symbol)| (symbol as u8, rank)).collect();
    symbols.iter().map(|symbol| rank[symbol].min(language.words.len() - 1)).collect()
}
