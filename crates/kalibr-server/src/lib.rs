//! Kalibr over HTTP: the OpenAI-compatible gateway, signals, sessions, goals and decisions.
//!
//! ```text
//! connection ─► guard (Host, Origin) ─► router ─► one module per resource ─► engine
//! ```
//!
//! Bodies are checked at this border field by field and become the engine's types; every complaint is an OpenAI-shaped
//! JSON error with a sentence that says what to do. What users wrote is never repeated in one: a message may be logged
//! by whoever receives it.
//!
//! There are no keys yet, so a server listens on this machine only, and [`Server::bind`] refuses any other address.
//!
//! ```no_run
//! # async fn example(engine: kalibr_engine::Engine) -> Result<(), kalibr_server::ServeError> {
//! use kalibr_server::{Server, ServerConfig};
//!
//! let server = Server::bind(engine, ServerConfig::default()).await?;
//! println!("listening on http://{}", server.addr());
//! server.run(std::future::pending()).await;
//! # Ok(())
//! # }
//! ```
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod app;
mod body;
mod chat;
mod classify;
mod config;
mod decisions;
mod error;
mod fields;
mod goals;
mod guard;
mod health;
mod models;
mod path;
mod people;
mod replay;
mod router;
mod server;
mod sessions;
mod signals;
mod texts;

pub use config::{ServeError, ServerConfig};
pub use server::Server;
