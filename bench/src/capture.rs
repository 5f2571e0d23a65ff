//! Takes pages from the memory of running programs and from files.

use std::path::Path;

use anyhow::{Result, ensure};
use compcache_engine::page::{PAGE_SIZE, Page, same_filled};
use compcache_host::proc;
use fs_err::os::unix::fs::FileExt as _;
use fs_err::{self as fs, File};

/// What kind of memory pages come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Memory that a program wrote.
    Anonymous,
    File,
}

impl Kind {
    /// Its name in tables and of files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Anonymous => "anonymous",
            Kind::File => "file",
        }
    }
}

/// Pages of one origin, none of them same-filled.
#[derive(Debug)]
pub(crate) struct Source {
    /// Where they come from, for tables.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) pages: Vec<Page>,
}

impl Source {
    /// One with these pages. If there are none, it is named on standard error and left out.
    pub(crate) fn new(name: &str, kind: Kind, pages: Result<Vec<Page>>) -> Option<Source> {
        let pages = pages.and_then(|pages| {
            ensure!(!pages.is_empty(), "it has no pages");
            Ok(pages)
        });
        let name = name.to_owned();
        match pages {
            Ok(pages) => Some(Source { name, kind, pages }),
            Err(error) => {
                eprintln!("{name}: left out, {error:#}");
                None
            }
        }
    }
}

/// Up to `most` pages, spread evenly over the memory that process `pid` has written.
pub(crate) fn of_process(pid: u32, most: usize) -> Result<Vec<Page>> {
    let maps = proc::read(Path::new(&format!("/proc/{pid}/maps")))?;
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut pages = Vec::new();
    for (from, to) in proc::lines(&maps).filter_map(written_range) {
        for address in (from..to).step_by(PAGE_SIZE) {
            let mut page = [0; PAGE_SIZE];
            // A range may end, or never have been there, while the process runs.
            if memory.read_exact_at(&mut page, address).is_err() {
                break;
            }
            keep(&mut pages, &page);
        }
    }
    Ok(spread(pages, most))
}

/// Up to `most` pages, spread evenly over files laid end to end. Files that cannot be read
/// are ignored.
pub(crate) fn of_files<P: AsRef<Path>>(paths: &[P], most: usize) -> Vec<Page> {
    let mut pages = Vec::new();
    for bytes in paths.iter().filter_map(|path| fs::read(path.as_ref()).ok()) {
        // The page cache fills a file's last page with zeros; so does this.
        for part in bytes.chunks(PAGE_SIZE) {
            let mut page = [0; PAGE_SIZE];
            page[..part.len()].copy_from_slice(part);
            keep(&mut pages, &page);
        }
    }
    spread(pages, most)
}

/// The bounds of a mapping of `/proc/PID/maps` that is private, writable and no file's.
fn written_range(line: &[u8]) -> Option<(u64, u64)> {
    let mut fields = proc::words(line);
    let (range, rights) = (fields.next()?, fields.next()?);
    let name = fields.nth(3).unwrap_or_default();
    if rights != b"rw-p" || name.starts_with(b"/") {
        return None;
    }
    let (from, to) = std::str::from_utf8(range).ok()?.split_once('-')?;
    Some((
        u64::from_str_radix(from, 16).ok()?,
        u64::from_str_radix(to, 16).ok()?,
    ))
}

fn keep(pages: &mut Vec<Page>, page: &Page) {
    if same_filled(page).is_none() {
        pages.push(*page);
    }
}

/// Up to `most` of the pages, spread evenly over them.
pub(crate) fn spread(pages: Vec<Page>, most: usize) -> Vec<Page> {
    if pages.len() <= most {
        return pages;
    }
    (0..most).map(|i| pages[i * pages.len() / most]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_private_writable_anonymous_ranges_count() {
        let heap = b"55d0c000-55d0f000 rw-p 00000000 00:00 0                          [heap]";
        assert_eq!(written_range(heap), Some((0x55d0_c000, 0x55d0_f000)));
        let unnamed = b"7f00-7f10 rw-p 00000000 00:00 0 ";
        assert_eq!(written_range(unnamed), Some((0x7f00, 0x7f10)));
        for other in [
            "7f00-7f10 r-xp 00000000 00:00 0 ",
            "7f00-7f10 rw-p 00001000 fe:01 77      /usr/lib/libc.so.6",
            "7f00-7f10 rw-s 00000000 00:05 9 ",
            "",
        ] {
            assert_eq!(written_range(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn pages_of_this_process_are_found() {
        let mine: Vec<u64> = (0..100_000).map(|i| i * i).collect();
        let pages = of_process(std::process::id(), usize::MAX).unwrap();
        let wanted = mine[50_000].to_ne_bytes();
        assert!(
            pages
                .iter()
                .any(|page| page.chunks_exact(8).any(|word| word == wanted))
        );
    }

    #[test]
    fn pages_of_files_are_spread_and_filled_up() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut bytes: Vec<u8> = (0..10)
            .flat_map(|i| [[i; 8], [1; 8]].concat().repeat(256))
            .collect();
        bytes.extend([5, 6]);
        std::fs::write(file.path(), bytes).unwrap();
        // The second page is same-filled.
        let pages = of_files(&[file.path()], 100);
        assert_eq!(pages.len(), 10);
        assert_eq!(pages[9][..3], [5, 6, 0]);
        let some = of_files(&[file.path()], 5);
        assert_eq!(
            some.iter().map(|p| p[0]).collect::<Vec<_>>(),
            [0, 3, 5, 7, 9]
        );
    }
}
