//! Texts that must never be seen: provider keys.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

/// A provider's key. `Debug` and `Display` redact it, and it cannot be serialised, so it cannot leak through a log, an
/// error or a dump of the configuration.
///
/// ```
/// let key = kalibr_upstream::Secret::new("sk-123");
/// assert_eq!(format!("{key} {key:?}"), "[redacted] Secret([redacted])");
/// assert_eq!(key.expose(), "sk-123");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps a key. Spaces and line ends around it are cut: keys are often read from files that end in one.
    pub fn new(text: &str) -> Self {
        Self(Arc::from(text.trim()))
    }

    /// The key itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Serde's own "invalid type" error repeats the value, and a key pasted without quotes is still a key.
        String::deserialize(deserializer)
            .map(|text| Self::new(&text))
            .map_err(|_| serde::de::Error::custom("a key is a text in quotes"))
    }
}
