//! Configuration files: `/etc/compcache.toml`, then the drop-ins `/etc/compcache.toml.d/*.toml`
//! in the order of their names. A later file wins key by key; a `[[device]]` of the same number
//! is the same device, a `[[mount]]` at the same mountpoint the same mount.
//! `packaging/compcache.toml` lists every key.

mod error;
mod file;
mod mount;
mod section;
mod settings;
mod syntax;
mod value;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use error::ConfigError;
pub use settings::{Config, DeviceConfig, MountConfig};

/// The file that is read unless another is named.
pub const DEFAULT_PATH: &str = "/etc/compcache.toml";

impl Config {
    /// Reads the file at `explicit`, which must be there, or [`DEFAULT_PATH`], which need not;
    /// then its drop-ins.
    ///
    /// # Errors
    /// [`ConfigError`] for the first file that can't be used.
    pub fn load(explicit: Option<&Path>) -> Result<Config, ConfigError> {
        let path = explicit.unwrap_or(Path::new(DEFAULT_PATH));
        let mut config = Config::default();
        config.add_file(path, explicit.is_some())?;
        for drop_in in drop_ins(path)? {
            config.add_file(&drop_in, true)?;
        }
        Ok(config)
    }

    fn add_file(&mut self, path: &Path, required: bool) -> Result<(), ConfigError> {
        match fs::read(path) {
            Ok(bytes) => {
                let text =
                    syntax::utf8(&bytes).map_err(|(line, message)| ConfigError::Content {
                        path: path.to_owned(),
                        line,
                        message,
                    })?;
                self.add(path, text)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound && !required => Ok(()),
            Err(source) => Err(ConfigError::Read {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Lays the text of a file over what is there; `path` is for messages.
    ///
    /// # Errors
    /// [`ConfigError::Content`].
    pub fn add(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        file::add(self, path, text)
    }
}

/// The files `PATH.d/*.toml` in the order of their names; none if there is no such directory.
fn drop_ins(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let mut directory = path.as_os_str().to_owned();
    directory.push(".d");
    let directory = PathBuf::from(directory);
    let failed = |source| ConfigError::Read {
        path: directory.clone(),
        source,
    };
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|e| e == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
