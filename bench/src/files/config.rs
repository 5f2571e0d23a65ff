//! How much is done, and with what.

use super::data::Store;
use super::disk::Disk;
use crate::report::Common;

#[derive(Debug)]
pub(crate) struct Config<'a> {
    pub(super) store: &'a Store,
    /// The disk that they are on, if it is to be throttled.
    pub(super) disk: Option<Disk>,
    /// Bytes of memory for all processes.
    pub(super) limit: u64,
    /// Bytes that the cache of our mount may take.
    pub(super) cache: u64,
    /// How many times as much is done as by default.
    pub(super) scale: f64,
    pub(super) common: Common,
}

impl Config<'_> {
    /// `number` of something, scaled, 1 at least; a hundredth in a quick run.
    pub(super) fn scaled(&self, number: u64) -> u64 {
        let scale = self.common.choose(0.01, self.scale);
        ((number as f64 * scale) as u64).max(1)
    }

    /// How often something is done again after the first time.
    pub(super) fn again(&self, times: usize) -> usize {
        self.common.choose(1, times)
    }
}
