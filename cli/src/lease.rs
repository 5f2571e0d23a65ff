//! A ramzswap device that is swapped on for as long as a program of ours runs.

use std::path::{Path, PathBuf};

use compcache_device::status::Driver;
use compcache_device::{KernelDevice, ParamsUpdate, SwapDevice as _};
use compcache_engine::stats::Stats;
use compcached::protocol::{ErrorCode, Request, Response};
use compcached::types::DriverChoice;
use compcached::{Client, ClientError};

use crate::env::{Places, warn};
use crate::error::CliError;

/// A leased device of either driver. It is swapped off and reset by [`Lease::end`], and also when
/// this process dies, since the daemon then sees the connection close.
#[derive(Debug)]
pub(crate) struct Lease {
    /// Holds the lease; used for nothing else, since its end may take long.
    holder: Client,
    source: Source,
    node: PathBuf,
    peak: Sample,
    first: Stats,
    shared: bool,
}

/// Who is asked while the lease lasts.
#[derive(Debug)]
struct Source {
    daemon: Client,
    device: Whose,
}

/// Who knows what the device holds.
#[derive(Debug)]
enum Whose {
    /// The daemon, of its device with this number.
    Daemon(u32),
    /// The kernel driver.
    Kernel(KernelDevice),
}

/// What a device held at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Pages kept, those of one repeated word included.
    pub pages: u64,
    /// Bytes of their compressed form.
    pub compressed: u64,
    /// Bytes of memory that the device took for them: the pool, without its reserve.
    pub memory: u64,
}

impl Sample {
    fn of(stats: &Stats) -> Self {
        Sample {
            pages: stats.pages(),
            compressed: stats.compr_bytes,
            memory: stats.pool_bytes.saturating_sub(stats.reserve_bytes),
        }
    }

    /// Bytes of the pages before they were compressed.
    #[must_use]
    pub(crate) fn original(&self) -> u64 {
        self.pages * 4096
    }

    /// How many times smaller the pages became; `None` if nothing was compressed.
    #[must_use]
    pub(crate) fn ratio(&self) -> Option<f64> {
        (self.compressed > 0).then(|| self.original() as f64 / self.compressed as f64)
    }
}

impl Lease {
    /// Has the daemon (started if need be) swap on a device of the driver that is used; `what` is
    /// the command's name for messages. A device that is made for it has `default_size` bytes, if
    /// `params` names no size; one that other leases use already is shared with them.
    ///
    /// # Errors
    /// [`CliError::NotRoot`], [`CliError::Client`], [`CliError::NoKernelDriver`].
    pub(crate) fn take(
        places: &Places,
        what: &'static str,
        params: ParamsUpdate,
        default_size: Option<u64>,
    ) -> Result<Self, CliError> {
        let choice = places.driver(true)?;
        let mut holder = places.connect_or_spawn(what)?;
        let mut driver = match choice.is_kernel() {
            true => Driver::Kernel,
            false => Driver::User,
        };
        let mut take = |driver| {
            let params = params.clone();
            holder.request(&Request::Lease {
                params,
                default_size,
                driver,
            })
        };
        let response = match take(driver) {
            Err(ClientError::Refused(refusal))
                if driver == Driver::Kernel
                    && choice.choice == DriverChoice::Auto
                    && refusal.code == ErrorCode::Enospc =>
            {
                let text = format!("a device in userspace is used: {}", refusal.message);
                warn("compcache", &[text]);
                driver = Driver::User;
                take(driver)?
            }
            response => response?,
        };
        let Response::SwappedOn {
            device,
            node,
            warnings,
            ..
        } = response
        else {
            return Err(CliError::Answer);
        };
        warn("compcache", &warnings);
        let mut source = Source {
            daemon: places.connect()?,
            device: match driver {
                Driver::Kernel => Whose::Kernel(KernelDevice::new(device, places.kernel.clone())),
                Driver::User => Whose::Daemon(device),
            },
        };
        let (first, holders) = source.stats()?;
        Ok(Lease {
            holder,
            source,
            node,
            peak: Sample::default(),
            first,
            shared: holders > 1,
        })
    }

    /// The device's node.
    #[must_use]
    pub(crate) fn node(&self) -> &Path {
        &self.node
    }

    /// Asks what the device holds now, and remembers it if it is more than ever before.
    ///
    /// # Errors
    /// [`CliError::Client`] if the daemon does not answer.
    pub(crate) fn sample(&mut self) -> Result<Sample, CliError> {
        let (stats, holders) = self.source.stats()?;
        self.shared |= holders > 1;
        let sample = Sample::of(&stats);
        if sample.pages > self.peak.pages {
            self.peak = sample.clone();
        }
        Ok(sample)
    }

    /// What the device held when [`Lease::sample`] saw it fullest.
    #[must_use]
    pub(crate) fn peak(&self) -> &Sample {
        &self.peak
    }

    /// Whether others have leased the device, too, when it was asked about.
    #[must_use]
    pub(crate) fn is_shared(&self) -> bool {
        self.shared
    }

    /// Pages read from and written to the device since the lease began.
    ///
    /// # Errors
    /// [`CliError::Client`] if the daemon does not answer.
    pub(crate) fn traffic(&mut self) -> Result<(u64, u64), CliError> {
        let (now, _) = self.source.stats()?;
        Ok((
            now.reads.saturating_sub(self.first.reads),
            now.writes.saturating_sub(self.first.writes),
        ))
    }

    /// Swaps the device off and resets it, unless others lease it too, and waits for that.
    ///
    /// # Errors
    /// [`CliError::Client`], among others if its pages do not fit back into memory.
    pub(crate) fn end(mut self) -> Result<(), CliError> {
        match self.holder.request(&Request::Release)? {
            Response::Done { warnings } => {
                warn("compcache", &warnings);
                Ok(())
            }
            _ => Err(CliError::Answer),
        }
    }
}

impl Source {
    /// What the device holds, and how many lease it.
    fn stats(&mut self) -> Result<(Stats, u32), CliError> {
        let device = match self.device {
            Whose::Daemon(number) => Some(number),
            Whose::Kernel(_) => None,
        };
        let Response::Status { daemon, devices } =
            self.daemon.request(&Request::Status { device })?
        else {
            return Err(CliError::Answer);
        };
        let of_kernel = daemon.kernel_lease.map_or(0, |lease| lease.holders);
        match &self.device {
            Whose::Kernel(device) => Ok((device.status().stats.store, of_kernel)),
            Whose::Daemon(number) => {
                let status = devices.into_iter().find(|status| status.number == *number);
                let stats = status.ok_or(CliError::Answer)?.stats.store;
                Ok((stats, daemon.leases.saturating_sub(of_kernel)))
            }
        }
    }
}
