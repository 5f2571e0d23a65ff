//! Tests of contents, without a mount: the kernel's part is played here.

mod coherence;
mod failures;
mod model;

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use compcache_engine::CodecSpec;
use compcache_host::counts::Count;

use super::mode::Mode;
use super::stamp::stamp_of;
use super::*;
use crate::identity::Caller;
use crate::options::{Limits, MountOptions, WritePolicy};
use crate::status::MountStatus;

/// Options of a mount in that mode, with a small cache.
pub(super) fn options(directory: &Path, mode: Mode) -> MountOptions {
    MountOptions {
        source: (mode != Mode::Memory).then(|| directory.to_owned()),
        mountpoint: directory.to_owned(),
        size: (mode == Mode::Memory).then_some(64 << 20),
        limits: Limits {
            cache: if mode == Mode::Memory {
                64 << 20
            } else {
                256 << 10
            },
            floor: 128 << 10,
            dirty_after: Duration::from_secs(3600),
            dirty: 512 << 10,
        },
        codec: CodecSpec::LZ4,
        write: if mode == Mode::Back {
            WritePolicy::Back
        } else {
            WritePolicy::Through
        },
        strict: false,
        revalidate: Duration::from_secs(60),
        give_up_after: Duration::from_secs(1),
        allow_other: false,
        flags: Vec::new(),
        workers: None,
        budget: None,
        dirty_pages: Count::default(),
    }
}

/// A file of a mount.
struct Opened {
    source: Arc<File>,
    content: Arc<Content>,
    reported: Reported,
}

fn key_of(file: &File) -> FileKey {
    let found = file.metadata().unwrap();
    FileKey {
        dev: found.dev(),
        ino: found.ino(),
        birth: 0,
    }
}

fn open(contents: &Contents, path: &Path) -> Opened {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .unwrap();
    let stamp = stamp_of(&file).unwrap();
    let content = contents.file(key_of(&file), stamp);
    content.revalidate(stamp);
    Opened {
        source: Arc::new(file),
        reported: content.opened(),
        content,
    }
}

impl Opened {
    fn read(&self, offset: u64, size: usize) -> io::Result<Vec<u8>> {
        let mut answer = None;
        self.content.read(&self.source, offset, size, |data| {
            answer = Some(data.map(<[u8]>::to_vec));
        });
        answer.expect("an answer")
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.content
            .write(Caller::own(), &self.source, offset, data)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        let from = size.min(self.content.size());
        self.content.change(from..u64::MAX, Change::Zeros, || {
            self.source.set_len(size)?;
            stamp_of(&self.source)
        })
    }
}

/// Bytes that compress to about half.
fn some_bytes(seed: u64, length: usize) -> Vec<u8> {
    (0..length as u64)
        .map(|i| {
            if i % 16 < 6 {
                let mixed = seed.wrapping_add(i).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                (mixed.wrapping_mul(mixed >> 32) >> 40) as u8
            } else {
                b'a' + (seed % 26) as u8
            }
        })
        .collect()
}
