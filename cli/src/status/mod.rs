//! `compcache status`: the daemon and its devices, for people and for programs.

mod table;

use compcache_device::DeviceStatus;
use compcached::ClientError;
use compcached::protocol::{DaemonStatus, Request, Response};
use serde::Serialize;

use crate::device_name;
use crate::env::{Places, print};
use crate::error::CliError;

/// What to try, shown by `--help` and in the man page.
pub(crate) const EXAMPLES: &str = "\
compcache status
compcache status --verbose /dev/ramzswap0
compcache status --json | jq '.devices[].stats.compr_bytes'";

/// Options of `compcache status`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// The device, /dev/ramzswapN or ramzswapN [default: all]
    #[arg(value_name = "DEVICE")]
    device: Option<String>,

    /// Print JSON; its keys are described in compcache-status(1)
    #[arg(short, long)]
    json: bool,

    /// Show the details of each device
    #[arg(short, long, conflicts_with = "json")]
    verbose: bool,
}

/// The JSON document. With no daemon running, `daemon` is null and `devices` empty.
#[derive(Debug, Serialize)]
struct Report {
    daemon: Option<DaemonStatus>,
    devices: Vec<DeviceStatus>,
}

/// Shows the status. With `--json` a document is printed even where no daemon runs, and the
/// error is given besides.
///
/// # Errors
/// No daemon, or no such device.
pub(crate) fn main(args: &StatusArgs, places: &Places) -> Result<(), CliError> {
    let device = match &args.device {
        Some(name) => Some(device_name::number(name, &places.dev_dir)?),
        None => None,
    };
    let answer = places.connect().and_then(|mut client| {
        match client.request(&Request::Status { device })? {
            Response::Status { daemon, devices } => Ok((daemon, devices)),
            _ => Err(CliError::Answer),
        }
    });
    match answer {
        Ok((daemon, devices)) if args.json => print_json(&Report {
            daemon: Some(daemon),
            devices,
        }),
        Ok((daemon, devices)) => print(&table::format(&daemon, &devices, args.verbose)),
        Err(error @ CliError::Client(ClientError::NoDaemon(_))) => {
            if args.json {
                print_json(&Report {
                    daemon: None,
                    devices: Vec::new(),
                })?;
            }
            Err(error)
        }
        Err(error) => Err(error),
    }
}

fn print_json(report: &Report) -> Result<(), CliError> {
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
            devices: vec![device_status(0)],
        };
        let value = serde_json::to_value(&report).unwrap();
        assert_eq!(keys(&value), ["daemon", "devices"]);
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
        let value = serde_json::to_value(Report {
            daemon: None,
            devices: Vec::new(),
        })
        .unwrap();
        assert_eq!(value, serde_json::json!({"daemon": null, "devices": []}));
    }
}
