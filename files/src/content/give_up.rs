//! Giving a mount's dirty pages up, and saying in the log which they are.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use compcache_engine::disk::PAGE;

use super::file_content::Content;
use super::loss::Loss;
use super::table::Contents;

/// The most files that are named in the log, those that lose most first.
const NAMED: usize = 50;

/// The most ranges that are named of one file.
const RANGES: usize = 8;

/// What one file loses.
#[derive(Debug, PartialEq, Eq)]
struct LostFile {
    /// Its path below the directory that is shown, or what is known instead.
    path: PathBuf,
    bytes: u64,
    /// First and last byte of each range, in order: the first [`RANGES`] of them.
    ranges: Vec<(u64, u64)>,
    more_ranges: usize,
}

impl LostFile {
    /// Of a file of `size` bytes with these dirty pages, in order.
    fn new(path: PathBuf, size: u64, pages: impl Iterator<Item = u64>) -> Self {
        let mut lost = LostFile {
            path,
            bytes: 0,
            ranges: Vec::new(),
            more_ranges: 0,
        };
        // Where the last range ends, be it named or not.
        let mut end = None;
        for page in pages {
            let (start, next) = (page * PAGE, ((page + 1) * PAGE).min(size));
            if next <= start {
                continue;
            }
            lost.bytes += next - start;
            if end != Some(start) {
                if lost.ranges.len() < RANGES {
                    lost.ranges.push((start, next - 1));
                } else {
                    lost.more_ranges += 1;
                }
            } else if lost.more_ranges == 0
                && let Some((_, last)) = lost.ranges.last_mut()
            {
                *last = next - 1;
            }
            end = Some(next);
        }
        lost
    }

    /// The line for the log. Whoever has named the file may have put anything into the name.
    fn line(&self, mountpoint: &Path) -> String {
        let ranges: Vec<String> = self
            .ranges
            .iter()
            .map(|(first, last)| format!("{first}-{last}"))
            .collect();
        let path = mountpoint.join(&self.path);
        let more = match self.more_ranges {
            0 => String::new(),
            more => format!(" and {more} more ranges"),
        };
        format!(
            "{}: {} bytes are lost: {}{more}",
            path.display().to_string().escape_debug(),
            self.bytes,
            ranges.join(", ")
        )
    }
}

impl Contents {
    /// Gives up what is dirty: says in the log what is lost, and lets nobody wait for SOURCE any more. Only
    /// the first call counts.
    pub(crate) fn give_up(
        self: &Arc<Self>,
        source: Option<&Path>,
        mountpoint: &Path,
        reason: String,
    ) -> Arc<Loss> {
        let write_back = &self.shared.write_back;
        let loss = write_back.given_up.get_or_init(|| {
            // Threads of it may wait for SOURCE for ever, and who dropped it would wait for them.
            std::mem::forget(Arc::clone(self));
            let dirty: Vec<_> = write_back.files.lock().values().cloned().collect();
            let mut lost: Vec<LostFile> = dirty
                .iter()
                .filter_map(|content| content.lost(source))
                .collect();
            lost.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
            let loss = Loss {
                mountpoint: mountpoint.to_owned(),
                reason,
                files: lost.len(),
                bytes: lost.iter().map(|file| file.bytes).sum(),
            };
            tracing::error!("{loss}");
            let (named, others) = lost.split_at(lost.len().min(NAMED));
            for file in named {
                tracing::error!("{}", file.line(mountpoint));
            }
            if !others.is_empty() {
                let bytes: u64 = others.iter().map(|file| file.bytes).sum();
                tracing::error!(
                    "{}: {bytes} bytes of {} more files are lost",
                    mountpoint.display(),
                    others.len()
                );
            }
            Arc::new(loss)
        });
        Arc::clone(loss)
    }

    /// What was given up.
    pub(crate) fn loss(&self) -> Option<&Arc<Loss>> {
        self.shared.write_back.given_up.get()
    }
}

impl Content {
    /// What is lost of it if its dirty pages are.
    fn lost(&self, source: Option<&Path>) -> Option<LostFile> {
        let state = self.state.lock();
        let path = path_of(state.dirty.source()?, source)
            .unwrap_or_else(|| format!("inode {}", self.key.ino).into());
        let lost = LostFile::new(path, self.size(), state.dirty.pages());
        (lost.bytes > 0).then_some(lost)
    }
}

/// The path of an open file below the directory that is shown, as the kernel knows it; asks no file system.
fn path_of(file: &File, source: Option<&Path>) -> Option<PathBuf> {
    let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
    // In a mount of our own, whose root is the directory, paths begin there.
    let below = source
        .and_then(|source| path.strip_prefix(source).ok())
        .or_else(|| path.strip_prefix("/").ok())?;
    (!below.as_os_str().is_empty()).then(|| below.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(size: u64, pages: &[u64]) -> LostFile {
        LostFile::new("a/b".into(), size, pages.iter().copied())
    }

    #[test]
    fn neighbours_are_one_range_and_the_last_page_ends_with_the_file() {
        let lost = lost(5 * 4096 + 10, &[0, 1, 3, 5, 6]);
        assert_eq!(lost.bytes, 3 * 4096 + 10);
        assert_eq!(
            lost.line(Path::new("/mnt")),
            "/mnt/a/b: 12298 bytes are lost: 0-8191, 12288-16383, 20480-20489"
        );
    }

    #[test]
    fn a_name_makes_no_line_of_its_own() {
        let lost = LostFile::new("a\nERROR: b".into(), 4096, [0].into_iter());
        assert_eq!(
            lost.line(Path::new("/mnt")),
            "/mnt/a\\nERROR: b: 4096 bytes are lost: 0-4095"
        );
    }

    #[test]
    fn of_many_ranges_the_first_are_named() {
        let pages: Vec<u64> = (0..RANGES as u64 + 2)
            .flat_map(|n| [4 * n, 4 * n + 1])
            .collect();
        let lost = lost(u64::MAX, &pages);
        assert_eq!(lost.bytes, pages.len() as u64 * 4096);
        assert_eq!((lost.ranges.len(), lost.more_ranges), (RANGES, 2));
        assert!(lost.line(Path::new("/mnt")).ends_with("and 2 more ranges"));
    }
}
