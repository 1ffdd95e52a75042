//! The providers that need no configuration: where they are and which environment variables name their keys.

use kalibr_dialects::Dialect;

/// A provider that is known by its prefix.
pub(crate) struct Known {
    /// The prefix of its models, `groq` in `groq/llama-3.3-70b`.
    pub(crate) name: &'static str,
    /// What it speaks.
    pub(crate) dialect: Dialect,
    /// Where its `chat/completions` is, unless told otherwise.
    pub(crate) base_url: &'static str,
    /// The environment variable of its key.
    pub(crate) key_env: &'static str,
    /// Another one that holds it where that one does not.
    pub(crate) other_key_env: Option<&'static str>,
    /// The environment variable that moves it elsewhere.
    pub(crate) url_env: &'static str,
    /// A server of one's own: needs no key, and an address without a path means its `/v1`.
    pub(crate) is_local: bool,
    /// Whether it accepts `stream_options`.
    pub(crate) stream_options: bool,
    /// Whether it knows the limit of an answer as `max_completion_tokens`, which OpenAI's reasoning models demand. All
    /// others know `max_tokens`, and some ignore what they do not know.
    pub(crate) new_limit: bool,
}

const fn remote(
    name: &'static str,
    base_url: &'static str,
    key_env: &'static str,
    url_env: &'static str,
) -> Known {
    Known {
        name,
        dialect: Dialect::OpenAi,
        base_url,
        key_env,
        other_key_env: None,
        url_env,
        is_local: false,
        stream_options: true,
        new_limit: false,
    }
}

const fn local(
    name: &'static str,
    base_url: &'static str,
    key_env: &'static str,
    url_env: &'static str,
) -> Known {
    Known { is_local: true, ..remote(name, base_url, key_env, url_env) }
}

const fn google(name: &'static str) -> Known {
    let base_url = "https://generativelanguage.googleapis.com/v1beta";
    Known {
        dialect: Dialect::Gemini,
        other_key_env: Some("GOOGLE_API_KEY"),
        ..remote(name, base_url, "GEMINI_API_KEY", "GEMINI_BASE_URL")
    }
}

/// All of them, the default first.
pub(crate) const KNOWN: [Known; 20] = [
    Known {
        new_limit: true,
        ..remote(DEFAULT, "https://api.openai.com/v1", "OPENAI_API_KEY", "OPENAI_BASE_URL")
    },
    Known {
        dialect: Dialect::Anthropic,
        ..remote("anthropic", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL")
    },
    google("google"),
    google("gemini"),
    Known {
        new_limit: true,
        ..remote("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY", "CEREBRAS_BASE_URL")
    },
    remote("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY", "DEEPSEEK_BASE_URL"),
    remote("fireworks", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY", "FIREWORKS_BASE_URL"),
    Known {
        new_limit: true,
        ..remote("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", "GROQ_BASE_URL")
    },
    remote("huggingface", "https://router.huggingface.co/v1", "HF_TOKEN", "HF_BASE_URL"),
    // Mistral reports usage in every stream by itself and refuses a field that it does not know.
    Known {
        stream_options: false,
        ..remote("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY", "MISTRAL_BASE_URL")
    },
    remote("nebius", "https://api.studio.nebius.com/v1", "NEBIUS_API_KEY", "NEBIUS_BASE_URL"),
    remote("nvidia", "https://integrate.api.nvidia.com/v1", "NVIDIA_API_KEY", "NVIDIA_BASE_URL"),
    Known {
        new_limit: true,
        ..remote("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", "OPENROUTER_BASE_URL")
    },
    remote("perplexity", "https://api.perplexity.ai", "PERPLEXITY_API_KEY", "PERPLEXITY_BASE_URL"),
    remote("together", "https://api.together.xyz/v1", "TOGETHER_API_KEY", "TOGETHER_BASE_URL"),
    remote("xai", "https://api.x.ai/v1", "XAI_API_KEY", "XAI_BASE_URL"),
    Known {
        new_limit: true,
        ..local("llamacpp", "http://localhost:8080/v1", "LLAMACPP_API_KEY", "LLAMACPP_BASE_URL")
    },
    local("lmstudio", "http://localhost:1234/v1", "LMSTUDIO_API_KEY", "LMSTUDIO_BASE_URL"),
    local("ollama", "http://localhost:11434/v1", "OLLAMA_API_KEY", "OLLAMA_BASE_URL"),
    Known { new_limit: true, ..local("vllm", "http://localhost:8000/v1", "VLLM_API_KEY", "VLLM_BASE_URL") },
];

/// Where models go whose name says nothing else.
pub(crate) const DEFAULT: &str = "openai";

/// Providers that speak a dialect of their own: the prefixes of their models, and what to call them.
pub(crate) const NOT_YET: [(&str, &str); 3] =
    [("azure", "Azure OpenAI"), ("bedrock", "AWS Bedrock"), ("vertex_ai", "Vertex AI")];

/// The provider that a model's bare name tells, if it does.
pub(crate) fn provider_of_bare(model: &str) -> Option<&'static str> {
    // OpenAI's open models have its naming, but it does not serve them.
    if model.starts_with("gpt-oss") {
        return None;
    }
    [
        ("gpt-", "openai"),
        ("chatgpt-", "openai"),
        ("o1", "openai"),
        ("o3", "openai"),
        ("o4", "openai"),
        ("deepseek-", "deepseek"),
        ("claude-", "anthropic"),
        ("gemini-", "google"),
    ]
    .into_iter()
    .find(|(prefix, _)| match model.strip_prefix(prefix) {
        Some(rest) => prefix.ends_with('-') || rest.is_empty() || rest.starts_with('-'),
        None => false,
    })
    .map(|(_, provider)| provider)
}
