//! The form of one configuration file.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use compcache_device::{AFTER_SECONDS, CPU_PERCENT, ColdCodec};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::mount::Mount;
use super::value::{MAX_KB, absolute_path, codec, within};
use super::{Config, ConfigError};
use crate::args::MAX_DEVICES;
use crate::logging;
use crate::types::{
    BackingEncryption, Channel, CpuLatencySetting, DeadSlots, DeviceError, DriverChoice,
    MAX_PRIORITY, ParamsUpdate,
};

/// The largest number of a device.
const LAST_DEVICE: i64 = MAX_DEVICES as i64 - 1;
/// The seconds after which pages may be cold.
const AFTER_MIN: i64 = *AFTER_SECONDS.start() as i64;
const AFTER_MAX: i64 = *AFTER_SECONDS.end() as i64;
/// The shares of a CPU for recompression.
const CPU_MIN: i64 = *CPU_PERCENT.start() as i64;
const CPU_MAX: i64 = *CPU_PERCENT.end() as i64;
/// The largest priority of a swap area.
const PRIORITY: i64 = MAX_PRIORITY as i64;

/// A file. Keys that are not there change nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(
        default,
        deserialize_with = "within::<_, u32, 1, { MAX_DEVICES as i64 }>"
    )]
    num_devices: Option<u32>,
    group: Option<String>,
    #[serde(default, deserialize_with = "log_filter")]
    log: Option<String>,
    #[serde(default, deserialize_with = "within::<_, usize, 0, 64>")]
    workers: Option<usize>,
    #[serde(default, deserialize_with = "parsed")]
    driver: Option<DriverChoice>,
    #[serde(default, deserialize_with = "parsed")]
    transport: Option<Channel>,
    #[serde(default, deserialize_with = "parsed")]
    cpu_latency: Option<CpuLatencySetting>,
    #[serde(default, deserialize_with = "parsed")]
    dead_slots: Option<DeadSlots>,
    #[serde(default, deserialize_with = "within::<_, u64, 0, MAX_KB>")]
    memory_limit_kb: Option<u64>,
    process: Option<Process>,
    #[serde(default)]
    device: Vec<Spanned<Device>>,
    #[serde(default)]
    mount: Vec<Spanned<Mount>>,
}

/// The table `[process]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Process {
    lock_memory: Option<bool>,
    io_flusher: Option<bool>,
    #[serde(default, deserialize_with = "within::<_, i16, -1000, 1000>")]
    oom_score_adj: Option<i16>,
}

/// A table `[[device]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Device {
    #[serde(deserialize_with = "device_number")]
    number: u32,
    #[serde(default, deserialize_with = "within::<_, u64, 1, MAX_KB>")]
    disksize_kb: Option<u64>,
    #[serde(default, deserialize_with = "within::<_, u64, 1, MAX_KB>")]
    memlimit_kb: Option<u64>,
    #[serde(default, deserialize_with = "absolute_path")]
    backing_swap: Option<PathBuf>,
    #[serde(default, deserialize_with = "parsed")]
    backing_encryption: Option<BackingEncryption>,
    #[serde(default, deserialize_with = "codec")]
    codec: Option<String>,
    #[serde(default, deserialize_with = "cold_codec")]
    recompress: Option<String>,
    #[serde(default, deserialize_with = "within::<_, u32, AFTER_MIN, AFTER_MAX>")]
    recompress_after: Option<u32>,
    #[serde(default, deserialize_with = "within::<_, u32, CPU_MIN, CPU_MAX>")]
    recompress_cpu: Option<u32>,
    swap_on: Option<bool>,
    #[serde(default, deserialize_with = "within::<_, i32, 0, PRIORITY>")]
    priority: Option<i32>,
}

/// A parser's message about a value of the wrong type, without the names of Rust's types.
fn plain(message: &str) -> String {
    let types = message.strip_prefix("invalid type: ");
    let Some((found, expected)) = types.and_then(|types| types.rsplit_once(", expected ")) else {
        return message.to_owned();
    };
    let wanted = match expected {
        "a boolean" => "true or false",
        "path string" => "a string",
        number if number.starts_with(['i', 'u', 'f']) && number[1..].parse::<u8>().is_ok() => {
            "an integer"
        }
        other => other,
    };
    format!("{found} has the wrong type: give {wanted}")
}

/// Lays a file over a configuration.
pub(super) fn add(config: &mut Config, path: &Path, text: &str) -> Result<(), ConfigError> {
    let fail = |span: Option<Range<usize>>, message: &str| {
        let (line, key) = locate(text, span.map_or(0, |span| span.start));
        let message = plain(message);
        let message = match key {
            Some(key) if !message.contains(&format!("`{key}`")) => {
                format!("key `{key}`: {message}")
            }
            _ => message,
        };
        ConfigError::Content {
            path: path.to_owned(),
            line,
            message,
        }
    };
    let file: File = toml::from_str(text).map_err(|e| fail(e.span(), e.message()))?;
    let mut numbers = BTreeSet::new();
    for device in &file.device {
        let number = device.get_ref().number;
        if !numbers.insert(number) {
            let message = format!("a second [[device]] with number {number} in this file");
            return Err(fail(Some(device.span()), &message));
        }
    }
    let mut paths = BTreeSet::new();
    for mount in &file.mount {
        let path = mount.get_ref().mountpoint();
        if !paths.insert(path) {
            let message = format!(
                "a second [[mount]] with mountpoint {} in this file",
                path.display()
            );
            return Err(fail(Some(mount.span()), &message));
        }
    }
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
    if let Some(kb) = file.memory_limit_kb {
        config.memory_limit = Some(kb << 10).filter(|bytes| *bytes > 0);
    }
    if let Some(process) = file.process {
        let into = &mut config.process;
        into.lock_memory = process.lock_memory.unwrap_or(into.lock_memory);
        into.io_flusher = process.io_flusher.unwrap_or(into.io_flusher);
        into.oom_score_adj = process.oom_score_adj.unwrap_or(into.oom_score_adj);
    }
    for device in file.device {
        let (line, _) = locate(text, device.span().start);
        let origin = format!("{}, line {line}", path.display());
        add_device(config, device.into_inner(), origin);
    }
    for mount in file.mount {
        let (line, _) = locate(text, mount.span().start);
        let origin = format!("{}, line {line}", path.display());
        mount.into_inner().add_to(config, origin);
    }
    Ok(())
}

fn add_device(config: &mut Config, device: Device, origin: String) {
    let into = config.devices.entry(device.number).or_default();
    let bytes = |kb: u64| kb << 10;
    let params = ParamsUpdate {
        disksize: device.disksize_kb.map(bytes),
        memlimit: device.memlimit_kb.map(bytes),
        backing_swap: device.backing_swap,
        backing_encryption: device.backing_encryption,
        codec: device.codec,
        recompress: device.recompress,
        recompress_after: device.recompress_after,
        recompress_cpu: device.recompress_cpu,
    };
    into.params = params.or(std::mem::take(&mut into.params));
    into.swap_on = device.swap_on.unwrap_or(into.swap_on);
    into.priority = device.priority.or(into.priority);
    into.origin = origin;
}

/// The number of the line with this offset, and the key or table that is set there, if any.
fn locate(text: &str, offset: usize) -> (usize, Option<&str>) {
    let before = text.get(..offset).unwrap_or(text);
    let number = before.matches('\n').count() + 1;
    let line = text.lines().nth(number - 1).unwrap_or_default().trim();
    let key = match line.strip_prefix('[') {
        Some(header) => header.trim_start_matches('[').split(']').next(),
        None => line.split_once('=').map(|(key, _)| key),
    };
    (
        number,
        key.map(str::trim)
            .filter(|key| !key.is_empty() && !key.starts_with('#')),
    )
}

fn device_number<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    Ok(within::<D, u32, 0, LAST_DEVICE>(from)?.unwrap_or_default())
}

fn log_filter<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    logging::parse(&text).map_err(D::Error::custom)?;
    Ok(Some(text))
}

/// A text that is parsed.
fn parsed<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let text = String::deserialize(from)?;
    text.parse().map(Some).map_err(D::Error::custom)
}

fn cold_codec<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    let codec = text.parse::<ColdCodec>();
    codec.map_err(|e| D::Error::custom(DeviceError::RecompressCodec(e)))?;
    Ok(Some(text))
}
