//! What is held against a contract: an answer, told in no provider's dialect.

/// An answer, and what it answers. Whoever has it fills in what is known; everything has a default.
///
/// It shows itself to no log: there is no `Debug` of the texts.
#[derive(Clone, Copy, Default)]
pub struct Answer<'a> {
    /// The text, if there is one: that of the first choice, its parts one after another.
    pub text: Option<&'a str>,
    /// Why the model stopped.
    pub finish: Finish,
    /// What the dialect has in a field of its own for a refusal.
    pub refusal: Option<&'a str>,
    /// The tools that the model calls.
    pub tool_calls: &'a [ToolCall<'a>],
    /// The tools that the request offered; `None` where that is not known.
    pub tools: Option<&'a [Tool<'a>]>,
    /// What the user asked: the last message of theirs.
    pub input: Option<&'a str>,
}

impl std::fmt::Debug for Answer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("bytes", &self.text.map_or(0, str::len))
            .field("finish", &self.finish)
            .field("tool_calls", &self.tool_calls.len())
            .finish_non_exhaustive()
    }
}

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Finish {
    /// It was done.
    Stop,
    /// It called tools.
    ToolCalls,
    /// It ran out of tokens.
    Length,
    /// A filter cut it off.
    ContentFilter,
    /// Nobody said.
    #[default]
    Unknown,
}

impl Finish {
    /// Reads the reason as OpenAI, Anthropic, Gemini and Bedrock spell it; any other is unknown.
    ///
    /// ```
    /// use kalibr_evals::Finish;
    /// assert_eq!(Finish::from_name("end_turn"), Finish::Stop);
    /// assert_eq!(Finish::from_name("MAX_TOKENS"), Finish::Length);
    /// assert_eq!(Finish::from_name("bored"), Finish::Unknown);
    /// ```
    pub fn from_name(name: &str) -> Self {
        let is = |names: &[&str]| names.iter().any(|one| one.eq_ignore_ascii_case(name));
        if is(&["stop", "end_turn", "stop_sequence", "completed", "complete", "eos", "stop_token"]) {
            Self::Stop
        } else if is(&["tool_calls", "tool_use", "function_call"]) {
            Self::ToolCalls
        } else if is(&["length", "max_tokens", "max_output_tokens", "model_context_window_exceeded"]) {
            Self::Length
        } else if is(&[
            "content_filter",
            "content_filtered",
            "refusal",
            "safety",
            "recitation",
            "blocklist",
            "prohibited_content",
            "spii",
            "guardrail_intervened",
        ]) {
            Self::ContentFilter
        } else {
            Self::Unknown
        }
    }
}

/// A call of a tool.
#[derive(Clone, Copy)]
pub struct ToolCall<'a> {
    /// The tool's name.
    pub name: &'a str,
    /// Its arguments, as JSON. Empty means none.
    pub arguments: &'a str,
}

/// A tool that was offered.
#[derive(Clone, Copy)]
pub struct Tool<'a> {
    /// Its name.
    pub name: &'a str,
    /// The JSON Schema of its arguments, as it was written, if it has one.
    pub parameters: Option<&'a str>,
}
