//! How far the kernel reads ahead on the mount: as far as it does on SOURCE, within what one
//! request holds.

use std::fs;
use std::io;
use std::path::Path;

/// What Linux reads ahead on FUSE by itself, in KiB.
const LEAST: u64 = 128;

/// What one request holds, in KiB.
const MOST: u64 = 1024;

/// Makes the kernel read ahead on the mount as far as on SOURCE. Where it cannot be told, which
/// needs root and sysfs, it reads ahead less far.
pub(super) fn follow(mountpoint: &Path, source: u64) {
    if let Err(e) = try_to_follow(mountpoint, source) {
        tracing::debug!(
            "the kernel reads ahead {LEAST} KiB on {}: {e}",
            mountpoint.display()
        );
    }
}

fn try_to_follow(mountpoint: &Path, source: u64) -> io::Result<()> {
    let device = format!(
        "{}:{}",
        rustix::fs::major(source),
        rustix::fs::minor(source)
    );
    let theirs = fs::read_to_string(setting(&device))
        // A partition's is that of its disk.
        .or_else(|_| fs::read_to_string(format!("/sys/dev/block/{device}/../bdi/read_ahead_kb")))?;
    let wanted = within(theirs.trim().parse().unwrap_or(LEAST));
    // Not by stat(2), which would ask ourselves.
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let ours = device_of(&mounts, mountpoint).ok_or(io::ErrorKind::NotFound)?;
    if wanted > LEAST {
        fs::write(setting(ours), wanted.to_string())?;
    }
    Ok(())
}

fn within(kib: u64) -> u64 {
    kib.clamp(LEAST, MOST)
}

fn setting(device: &str) -> String {
    format!("/sys/class/bdi/{device}/read_ahead_kb")
}

/// The device number of what was mounted last at a path, as mountinfo has it.
fn device_of<'a>(mounts: &'a str, mountpoint: &Path) -> Option<&'a str> {
    let mountpoint = mountpoint.to_str()?;
    mounts.lines().rev().find_map(|line| {
        let mut words = line.split(' ').skip(2);
        let device = words.next()?;
        (unescape(words.nth(1)?) == mountpoint).then_some(device)
    })
}

/// A path in mountinfo, whose blanks and the like are octal numbers.
fn unescape(path: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(path.to_owned(), |path, (from, to)| path.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mount_at_a_path_counts() {
        let mounts = "36 35 98:0 / /mnt rw - ext4 /dev/sda1 rw\n\
                      37 35 0:50 / /mnt\\040two rw - fuse.compcache /srv rw\n\
                      38 35 0:51 / /mnt rw - fuse.compcache /srv rw\n";
        assert_eq!(device_of(mounts, Path::new("/mnt")), Some("0:51"));
        assert_eq!(device_of(mounts, Path::new("/mnt two")), Some("0:50"));
        assert_eq!(device_of(mounts, Path::new("/other")), None);
    }

    #[test]
    fn it_is_neither_less_than_usual_nor_more_than_a_request() {
        assert_eq!([0, 128, 512, 8192].map(within), [128, 128, 512, 1024]);
    }
}
