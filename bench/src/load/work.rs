//! What a load does when it is asked to, and what it replies.

use anyhow::Result;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) seconds: f64,
    /// Processor time of the process, faults included, in nanoseconds.
    pub(crate) cpu_ns: u64,
    /// Faults that had to read from a disk or a swap area.
    pub(crate) major_faults: u64,
    /// The time of each first touch or read of a page; nothing if these were not taken.
    pub(crate) times: Histogram,
    /// The checksum of the file written so far; 0 of none.
    pub(crate) written: u64,
}

pub(super) trait Load {
    type Request: DeserializeOwned;

    /// Makes what a request needs, before time counts.
    fn prepare(&mut self, _request: &Self::Request) -> Result<()> {
        Ok(())
    }

    /// Does what is asked for. Fails if something is not what it must be.
    fn work(&mut self, request: &Self::Request, times: &mut Histogram) -> Result<()>;

    /// See [`Reply::written`].
    fn written(&self) -> u64 {
        0
    }
}
