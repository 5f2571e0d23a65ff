//! How far the kernel reads ahead on the mount: as far as it does on SOURCE, within what one
//! request holds.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use compcache_host::proc;

use super::point::Mounted;

/// What Linux reads ahead on FUSE by itself, in KiB.
const LEAST: u64 = 128;

/// What one request holds, in KiB.
const MOST: u64 = 1024;

/// Makes the kernel read ahead on the mount as far as on SOURCE. If it cannot be told, which
/// needs root and sysfs, it reads ahead less far.
pub(super) fn follow(mounted: &Mounted, source: u64) {
    if let Err(e) = try_to_follow(mounted, source) {
        tracing::debug!(
            "the kernel reads ahead {LEAST} KiB on {}: {e}",
            mounted.path().display()
        );
    }
}

fn try_to_follow(mounted: &Mounted, source: u64) -> io::Result<()> {
    let device = format!(
        "{}:{}",
        rustix::fs::major(source),
        rustix::fs::minor(source)
    );
    let of_the_disk = format!("/sys/dev/block/{device}/../bdi/read_ahead_kb");
    let theirs = proc::read(&setting(&device))
        // A partition's is that of its disk.
        .or_else(|_| proc::read(Path::new(&of_the_disk)))?;
    let wanted = within(proc::number(&theirs).unwrap_or(LEAST));
    if wanted > LEAST {
        fs::write(setting(&mounted.device), wanted.to_string())?;
    }
    Ok(())
}

fn within(kib: u64) -> u64 {
    kib.clamp(LEAST, MOST)
}

fn setting(device: &str) -> PathBuf {
    format!("/sys/class/bdi/{device}/read_ahead_kb").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_neither_less_than_usual_nor_more_than_a_request() {
        assert_eq!([0, 128, 512, 8192].map(within), [128, 128, 512, 1024]);
    }
}
