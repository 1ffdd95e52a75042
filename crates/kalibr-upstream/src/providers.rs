//! Where models live: from a model's name to the provider that serves it.
//!
//! `PREFIX/MODEL` names a configured or well-known provider and its model (`openrouter/meta-llama/llama-3-8b` keeps
//! the later slashes). A bare name goes where it can only belong (`gpt-*` to openai, `deepseek-*` to deepseek), and
//! everything else to the default provider, its name unchanged: behind an `OPENAI_BASE_URL` there is often a server
//! of open models, whose names have slashes of their own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::{PathAndQuery, Uri};
use http::{HeaderMap, HeaderName, HeaderValue};
use kalibr_dialects::Dialect;

use crate::config::{ConfigError, ProviderConfig, ProviderKind, ProvidersConfig};
use crate::http_client::HttpClient;
use crate::known::{DEFAULT, KNOWN, Known, NOT_YET, provider_of_bare};
use crate::native;
use crate::secret::Secret;
use crate::simulated::{SimulatedHandle, Simulator};

/// One provider, ready to be called.
pub struct Provider {
    name: Arc<str>,
    pub(crate) limits: Limits,
    pub(crate) backend: Backend,
}

impl Provider {
    /// Its name: the prefix of its models.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What kind of thing it is.
    pub fn kind(&self) -> ProviderKind {
        match &self.backend {
            Backend::Http(endpoint) => match endpoint.dialect {
                Dialect::Anthropic => ProviderKind::Anthropic,
                Dialect::Gemini => ProviderKind::Gemini,
                Dialect::OpenAi | Dialect::Responses => ProviderKind::OpenAi,
            },
            Backend::Simulated(_) => ProviderKind::Simulated,
        }
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("name", &self.name)
            .field("kind", &self.kind())
            .finish_non_exhaustive()
    }
}

/// What bounds a call.
pub(crate) struct Limits {
    pub(crate) total: Duration,
    pub(crate) idle: Duration,
    pub(crate) max_answer_bytes: usize,
}

pub(crate) enum Backend {
    Http(Box<Endpoint>),
    Simulated(Simulator),
}

/// An HTTP endpoint with all that a call to it needs.
pub(crate) struct Endpoint {
    pub(crate) dialect: Dialect,
    /// Where calls go; of Gemini, whose addresses name the model, where they begin.
    pub(crate) chat: Uri,
    pub(crate) key: Key,
    pub(crate) key_header: HeaderName,
    pub(crate) headers: HeaderMap,
    pub(crate) connect_timeout: Duration,
    pub(crate) stream_options: bool,
    /// Whether it knows `max_completion_tokens`.
    pub(crate) new_limit: bool,
    /// Made at the first call: most well-known providers are never called, and certificates take time to load.
    pub(crate) client: OnceLock<HttpClient>,
}

pub(crate) enum Key {
    /// The value of the header that carries it.
    Set(HeaderValue),
    /// None, and none is needed as far as we know.
    None,
    /// None, but this environment variable was to hold one.
    Missing(String),
}

/// A model at its provider.
#[derive(Debug, Clone)]
pub struct Target {
    /// Who serves it.
    pub provider: Arc<Provider>,
    /// The model as the provider names it.
    pub model: String,
}

/// Why a model cannot be called at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// A prefix without a model, or nothing.
    #[error("the model's name is empty: write \"gpt-4o-mini\" or \"provider/model\"")]
    NoModel,
    /// A provider that is not spoken to yet.
    #[error(
        "native {dialect} is not supported yet: use an OpenAI-compatible endpoint, either with base_url in \
         [providers.{provider}], or by another provider that has the model, as in \"openrouter/...\""
    )]
    NativeDialect {
        /// What the dialect is called.
        dialect: &'static str,
        /// The provider's name.
        provider: &'static str,
    },
    /// The provider is known, but an environment variable of it cannot be used.
    #[error(transparent)]
    Misconfigured(#[from] ConfigError),
}

/// All providers that models can name. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Providers {
    by_name: Arc<BTreeMap<String, Result<Arc<Provider>, ConfigError>>>,
    default: Arc<str>,
}

impl Providers {
    /// The well-known providers, adjusted and joined by the configured ones. `env` reads an environment variable;
    /// one that is set to nothing counts as not set.
    ///
    /// What is configured wins over the environment, and the environment over the well-known defaults. A well-known
    /// provider that was moved elsewhere (`OPENAI_BASE_URL`, `base_url`) needs no key.
    ///
    /// # Errors
    /// [`ConfigError`] when a configured provider cannot be used. An unusable environment variable of a well-known
    /// provider that was not configured is reported when a model of it is resolved: it may be there for others.
    pub fn new(config: &ProvidersConfig, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let env = |name: &str| env(name).filter(|value| !value.trim().is_empty());
        let mut by_name = BTreeMap::new();
        for known in &KNOWN {
            if !config.providers.contains_key(known.name) {
                by_name.insert(known.name.to_owned(), build(known.name, &ProviderConfig::default(), &env));
            }
        }
        for (name, provider) in &config.providers {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if name.is_empty() || !name.chars().all(fits) {
                return Err(ConfigError::BadName(name.clone()));
            }
            by_name.insert(name.clone(), Ok(build(name, provider, &env)?));
        }
        let default = config.default_provider.as_deref().unwrap_or(DEFAULT);
        if !by_name.contains_key(default) {
            return Err(ConfigError::NoDefault(default.to_owned()));
        }
        Ok(Self { by_name: Arc::new(by_name), default: Arc::from(default) })
    }

    /// The provider that a model's name tells, and the model as that provider names it. Says nothing of whether there is
    /// such a provider or model: see [`Providers::resolve`].
    pub fn place<'a>(&'a self, model: &'a str) -> (&'a str, &'a str) {
        let model = model.trim();
        match model.split_once('/') {
            Some((prefix, rest)) if self.by_name.contains_key(prefix) || is_not_yet(prefix) => {
                (prefix, rest.trim())
            }
            Some(_) => (&*self.default, model),
            None => (provider_of_bare(model).unwrap_or(&self.default), model),
        }
    }

    /// Where a model lives.
    ///
    /// # Errors
    /// [`ResolveError`] when there is no model in the name, or nobody who could serve it yet.
    pub fn resolve(&self, model: &str) -> Result<Target, ResolveError> {
        let (provider, model) = self.place(model);
        if model.is_empty() {
            return Err(ResolveError::NoModel);
        }
        if let Some(found) = self.by_name.get(provider) {
            return Ok(Target { provider: found.clone()?, model: model.to_owned() });
        }
        match NOT_YET.into_iter().find(|(name, _)| *name == provider) {
            Some((provider, dialect)) => Err(ResolveError::NativeDialect { dialect, provider }),
            // The default and what bare names tell are in the table; only those of another dialect are not.
            None => Err(ResolveError::NoModel),
        }
    }

    /// A handle on a simulated provider, to change its models while it runs; `None` if there is no such provider.
    pub fn simulated(&self, name: &str) -> Option<SimulatedHandle> {
        match &self.by_name.get(name)?.as_ref().ok()?.backend {
            Backend::Simulated(simulator) => Some(simulator.handle()),
            Backend::Http(_) => None,
        }
    }
}

fn is_not_yet(prefix: &str) -> bool {
    NOT_YET.iter().any(|(name, _)| *name == prefix)
}

type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

fn build(name: &str, config: &ProviderConfig, env: Env<'_>) -> Result<Arc<Provider>, ConfigError> {
    let zero = |key| ConfigError::ZeroLimit { provider: name.to_owned(), key };
    let limit = |ms: u64, key| {
        if ms == 0 { Err(zero(key)) } else { Ok(Duration::from_millis(ms)) }
    };
    if config.max_answer_bytes == 0 {
        return Err(zero("max_answer_bytes"));
    }
    let limits = Limits {
        total: limit(config.timeout_ms, "timeout_ms")?,
        idle: limit(config.idle_timeout_ms, "idle_timeout_ms")?,
        max_answer_bytes: config.max_answer_bytes,
    };
    let connect_timeout = limit(config.connect_timeout_ms, "connect_timeout_ms")?;
    let wrong = |kind, key| Err(ConfigError::WrongKind { provider: name.to_owned(), kind, key });
    let known = KNOWN.iter().find(|known| known.name == name);
    let dialect = match config.kind {
        Some(ProviderKind::Anthropic) => Dialect::Anthropic,
        Some(ProviderKind::Gemini) => Dialect::Gemini,
        Some(ProviderKind::OpenAi) => Dialect::OpenAi,
        Some(ProviderKind::Simulated) | None => known.map_or(Dialect::OpenAi, |known| known.dialect),
    };
    let backend = match config.kind {
        Some(ProviderKind::Simulated) if config.base_url.is_some() => return wrong("simulated", "base_url"),
        Some(ProviderKind::Simulated) if config.api_key.is_some() => return wrong("simulated", "api_key"),
        Some(ProviderKind::Simulated) => {
            for (model, settings) in &config.models {
                if !settings.is_valid() {
                    let (provider, model) = (name.to_owned(), model.clone());
                    return Err(ConfigError::BadChance { provider, model });
                }
            }
            Backend::Simulated(Simulator::new(&config.models, config.seed))
        }
        _ if !config.models.is_empty() => {
            let kind = match dialect {
                Dialect::Anthropic => "anthropic",
                Dialect::Gemini => "gemini",
                Dialect::OpenAi | Dialect::Responses => "openai",
            };
            return wrong(kind, "models");
        }
        _ => Backend::Http(Box::new(endpoint(name, config, known, dialect, connect_timeout, env)?)),
    };
    Ok(Arc::new(Provider { name: Arc::from(name), limits, backend }))
}

fn endpoint(
    name: &str,
    config: &ProviderConfig,
    known: Option<&Known>,
    dialect: Dialect,
    connect_timeout: Duration,
    env: Env<'_>,
) -> Result<Endpoint, ConfigError> {
    // An address of another dialect is not the provider's.
    let own = known.filter(|known| known.dialect == dialect);
    let moved = config
        .base_url
        .clone()
        .map(|url| (url, "base_url".to_owned()))
        .or_else(|| known.and_then(|k| Some((env(k.url_env)?, k.url_env.to_owned()))));
    let is_moved = moved.is_some();
    let (url, origin) = match (moved, own) {
        (Some(moved), _) => moved,
        (None, Some(known)) => (known.base_url.to_owned(), "the table of well-known providers".to_owned()),
        (None, None) => return Err(ConfigError::NoBaseUrl(name.to_owned())),
    };
    let chat = chat_address(&url, dialect, known.is_some_and(|known| known.is_local))
        .ok_or(ConfigError::BadBaseUrl { provider: name.to_owned(), origin })?;

    let bad_key = |_| ConfigError::BadKey(name.to_owned());
    let (key_header, scheme) = native::key_header(dialect);
    let key = match find_key(config, known, &key_header, is_moved, env) {
        Ok(Some(key)) => Key::Set(secret_value(&format!("{scheme}{}", key.expose())).map_err(bad_key)?),
        Ok(None) => Key::None,
        Err(variable) => Key::Missing(variable),
    };
    let mut headers = HeaderMap::new();
    for (header, value) in &config.headers {
        let bad = || ConfigError::BadHeader { provider: name.to_owned(), header: header.clone() };
        let header_name = HeaderName::try_from(header).map_err(|_| bad())?;
        if [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, ACCEPT_ENCODING].contains(&header_name) {
            return Err(bad());
        }
        headers.insert(header_name, secret_value(value.expose()).map_err(|_| bad())?);
    }
    let stream_options = config.stream_options.or(known.map(|known| known.stream_options)).unwrap_or(true);
    let new_limit = known.is_some_and(|known| known.new_limit);
    let client = OnceLock::new();
    Ok(Endpoint {
        dialect,
        chat,
        key,
        key_header,
        headers,
        connect_timeout,
        stream_options,
        new_limit,
        client,
    })
}

/// The key, none if none is needed, or the variable that should have held it.
fn find_key(
    config: &ProviderConfig,
    known: Option<&Known>,
    key_header: &HeaderName,
    is_moved: bool,
    env: Env<'_>,
) -> Result<Option<Secret>, String> {
    if let Some(key) = config.api_key.clone().filter(|key| !key.is_empty()) {
        return Ok(Some(key));
    }
    let (variable, required) = match (&config.api_key_env, known) {
        (Some(variable), _) => (variable.as_str(), true),
        (None, Some(known)) => (known.key_env, !known.is_local && !is_moved),
        (None, None) => return Ok(None),
    };
    let other = || env(known.filter(|_| config.api_key_env.is_none())?.other_key_env?);
    let is_key = |header: &String| {
        ["authorization", key_header.as_str()].iter().any(|name| header.eq_ignore_ascii_case(name))
    };
    match env(variable).or_else(other) {
        Some(key) => Ok(Some(Secret::new(&key))),
        None if required && config.headers.keys().any(is_key) => Ok(None),
        None if required => Err(variable.to_owned()),
        None => Ok(None),
    }
}

fn secret_value(text: &str) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(text)?;
    value.set_sensitive(true);
    Ok(value)
}

fn chat_address(base_url: &str, dialect: Dialect, is_local: bool) -> Option<Uri> {
    let base: Uri = base_url.trim().parse().ok()?;
    if !matches!(base.scheme_str(), Some("http" | "https")) || base.query().is_some() {
        return None;
    }
    if base.authority()?.as_str().contains('@') || base.host()?.is_empty() {
        return None;
    }
    let path = match base.path().trim_end_matches('/') {
        // People set OLLAMA_BASE_URL to the bare address of the server, as Ollama's own API wants it.
        "" if is_local => "/v1",
        path => path,
    };
    let path = native::chat_path(dialect, path)?;
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests;
