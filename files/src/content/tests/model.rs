//! Random operations against a file in memory, in each mode.

use std::os::unix::fs::FileExt as _;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

/// No file gets longer than this.
const LONGEST: u64 = 1_500_000;

#[derive(Clone, Debug)]
enum Op {
    Read(u64, usize),
    Write(u64, usize, u64),
    Truncate(u64),
    Punch(u64, u64),
    Allocate(u64, u64),
    CopyInto(u64, u64, u64),
    Flush,
    Sync,
    Reopen,
    Age,
    Seek(u64, bool),
    Reclaim(bool),
}

fn place() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..LONGEST,
        (0..LONGEST / 4096).prop_map(|page| page * 4096),
        0..20_000_u64
    ]
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![1..9000_usize, Just(4096), Just(16384), 1..140_000_usize]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (place(), length()).prop_map(|(at, n)| Op::Read(at, n)),
        6 => (place(), length(), any::<u64>()).prop_map(|(at, n, seed)| Op::Write(at, n, seed)),
        1 => place().prop_map(Op::Truncate),
        1 => (place(), length()).prop_map(|(at, n)| Op::Punch(at, n as u64)),
        1 => (place(), length()).prop_map(|(at, n)| Op::Allocate(at, n as u64)),
        1 => (place(), place(), 1..50_000_u64).prop_map(|(from, to, n)| Op::CopyInto(from, to, n)),
        1 => Just(Op::Flush),
        1 => Just(Op::Sync),
        1 => Just(Op::Reopen),
        1 => Just(Op::Age),
        1 => (place(), any::<bool>()).prop_map(|(at, hole)| Op::Seek(at, hole)),
        1 => any::<bool>().prop_map(Op::Reclaim),
    ]
}

/// What the file is.
#[derive(Default)]
struct Model(Vec<u8>);

impl Model {
    fn read(&self, at: u64, n: usize) -> &[u8] {
        let start = (at as usize).min(self.0.len());
        &self.0[start..(start + n).min(self.0.len())]
    }

    fn write(&mut self, at: u64, data: &[u8]) {
        let end = at as usize + data.len();
        self.0.resize(self.0.len().max(end), 0);
        self.0[at as usize..end].copy_from_slice(data);
    }

    fn zero(&mut self, at: u64, n: u64) {
        let end = ((at + n) as usize).min(self.0.len());
        if (at as usize) < end {
            self.0[at as usize..end].fill(0);
        }
    }
}

fn step(
    mode: Mode,
    contents: &Contents,
    path: &Path,
    file: &mut Opened,
    model: &mut Model,
    op: &Op,
) {
    match *op {
        Op::Read(at, n) => {
            let got = file.read(at, n).unwrap();
            assert!(got == model.read(at, n), "{op:?}: {} bytes", got.len());
        }
        Op::Write(at, n, seed) => {
            let data = some_bytes(seed, n);
            file.write(at, &data).unwrap();
            model.write(at, &data);
        }
        Op::Truncate(size) => {
            file.truncate(size).unwrap();
            model.0.resize(size as usize, 0);
        }
        Op::Punch(at, n) => {
            let punch =
                rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
            file.content
                .change(at..at + n, Change::Zeros, || {
                    rustix::fs::fallocate(&file.source, punch, at, n)?;
                    stamp_of(&file.source)
                })
                .unwrap();
            model.zero(at, n);
        }
        Op::Allocate(at, n) => {
            file.content
                .change(at..at + n, Change::Nothing, || {
                    let longer = file.source.metadata()?.len().max(at + n);
                    file.source.set_len(longer)?;
                    stamp_of(&file.source)
                })
                .unwrap();
            let longer = model.0.len().max((at + n) as usize);
            model.0.resize(longer, 0);
        }
        Op::CopyInto(from, to, n) => {
            let copied = file.content.change(to..to + n, Change::Other, || {
                let mut data = vec![0; n as usize];
                let came = file.source.read_at(&mut data, from)?;
                file.source.write_all_at(&data[..came], to)?;
                stamp_of(&file.source)
            });
            if mode == Mode::Memory {
                assert_eq!(copied.unwrap_err().raw_os_error(), Some(libc::EOPNOTSUPP));
            } else {
                copied.unwrap();
                let data = model.read(from, n as usize).to_vec();
                if !data.is_empty() {
                    model.write(to, &data);
                }
            }
        }
        Op::Flush => file.content.flush(&file.reported).unwrap(),
        Op::Sync => {
            file.content
                .fsync(&file.source, false, &file.reported)
                .unwrap();
            if mode != Mode::Memory {
                assert!(
                    std::fs::read(path).unwrap() == model.0,
                    "fsynced bytes are on SOURCE"
                );
            }
        }
        Op::Reopen => *file = open(contents, path),
        Op::Age => contents.sync().unwrap(),
        Op::Seek(at, hole) => {
            let found = file.content.seek(&file.source, at, hole);
            match found {
                Ok(found) => {
                    assert!(found >= at && found <= model.0.len() as u64);
                    let skipped = &model.0[at as usize..found as usize];
                    assert!(hole || skipped.iter().all(|b| *b == 0), "data is skipped");
                }
                Err(e) => {
                    assert_eq!(e.raw_os_error(), Some(libc::ENXIO));
                    assert!(model.read(at, usize::MAX / 2).iter().all(|b| *b == 0));
                }
            }
        }
        Op::Reclaim(reclaims) => {
            contents.shared.cache.set_reclaiming(reclaims);
            // A slow SOURCE, at times: then it is read ahead.
            let time = Duration::from_millis(u64::from(reclaims) * 100);
            contents.shared.tuner.record_miss(time, 1);
        }
    }
    assert_eq!(file.content.size(), model.0.len() as u64, "{op:?}");
}

fn run(mode: Mode, cases: u32) {
    let directory = tempfile::tempdir().unwrap();
    let contents = Contents::untuned(&options(directory.path(), mode));
    let number = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let all_reads = |file: &Opened, model: &Model| {
        let got = file.read(0, model.0.len() + 5000).unwrap();
        assert!(got == model.0, "the whole file");
    };
    runner
        .run(&prop::collection::vec(op(), 1..40), |ops| {
            number.set(number.get() + 1);
            let path = directory.path().join(number.get().to_string());
            let mut file = open(&contents, &path);
            let mut model = Model::default();
            for op in &ops {
                step(mode, &contents, &path, &mut file, &mut model, op);
            }
            all_reads(&file, &model);
            all_reads(&file, &model);
            if mode != Mode::Memory {
                contents.sync().unwrap();
                assert!(
                    std::fs::read(&path).unwrap() == model.0,
                    "SOURCE in the end"
                );
            }
            std::fs::remove_file(&path).unwrap();
            contents.forget(key_of(&file.source));
            Ok(())
        })
        .unwrap();
    assert_eq!(contents.shared.write_back.pages(), 0);
    assert_eq!(contents.shared.cache.pinned(), 0);
    let mut status = MountStatus::default();
    contents.status(&mut status);
    assert_eq!(status.counts.corrupt, 0);
    assert!(status.counts.hits > 0, "{status:?}");
}

#[test]
fn writing_through() {
    run(Mode::Through, 400);
}

#[test]
fn writing_back() {
    run(Mode::Back, 400);
}

#[test]
fn in_memory_only() {
    run(Mode::Memory, 400);
}
