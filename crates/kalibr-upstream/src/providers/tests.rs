use super::*;

fn with_env(config: &str, env: &[(&str, &str)]) -> Result<Providers, ConfigError> {
    let config: ProvidersConfig = toml::from_str(config).unwrap();
    let read = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Providers::new(&config, &read)
}

fn place(providers: &Providers, model: &str) -> String {
    match providers.resolve(model) {
        Ok(target) => format!("{} {}", target.provider.name(), target.model),
        Err(error) => error.to_string(),
    }
}

fn endpoint(providers: &Providers, model: &str) -> (String, String) {
    let target = providers.resolve(model).unwrap();
    let Backend::Http(endpoint) = &target.provider.backend else { panic!("simulated") };
    let key = match &endpoint.key {
        Key::Set(value) => value.to_str().unwrap().to_owned(),
        Key::None => "none".to_owned(),
        Key::Missing(variable) => format!("missing {variable}"),
    };
    (endpoint.chat.to_string(), key)
}

#[test]
fn a_models_name_tells_its_provider() {
    let providers = with_env("", &[]).unwrap();
    for (model, expected) in [
        ("openai/gpt-4o", "openai gpt-4o"),
        (" gpt-4o ", "openai gpt-4o"),
        ("o3", "openai o3"),
        ("o1-mini", "openai o1-mini"),
        ("deepseek-chat", "deepseek deepseek-chat"),
        ("deepseek/deepseek-chat", "deepseek deepseek-chat"),
        ("openrouter/meta-llama/llama-3-8b:free", "openrouter meta-llama/llama-3-8b:free"),
        ("openrouter/anthropic/claude-sonnet-4", "openrouter anthropic/claude-sonnet-4"),
        ("ollama/llama3.2", "ollama llama3.2"),
        ("vllm/Qwen/Qwen3-8B", "vllm Qwen/Qwen3-8B"),
        ("meta-llama/Llama-3-8B", "openai meta-llama/Llama-3-8B"),
        ("mystery", "openai mystery"),
    ] {
        assert_eq!(place(&providers, model), expected, "{model}");
    }
}

#[test]
fn a_default_provider_takes_what_no_name_tells() {
    let providers = with_env("default_provider = \"vllm\"", &[]).unwrap();
    assert_eq!(place(&providers, "Qwen/Qwen3-8B"), "vllm Qwen/Qwen3-8B");
    assert_eq!(place(&providers, "gpt-oss-20b"), "vllm gpt-oss-20b");
    assert_eq!(place(&providers, "gpt-4o"), "openai gpt-4o");
    assert_eq!(
        with_env("default_provider = \"nowhere\"", &[]).unwrap_err(),
        ConfigError::NoDefault("nowhere".into())
    );
}

#[test]
fn what_cannot_be_resolved_says_what_to_do() {
    let providers = with_env("", &[]).unwrap();
    for model in ["azure/gpt-4o", "bedrock/claude", "vertex_ai/gemini-2.5-pro"] {
        let error = place(&providers, model);
        assert!(
            error.contains("not supported yet") && error.contains("OpenAI-compatible"),
            "{model}: {error}"
        );
    }
    for model in ["", "  ", "openai/", "openai/ "] {
        assert_eq!(providers.resolve(model).unwrap_err(), ResolveError::NoModel, "{model:?}");
    }
}

#[test]
fn a_provider_with_a_dialect_of_its_own_has_its_own_address_and_key() {
    let env = [("ANTHROPIC_API_KEY", "sk-ant"), ("GOOGLE_API_KEY", "goog")];
    let providers = with_env("", &env).unwrap();
    for (model, provider, kind, chat, key) in [
        (
            "claude-sonnet-4-5",
            "anthropic",
            ProviderKind::Anthropic,
            "https://api.anthropic.com/v1/messages",
            "sk-ant",
        ),
        (
            "gemini-2.5-pro",
            "google",
            ProviderKind::Gemini,
            "https://generativelanguage.googleapis.com/v1beta",
            "goog",
        ),
        (
            "gemini/gemini-2.5-pro",
            "gemini",
            ProviderKind::Gemini,
            "https://generativelanguage.googleapis.com/v1beta",
            "goog",
        ),
    ] {
        let target = providers.resolve(model).unwrap();
        assert_eq!((target.provider.name(), target.provider.kind()), (provider, kind));
        assert_eq!(endpoint(&providers, model), (chat.to_owned(), key.to_owned()), "{model}");
    }
    // As its own clients take it.
    let env = [("ANTHROPIC_BASE_URL", "http://proxy:1")];
    assert_eq!(endpoint(&with_env("", &env).unwrap(), "claude-x").0, "http://proxy:1/v1/messages");
    let missing = with_env("", &[]).unwrap();
    assert_eq!(endpoint(&missing, "gemini-2.5-pro").1, "missing GEMINI_API_KEY");
    let by_header = with_env("[providers.anthropic]\nheaders.x-api-key = \"k\"", &[]).unwrap();
    assert_eq!(endpoint(&by_header, "claude-x").1, "none");
}

#[test]
fn what_a_provider_speaks_can_be_set() {
    let config = "[providers.anthropic]\nkind = \"openai\"\nbase_url = \"https://proxy/v1\"\n\
        [providers.mine]\nkind = \"anthropic\"\nbase_url = \"https://mine\"";
    let providers = with_env(config, &[]).unwrap();
    assert_eq!(endpoint(&providers, "anthropic/x").0, "https://proxy/v1/chat/completions");
    assert_eq!(endpoint(&providers, "mine/x").0, "https://mine/v1/messages");
    assert_eq!(
        with_env("[providers.anthropic]\nkind = \"openai\"", &[]).unwrap_err(),
        ConfigError::NoBaseUrl("anthropic".into())
    );
}

#[test]
fn configuration_wins_over_environment_over_the_table() {
    let key = ("OPENAI_API_KEY", "sk-env\n");
    let url = ("OPENAI_BASE_URL", "http://127.0.0.1:9/v1/");
    let api = "https://api.openai.com/v1/chat/completions";
    let local = "http://127.0.0.1:9/v1/chat/completions";
    for (config, env, expected) in [
        ("", vec![], (api, "missing OPENAI_API_KEY")),
        ("", vec![("OPENAI_API_KEY", " ")], (api, "missing OPENAI_API_KEY")),
        ("", vec![key], (api, "Bearer sk-env")),
        ("", vec![url], (local, "none")),
        ("", vec![key, url], (local, "Bearer sk-env")),
        ("[providers.openai]\napi_key = \"sk-file\"", vec![key], (api, "Bearer sk-file")),
        ("[providers.openai]\napi_key_env = \"OTHER\"", vec![key, ("OTHER", "x")], (api, "Bearer x")),
        ("[providers.openai]\napi_key_env = \"OTHER\"", vec![key, url], (local, "missing OTHER")),
        (
            "[providers.openai]\nbase_url = \"https://me:8443\"",
            vec![url],
            ("https://me:8443/chat/completions", "none"),
        ),
    ] {
        let providers = with_env(config, &env).unwrap();
        let (chat, key) = endpoint(&providers, "gpt-4o");
        assert_eq!((chat.as_str(), key.as_str()), expected, "{config} {env:?}");
    }
}

#[test]
fn local_servers_need_no_key_and_know_their_own_path() {
    let providers = with_env("", &[("OLLAMA_BASE_URL", "http://box:11434"), ("VLLM_API_KEY", "k")]).unwrap();
    assert_eq!(
        endpoint(&providers, "ollama/x"),
        ("http://box:11434/v1/chat/completions".into(), "none".into())
    );
    assert_eq!(endpoint(&providers, "vllm/x").1, "Bearer k");
}

#[test]
fn a_broken_address_in_the_environment_stops_only_its_own_models() {
    for bad in [
        "localhost:11434",
        "ftp://x/v1",
        "http://u:secret@x/v1",
        "http://x/v1?k=secret",
        "/v1",
        "http://x/v1/chat/completions",
        "nonsense with spaces",
    ] {
        let providers = with_env("", &[("OLLAMA_BASE_URL", bad)]).unwrap();
        let error = place(&providers, "ollama/x");
        assert!(error.contains("OLLAMA_BASE_URL") && !error.contains("secret"), "{bad}: {error}");
        assert_eq!(place(&providers, "gpt-4o"), "openai gpt-4o");
    }
}

#[test]
fn a_broken_configuration_is_refused_and_shows_no_secret() {
    for (config, word) in [
        ("[providers.\"a/b\"]\nbase_url = \"http://x\"", "name"),
        ("[providers.a]", "base_url"),
        ("[providers.a]\nbase_url = \"secret\"", "base URL"),
        ("[providers.a]\nbase_url = \"http://x\"\napi_key = \"secret\\u0007\"", "key"),
        ("[providers.a]\nbase_url = \"http://x\"\nheaders.Host = \"secret\"", "Host"),
        ("[providers.a]\nbase_url = \"http://x\"\nheaders.\"a b\" = \"secret\"", "a b"),
        ("[providers.a]\nbase_url = \"http://x\"\ntimeout_ms = 0", "timeout_ms"),
        ("[providers.a]\nbase_url = \"http://x\"\nmodels.m = {}", "models"),
        ("[providers.a]\nkind = \"simulated\"\nbase_url = \"http://x\"", "base_url"),
        ("[providers.a]\nkind = \"simulated\"\nmodels.m = { quality = 2.0 }", "quality"),
        ("[providers.a]\nkind = \"simulated\"\nmodels.m = { quality = nan }", "quality"),
    ] {
        let error = with_env(config, &[]).unwrap_err().to_string();
        assert!(error.contains(word), "{config}: {error}");
        assert!(!error.contains("secret"), "{config}: {error}");
    }
}

#[test]
fn an_unknown_key_is_refused_and_debug_shows_no_secret() {
    assert!(toml::from_str::<ProvidersConfig>("[providers.a]\nbase_ulr = \"http://x\"").is_err());
    let config: ProvidersConfig = toml::from_str(
        "[providers.a]\nbase_url = \"http://x\"\napi_key = \"s3cret\"\nheaders.x-k = \"s3cret\"",
    )
    .unwrap();
    assert!(!format!("{config:?}").contains("s3cret"));
    let providers = Providers::new(&config, &|_| None).unwrap();
    assert!(!format!("{providers:?}").contains("s3cret"));
    assert!(providers.simulated("a").is_none());
}
