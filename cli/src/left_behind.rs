//! Swap areas of a daemon that was killed, which no daemon knows about.

use compcache_device::recover::left_behind;
use compcached::ClientError;

use crate::env::{Places, warn};
use crate::error::CliError;

/// Names them in warnings, if `result` is that no daemon runs.
pub(crate) fn warn_of_them<T>(result: &Result<T, CliError>, places: &Places) {
    if !matches!(result, Err(CliError::Client(ClientError::NoDaemon(_)))) {
        return;
    }
    match left_behind(&places.runtime_dir) {
        Ok(areas) => warn("compcache", &areas),
        Err(error) => warn("compcache", &[error]),
    }
}
