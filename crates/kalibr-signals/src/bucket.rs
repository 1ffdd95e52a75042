//! Which bucket a request falls in: a coarse, deterministic class of what is asked.
//!
//! Models differ less between two prompts than between two kinds of task, and a goal has too few signals to learn more
//! than a handful of kinds apart. So the class is coarse and cheap: what the request offers in plain fields (tools, a
//! response format, its length) decides first, because it cannot be misread; only then are words looked at, and a
//! request that no words give away is `chat`. A wrong class costs little, since buckets share what they learn; a class
//! that depends on who answered would cost much, since paths are compared within it. Hence three rules:
//!
//! * Only what the **user** wrote is read. Answers differ by model: a bucket that reads them sorts the requests by the
//!   path that was served before, and compares each path on other requests. The system prompt is the same for all
//!   requests of a goal, so it tells none of them apart.
//! * A short follow-up ("and in French?") belongs to what the messages before it were about.
//! * Of a text only its beginning and end are read ([`HEAD`], [`TAIL`]): there the task stands, and the work is bounded.
//!
//! | bucket | what falls in it, the first that fits |
//! |---|---|
//! | `tools` | the request offers tools, and lets the model call one |
//! | `extraction` | it demands JSON (`response_format`) |
//! | `long_context` | its texts have more than [`LONG_CONTEXT`] bytes |
//! | `choice` | it lists options to pick from: (A), (B) ..., whatever they are about |
//! | `code`, `maths`, `extraction`, `choice` | its words: source code or words of programming; formulas, sums to do, a question for a quantity that states others; fields or JSON to extract; labels to sort into. The most evidence counts |
//! | `chat.zh`, `chat.ja`, `chat.ko` | anything else in Chinese, Japanese, Korean |
//! | `chat.cyrillic`, `chat.arabic`, `chat.indic` | ... in a language of that script (Indic: Devanagari to Malayalam) |
//! | `chat.latin` | ... in another language than English in Latin script: Spanish, French, German, Portuguese ... |
//! | `chat.other` | ... in any other script: Greek, Hebrew, Thai ... |
//! | `chat` | anything else |
//!
//! `all` is the bucket of what cannot be classed: a request without a user's text.

mod hints;
mod language;
mod text;

use std::sync::LazyLock;

use kalibr_core::ids::Bucket;

use language::Language;
use text::Topic;

/// Bytes that are read from the beginning of a text.
pub const HEAD: usize = 768;
/// Bytes that are read from the end of a text, if it is longer than both together.
pub const TAIL: usize = 384;
/// More bytes than this, over all messages, are a long context: about 8,000 tokens of English. Models that do well on a
/// page begin to differ there.
pub const LONG_CONTEXT: usize = 32 * 1_024;
/// A text of at most so many bytes that says nothing of its topic takes it from the texts before it.
pub const FOLLOW_UP: usize = 200;
/// So many texts are read at most, the newest first.
pub const MAX_TEXTS: usize = 4;

/// The bucket of a request: see the [table](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestBucket {
    /// `tools`
    Tools,
    /// `extraction`
    Extraction,
    /// `long_context`
    LongContext,
    /// `code`
    Code,
    /// `maths`
    Maths,
    /// `choice`
    Choice,
    /// `chat`
    Chat,
    /// `chat.zh`
    ChatChinese,
    /// `chat.ja`
    ChatJapanese,
    /// `chat.ko`
    ChatKorean,
    /// `chat.cyrillic`
    ChatCyrillic,
    /// `chat.arabic`
    ChatArabic,
    /// `chat.indic`
    ChatIndic,
    /// `chat.latin`
    ChatLatin,
    /// `chat.other`
    ChatOther,
}

impl RequestBucket {
    /// All buckets, in the order of the table.
    pub const ALL: [Self; 15] = [
        Self::Tools,
        Self::Extraction,
        Self::LongContext,
        Self::Code,
        Self::Maths,
        Self::Choice,
        Self::Chat,
        Self::ChatChinese,
        Self::ChatJapanese,
        Self::ChatKorean,
        Self::ChatCyrillic,
        Self::ChatArabic,
        Self::ChatIndic,
        Self::ChatLatin,
        Self::ChatOther,
    ];

    /// The bucket's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Extraction => "extraction",
            Self::LongContext => "long_context",
            Self::Code => "code",
            Self::Maths => "maths",
            Self::Choice => "choice",
            Self::Chat => "chat",
            Self::ChatChinese => "chat.zh",
            Self::ChatJapanese => "chat.ja",
            Self::ChatKorean => "chat.ko",
            Self::ChatCyrillic => "chat.cyrillic",
            Self::ChatArabic => "chat.arabic",
            Self::ChatIndic => "chat.indic",
            Self::ChatLatin => "chat.latin",
            Self::ChatOther => "chat.other",
        }
    }

    /// The bucket as decisions carry it. Allocates nothing: the names are made once.
    pub fn bucket(self) -> Bucket {
        static NAMES: LazyLock<[Bucket; RequestBucket::ALL.len()]> = LazyLock::new(|| {
            // Every name above is well formed, as a test shows; `all` would be right for one that is not.
            RequestBucket::ALL.map(|one| Bucket::new(one.as_str()).unwrap_or_default())
        });
        NAMES[self as usize].clone()
    }

    const fn chat(language: Language) -> Self {
        match language {
            Language::English => Self::Chat,
            Language::Chinese => Self::ChatChinese,
            Language::Japanese => Self::ChatJapanese,
            Language::Korean => Self::ChatKorean,
            Language::Cyrillic => Self::ChatCyrillic,
            Language::Arabic => Self::ChatArabic,
            Language::Indic => Self::ChatIndic,
            Language::Latin => Self::ChatLatin,
            Language::Other => Self::ChatOther,
        }
    }
}

/// What a request offers beside its words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offer {
    /// It has tools that the model may call.
    pub tools: bool,
    /// Its response format is JSON, with a schema or without.
    pub structured: bool,
    /// Bytes of text in all its messages, whoever wrote them. What is no text (an image) does not count.
    pub text_bytes: usize,
}

/// Classes a request; `None` when there is nothing to class it by.
///
/// `user_texts` are the texts of the user's messages, the **newest first**. It is only asked for what is needed, so it
/// may make them as it goes; a text may have been cut to its first [`HEAD`] and last [`TAIL`] bytes before. Nothing is
/// kept, nothing is allocated, and any text is fine.
///
/// ```
/// use kalibr_signals::bucket::{Offer, RequestBucket, classify};
///
/// let class = |text: &str| classify(Offer::default(), [text]);
/// assert_eq!(class("Write a Python function that merges two dicts."), Some(RequestBucket::Code));
/// assert_eq!(class("Tom has 3 boxes with 12 pens each. How many pens are there?"), Some(RequestBucket::Maths));
/// assert_eq!(class("What should I cook tonight?"), Some(RequestBucket::Chat));
/// assert_eq!(class(" "), None);
/// ```
pub fn classify<T: AsRef<str>>(
    offer: Offer,
    user_texts: impl IntoIterator<Item = T>,
) -> Option<RequestBucket> {
    if offer.tools {
        return Some(RequestBucket::Tools);
    }
    if offer.structured {
        return Some(RequestBucket::Extraction);
    }
    if offer.text_bytes > LONG_CONTEXT {
        return Some(RequestBucket::LongContext);
    }
    let mut chat = None;
    for text in user_texts.into_iter().take(MAX_TEXTS) {
        let text = text.as_ref();
        if text.trim_ascii().is_empty() {
            continue;
        }
        let seen = text::read(text);
        match seen.topic() {
            Some(Topic::Extraction) => return Some(RequestBucket::Extraction),
            Some(Topic::Code) => return Some(RequestBucket::Code),
            Some(Topic::Maths) => return Some(RequestBucket::Maths),
            // Options belong to the question that lists them: a follow-up to it is talk.
            Some(Topic::Choice) if chat.is_none() => return Some(RequestBucket::Choice),
            Some(Topic::Choice) | None => {}
        }
        chat = chat.or(Some(RequestBucket::chat(seen.language())));
        if text.len() > FOLLOW_UP {
            break;
        }
    }
    chat
}

#[cfg(test)]
mod tests;
