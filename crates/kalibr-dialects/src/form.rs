//! The one form that all dialects are translated to and from.
//!
//! It has a word for what at least two dialects say. Everything else stays beside it, as it was written, in [`Kept`]:
//! written back to the dialect it came from it is there again, written to another it is listed as a
//! [`Loss`](crate::Loss). Where a dialect has two spellings of one thing (a content that is a text or a list with one
//! text), the form keeps which it was, so that a round trip through one dialect gives the same JSON.

use serde_json::Number;

use crate::json::{Json, Object};

/// A way of speaking to a model over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI's `/v1/chat/completions`, which most providers speak.
    OpenAi,
    /// Anthropic's `/v1/messages`.
    Anthropic,
    /// Google's `models/{model}:generateContent`.
    Gemini,
    /// OpenAI's `/v1/responses`.
    Responses,
}

/// What a dialect said at one place and the form has no word for, or not in that spelling.
#[derive(Clone, Default)]
pub struct Kept {
    /// Whose words these are.
    pub dialect: Option<Dialect>,
    /// The fields, inner objects reduced to what was not understood of them.
    pub fields: Object,
}

impl Kept {
    pub(crate) fn new(dialect: Dialect, fields: Object) -> Self {
        Self { dialect: Some(dialect), fields }
    }

    pub(crate) fn is_of(&self, dialect: Dialect) -> bool {
        self.dialect == Some(dialect)
    }

    /// A field that this dialect itself kept.
    pub(crate) fn get(&self, dialect: Dialect, key: &str) -> Option<&Json> {
        self.is_of(dialect).then(|| self.fields.get(key)).flatten()
    }

    /// Adds what was kept to an object of the same dialect.
    pub(crate) fn fill(&self, object: &mut Object, dialect: Dialect) {
        if self.is_of(dialect) {
            object.fill(&self.fields);
        }
    }
}

impl PartialEq for Kept {
    /// Nothing kept is nothing kept, whoever kept it.
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields && (self.fields.is_empty() || self.dialect == other.dialect)
    }
}

/// How a content was written. Says nothing of its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    /// A single text as a text, nothing as `null`.
    #[default]
    Short,
    /// As a list of parts, however few.
    List,
    /// Not at all.
    Absent,
}

/// A request.
#[derive(Clone, PartialEq, Default)]
pub struct Request {
    /// The model as the caller names it.
    pub model: String,
    /// What is said before the conversation: messages of the roles system and developer.
    pub system: Vec<Message>,
    /// The conversation. Later instructions stand in it where they were given.
    pub messages: Vec<Message>,
    /// Tools that the model may call.
    pub tools: Vec<Tool>,
    /// Which of them it may or must call.
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may call several at once.
    pub parallel_tools: Option<bool>,
    /// How it draws its words.
    pub sampling: Sampling,
    /// The most tokens of an answer, reasoning included.
    pub max_tokens: Option<u64>,
    /// Texts that end an answer.
    pub stop: Vec<String>,
    /// What an answer has to look like.
    pub format: Option<Format>,
    /// How much it thinks before it answers.
    pub reasoning: Reasoning,
    /// How many answers.
    pub n: Option<u64>,
    /// Whether the probabilities of the answer's tokens are asked for.
    pub logprobs: Option<bool>,
    /// How many alternatives per token with them.
    pub top_logprobs: Option<u64>,
    /// The caller's user, as an id that the provider may see.
    pub user: Option<String>,
    /// The caller's labels.
    pub metadata: Option<Object>,
    /// Whether the answer is asked for as a stream; `None` where nothing was said, which means no.
    pub stream: Option<bool>,
    /// A mark that the whole request is to be cached.
    pub cache: Option<Cache>,
    /// What only one dialect knows.
    pub kept: Kept,
}

impl Request {
    /// Whether the answer is asked for as a stream.
    pub fn is_stream(&self) -> bool {
        self.stream == Some(true)
    }
}

/// Parameters of the draw, as the numbers that were written.
#[derive(Clone, PartialEq, Default)]
pub struct Sampling {
    /// From 0 to 2; to 1 at Anthropic.
    pub temperature: Option<Number>,
    /// From 0 to 1.
    pub top_p: Option<Number>,
    /// From 1 on.
    pub top_k: Option<Number>,
    /// From -2 to 2.
    pub frequency_penalty: Option<Number>,
    /// From -2 to 2.
    pub presence_penalty: Option<Number>,
    /// A whole number.
    pub seed: Option<Number>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The operator.
    System,
    /// The operator, as OpenAI calls it since its reasoning models.
    Developer,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// A tool, as a speaker of its own.
    Tool,
}

/// One turn.
#[derive(Clone, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub parts: Vec<Part>,
    /// How the content was written.
    pub shape: Shape,
    /// What only one dialect knows.
    pub kept: Kept,
}

impl Message {
    /// A turn of parts.
    pub fn new(role: Role, parts: Vec<Part>) -> Self {
        let shape =
            if matches!(&parts[..], [part] if part.is_plain_text()) { Shape::Short } else { Shape::List };
        Self { role, parts, shape, kept: Kept::default() }
    }
}

/// A part of a turn or of an answer.
#[derive(Clone, PartialEq)]
pub struct Part {
    /// What it is.
    pub content: Content,
    /// A mark that what comes up to here is to be cached.
    pub cache: Option<Cache>,
    /// What only one dialect knows.
    pub kept: Kept,
}

impl Part {
    /// A part without marks.
    pub fn new(content: Content) -> Self {
        Self { content, cache: None, kept: Kept::default() }
    }

    /// A text without marks.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Content::Text(text.into()))
    }

    /// A text that can be written as nothing but a text.
    pub(crate) fn is_plain_text(&self) -> bool {
        matches!(self.content, Content::Text(_)) && self.cache.is_none() && self.kept.fields.is_empty()
    }
}

/// What a part is.
#[derive(Clone, PartialEq)]
pub enum Content {
    /// A text.
    Text(String),
    /// The model's words for declining.
    Refusal(String),
    /// What the model thought.
    Thought(Thought),
    /// A picture.
    Image(Image),
    /// A sound.
    Audio(Source),
    /// A document.
    File(File),
    /// The model calls a tool.
    ToolCall(ToolCall),
    /// A tool has answered.
    ToolResult(ToolResult),
    /// What only one dialect knows, whole.
    Other(Dialect, Object),
}

/// A piece of reasoning. Providers that sign it want it back, whole and in its place, with the results of the tools that
/// it called.
#[derive(Clone, PartialEq, Default)]
pub struct Thought {
    /// The words, if they are shown.
    pub text: String,
    /// The provider's signature.
    pub signature: Option<String>,
    /// The words as only the provider can read them; then there is no text.
    pub sealed: Option<String>,
}

/// Where the bytes of a picture, sound or document are.
#[derive(Clone, PartialEq)]
pub enum Source {
    /// On the web.
    Url(String),
    /// Here, in base64.
    Data {
        /// `image/png`; empty where nothing was said.
        media_type: String,
        /// The bytes in base64.
        data: String,
    },
    /// At a provider, under an id that only it knows.
    Id(Dialect, String),
    /// Here, as a text.
    Text(String),
}

/// A picture.
#[derive(Clone, PartialEq)]
pub struct Image {
    /// Where it is.
    pub source: Source,
    /// How closely the model looks, in OpenAI's words.
    pub detail: Option<String>,
}

/// A document.
#[derive(Clone, PartialEq)]
pub struct File {
    /// Where it is.
    pub source: Source,
    /// What it is called.
    pub name: Option<String>,
}

/// The model calls a tool.
#[derive(Clone, PartialEq)]
pub struct ToolCall {
    /// What the result refers to; empty where the provider gave none.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// JSON as the model wrote it, and so perhaps not JSON.
    pub arguments: String,
}

/// A tool has answered.
#[derive(Clone, PartialEq)]
pub struct ToolResult {
    /// The call that it answers.
    pub id: String,
    /// What it says.
    pub parts: Vec<Part>,
    /// How the content was written.
    pub shape: Shape,
    /// Whether the tool failed, if that was said.
    pub is_error: Option<bool>,
}

/// A tool that the model may call.
#[derive(Clone, PartialEq)]
pub enum Tool {
    /// A function with arguments.
    Function(Function),
    /// What only one dialect knows: a tool that its provider runs, or one without a schema.
    Other(Dialect, Object),
}

/// A function that the model may call.
#[derive(Clone, PartialEq, Default)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// The JSON Schema of its arguments.
    pub schema: Option<Json>,
    /// Whether the arguments are made to fit the schema.
    pub strict: Option<bool>,
    /// A mark that what comes up to here is to be cached.
    pub cache: Option<Cache>,
    /// What only one dialect knows.
    pub kept: Kept,
}

/// Which tools the model may or must call.
#[derive(Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it likes.
    Auto,
    /// None.
    None,
    /// At least one.
    Required,
    /// This one.
    Named(String),
    /// Only these, and at least one of them if `required`.
    Allowed {
        /// Their names.
        names: Vec<String>,
        /// Whether one must be called.
        required: bool,
    },
}

/// What an answer has to look like.
#[derive(Clone, PartialEq)]
pub enum Format {
    /// Anything.
    Text,
    /// JSON.
    Json,
    /// JSON of a schema.
    Schema {
        /// The schema's name, for those who want one.
        name: Option<String>,
        /// What it is for.
        description: Option<String>,
        /// The JSON Schema.
        schema: Option<Json>,
        /// Whether the answer is made to fit.
        strict: Option<bool>,
    },
}

/// How much the model thinks before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reasoning {
    /// In words.
    pub effort: Option<Effort>,
    /// Whether, and bounded by what.
    pub thinking: Option<Thinking>,
}

/// Effort in words, from the least on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the dialects' own words, which say it")]
pub enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
    Max,
}

impl Effort {
    const WORDS: [(Self, &'static str); 7] = [
        (Self::None, "none"),
        (Self::Minimal, "minimal"),
        (Self::Low, "low"),
        (Self::Medium, "medium"),
        (Self::High, "high"),
        (Self::XHigh, "xhigh"),
        (Self::Max, "max"),
    ];

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::WORDS.into_iter().find(|(_, known)| *known == word).map(|(effort, _)| effort)
    }

    pub(crate) fn as_str(self) -> &'static str {
        Self::WORDS.into_iter().find(|(effort, _)| *effort == self).map_or("medium", |(_, word)| word)
    }
}

/// Whether the model thinks first, in Anthropic's and Gemini's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thinking {
    /// Not at all.
    Off,
    /// As much as it finds right.
    Adaptive,
    /// Up to this many tokens.
    Budget(u64),
}

/// A mark of the prompt cache.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cache {
    /// For how long, in the dialect's words (`5m`, `1h`).
    pub ttl: Option<String>,
}

macro_rules! silent {
    ($($name:ident),*) => {
        $(
            /// What users and models write is not for logs.
            impl std::fmt::Debug for $name {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.debug_struct(stringify!($name)).finish_non_exhaustive()
                }
            }
        )*
    };
}
pub(crate) use silent;

silent!(
    Kept, Request, Sampling, Message, Part, Content, Thought, Source, Image, File, ToolCall, ToolResult,
    Tool, Function, ToolChoice, Format
);

/// A body that is not what the dialect calls a request or an answer. The message says where and what to do, and repeats
/// nothing of the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{what}", if place.is_empty() { String::new() } else { format!("{place}: ") })]
pub struct Malformed {
    /// The field, as in `messages[2].role`; empty for the body as a whole.
    pub place: String,
    /// What is wrong and what it should be.
    pub what: &'static str,
}

impl Malformed {
    pub(crate) fn new(place: impl Into<String>, what: &'static str) -> Self {
        Self { place: place.into(), what }
    }
}
