//! The phrases that the classifier knows, and the small word lists that say whether a phrase is about the answer.
//!
//! Phrases are written as the tokeniser writes words: lower case, no apostrophes.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What a phrase speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Acceptance,
    Rejection,
    /// Neither: it is listed so that its words are not read one by one ("no problem").
    Neither,
    /// Praise that is as often meant as the opposite: it takes weight from praise elsewhere.
    Irony,
}

/// Where in a clause a phrase must stand to be about the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Anywhere: the phrase itself says what it is about ("you forgot").
    Anywhere,
    /// As a verdict: only words of [`BEFORE`] ahead of it and nothing but [`AFTER`] next, so "this is wrong" counts
    /// and "the wrong turn in chapter two" does not.
    Verdict,
    /// As the whole clause, and in a short message: "rewrite it" counts, "rewrite it as a poem about ..." is a task.
    Whole,
    /// As thanks, which close only where no new request follows.
    Thanks,
}

#[derive(Debug)]
pub(super) struct Phrase {
    pub(super) words: Vec<&'static str>,
    pub(super) side: Side,
    pub(super) weight: f64,
    pub(super) place: Place,
}

/// Weights are log-odds against "a message like any other". One strong or one firm phrase is enough to assert, one
/// hint is not.
const STRONG: f64 = 5.0;
const FIRM: f64 = 4.2;
const HINT: f64 = 2.0;

type Row = (Side, f64, Place, &'static [&'static str]);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    (Side::Rejection, STRONG, Place::Verdict, &[
        "wrong", "incorrect", "inaccurate", "useless", "terrible", "awful", "horrible", "garbage", "rubbish",
        "nonsense", "worthless", "unhelpful", "unusable", "unacceptable", "disappointing", "pathetic", "trash",
        "crap", "worse", "bullshit", "made up", "off topic", "broken", "a mess", "too short", "too long",
        "too wordy", "too verbose", "too vague", "too generic", "too formal", "too informal", "too simple",
        "too complicated", "too complex", "too brief", "too technical", "too basic", "too repetitive", "too boring",
        "too much text", "not even close", "not at all what", "hate it", "hate this", "sucks", "no good", "👎",
    ]),
    (Side::Rejection, FIRM, Place::Verdict, &[
        "bad", "irrelevant", "misleading", "incomplete", "not enough", "not working", "doesnt work",
        "does not work", "didnt work", "did not work", "dont work", "do not work", "wont work", "will not work",
        "isnt working", "doesnt help", "does not help", "didnt help", "did not help", "makes no sense",
        "doesnt make sense", "does not make sense", "no longer works", "missing the point", "misses the point",
        "stupid", "dumb", "ridiculous", "lazy",
    ]),
    (Side::Rejection, STRONG, Place::Anywhere, &[
        "thanks for nothing", "thank you for nothing", "not what i asked", "not what i wanted", "not what i meant",
        "not what i said", "not what i need", "not what i am looking", "not what im looking",
        "not what i was looking", "not the right answer", "wrong answer", "waste of time",
        "didnt answer my question", "did not answer my question", "doesnt answer my question",
        "does not answer my question", "same error", "you misunderstood", "you are wrong", "youre wrong",
        "you were wrong", "you got it wrong", "you got this wrong", "you got that wrong",
    ]),
    (Side::Rejection, FIRM, Place::Anywhere, &[
        "not what i", "isnt what i", "wasnt what i", "you made a mistake", "you have made a mistake", "you forgot",
        "you missed", "you ignored", "you didnt", "you did not", "you made it up", "i asked for", "i told you",
        "i didnt ask", "i did not ask", "i never asked", "thats not it", "that is not it",
        "you broke", "gives an error", "gives this error", "gives me an error",
        "gives error", "got this error", "get this error", "got an error", "get an error", "getting an error",
        "getting this error", "most recent call last",
    ]),
    (Side::Rejection, HINT, Place::Anywhere, &[
        "thanks for trying", "thank you for trying", "i said", "as i said", "i already told", "i meant",
        "please correct", "you keep", "still getting",
    ]),
    (Side::Rejection, STRONG, Place::Whole, &[
        "redo", "try again", "start over", "start again", "try harder", "do better",
    ]),
    (Side::Rejection, FIRM, Place::Whole, &[
        "regenerate", "rewrite", "do it again", "do over", "fix it", "fix this", "fix that",
    ]),
    (Side::Rejection, HINT, Place::Whole, &[
        "no", "nope", "nah", "again", "change it", "change this", "change that",
    ]),
    (Side::Acceptance, STRONG, Place::Verdict, &[
        "perfect", "perfectly", "awesome", "excellent", "brilliant", "fantastic", "amazing", "wonderful", "superb",
        "outstanding", "great", "love it", "love this", "i love it", "i love this", "spot on", "very helpful",
        "so helpful", "really helpful", "super helpful", "exactly what i", "just what i", "works perfectly",
        "works great", "works like a charm", "worked perfectly", "worked great", "worked like a charm",
        "couldnt be better", "could not be better", "well done", "great job", "good job", "nice job", "great work",
        "good work", "nice work",
    ]),
    (Side::Acceptance, FIRM, Place::Verdict, &[
        "good", "nice", "helpful", "useful", "exactly", "correct", "right", "works", "worked", "working", "like it",
        "like this", "i like it", "i like this", "cool", "satisfied", "happy", "much better", "solved",
        "good to go", "solved it", "solved my problem", "fixed it", "impressive", "impressed", "beautiful",
        "lovely", "👍",
    ]),
    (Side::Acceptance, FIRM, Place::Anywhere, &[
        "looks good", "look good", "looks great", "look great", "looks perfect", "sounds good", "sounds great",
        "lgtm", "no need to change", "no need to fix", "no need to redo", "nothing to change", "nothing to fix",
        "no changes needed", "no change needed", "no complaints", "cant thank you enough", "youre the best",
        "you are the best",
    ]),
    (Side::Acceptance, HINT, Place::Verdict, &[
        "yes", "yeah", "yep", "ok", "okay", "fine", "good to know", "better",
    ]),
    (Side::Acceptance, FIRM, Place::Thanks, &[
        "thanks", "thank you", "thx", "ty", "cheers", "thank u", "thanx", "much appreciated",
    ]),
    (Side::Neither, 0.0, Place::Anywhere, &[
        "no problem", "no worries", "no thanks", "no thank you", "thanks in advance", "thank you in advance",
        "thanks anyway", "thank you anyway", "never mind", "not only", "not just", "why not", "of course",
        "no doubt", "good morning", "good evening", "good night", "good afternoon", "for your time", "right now",
        "right away", "all right", "error message", "like this one",
    ]),
    (Side::Irony, 0.0, Place::Anywhere, &[
        "just great", "oh great", "oh wonderful", "oh perfect", "just perfect", "just wonderful", "yeah right",
        "nice try", "good luck", "great another", "thanks a lot", "wow thanks", "real helpful", "slow clap",
        "sarcasm", "as usual",
    ]),
];

/// All phrases by their first word, the longest first.
pub(super) static PHRASES: LazyLock<HashMap<&'static str, Vec<Phrase>>> = LazyLock::new(|| {
    let mut phrases: HashMap<_, Vec<Phrase>> = HashMap::new();
    for &(side, weight, place, texts) in TABLE {
        for text in texts {
            let words: Vec<_> = text.split(' ').collect();
            phrases.entry(words[0]).or_default().push(Phrase { words, side, weight, place });
        }
    }
    for same_start in phrases.values_mut() {
        same_start.sort_by_key(|phrase| std::cmp::Reverse(phrase.words.len()));
    }
    phrases
});

/// Words that may precede a verdict on the answer: they point at it, or only colour the verdict.
#[rustfmt::skip]
pub(super) const BEFORE: &[&str] = &[
    "a", "absolutely", "actually", "afraid", "again", "all", "also", "am", "an", "and", "answer", "answers", "are",
    "attempt", "be", "been", "bit", "both", "but", "code", "completely", "draft", "entirely", "even", "everything",
    "explanation", "extremely", "far", "feel", "feels", "find", "first", "found", "guess", "hey", "hm", "hmm",
    "honestly", "however", "i", "im", "is", "it", "its", "just", "kind", "kinda", "last", "little", "look", "looks",
    "man", "much", "nah", "nope", "now", "of", "oh", "ok", "okay", "one", "output", "part", "plain", "plainly",
    "pretty", "previous", "quite", "really", "reply", "response", "result", "results", "script", "seem", "seems",
    "simply", "so", "solution", "sorry", "sort", "sound", "sounds", "still", "such", "summary", "super", "text",
    "that", "thats", "the", "then", "these", "they", "theyre", "thing", "think", "this", "those", "too", "total",
    "totally", "ugh", "um", "utter", "utterly", "version", "very", "was", "way", "we", "well", "were", "what",
    "wow", "yeah", "yep", "yes", "you", "your", "youre",
];

/// Words that may precede a demand to do it again.
#[rustfmt::skip]
pub(super) const BEFORE_DEMAND: &[&str] = &[
    "and", "can", "could", "just", "lets", "no", "nope", "now", "ok", "okay", "please", "so", "sorry", "then",
    "will", "would", "you",
];

/// Words that may follow a verdict without making it one on something else.
#[rustfmt::skip]
pub(super) const AFTER: &[&str] = &[
    "again", "already", "and", "answer", "answers", "approach", "as", "asked", "at", "because", "bro", "buddy",
    "code", "dude", "enough", "explanation", "for", "here", "i", "in", "indeed", "job", "lol", "man", "mate",
    "need", "needed", "now", "output", "overall", "please", "reply", "response", "result", "results", "since",
    "sir", "solution", "stuff", "summary", "thank", "thanks", "thankyou", "that", "thing", "this", "thx", "today",
    "too", "version", "wanted", "was", "with", "work", "you",
];

/// Words that may follow a demand to do it again.
#[rustfmt::skip]
pub(super) const AFTER_DEMAND: &[&str] = &[
    "again", "all", "answer", "completely", "entirely", "everything", "from", "it", "now", "please", "pls", "plz",
    "scratch", "that", "the", "thing", "this", "whole",
];

/// Words that turn the next verdict round. "no" is here too, but only right before it: "no that is wrong" is no praise.
#[rustfmt::skip]
pub(super) const NEGATORS: &[&str] = &[
    "aint", "arent", "barely", "cannot", "cant", "couldnt", "didnt", "doesnt", "dont", "hardly", "hasnt", "havent",
    "isnt", "neither", "never", "no", "none", "nor", "not", "nothing", "shouldnt", "wasnt", "werent", "without",
    "wont", "wouldnt",
];

/// Words that make what follows a wish or a condition, not a verdict.
#[rustfmt::skip]
pub(super) const HYPOTHETICAL: &[&str] = &[
    "could", "hope", "if", "may", "might", "must", "should", "supposed", "to", "unless", "until", "when",
    "whether", "would",
];

/// Words that open a question.
#[rustfmt::skip]
pub(super) const QUESTIONS: &[&str] = &[
    "are", "can", "could", "did", "do", "does", "has", "have", "how", "is", "may", "should", "was", "what", "whats",
    "when", "where", "which", "who", "why", "will", "would",
];

/// Words that open a request for something new.
#[rustfmt::skip]
pub(super) const REQUESTS: &[&str] = &[
    "add", "also", "another", "change", "continue", "convert", "create", "describe", "do", "explain", "fix",
    "generate", "give", "go", "help", "i", "im", "include", "let", "lets", "list", "make", "move", "next", "now",
    "please", "provide", "put", "remove", "replace", "rewrite", "show", "summarize", "tell", "translate", "turn",
    "update", "use", "write",
];

/// Words of trouble: beside praise they suggest irony, which words alone cannot decide.
#[rustfmt::skip]
pub(super) const TROUBLE: &[&str] = &[
    "another", "break", "breaking", "broke", "broken", "crash", "crashed", "crashes", "deleted", "error", "errors",
    "fail", "failed", "fails", "ignoring", "lost", "ruined", "ruining", "wasted", "wasting", "worse",
];
