//! What one run of the daemon does: the command line laid over the configuration.

use std::io;
use std::path::PathBuf;

use crate::args::{DEFAULT_DEV_DIR, DEFAULT_NUM_DEVICES, DaemonArgs};
use crate::config::{Config, ConfigError};
use crate::mounts::memory;
use crate::runtime_dir;
use crate::size::SizeError;
use crate::types::ParamsUpdate;

/// Everything a run needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Number of devices.
    pub num_devices: u32,
    /// Directory of socket, lock and mounts; absolute.
    pub runtime_dir: PathBuf,
    /// Directory of the device nodes; absolute.
    pub dev_dir: PathBuf,
    /// The configuration, its devices completed by those of the command line.
    pub config: Config,
}

/// Settings that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The configuration files.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A device that the daemon would not have.
    #[error(
        "{origin}: [[device]] has number {number}, but this daemon has {num_devices} device(s), \
         numbered from 0: set num_devices to {} or more", .number + 1
    )]
    NoSuchDevice {
        /// Where it was configured.
        origin: String,
        /// Its number.
        number: u32,
        /// The number of devices.
        num_devices: u32,
    },
    /// Devices for a daemon that may have none.
    #[error(
        "{what}: swap devices need root, and you are uid {uid}: run this as root (`sudo \
         compcached`), or omit it for a daemon that serves mounts only"
    )]
    NotRoot {
        /// What asks for devices: an option, or a place in the configuration.
        what: String,
        /// Who asks.
        uid: u32,
    },
    /// A memory limit that can't be used on this machine.
    #[error("--memory-limit: {0}")]
    MemoryLimit(#[from] SizeError),
    /// The working directory is not known.
    #[error("cannot make {} an absolute path: {source}", .path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl Settings {
    /// Reads the configuration and lays the command line over it, for a daemon that runs as user
    /// `uid`. One that is not root's has no devices, and does not read the system's configuration.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn new(args: &DaemonArgs, uid: u32) -> Result<Settings, SettingsError> {
        let root = uid == 0;
        let mut config = if root || args.config.is_some() {
            Config::load(args.config.as_deref())?
        } else {
            Config::default()
        };
        if !root && let Some(what) = asks_for_devices(args, &config) {
            return Err(SettingsError::NotRoot { what, uid });
        }
        let default = if root { DEFAULT_NUM_DEVICES } else { 0 };
        let num_devices = args.num_devices.or(config.num_devices).unwrap_or(default);
        if args.initialises_device() {
            let from_args = params(args)?;
            let first = &mut config.devices.entry(0).or_default().params;
            *first = from_args.or(std::mem::take(first));
        }
        if let Some((&number, device)) = config.devices.range(num_devices..).next() {
            let origin = device.origin.clone();
            return Err(SettingsError::NoSuchDevice {
                origin,
                number,
                num_devices,
            });
        }
        config.driver = args.driver.unwrap_or(config.driver);
        config.transport = args.transport.unwrap_or(config.transport);
        config.cpu_latency = args.cpu_latency.unwrap_or(config.cpu_latency);
        config.dead_slots = args.dead_slots.unwrap_or(config.dead_slots);
        if let Some(limit) = args.memory_limit {
            config.memory_limit = Some(limit.resolve(memory::available())?);
        }
        let runtime_dir = args.runtime_dir.clone();
        Ok(Settings {
            num_devices,
            runtime_dir: absolute(runtime_dir.unwrap_or_else(|| runtime_dir::default_for(uid)))?,
            dev_dir: absolute(args.dev_dir.clone().unwrap_or(DEFAULT_DEV_DIR.into()))?,
            config,
        })
    }
}

/// The parameters of device 0 on the command line.
fn params(args: &DaemonArgs) -> Result<ParamsUpdate, SettingsError> {
    Ok(ParamsUpdate {
        disksize: args.disksize,
        memlimit: args.memlimit,
        backing_swap: args.backing_swap.clone().map(absolute).transpose()?,
        backing_encryption: args.backing_encryption,
        codec: args.codec.clone(),
        ..ParamsUpdate::default()
    })
}

fn absolute(path: PathBuf) -> Result<PathBuf, SettingsError> {
    std::path::absolute(&path).map_err(|source| SettingsError::Path { path, source })
}

/// What asks for devices, if anything does.
fn asks_for_devices(args: &DaemonArgs, config: &Config) -> Option<String> {
    if args.num_devices.is_some() {
        return Some("--num-devices".into());
    }
    if args.initialises_device() {
        return Some(
            "--disksize_kb, --memlimit_kb, --backing_swap, --backing_encryption and --codec".into(),
        );
    }
    if config.num_devices.is_some() {
        return Some("num_devices in the configuration".into());
    }
    let device = config.devices.values().next()?;
    Some(format!("[[device]] in {}", device.origin))
}
