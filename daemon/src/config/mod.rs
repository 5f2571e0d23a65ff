//! Configuration files: `/etc/compcache.toml`, then the drop-ins `/etc/compcache.toml.d/*.toml`
//! in the order of their names. A later file wins key by key; a `[[device]]` of the same number
//! is the same device, a `[[mount]]` at the same mountpoint the same mount.
//! `packaging/compcache.toml` lists every key.

mod file;
mod mount;
mod section;
mod syntax;
mod value;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::process::ProcessOptions;
use crate::protocol::MountSpec;
use crate::types::{Channel, CpuLatencySetting, DeadSlots, DriverChoice, ParamsUpdate};

/// The file that is read unless another is named.
pub const DEFAULT_PATH: &str = "/etc/compcache.toml";

/// What the configuration files say, with defaults if they say nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Number of devices, 1 to 64.
    pub num_devices: Option<u32>,
    /// Group whose members may use the control socket: a name or a number.
    pub group: Option<String>,
    /// What is logged, in the notation of `EnvFilter`.
    pub log: String,
    /// Threads that serve one device; `None`: as many as CPUs, but 2 to 8.
    pub workers: Option<usize>,
    /// What serves devices.
    pub driver: DriverChoice,
    /// How requests come to the daemon.
    pub transport: Channel,
    /// How long idle CPUs may take to wake while a device is busy.
    pub cpu_latency: CpuLatencySetting,
    /// When the pages of slots that the kernel frees are freed.
    pub dead_slots: DeadSlots,
    /// Most bytes for swap devices and mounts together.
    pub memory_limit: Option<u64>,
    /// What the daemon asks for its own process.
    pub process: ProcessOptions,
    /// Devices to initialise at the start, by number.
    pub devices: BTreeMap<u32, DeviceConfig>,
    /// Mounts to make at the start, by path.
    pub mounts: BTreeMap<PathBuf, MountConfig>,
}

/// A mount to make at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountConfig {
    /// What it is to be.
    pub spec: MountSpec,
    /// Where it stands, as `FILE, line N`.
    pub origin: String,
}

/// A device to initialise at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceConfig {
    /// Its parameters.
    pub params: ParamsUpdate,
    /// Whether to swap on it too.
    pub swap_on: bool,
    /// With which priority; `None`: above every active swap.
    pub priority: Option<i32>,
    /// Where it stands, as `FILE, line N`; empty for a device from the command line.
    pub origin: String,
}

/// A configuration that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file or directory that can't be read.
    #[error("configuration {}: cannot be read: {source}", .path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file that is not text or not TOML, or has an unknown key or a value that the key does not take.
    #[error("configuration {}, line {line}: {message}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The key and what is wrong with it.
        message: String,
    },
}

impl Default for Config {
    fn default() -> Self {
        Config {
            num_devices: None,
            group: None,
            log: "info".to_owned(),
            workers: None,
            driver: DriverChoice::Auto,
            transport: Channel::Auto,
            cpu_latency: CpuLatencySetting::Auto,
            dead_slots: DeadSlots::Auto,
            memory_limit: None,
            process: ProcessOptions::default(),
            devices: BTreeMap::new(),
            mounts: BTreeMap::new(),
        }
    }
}

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
