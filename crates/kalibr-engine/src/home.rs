//! The data folder: where the ledger, the configuration and the secret are.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use kalibr_core::ids::HashKey;

use crate::error::EngineError;

/// The folder in which one installation keeps its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home(PathBuf);

impl Home {
    /// This folder.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// `KALIBR_HOME`, or else the platform's data folder for Kalibr.
    ///
    /// # Errors
    /// [`EngineError::NoHome`] when the platform knows no home folder for this user.
    pub fn from_env(env: &dyn Fn(&str) -> Option<String>) -> Result<Self, EngineError> {
        if let Some(folder) = env("KALIBR_HOME").filter(|folder| !folder.is_empty()) {
            return Ok(Self(folder.into()));
        }
        let folders = etcetera::base_strategy::choose_native_strategy().map_err(|_| EngineError::NoHome)?;
        Ok(Self(folders.data_dir().join("kalibr")))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The ledger's file.
    pub fn ledger(&self) -> PathBuf {
        self.0.join("ledger.db")
    }

    /// The configuration's file; it need not exist.
    pub fn config(&self) -> PathBuf {
        self.0.join("kalibr.toml")
    }

    /// The secret under which ids are hashed, made on first use and readable by the owner alone.
    ///
    /// # Errors
    /// [`EngineError::Secret`] when it cannot be read or written, or is not 64 hex digits.
    pub fn hash_key(&self) -> Result<HashKey, EngineError> {
        let file = self.0.join("secret");
        let problem = |source| EngineError::Secret { path: file.clone(), source };
        match fs::read_to_string(&file) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                self.make_secret(&file).map_err(problem)?;
                parse(&fs::read_to_string(&file).map_err(problem)?).map_err(problem)
            }
            read => parse(&read.map_err(problem)?).map_err(problem),
        }
    }

    /// Writes a secret beside its place and links it there, so that of several processes that start at once one wins
    /// and nobody ever reads half a secret.
    fn make_secret(&self, file: &Path) -> io::Result<()> {
        let bytes: [u8; 32] = rand::random();
        let draft = self.0.join(format!("secret.{:016x}", rand::random::<u64>()));
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let mut out = options.open(&draft)?;
        for byte in bytes {
            write!(out, "{byte:02x}")?;
        }
        out.sync_all()?;
        let linked = match fs::hard_link(&draft, file) {
            Err(other) if other.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result,
        };
        fs::remove_file(&draft)?;
        linked
    }
}

fn parse(text: &str) -> io::Result<HashKey> {
    let text = text.trim();
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "it should hold 64 hexadecimal digits");
    if text.len() != 64 || !text.is_ascii() {
        return Err(bad());
    }
    let mut bytes = [0; 32];
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| bad())?;
    }
    Ok(HashKey::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_made_once_and_only_the_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| home.hash_key().unwrap().hash("d", "x"))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.path().join("secret")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_secret_is_an_error_and_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), "short").unwrap();
        let error = Home::at(folder.path()).hash_key().unwrap_err().to_string();
        assert!(error.contains("secret"), "{error}");
        assert_eq!(fs::read_to_string(folder.path().join("secret")).unwrap(), "short");
    }
}
