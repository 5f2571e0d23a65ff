//! Swap areas: the peers', and ours.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use compcache_device::swap;
use compcache_engine::PAGE_SIZE;
use compcache_engine::swap_header::SwapHeader;
use compcache_host::meminfo::Meminfo;
use fs_err::{self as fs, OpenOptions};
use tempfile::NamedTempFile;

use crate::daemon::Daemon;
use crate::held::Held;
use crate::ours::Policy;
use crate::report::complain;
use crate::zram::Zram;

const ZSWAP: &str = "/sys/module/zswap/parameters";

/// What takes the pages that do not fit.
#[derive(Clone, Debug)]
pub(crate) enum Backend {
    /// Nothing: all of them fit.
    Ram,
    Zram(String),
    /// zswap with its compressor as it is set up, over a file.
    Zswap,
    File,
    Ours(Policy),
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Backend::Ram => f.write_str("enough RAM"),
            Backend::Zram(algorithm) => write!(f, "zram {algorithm}"),
            Backend::Zswap => write!(f, "zswap {}", zswap("compressor").unwrap_or_default()),
            Backend::File => f.write_str("swap file"),
            Backend::Ours(policy) => write!(f, "{policy}"),
        }
    }
}

pub(crate) fn has_zswap() -> bool {
    Path::new(ZSWAP).exists()
}

/// A swap area above all others. Taken down when it is dropped, the fields in their order: swapped
/// off first.
#[derive(Debug)]
pub(crate) struct Area {
    /// Nothing if there is none, or the daemon does that.
    on: Option<On>,
    behind: Behind,
    _file: Option<NamedTempFile>,
}

/// What keeps the pages of an area, beside a disk.
#[derive(Debug)]
enum Behind {
    Nothing,
    Zram(Zram),
    Zswap(Zswap),
    Ours(Box<Daemon>),
}

impl Area {
    /// Makes an area of `bytes` (whole pages) and swaps it on; files are made in `directory`.
    pub(crate) fn new(backend: &Backend, bytes: u64, directory: &Path) -> Result<Area> {
        let behind = match backend {
            Backend::Ram | Backend::File => Behind::Nothing,
            Backend::Zram(algorithm) => Behind::Zram(Zram::new(algorithm, bytes)?),
            // Enabled before anything is swapped, disabled after all is back.
            Backend::Zswap => Behind::Zswap(Zswap::enable()?),
            Backend::Ours(policy) => {
                let mut daemon = Daemon::start(*policy)?;
                daemon.swap_on(bytes)?;
                Behind::Ours(Box::new(daemon))
            }
        };
        let in_file = matches!(backend, Backend::Zswap | Backend::File);
        let file = in_file.then(|| swap_file(directory, bytes)).transpose()?;
        let on = match (&behind, &file) {
            (Behind::Zram(zram), _) => Some(On::new(&zram.node(), bytes, true)?),
            (_, Some(file)) => Some(On::new(file.path(), bytes, false)?),
            _ => None,
        };
        Ok(Area {
            on,
            behind,
            _file: file,
        })
    }

    pub(crate) fn server(&self) -> Option<u32> {
        match &self.behind {
            Behind::Ours(daemon) => Some(daemon.pid()),
            _ => None,
        }
    }

    pub(crate) fn memory(&mut self) -> Result<Held> {
        match &mut self.behind {
            Behind::Nothing => Ok(Held::default()),
            Behind::Zram(zram) => zram.held(),
            Behind::Zswap(zswap) => zswap.held(),
            Behind::Ours(daemon) => daemon.held(),
        }
    }

    /// Checks that the area is swapped on, above every other, and holds no more than `bytes`:
    /// that the pages in question lie here, and no others.
    pub(crate) fn check(&mut self, bytes: u64) -> Result<()> {
        let path = match (&self.on, &mut self.behind) {
            (Some(on), _) => on.0.clone(),
            (None, Behind::Ours(daemon)) => {
                daemon.device()?.block_device.context("it is not ready")?
            }
            _ => return Ok(()),
        };
        let own = swap::find(&path)?.context("it is not swapped on")?;
        let all = swap::active()?;
        let above = all.iter().filter(|other| other.priority >= own.priority);
        ensure!(
            above.count() == 1 && own.used_bytes <= bytes,
            "somebody else swaps meanwhile ({} MiB lie in the area): measure on a machine of \
             your own",
            own.used_bytes >> 20
        );
        Ok(())
    }
}

/// An area that is swapped on, by its path.
#[derive(Debug)]
pub(crate) struct On(PathBuf);

impl On {
    /// Swaps on a file or a device of `bytes`: whatever it holds is lost.
    fn new(path: &Path, bytes: u64, discard: bool) -> Result<On> {
        let header = SwapHeader::fresh(bytes / PAGE_SIZE as u64, [0; 16], "bench");
        let mut file = OpenOptions::new().write(true).open(path)?;
        file.write_all(&header.to_page())?;
        file.sync_all()?;
        swap::on_above_all(path, None, discard)
            .with_context(|| format!("cannot swap on {}", path.display()))?;
        Ok(On(path.to_owned()))
    }
}

impl Drop for On {
    fn drop(&mut self) {
        let path = self.0.display();
        let why = || format!("cannot swap off {path}, do it with swapoff(8)");
        complain(swap::off(&self.0).with_context(why));
    }
}

/// zswap, switched on; as it was before when this is dropped.
#[derive(Debug)]
pub(crate) struct Zswap {
    enabled_before: String,
    held_before: [u64; 2],
}

impl Zswap {
    fn enable() -> Result<Zswap> {
        let zswap = Zswap {
            enabled_before: zswap("enabled")?,
            held_before: zswap_held()?,
        };
        zswap.set("Y").context("cannot switch zswap on")?;
        Ok(zswap)
    }

    fn set(&self, value: &str) -> std::io::Result<()> {
        fs::write(Path::new(ZSWAP).join("enabled"), value)
    }

    /// What it holds beside what it held before; of its memory only the pool is known.
    fn held(&self) -> Result<Held> {
        let now = zswap_held()?;
        let [original, pool] = [0, 1].map(|at| now[at].saturating_sub(self.held_before[at]));
        Ok(Held {
            original,
            compressed: pool,
            pool,
            all: pool,
        })
    }
}

impl Drop for Zswap {
    fn drop(&mut self) {
        let before = &self.enabled_before;
        let why = || format!("cannot set zswap's `enabled` back to {before}");
        complain(self.set(before).with_context(why));
    }
}

fn zswap(parameter: &str) -> Result<String> {
    Ok(fs::read_to_string(Path::new(ZSWAP).join(parameter))?
        .trim()
        .to_owned())
}

/// Bytes of pages that zswap holds, all files together, and of its pool.
fn zswap_held() -> Result<[u64; 2]> {
    let meminfo = Meminfo::read()?;
    Ok(["Zswapped", "Zswap"].map(|key| meminfo.bytes(key).unwrap_or(0)))
}

/// A file of `bytes` without holes.
fn swap_file(directory: &Path, bytes: u64) -> Result<NamedTempFile> {
    let file = tempfile::Builder::new()
        .prefix("compcache-bench-swap-")
        .tempfile_in(directory)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)
        .with_context(|| format!("no room for {bytes} bytes in {}", directory.display()))?;
    Ok(file)
}
