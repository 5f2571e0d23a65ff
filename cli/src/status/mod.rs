//! `compcache status`: the daemon, its devices and mounts, for people and for programs.

pub(crate) mod mounts;
mod table;

use std::path::{Path, PathBuf};

use compcache_device::DeviceStatus;
use compcached::ClientError;
use compcached::mounts::paths;
use compcached::protocol::{DaemonStatus, Request, Response};
use compcached::types::MountStatus;
use serde::Serialize;

use crate::device_name;
use crate::env::{Places, print};
use crate::error::CliError;

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

/// The JSON document. With no daemon running, `daemon` is null and the rest empty.
#[derive(Debug, Default, Serialize)]
struct Report {
    daemon: Option<DaemonStatus>,
    memory_limit: Option<u64>,
    devices: Vec<DeviceStatus>,
    mounts: Vec<MountStatus>,
}

/// What to show.
enum What {
    All,
    Device(u32),
    Mount(PathBuf),
}

/// Shows the status. With `--json` a document is printed even where no daemon runs, and the
/// error is given besides.
///
/// # Errors
/// No daemon, or no such device or mount.
pub(crate) fn main(args: &StatusArgs, places: &Places) -> Result<(), CliError> {
    let what = what(args.what.as_deref(), places)?;
    match ask(&what, places) {
        Ok(report) if args.json => print_json(&report),
        Ok(Report {
            daemon: Some(daemon),
            devices,
            mounts,
            ..
        }) => match (&what, mounts.as_slice()) {
            (What::Mount(_), [mount]) => print(&mounts::details(mount)),
            _ => print(&table::format(&daemon, &devices, &mounts, args.verbose)),
        },
        Ok(Report { daemon: None, .. }) => Err(CliError::Answer),
        Err(error @ CliError::Client(ClientError::NoDaemon(_))) => {
            if args.json {
                print_json(&Report::default())?;
            }
            Err(error)
        }
        Err(error) => Err(error),
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

fn ask(what: &What, places: &Places) -> Result<Report, CliError> {
    let mut client = places.connect()?;
    let device = match what {
        What::Device(number) => Some(*number),
        What::All | What::Mount(_) => None,
    };
    let Response::Status { daemon, devices } = client.request(&Request::Status { device })? else {
        return Err(CliError::Answer);
    };
    let Response::Mounts {
        mut mounts,
        memory_limit,
    } = client.request(&Request::Mounts)?
    else {
        return Err(CliError::Answer);
    };
    let mut report = Report {
        daemon: Some(daemon),
        memory_limit,
        devices,
        mounts: Vec::new(),
    };
    match what {
        What::All => report.mounts = mounts,
        What::Device(_) => {}
        What::Mount(path) => {
            mounts.retain(|mount| Path::new(&mount.mountpoint) == path);
            if mounts.is_empty() {
                return Err(no_such_thing(&path.display().to_string(), places));
            }
            report.devices.clear();
            report.mounts = mounts;
        }
    }
    Ok(report)
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
/// Where writing fails.
pub(crate) fn print_json(report: &impl Serialize) -> Result<(), CliError> {
    let mut text = serde_json::to_string_pretty(report)
        .map_err(|e| CliError::Failed(format!("cannot write JSON: {e}")))?;
    text.push('\n');
    print(&text)
}

#[cfg(test)]
mod tests {
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

    /// Programs read these: a key may come, none may go.
    #[test]
    fn keys_of_the_document() {
        let report = Report {
            daemon: Some(daemon_status()),
            memory_limit: Some(1),
            devices: vec![device_status(0)],
            mounts: vec![MountStatus::default()],
        };
        let value = serde_json::to_value(&report).unwrap();
        assert_eq!(
            keys(&value),
            ["daemon", "devices", "memory_limit", "mounts"]
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
            "num_devices",
            "leases",
            "uptime_seconds",
            "warnings",
        ] {
            assert!(keys(&value["daemon"]).contains(&key), "{key}");
        }
        let device = &value["devices"][0];
        for key in [
            "number",
            "state",
            "node",
            "block_device",
            "swap",
            "disksize",
            "memlimit",
            "backing_swap",
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
            "recompress_in_vain",
            "recompress_cpu_ns",
        ] {
            assert!(keys(&device["stats"]).contains(&key), "{key}");
        }
    }

    #[test]
    fn no_daemon_is_null() {
        let value = serde_json::to_value(Report::default()).unwrap();
        let expected = serde_json::json!({
            "daemon": null, "memory_limit": null, "devices": [], "mounts": [],
        });
        assert_eq!(value, expected);
    }
}
