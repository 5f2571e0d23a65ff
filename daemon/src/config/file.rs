//! The form of one configuration file.

use std::collections::BTreeSet;
use std::path::Path;

use compcache_device::settings::ColdCodec;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::mount::Mount;
use super::section::{Section, Wrong};
use super::settings::Config;
use super::syntax::{line_number, not_toml};
use super::value::{
    absolute_path, boolean, codec, kilobytes, kilobytes_or_none, parsed, string, text, whole,
};
use crate::args::{DEVICE_NUMBERS, NUM_DEVICES};
use crate::integer::Numbers;
use crate::logging;
use crate::process::OOM_SCORE_ADJ;
use crate::types::{
    Channel, CpuLatencySetting, DeadSlots, DeviceError, DriverChoice, PRIORITY, ParamsUpdate,
    RECOMPRESS_AFTER, RECOMPRESS_CPU,
};

/// Threads that serve one device; 0: as many as the daemon chooses.
const WORKERS: Numbers = Numbers::new(0, 64);

/// A file. Keys that are not there change nothing.
struct File {
    num_devices: Option<u32>,
    group: Option<String>,
    log: Option<String>,
    workers: Option<usize>,
    driver: Option<DriverChoice>,
    transport: Option<Channel>,
    cpu_latency: Option<CpuLatencySetting>,
    dead_slots: Option<DeadSlots>,
    memory_limit: Option<Option<u64>>,
    process: Option<Process>,
    devices: Vec<Device>,
    mounts: Vec<Mount>,
}

/// The table `[process]`.
struct Process {
    lock_memory: Option<bool>,
    io_flusher: Option<bool>,
    oom_score_adj: Option<i16>,
}

/// A table `[[device]]`.
struct Device {
    at: usize,
    number: u32,
    params: ParamsUpdate,
    swap_on: Option<bool>,
    priority: Option<i32>,
}

impl File {
    fn read(text: &str) -> Result<File, Wrong> {
        let keys = DeTable::parse(text).map_err(|e| not_toml(text, e.span(), e.message()))?;
        let mut from = Section::new(0, keys.into_inner());
        let file = File {
            num_devices: from.value("num_devices", whole(NUM_DEVICES))?,
            group: from.value("group", string)?,
            log: from.value("log", log_filter)?,
            workers: from.value("workers", whole(WORKERS))?,
            driver: from.value("driver", parsed)?,
            transport: from.value("transport", parsed)?,
            cpu_latency: from.value("cpu_latency", parsed)?,
            dead_slots: from.value("dead_slots", parsed)?,
            memory_limit: from.value("memory_limit_kb", kilobytes_or_none)?,
            process: from.table("process")?.map(Process::read).transpose()?,
            devices: each(from.tables("device")?, Device::read)?,
            mounts: each(from.tables("mount")?, Mount::read)?,
        };
        from.end()?;
        let mut numbers = BTreeSet::new();
        for device in &file.devices {
            let number = device.number;
            if !numbers.insert(number) {
                let message = format!("a second [[device]] with number {number} in this file");
                let at = device.at;
                return Err(Wrong { at, message });
            }
        }
        let mut paths = BTreeSet::new();
        for mount in &file.mounts {
            let (at, path) = (mount.at(), mount.mountpoint());
            if !paths.insert(path) {
                let path = path.display();
                let message = format!("a second [[mount]] with mountpoint {path} in this file");
                return Err(Wrong { at, message });
            }
        }
        Ok(file)
    }
}

impl Process {
    fn read(mut from: Section<'_>) -> Result<Process, Wrong> {
        let process = Process {
            lock_memory: from.value("lock_memory", boolean)?,
            io_flusher: from.value("io_flusher", boolean)?,
            oom_score_adj: from.value("oom_score_adj", whole(OOM_SCORE_ADJ))?,
        };
        from.end()?;
        Ok(process)
    }
}

impl Device {
    fn read(mut from: Section<'_>) -> Result<Device, Wrong> {
        let device = Device {
            at: from.at(),
            number: from.needed("number", "0", whole(DEVICE_NUMBERS))?,
            params: ParamsUpdate {
                disksize: from.value("disksize_kb", kilobytes)?,
                memlimit: from.value("memlimit_kb", kilobytes)?,
                backing_swap: from.value("backing_swap", absolute_path)?,
                backing_encryption: from.value("backing_encryption", parsed)?,
                codec: from.value("codec", codec)?,
                recompress: from.value("recompress", cold_codec)?,
                recompress_after: from.value("recompress_after", whole(RECOMPRESS_AFTER))?,
                recompress_cpu: from.value("recompress_cpu", whole(RECOMPRESS_CPU))?,
            },
            swap_on: from.value("swap_on", boolean)?,
            priority: from.value("priority", whole(PRIORITY))?,
        };
        from.end()?;
        Ok(device)
    }

    fn add_to(self, config: &mut Config, origin: String) {
        let into = config.devices.entry(self.number).or_default();
        into.params = self.params.or(std::mem::take(&mut into.params));
        into.swap_on = self.swap_on.unwrap_or(into.swap_on);
        into.priority = self.priority.or(into.priority);
        into.origin = origin;
    }
}

/// Lays a file over a configuration.
pub(super) fn add(config: &mut Config, path: &Path, text: &str) -> Result<(), ConfigError> {
    let file = File::read(text).map_err(|wrong| ConfigError::Content {
        path: path.to_owned(),
        line: line_number(text, wrong.at),
        message: wrong.message,
    })?;
    config.num_devices = file.num_devices.or(config.num_devices);
    if let Some(group) = file.group {
        config.group = Some(group).filter(|g| !g.is_empty());
    }
    if let Some(log) = file.log {
        config.log = log;
    }
    if let Some(workers) = file.workers {
        config.workers = Some(workers).filter(|n| *n > 0);
    }
    config.driver = file.driver.unwrap_or(config.driver);
    config.transport = file.transport.unwrap_or(config.transport);
    config.cpu_latency = file.cpu_latency.unwrap_or(config.cpu_latency);
    config.dead_slots = file.dead_slots.unwrap_or(config.dead_slots);
    config.memory_limit = file.memory_limit.unwrap_or(config.memory_limit);
    if let Some(process) = file.process {
        let into = &mut config.process;
        into.lock_memory = process.lock_memory.unwrap_or(into.lock_memory);
        into.io_flusher = process.io_flusher.unwrap_or(into.io_flusher);
        into.oom_score_adj = process.oom_score_adj.unwrap_or(into.oom_score_adj);
    }
    let origin = |at| format!("{}, line {}", path.display(), line_number(text, at));
    for device in file.devices {
        let origin = origin(device.at);
        device.add_to(config, origin);
    }
    for mount in file.mounts {
        let origin = origin(mount.at());
        mount.add_to(config, origin);
    }
    Ok(())
}

/// Reads each of these tables.
fn each<'t, T>(
    sections: Vec<Section<'t>>,
    read: fn(Section<'t>) -> Result<T, Wrong>,
) -> Result<Vec<T>, Wrong> {
    sections.into_iter().map(read).collect()
}

fn log_filter(value: &DeValue<'_>) -> Result<String, String> {
    text(value, |text| logging::parse(text).map(|_| text.to_owned()))
}

fn cold_codec(value: &DeValue<'_>) -> Result<String, String> {
    text(value, |text| {
        let codec = text.parse::<ColdCodec>();
        codec
            .map(|_| text.to_owned())
            .map_err(DeviceError::RecompressCodec)
    })
}
