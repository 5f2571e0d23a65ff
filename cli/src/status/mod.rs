//! `compcache status`: the daemon, its devices and mounts, for people and for programs.

pub(crate) mod mounts;
mod table;

use std::fmt;
use std::path::{Path, PathBuf};

use compcache_device::status::Driver;
use compcache_device::{DeviceStatus, KernelDevice};
use compcache_host::zswap::ZswapOn;
use compcached::ClientError;
use compcached::mounts::paths;
use compcached::protocol::{DaemonStatus, Request, Response};
use compcached::types::{DriverChoice, MountStatus};
use serde::Serialize;

use crate::device_name;
use crate::env::{Places, complain, print, warn};
use crate::error::CliError;
use crate::left_behind;

/// What to try, shown by `--help` and in the man page.
pub(crate) const EXAMPLES: &str = "\
compcache status
compcache status --verbose /dev/ramzswap0
compcache status /mnt/fast
compcache status --json | jq '.devices[].stats.compr_bytes'";

/// Options of `compcache status`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// A device, /dev/ramzswapN or ramzswapN, or where something is mounted [default: all]
    #[arg(value_name = "DEVICE|MOUNTPOINT")]
    what: Option<String>,

    /// Print JSON; its keys are described in compcache-status(1)
    #[arg(short, long)]
    json: bool,

    /// Show the details of each device and mount
    #[arg(short, long, conflicts_with = "json")]
    verbose: bool,
}

/// The JSON document. With no daemon running, `daemon` is null and of the rest only what the
/// kernel driver has is there.
#[derive(Debug, Serialize)]
struct Report {
    driver: DriverReport,
    daemon: Option<DaemonStatus>,
    memory_limit: Option<u64>,
    devices: Vec<DeviceStatus>,
    mounts: Vec<MountStatus>,
}

/// Which driver swap devices are made by.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct DriverReport {
    /// What was chosen: `auto`, `kernel` or `user`.
    choice: String,
    /// What is used for new devices; null if the kernel driver was chosen and is not there.
    used: Option<Driver>,
    /// Whether and how the kernel driver is there.
    kernel: String,
}

/// What to show.
enum What {
    All,
    Device(u32),
    Mount(PathBuf),
}

/// Shows the status. With `--json` a document is printed even if no daemon runs, and unless
/// there are devices of the kernel driver the error is given besides.
///
/// # Errors
/// Neither a daemon nor the kernel driver, or no such device or mount.
pub(crate) fn main(args: &StatusArgs, places: &Places) -> Result<(), CliError> {
    let what = what(args.what.as_deref(), places)?;
    let (mut report, loaded) = kernel_report(&what, places)?;
    let asked = query(&what, places, &mut report);
    left_behind::warn_of_them(&asked, places);
    let error = match asked {
        Err(error @ CliError::Client(ClientError::NoDaemon(_))) => Some(error),
        done => {
            done?;
            None
        }
    };
    // Of the kernel driver's devices no daemon need know.
    let error = error.filter(|_| !loaded || matches!(what, What::Mount(_)));
    report.devices.sort_by_key(|device| device.number);
    if args.json {
        print_json(&report)?;
    } else if error.is_none() {
        if report.daemon.is_none() && !report.devices.is_empty() {
            // The daemon's warnings name it otherwise.
            warn("compcache", ZswapOn::now().as_slice());
        }
        let text = match (&what, report.mounts.as_slice()) {
            (What::Mount(_), [mount]) => mounts::details(mount),
            _ => table::format(&report, args.verbose),
        };
        print(&text)?;
    } else {
        complain("compcache", &report.driver);
    }
    error.map_or(Ok(()), Err)
}

impl DriverReport {
    fn of(driver: &crate::driver::Driver, places: &Places) -> DriverReport {
        DriverReport {
            choice: driver.choice.to_string(),
            used: Some(match driver.is_kernel() {
                true => Driver::Kernel,
                false => Driver::User,
            }),
            kernel: match driver.why_not() {
                Some(why) => why.to_owned(),
                None => describe(places),
            },
        }
    }
}

impl fmt::Display for DriverReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = match self.used {
            Some(Driver::Kernel) => "kernel",
            Some(Driver::User) => "user",
            None => "none",
        };
        write!(f, "driver: {used} ({})", self.choice)?;
        match self.choice.as_str() {
            "user" => Ok(()),
            _ => write!(f, "; kernel driver: {}", self.kernel),
        }
    }
}

/// What the kernel driver has of `what`, and whether its devices are used at all.
fn kernel_report(what: &What, places: &Places) -> Result<(Report, bool), CliError> {
    let driver = match places.driver(false) {
        Err(CliError::NoKernelDriver(error)) => DriverReport {
            choice: DriverChoice::Kernel.to_string(),
            used: None,
            kernel: error.why().to_owned(),
        },
        driver => DriverReport::of(&driver?, places),
    };
    let loaded = driver.used == Some(Driver::Kernel);
    let mut report = Report {
        driver,
        daemon: None,
        memory_limit: None,
        devices: Vec::new(),
        mounts: Vec::new(),
    };
    if !loaded {
        return Ok((report, false));
    }
    report.devices = match what {
        What::All => places.kernel_devices().statuses(None)?,
        What::Device(number) if places.is_kernels(*number)? => {
            places.kernel_devices().statuses(Some(*number))?
        }
        What::Device(_) => return Ok((report, false)),
        What::Mount(_) => Vec::new(),
    };
    Ok((report, true))
}

/// Whether the driver is there, and what it can do.
fn describe(places: &Places) -> String {
    let presence = places.kernel.presence().to_string();
    let features = KernelDevice::all(&places.kernel)
        .first()
        .map(KernelDevice::features);
    match features.filter(|features| !features.is_empty()) {
        Some(features) => format!("{presence}, {features}"),
        None => presence,
    }
}

/// What the user named: a device by its name, otherwise a mount by its path.
fn what(name: Option<&str>, places: &Places) -> Result<What, CliError> {
    let Some(name) = name else {
        return Ok(What::All);
    };
    if let Ok(number) = device_name::number(name, &places.dev_dir) {
        return Ok(What::Device(number));
    }
    match paths::mountpoint(Path::new(name)) {
        Ok(path) => Ok(What::Mount(path)),
        Err(_) => Err(no_such_thing(name, places)),
    }
}

/// Adds what the daemon has.
fn query(what: &What, places: &Places, report: &mut Report) -> Result<(), CliError> {
    // With the kernel driver none need be coming up.
    let mut client = match report.driver.used {
        Some(Driver::Kernel) => places.connect_now()?,
        _ => places.connect()?,
    };
    let device = match what {
        // Known by now.
        What::Device(_) if !report.devices.is_empty() => None,
        What::Device(number) => Some(*number),
        What::All | What::Mount(_) => None,
    };
    let Response::Status { daemon, devices } = client.request(&Request::Status { device })? else {
        return Err(CliError::Answer);
    };
    report.daemon = Some(daemon);
    match what {
        What::Device(_) if device.is_none() => {}
        What::Mount(_) => {}
        What::All | What::Device(_) => report.devices.extend(devices),
    }
    let Response::Mounts {
        mut mounts,
        memory_limit,
    } = client.request(&Request::Mounts)?
    else {
        return Err(CliError::Answer);
    };
    report.memory_limit = memory_limit;
    match what {
        What::All => report.mounts = mounts,
        What::Device(_) => {}
        What::Mount(path) => {
            mounts.retain(|mount| Path::new(&mount.mountpoint) == path);
            if mounts.is_empty() {
                return Err(no_such_thing(&path.display().to_string(), places));
            }
            report.mounts = mounts;
        }
    }
    Ok(())
}

fn no_such_thing(name: &str, places: &Places) -> CliError {
    CliError::NoSuchThing {
        name: name.to_owned(),
        dev_dir: places.dev_dir.display().to_string(),
    }
}

/// Prints a JSON document.
///
/// # Errors
/// If writing fails.
pub(crate) fn print_json(report: &impl Serialize) -> Result<(), CliError> {
    let mut text = serde_json::to_string_pretty(report)
        .map_err(|e| CliError::Failed(format!("cannot write JSON: {e}")))?;
    text.push('\n');
    print(&text)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::testing::{daemon_status, device_status};
    use serde_json::Value;

    fn keys(value: &Value) -> Vec<&str> {
        let mut keys: Vec<_> = value
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        keys.sort_unstable();
        keys
    }

    pub(super) fn report() -> Report {
        Report {
            driver: DriverReport {
                choice: "auto".into(),
                used: Some(Driver::User),
                kernel: "not loaded: module ramzswap not found for 6.1.0".into(),
            },
            daemon: Some(daemon_status()),
            memory_limit: Some(1),
            devices: vec![device_status(0)],
            mounts: vec![MountStatus::default()],
        }
    }

    /// Programs read these: a key may come, none may go.
    #[test]
    fn keys_of_the_document() {
        let value = serde_json::to_value(report()).unwrap();
        assert_eq!(
            keys(&value),
            ["daemon", "devices", "driver", "memory_limit", "mounts"]
        );
        for key in [
            "source",
            "mountpoint",
            "write",
            "codec",
            "limit",
            "pool_bytes",
            "pages",
            "compressed_bytes",
            "dirty_pages",
            "hits",
            "misses",
            "evicted",
            "written_back",
            "write_errors",
        ] {
            assert!(keys(&value["mounts"][0]).contains(&key), "{key}");
        }
        for key in [
            "version",
            "pid",
            "mount_pid",
            "num_devices",
            "leases",
            "kernel_lease",
            "uptime_seconds",
            "warnings",
        ] {
            assert!(keys(&value["daemon"]).contains(&key), "{key}");
        }
        let device = &value["devices"][0];
        for key in [
            "number",
            "driver",
            "state",
            "node",
            "error",
            "block_device",
            "swap",
            "disksize",
            "memlimit",
            "backing_swap",
            "backing_encryption",
            "codec",
            "recompress",
            "recompress_after",
            "recompress_cpu",
            "stats",
        ] {
            assert!(keys(device).contains(&key), "{key}");
        }
        for key in [
            "reads",
            "writes",
            "failed_reads",
            "failed_writes",
            "invalid_io",
            "notify_free",
            "zero_pages",
            "same_pages",
            "pages_stored",
            "good_compress",
            "no_compress",
            "compr_bytes",
            "pool_bytes",
            "reserve_bytes",
            "table_bytes",
            "backing_pages",
            "backing_reads",
            "backing_writes",
            "codecs",
            "store_latency",
            "load_latency",
            "recompressed",
            "recompress_saved",
            "recompress_no_gain",
            "recompress_cpu_ns",
        ] {
            assert!(keys(&device["stats"]).contains(&key), "{key}");
        }
    }

    #[test]
    fn no_daemon_is_null() {
        let report = Report {
            daemon: None,
            memory_limit: None,
            devices: Vec::new(),
            ..report()
        };
        let expected = serde_json::json!({
            "driver": {
                "choice": "auto",
                "used": "user",
                "kernel": "not loaded: module ramzswap not found for 6.1.0",
            },
            "daemon": null, "memory_limit": null, "devices": [], "mounts": [],
        });
        assert_eq!(
            serde_json::to_value(Report {
                mounts: Vec::new(),
                ..report
            })
            .unwrap(),
            expected
        );
    }

    #[test]
    fn the_driver_is_named_and_why() {
        let mut driver = report().driver;
        assert_eq!(
            driver.to_string(),
            "driver: user (auto); kernel driver: not loaded: module ramzswap not found for 6.1.0"
        );
        driver.choice = "user".into();
        assert_eq!(driver.to_string(), "driver: user (user)");
        driver.choice = "kernel".into();
        driver.used = None;
        assert!(
            driver
                .to_string()
                .starts_with("driver: none (kernel); kernel driver: not")
        );
    }
}
