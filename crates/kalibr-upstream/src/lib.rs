//! LLM providers: where a model lives, how to call it, what its failures mean.
//!
//! A caller's chat-completions body is parsed into a [`ChatRequest`], routing applies a path to it, a registry of
//! [`Providers`] says where the path's model lives, and [`Upstream`] makes the call:
//!
//! ```text
//! body ─► ChatRequest ─► apply(path) ─► Upstream::chat / chat_stream ─► Answer / AnswerStream / Failure
//!                            ▲                    ▲
//!                     resolve(model) ─────► Target { provider, model }
//! ```
//!
//! A provider of another dialect (Anthropic's, Gemini's) is called in its own words, and answers in the caller's.
//! Otherwise bodies go through as they came: this crate rewrites the fields that routing decides and nothing else, and hands the
//! provider's own bytes back. Nothing that a user or a provider wrote is ever logged or put in an error's message; the
//! provider's own error is carried beside it ([`Failure::body`]), only to be handed to the caller.
//!
//! ```
//! use kalibr_core::path::PathSpec;
//! use kalibr_upstream::{ChatRequest, Providers, ProvidersConfig, Upstream};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let config: ProvidersConfig = toml::from_str(
//!     r#"
//!     [providers.lab]
//!     kind = "simulated"
//!     models.steady = { quality = 1.0 }
//!     "#,
//! )
//! .unwrap();
//! let upstream = Upstream::new(Providers::new(&config, &|name| std::env::var(name).ok()).unwrap());
//!
//! let body = br#"{"model": "goal:greet", "messages": [{"role": "user", "content": "Hello"}]}"#;
//! let request = ChatRequest::parse(body).unwrap();
//! let path = PathSpec::model("lab/steady").unwrap();
//! let target = upstream.resolve(&path.model).unwrap();
//! let answer = upstream.chat(&target, &request.apply(&path, &target.model)).await.unwrap();
//! assert_eq!(answer.status, 200);
//! # });
//! ```

mod answer;
mod client;
mod config;
mod failure;
mod http_client;
mod known;
mod native;
mod prices;
mod providers;
mod request;
mod secret;
pub mod simulated;
pub mod sse;
mod stream;

pub use answer::{Answer, Usage};
pub use client::Upstream;
pub use config::{ConfigError, ProviderConfig, ProviderKind, ProvidersConfig};
pub use failure::{Blame, Failure};
pub use prices::{Prices, undated};
pub use providers::{Provider, Providers, ResolveError, Target};
pub use request::{BadRequest, ChatRequest};
pub use secret::Secret;
pub use stream::{AnswerStream, Ending, StreamEnd};
