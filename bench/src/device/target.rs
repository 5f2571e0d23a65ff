//! Block devices to be measured.

use std::path::{Path, PathBuf};

use anyhow::Result;
use compcache_engine::CodecSpec;

use crate::daemon::Daemon;
use crate::zram::Zram;

/// A device that can be had.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A zram device with an algorithm.
    Zram(String),
    /// One that is there already, and what it is called.
    Given(String, PathBuf),
    /// Ours with a codec.
    Ours(CodecSpec),
}

impl Kind {
    /// Its name in tables.
    pub(crate) fn name(&self) -> String {
        match self {
            Kind::Zram(algorithm) => format!("zram {algorithm}"),
            Kind::Given(name, _) => name.clone(),
            Kind::Ours(codec) => format!("ours {codec}"),
        }
    }
}

/// A device. When it is dropped, what was made is gone.
#[derive(Debug)]
pub(crate) struct Target {
    node: PathBuf,
    _owner: Owner,
}

/// What keeps a device there.
#[derive(Debug)]
enum Owner {
    Zram { _zram: Zram },
    Nobody,
    Daemon { _daemon: Daemon },
}

impl Target {
    /// A device of `bytes`, or the one that was given.
    ///
    /// # Errors
    /// Where the system lacks what it needs.
    pub(crate) fn new(kind: &Kind, bytes: u64) -> Result<Target> {
        let (node, _owner) = match kind {
            Kind::Zram(algorithm) => {
                let zram = Zram::new(algorithm, bytes)?;
                (zram.node(), Owner::Zram { _zram: zram })
            }
            Kind::Given(_, node) => (node.clone(), Owner::Nobody),
            Kind::Ours(codec) => {
                let mut daemon = Daemon::start()?;
                let node = daemon.make_disk(bytes, &codec.to_string())?;
                (node, Owner::Daemon { _daemon: daemon })
            }
        };
        Ok(Target { node, _owner })
    }

    /// Its block device.
    pub(crate) fn node(&self) -> &Path {
        &self.node
    }
}
