//! What the configuration files say.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::process::ProcessOptions;
use crate::protocol::MountSpec;
use crate::types::{Channel, CpuLatencySetting, DeadSlots, DriverChoice, ParamsUpdate};

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
