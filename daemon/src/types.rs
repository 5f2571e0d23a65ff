//! Types of devices that travel in the control protocol.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Parameters of a device that a request sets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParamsUpdate {
    /// Disk size in bytes.
    pub disksize: Option<u64>,
    /// Memory limit in bytes.
    pub memlimit: Option<u64>,
    /// Path of the backing swap.
    pub backing_swap: Option<PathBuf>,
    /// Codec, `NAME` or `NAME:LEVEL`.
    pub codec: Option<String>,
}

/// A device's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceStatus {
    /// The device's number.
    pub number: u32,
}
