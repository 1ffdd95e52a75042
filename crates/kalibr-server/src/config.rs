//! What the server can be told: the `[server]` table of the configuration file.
//!
//! ```toml
//! [server]
//! listen = "127.0.0.1:8600"
//! max_body_bytes = 8388608
//! ```

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use kalibr_engine::toml_problem;
use serde::Deserialize;

/// How a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// The address; port 0 takes a free one. Default `127.0.0.1:8600`.
    pub listen: SocketAddr,
    /// The most bytes that a request's body may have. Default 8 MiB: room for a picture or two in base64.
    pub max_body_bytes: usize,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8600), max_body_bytes: 8 << 20 }
    }
}

impl ServerConfig {
    /// Reads the `[server]` table; what it leaves out has its default.
    ///
    /// # Errors
    /// [`ServeError::Config`] for an unknown key or a value of a wrong kind.
    ///
    /// ```
    /// use kalibr_server::ServerConfig;
    ///
    /// let table = toml::from_str(r#"listen = "[::1]:9000""#).unwrap();
    /// assert_eq!(ServerConfig::from_table(table).unwrap().listen.port(), 9000);
    /// ```
    pub fn from_table(table: toml::Table) -> Result<Self, ServeError> {
        table.try_into().map_err(|error: toml::de::Error| ServeError::Config(toml_problem(&error)))
    }
}

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The `[server]` table cannot be understood.
    #[error("[server]: {0}; its keys are listen and max_body_bytes")]
    Config(String),
    /// The address can be reached from other machines.
    #[error(
        "{0} can be reached from other machines, and this version has no keys that would keep strangers out: listen on \
         127.0.0.1 or [::1], and put a proxy with authentication on the same machine in front"
    )]
    NotLoopback(SocketAddr),
    /// The address cannot be used.
    #[error("cannot listen on {addr}: {source}; stop what listens there, or choose another port")]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ServerConfig, ServeError> {
        ServerConfig::from_table(toml::from_str(text).unwrap())
    }

    #[test]
    fn an_empty_table_gives_the_defaults() {
        assert_eq!(read("").unwrap(), ServerConfig::default());
        assert_eq!(ServerConfig::default().listen.to_string(), "127.0.0.1:8600");
    }

    #[test]
    fn an_unknown_key_or_a_wrong_value_is_an_error_that_names_the_keys() {
        for bad in ["port = 8600", "listen = 8600", "listen = \"localhost\"", "max_body_bytes = -1"] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.contains("listen and max_body_bytes"), "{error}");
        }
    }
}
