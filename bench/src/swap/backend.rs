//! Swap areas: the peers', and ours.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use compcache_device::swap;
use compcache_device::swap_header::SwapHeader;
use compcache_engine::PAGE_SIZE;
use compcache_host::proc;
use fs_err::{self as fs, OpenOptions};
use tempfile::NamedTempFile;

use crate::daemon::Daemon;
use crate::held::Held;
use crate::ours::Policy;
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

/// A swap area above all others. Swapped off and taken down when it is dropped.
#[derive(Debug)]
pub(crate) enum Area {
    Ram,
    Zram(On, Zram),
    /// In a file with zswap before it; and what zswap held before that. The fields are dropped in
    /// their order: swapped off first.
    Zswap {
        on: On,
        _zswap: Zswap,
        _file: NamedTempFile,
        before: Held,
    },
    File {
        on: On,
        _file: NamedTempFile,
    },
    Ours(Box<Daemon>),
}

impl Area {
    /// Makes an area of `bytes` (whole pages) and swaps it on; files are made in `directory`.
    pub(crate) fn new(backend: &Backend, bytes: u64, directory: &Path) -> Result<Area> {
        Ok(match backend {
            Backend::Ram => Area::Ram,
            Backend::Zram(algorithm) => {
                let zram = Zram::new(algorithm, bytes)?;
                write_header(&zram.node(), bytes)?;
                Area::Zram(On::new(&zram.node(), true)?, zram)
            }
            Backend::Zswap => {
                let file = swap_file(directory, bytes)?;
                let before = zswap_held()?;
                // Enabled before anything is swapped, disabled after all is back.
                let zswap = Zswap::enable()?;
                Area::Zswap {
                    on: On::new(file.path(), false)?,
                    _zswap: zswap,
                    _file: file,
                    before,
                }
            }
            Backend::File => {
                let file = swap_file(directory, bytes)?;
                Area::File {
                    on: On::new(file.path(), false)?,
                    _file: file,
                }
            }
            Backend::Ours(policy) => {
                let mut daemon = Daemon::start(*policy)?;
                daemon.swap_on(bytes)?;
                Area::Ours(Box::new(daemon))
            }
        })
    }

    pub(crate) fn server(&self) -> Option<u32> {
        match self {
            Area::Ours(daemon) => Some(daemon.pid()),
            _ => None,
        }
    }

    pub(crate) fn memory(&mut self) -> Result<Held> {
        match self {
            Area::Ram | Area::File { .. } => Ok(Held::default()),
            Area::Zram(_, zram) => zram.held(),
            Area::Zswap { before, .. } => {
                let now = zswap_held()?;
                let pool = now.pool.saturating_sub(before.pool);
                Ok(Held {
                    original: now.original.saturating_sub(before.original),
                    compressed: pool,
                    pool,
                    all: pool,
                })
            }
            Area::Ours(daemon) => daemon.held(),
        }
    }

    /// Checks that the area is swapped on, above every other, and holds no more than `bytes`:
    /// that the pages in question lie here, and no others.
    pub(crate) fn check(&mut self, bytes: u64) -> Result<()> {
        let path = match self {
            Area::Ram => return Ok(()),
            Area::Zram(on, _) | Area::Zswap { on, .. } | Area::File { on, .. } => on.0.clone(),
            Area::Ours(daemon) => daemon.device()?.block_device.context("it is not ready")?,
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
    fn new(path: &Path, discard: bool) -> Result<On> {
        swap::on_above_all(path, None, discard)
            .with_context(|| format!("cannot swap on {}", path.display()))?;
        Ok(On(path.to_owned()))
    }
}

impl Drop for On {
    fn drop(&mut self) {
        if let Err(error) = swap::off(&self.0) {
            let path = self.0.display();
            eprintln!("compcache-bench: cannot swap off {path}: {error}; do it with swapoff(8)");
        }
    }
}

/// zswap, switched on; as it was before when this is dropped.
#[derive(Debug)]
pub(crate) struct Zswap(String);

impl Zswap {
    fn enable() -> Result<Zswap> {
        let before = zswap("enabled")?;
        let zswap = Zswap(before);
        zswap.set("Y").context("cannot switch zswap on")?;
        Ok(zswap)
    }

    fn set(&self, value: &str) -> std::io::Result<()> {
        fs::write(Path::new(ZSWAP).join("enabled"), value)
    }
}

impl Drop for Zswap {
    fn drop(&mut self) {
        if let Err(error) = self.set(&self.0) {
            let before = &self.0;
            eprintln!("compcache-bench: cannot set zswap's `enabled` back to {before}: {error}");
        }
    }
}

fn zswap(parameter: &str) -> Result<String> {
    Ok(fs::read_to_string(Path::new(ZSWAP).join(parameter))?
        .trim()
        .to_owned())
}

/// What zswap holds, all files together; of its memory only the pool is known.
fn zswap_held() -> Result<Held> {
    let text = proc::read(Path::new("/proc/meminfo"))?;
    let bytes = |key| proc::value(&text, key).unwrap_or(0) << 10;
    let pool = bytes("Zswap");
    Ok(Held {
        original: bytes("Zswapped"),
        compressed: pool,
        pool,
        all: pool,
    })
}

/// A file of `bytes` without holes, with a swap header.
fn swap_file(directory: &Path, bytes: u64) -> Result<NamedTempFile> {
    let file = tempfile::Builder::new()
        .prefix("compcache-bench-swap-")
        .tempfile_in(directory)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)
        .with_context(|| format!("no room for {bytes} bytes in {}", directory.display()))?;
    write_header(file.path(), bytes)?;
    Ok(file)
}

fn write_header(path: &Path, bytes: u64) -> Result<()> {
    let header = SwapHeader::fresh(bytes / PAGE_SIZE as u64, [0; 16], "bench");
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(&header.to_page())?;
    Ok(file.sync_all()?)
}
