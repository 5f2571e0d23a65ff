//! What one run of the daemon does: the command line laid over the configuration.

use std::io;
use std::path::{Path, PathBuf};

use crate::args::{DEFAULT_DEV_DIR, DEFAULT_RUNTIME_DIR, DaemonArgs};
use crate::config::{Config, ConfigError};
use crate::protocol::{ErrorCode, Refusal};
use crate::types::ParamsUpdate;

/// Devices of a daemon that nobody configured.
const NUM_DEVICES: u32 = 1;
/// Devices of a daemon that a client started for itself, where nobody configured a number:
/// later clients find it too, and a device that is not initialised costs nothing.
const NUM_DEVICES_SPAWNED: u32 = 16;

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
    /// A parameter on the command line.
    #[error(transparent)]
    Param(#[from] Refusal),
    /// The working directory is not known.
    #[error("cannot make {} an absolute path: {source}", .path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Settings {
    /// Reads the configuration and lays the command line over it.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn new(args: &DaemonArgs) -> Result<Settings, SettingsError> {
        let mut config = Config::load(args.config.as_deref())?;
        let default = if args.exit_when_idle {
            NUM_DEVICES_SPAWNED
        } else {
            NUM_DEVICES
        };
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
        config.transport = args.transport.unwrap_or(config.transport);
        config.cpu_latency = args.cpu_latency.unwrap_or(config.cpu_latency);
        config.dead_slots = args.dead_slots.unwrap_or(config.dead_slots);
        Ok(Settings {
            num_devices,
            runtime_dir: absolute(args.runtime_dir.as_deref(), DEFAULT_RUNTIME_DIR)?,
            dev_dir: absolute(args.dev_dir.as_deref(), DEFAULT_DEV_DIR)?,
            config,
        })
    }
}

/// The parameters of device 0 on the command line.
fn params(args: &DaemonArgs) -> Result<ParamsUpdate, SettingsError> {
    let backing_swap = args.backing_swap.as_deref();
    Ok(ParamsUpdate {
        disksize: bytes("disksize_kb", args.disksize_kb)?,
        memlimit: bytes("memlimit_kb", args.memlimit_kb)?,
        backing_swap: backing_swap
            .map(|path| absolute(Some(path), ""))
            .transpose()?,
        codec: args.codec.clone(),
        ..ParamsUpdate::default()
    })
}

fn bytes(option: &str, kb: Option<u64>) -> Result<Option<u64>, Refusal> {
    let Some(kb) = kb else { return Ok(None) };
    kb.checked_mul(1024).map(Some).ok_or_else(|| {
        let message = format!("--{option} {kb} is out of range: the limit is 2^34 kB (16 TiB)");
        Refusal::new(ErrorCode::Einval, message)
    })
}

fn absolute(path: Option<&Path>, default: &str) -> Result<PathBuf, SettingsError> {
    let path = path.unwrap_or(Path::new(default));
    std::path::absolute(path).map_err(|source| SettingsError::Path {
        path: path.into(),
        source,
    })
}
