//! A device of the kernel driver, set up by its attributes or by the ioctls of the original
//! ([`control`]).
//!
//! Nothing here keeps state between two calls but what the user set on a device that is not
//! initialised yet: the driver has it all.

pub mod control;
mod report;
mod sysfs;
#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use compcache_engine::codec::UnknownCodec;
use compcache_engine::disk::{PAGE, sizes};
use compcache_engine::swap_header::{HeaderError, SwapHeader};
use compcache_engine::{CodecSpec, PAGE_SIZE};
use compcache_host::zswap::ZswapOn;
use parking_lot::Mutex;

use crate::backing_swap::{BackingSwap, resolve};
use crate::error::DeviceError;
use crate::freed::Freeing;
use crate::kernel::attributes::{
    self as attribute, COMP_ALGORITHM, DISKSIZE, IN_USE, INITSTATE, MEM_LIMIT, RECOMPRESS_AFTER,
    RECOMPRESS_ALGORITHM, RECOMPRESS_CPU, RESET, Setting,
};
use crate::kernel::{NAME, Root, ioctl};
use crate::params::{Params, ParamsUpdate};
use crate::settings::{BackingEncryption, ColdCodec};
use crate::status::{DeviceStatus, Driver, State, SwapUse};
use crate::swap;
use crate::swap_device::SwapDevice;
use crate::swapoff::{self, Executor};
use crate::warning::Warning;

/// How long a reset waits for whoever has the device open: udev looks at a device for a moment
/// after each change.
const RESET_PATIENCE: Duration = Duration::from_secs(2);
/// Pause between two tries.
const RESET_PAUSE: Duration = Duration::from_millis(20);

/// A device of the kernel driver. It has the parameters and the rules of
/// [`Device`](crate::Device); what it holds lives in the kernel, however this process ends.
#[derive(Debug)]
pub struct KernelDevice {
    number: u32,
    root: Root,
    /// What is written when the device is initialised. Innermost; several changes are kept apart by who makes
    /// them.
    pending: Mutex<Pending>,
}

/// What was set and the driver cannot be told before the device is initialised.
#[derive(Debug, Default)]
struct Pending {
    /// The size, since writing it initialises the device.
    disksize: Option<u64>,
    /// No memory limit: that it has none set means the default one beside a backing swap.
    no_memlimit: bool,
}

impl KernelDevice {
    /// The device of this number, whether the driver has it or not.
    #[must_use]
    pub fn new(number: u32, root: Root) -> Self {
        KernelDevice {
            number,
            root,
            pending: Mutex::default(),
        }
    }

    /// The devices that the driver has, by number.
    #[must_use]
    pub fn all(root: &Root) -> Vec<KernelDevice> {
        let device = |number| KernelDevice::new(number, root.clone());
        root.numbers().into_iter().map(device).collect()
    }

    fn name(&self) -> String {
        format!("{NAME}{}", self.number)
    }

    /// Whether the driver has it.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.root.has(self.number)
    }

    /// The path of its backing swap, byte for byte.
    ///
    /// # Errors
    /// Those of reading the attribute.
    pub fn backing_swap(&self) -> std::io::Result<Option<PathBuf>> {
        self.root.backing_swap_of(self.number)
    }

    /// The parameters that were set and can be seen: size, memory limit and backing swap.
    fn set_so_far(&self) -> ParamsUpdate {
        let some = |bytes: u64| Some(bytes).filter(|bytes| *bytes > 0);
        let pending = self.pending.lock();
        ParamsUpdate {
            disksize: pending.disksize.or(some(self.read_number(DISKSIZE))),
            memlimit: some(self.read_number(MEM_LIMIT)).or(pending.no_memlimit.then_some(0)),
            backing_swap: self.backing_swap().unwrap_or_default(),
            ..ParamsUpdate::default()
        }
    }

    /// These parameters, by the rules. An unknown codec is refused with those that the driver has.
    fn params(&self, update: &ParamsUpdate) -> Result<Params, DeviceError> {
        let here = |error: UnknownCodec| {
            let known = self.codecs();
            error.among(|id| known.is_empty() || known.iter().any(|name| name == id.name()))
        };
        Params::default().with(update).map_err(|error| match error {
            DeviceError::UnknownCodec(error) => DeviceError::UnknownCodec(here(error)),
            DeviceError::RecompressCodec(error) => DeviceError::RecompressCodec(here(error)),
            error => error,
        })
    }

    fn resolve(
        &self,
        params: &Params,
    ) -> Result<(crate::params::Resolved, Vec<Warning>), DeviceError> {
        let backing = match params.backing_swap.as_deref() {
            Some(path) => {
                ioctl::check_length(path)?;
                // Only looked at: the driver opens it itself.
                Some(BackingSwap::open(path)?)
            }
            None => None,
        };
        resolve(params, compcache_host::proc::ram_bytes(), backing.as_ref())
    }

    /// The settings that can change while the device is in use.
    fn live_settings(
        &self,
        update: &ParamsUpdate,
        params: &Params,
    ) -> Result<Vec<Setting>, DeviceError> {
        let mut settings = Vec::new();
        if let Some(codec) = params.codec.filter(|_| update.codec.is_some()) {
            self.check_codec(codec)?;
            settings.push(Setting::new(COMP_ALGORITHM, codec));
        }
        if let Some(codec) = params.recompress.filter(|_| update.recompress.is_some()) {
            if let ColdCodec::Codec(codec) = codec {
                self.check_codec(codec)?;
            }
            settings.push(Setting::new(RECOMPRESS_ALGORITHM, codec));
        }
        for (attribute, value) in [
            (RECOMPRESS_AFTER, update.recompress_after),
            (RECOMPRESS_CPU, update.recompress_cpu),
        ] {
            settings.extend(value.map(|value| Setting::new(attribute, value)));
        }
        Ok(settings)
    }

    /// The names of the codecs that the driver has; none if they cannot be read.
    fn codecs(&self) -> Vec<String> {
        let list = self.read(COMP_ALGORITHM).unwrap_or_default();
        let name = |word: &str| word.split(':').next().unwrap_or_default().to_owned();
        let mut known: Vec<_> = attribute::words(&list).map(name).collect();
        known.dedup();
        known
    }

    /// Refuses a codec that the driver does not have.
    fn check_codec(&self, codec: CodecSpec) -> Result<(), DeviceError> {
        let known = self.codecs();
        if known.is_empty() || known.iter().any(|known| known == codec.id().name()) {
            return Ok(());
        }
        Err(DeviceError::NotInKernel {
            codec: codec.to_string(),
            known: known.join(", "),
        })
    }

    /// What the driver can do here, as it says itself: words `NAME=VALUE`.
    #[must_use]
    pub fn features(&self) -> String {
        self.read(attribute::FEATURES).unwrap_or_default()
    }

    fn freeing(&self) -> Freeing {
        report::freeing(&self.features())
    }

    /// Its use as swap, by the kernel's table.
    fn swap_use(&self) -> Option<SwapUse> {
        let entry = swap::find(&self.node()).unwrap_or_else(|error| {
            tracing::warn!(device = %self.name(), "cannot read /proc/swaps: {error}");
            None
        });
        entry.map(SwapUse::from)
    }

    /// Writes a swap header, as `mkswap` would, if the first page holds nothing. What it holds is
    /// not overwritten.
    fn ensure_swap_header(&self) -> Result<(), DeviceError> {
        let failed = |e: io::Error| {
            DeviceError::system(
                format!("write the swap header of {}", self.name()),
                e,
                "only root may do this",
            )
        };
        let file = self.open().map_err(failed)?;
        let mut page = [0; PAGE_SIZE];
        file.read_exact_at(&mut page, 0).map_err(failed)?;
        let pages = self.read_number(DISKSIZE) / PAGE;
        match SwapHeader::check(&page, pages) {
            Ok(_) => return Ok(()),
            Err(_) if page.iter().all(|byte| *byte == 0) => {}
            Err(HeaderError::NoSignature) => {
                return Err(self.busy(
                    "it holds something else than swap; reset it, or prepare it with mkswap, and \
                     what it holds is lost",
                ));
            }
            Err(error) => return Err(self.busy(&error.to_string())),
        }
        let header = swap::fresh_header(pages, &self.name()).map_err(failed)?;
        file.write_all_at(&header.to_page(), 0).map_err(failed)?;
        file.sync_all().map_err(failed)
    }

    fn open(&self) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW)
            .open(self.node())
    }

    fn busy(&self, reason: &str) -> DeviceError {
        DeviceError::Busy {
            number: self.number,
            reason: reason.to_owned(),
        }
    }

    /// The driver says that something is busy: the device, if it is initialised, or else what it
    /// wants for its backing swap.
    fn taken(&self, action: &'static str) -> DeviceError {
        match self.backing_swap() {
            Ok(Some(path)) if !self.is_ready() => DeviceError::BackingBusy {
                path,
                user: IN_USE.to_owned(),
            },
            _ => self.already(action),
        }
    }

    /// Where the driver reports why it refused.
    fn log(&self) -> String {
        let number = self.number;
        format!("the driver says why in the kernel's log: dmesg | grep ramzswap{number}")
    }

    fn already(&self, action: &'static str) -> DeviceError {
        DeviceError::AlreadyInitialised {
            number: self.number,
            action,
        }
    }
}

/// Refuses what could be taken for encryption of the backing swap, which the driver has not.
fn check_encryption(update: &ParamsUpdate) -> Result<(), DeviceError> {
    match update.backing_encryption {
        None | Some(BackingEncryption::Off) => Ok(()),
        Some(choice) => Err(DeviceError::NoEncryptionInKernel { choice }),
    }
}

impl SwapDevice for KernelDevice {
    fn number(&self) -> u32 {
        self.number
    }

    fn node(&self) -> PathBuf {
        self.root.node(self.number)
    }

    fn hidden_by(&self) -> Option<PathBuf> {
        std::fs::read_link(self.node()).ok()
    }

    fn is_ready(&self) -> bool {
        self.read_number(INITSTATE) == 1
    }

    fn configure(&self, update: &ParamsUpdate) -> Result<Vec<Warning>, DeviceError> {
        check_encryption(update)?;
        if self.is_ready() {
            return Err(self.already("change its parameters"));
        }
        let params = self.params(&update.clone().or(self.set_so_far()))?;
        let warnings = self.resolve(&params)?.1;
        let mut settings = Vec::new();
        if let Some(path) = update.backing_swap.as_ref() {
            settings.push(Setting::backing_swap(Some(path)));
        }
        if update.memlimit.is_some() {
            settings.push(Setting::new(MEM_LIMIT, params.memlimit.unwrap_or(0)));
        }
        settings.extend(self.live_settings(update, &params)?);
        self.write_all(&settings)?;
        let mut pending = self.pending.lock();
        pending.disksize = params.disksize.or(pending.disksize);
        pending.no_memlimit = params.memlimit == Some(0);
        Ok(warnings)
    }

    fn init(&self) -> Result<Vec<Warning>, DeviceError> {
        if self.is_ready() {
            return Err(self.already("initialise it again"));
        }
        let set = self.set_so_far();
        let (resolved, mut warnings) = self.resolve(&self.params(&set)?)?;
        warnings.extend(ZswapOn::now().map(Warning::from));
        let mut settings = Vec::new();
        if let Some(memlimit) = resolved.memlimit.filter(|_| set.memlimit.is_none()) {
            settings.push(Setting::new(MEM_LIMIT, memlimit));
        }
        settings.push(Setting::new(DISKSIZE, resolved.disksize));
        self.write_all(&settings)?;
        let limited = match (set.memlimit, &set.backing_swap) {
            // It was given the default one.
            (Some(0), Some(_)) => self.write(&Setting::new(MEM_LIMIT, 0)),
            _ => Ok(()),
        };
        if let Err(error) = limited.and_then(|()| self.ensure_swap_header()) {
            if let Err(error) = self.reset() {
                tracing::error!("{error}");
            } else if let Err(error) = self.configure(&set) {
                tracing::error!("could not undo a failed change: {error}");
            }
            return Err(error);
        }
        *self.pending.lock() = Pending::default();
        Ok(warnings)
    }

    fn reset(&self) -> Result<(), DeviceError> {
        let start = Instant::now();
        loop {
            match self.write(&Setting::new(RESET, 1)) {
                Err(DeviceError::Busy { .. })
                    if start.elapsed() < RESET_PATIENCE && self.swap_use().is_none() =>
                {
                    std::thread::sleep(RESET_PAUSE);
                }
                Ok(()) => {
                    *self.pending.lock() = Pending::default();
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn set(&self, update: &ParamsUpdate) -> Result<Vec<Warning>, DeviceError> {
        check_encryption(update)?;
        if !self.is_ready() {
            let mut warnings = self.configure(update)?;
            warnings.push(Warning::NotInUse {
                number: self.number,
            });
            return Ok(warnings);
        }
        if update.disksize.is_some() || update.backing_swap.is_some() {
            return Err(self.already("change its size or its backing swap"));
        }
        let params = self.params(&update.clone().or(self.set_so_far()))?;
        let mut settings = Vec::new();
        if let Some(memlimit) = params.memlimit.filter(|_| update.memlimit.is_some()) {
            let disksize = self.read_number(DISKSIZE);
            if params.backing_swap.is_some() {
                sizes::limit_fits(memlimit, disksize)?;
            }
            settings.push(Setting::new(MEM_LIMIT, memlimit));
        }
        settings.extend(self.live_settings(update, &params)?);
        self.write_all(&settings)?;
        Ok(Vec::new())
    }

    fn swap_on(&self, priority: Option<i32>) -> Result<i32, DeviceError> {
        if !self.is_ready() {
            return Err(DeviceError::NotInitialised {
                number: self.number,
            });
        }
        if self.swap_use().is_some() {
            return Err(self.busy("it is swapped on already"));
        }
        // It may have been initialised without one, by its attributes.
        self.ensure_swap_header()?;
        // If the kernel notifies the driver of each slot that it frees, a discard says nothing new.
        let discard = self.freeing() == Freeing::ByCluster;
        swap::on_above_all(&self.node(), priority, discard)
            .map_err(|e| swap::errors::refused(&self.name(), e))
    }

    fn swap_off(&self, executor: &Executor<'_>) -> Result<(), DeviceError> {
        swapoff::swap_off(self.number, &self.node(), executor)
    }

    fn status(&self) -> DeviceStatus {
        let ready = self.is_ready();
        let text = |attribute| self.read(attribute).unwrap_or_default();
        let params = self.set_so_far();
        let listed = text(COMP_ALGORITHM);
        let codec = attribute::chosen(&listed);
        let recompress = text(RECOMPRESS_ALGORITHM);
        let number = |attribute| u32::try_from(self.read_number(attribute)).unwrap_or(0);
        DeviceStatus {
            number: self.number,
            driver: Driver::Kernel,
            state: if ready { State::Ready } else { State::New },
            node: self.node(),
            block_device: ready.then(|| self.node()),
            transport: ready.then(|| "kernel".to_owned()),
            error: None,
            dead_slots: ready.then(|| self.freeing()),
            swap: self.swap_use().filter(|_| ready),
            disksize: self.read_number(DISKSIZE),
            memlimit: Some(self.read_number(MEM_LIMIT)).filter(|bytes| *bytes > 0),
            backing_encryption: (ready && params.backing_swap.is_some()).then(|| "off".to_owned()),
            backing_swap: params.backing_swap.clone(),
            params,
            codec: codec
                .parse::<CodecSpec>()
                .map_or_else(|_| codec.to_owned(), |codec| codec.to_string()),
            recompress: attribute::chosen(&recompress).to_owned(),
            recompress_after: number(RECOMPRESS_AFTER),
            recompress_cpu: number(RECOMPRESS_CPU),
            stats: if ready {
                report::stats(&text(attribute::STATS), &text(attribute::LATENCY))
            } else {
                Default::default()
            },
        }
    }

    fn memory(&self) -> u64 {
        let status = self.status();
        match status.state {
            State::New => 0,
            State::Ready => status.stats.store.memory_bytes(),
        }
    }
}
