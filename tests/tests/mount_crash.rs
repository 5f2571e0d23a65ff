//! The daemon and the process of its mounts are killed while programs write: what they were told is on its disk, is there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use compcache_tests::content::{Kind, Page};
use compcache_tests::{Mode, MountBed, Random, Running, mounts_under, wait_until};

/// Kills in one test.
const KILLS: u64 = 25;
/// Kills of the process of the mounts alone: each time it is started later.
const KILLS_OF_MOUNTS: u64 = 4;
/// Pages of the file that is written at random places: four times the cache.
const PAGES: usize = 1024;
/// Pages of the file that is replaced.
const WHOLE: usize = 5;
const SIZE: usize = 4096;

/// Versions of something: the last that is known to be on the disk, and the last that anybody
/// tried to write. Anything in between may be found.
#[derive(Clone, Copy, Default)]
struct Versions {
    synced: u64,
    tried: u64,
}

/// What was written.
struct Written {
    pages: Vec<Versions>,
    /// In bytes.
    log: Versions,
    whole: Versions,
}

fn page(index: usize, version: u64) -> Box<Page> {
    let mut page = Page::zeros();
    // Before the first version there is a hole.
    if version > 0 {
        Kind::Mixed.fill(&mut page, 5, index as u64, version);
    }
    page
}

/// What the file that is replaced holds in a version.
fn whole(version: u64) -> Vec<u8> {
    (0..WHOLE)
        .flat_map(|index| page(10_000 + index, version).bytes().to_vec())
        .collect()
}

/// A byte of the log, never 0.
fn log_byte(at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9) >> 11) as u8 | 1
}

/// A program that writes until the mount breaks down.
struct Writer<'a> {
    directory: &'a Path,
    written: &'a mut Written,
    random: Random,
    steps: &'a AtomicU64,
    /// What is written is synced.
    through: bool,
}

impl Writer<'_> {
    fn run(&mut self) -> io::Error {
        match self.try_run() {
            Ok(never) => never,
            Err(error) => error,
        }
    }

    fn try_run(&mut self) -> io::Result<io::Error> {
        let open = |flags| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(flags)
                .open(self.directory.join("pages"))
        };
        let pages = open(0)?;
        let synchronous = open(libc::O_DSYNC)?;
        let mut log = OpenOptions::new()
            .append(true)
            .open(self.directory.join("log"))?;
        loop {
            match self.random.below(40) {
                0 => {
                    pages.sync_data()?;
                    for page in &mut self.written.pages {
                        page.synced = page.tried;
                    }
                }
                1 => {
                    let page = self.write_page(&synchronous)?;
                    self.written.pages[page].synced = self.written.pages[page].tried;
                }
                2 => {
                    log.sync_all()?;
                    self.written.log.synced = self.written.log.tried;
                }
                3 => self.replace()?,
                4..8 => {
                    let start = self.written.log.tried;
                    let end = start + 1 + self.random.below(9000);
                    let bytes: Vec<u8> = (start..end).map(log_byte).collect();
                    self.written.log.tried = end;
                    log.write_all(&bytes)?;
                    if self.through {
                        self.written.log.synced = end;
                    }
                }
                _ => {
                    self.write_page(&pages)?;
                }
            }
            self.steps.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn write_page(&mut self, file: &File) -> io::Result<usize> {
        let index = self.random.below(PAGES as u64) as usize;
        let versions = &mut self.written.pages[index];
        versions.tried += 1;
        file.write_all_at(page(index, versions.tried).bytes(), (index * SIZE) as u64)?;
        if self.through {
            self.written.pages[index].synced = self.written.pages[index].tried;
        }
        Ok(index)
    }

    /// The pattern of every editor and package manager.
    fn replace(&mut self) -> io::Result<()> {
        let temporary = self.directory.join("whole.new");
        self.written.whole.tried += 1;
        let mut file = File::create(&temporary)?;
        file.write_all(&whole(self.written.whole.tried))?;
        file.sync_all()?;
        fs::rename(&temporary, self.directory.join("whole"))?;
        self.written.whole.synced = self.written.whole.tried;
        Ok(())
    }
}

impl Written {
    /// Checks what is there, and takes that for what was written and synced.
    fn check(&mut self, directory: &Path) {
        let bytes = fs::read(directory.join("pages")).expect("the pages");
        assert_eq!(bytes.len(), PAGES * SIZE);
        for (index, versions) in self.pages.iter_mut().enumerate() {
            let found = &bytes[index * SIZE..][..SIZE];
            let version = (versions.synced..=versions.tried)
                .rev()
                .find(|version| page(index, *version).bytes() == found);
            let Some(version) = version else {
                let older =
                    (0..versions.synced).find(|version| page(index, *version).bytes() == found);
                panic!(
                    "page {index} in {} has version {older:?}, not {} to {}",
                    directory.display(),
                    versions.synced,
                    versions.tried
                );
            };
            *versions = Versions {
                synced: version,
                tried: version,
            };
        }
        let bytes = fs::read(directory.join("log")).expect("the log");
        let length = bytes.len() as u64;
        assert!(
            (self.log.synced..=self.log.tried).contains(&length),
            "{length} bytes in the log, not {} to {}",
            self.log.synced,
            self.log.tried
        );
        for (at, byte) in (0..).zip(&bytes) {
            // What was not synced may be a hole.
            let fits = *byte == log_byte(at) || at >= self.log.synced && *byte == 0;
            assert!(
                fits,
                "byte {at} of {length} in the log, of which {} were synced",
                self.log.synced
            );
        }
        let bytes = fs::read(directory.join("whole")).expect("the file that is replaced");
        let version =
            (self.whole.synced..=self.whole.tried).find(|version| whole(*version) == bytes);
        let version = version.expect("one whole version of the file that is replaced");
        self.whole = Versions {
            synced: version,
            tried: version,
        };
    }

    /// Cuts the log to what is sure, so that the next round can add to it.
    fn cut_log(&mut self, directory: &Path) {
        let log = OpenOptions::new()
            .write(true)
            .open(directory.join("log"))
            .expect("the log");
        log.set_len(self.log.synced).expect("a shorter log");
        self.log.tried = self.log.synced;
    }
}

/// Who is killed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// The daemon and the process of its mounts; both are started again.
    Both,
    /// That process, which the daemon starts again.
    Mounts,
}

fn kill_again_and_again(victim: Victim, mode: Mode, options: &[&str], seed: u64) {
    let Some(mut bed) = MountBed::mounted(mode, options) else {
        return;
    };
    let mut written = Written {
        pages: vec![Versions::default(); PAGES],
        log: Versions::default(),
        whole: Versions::default(),
    };
    File::create(bed.point().join("pages"))
        .and_then(|file| file.set_len((PAGES * SIZE) as u64))
        .expect("a file");
    fs::write(bed.point().join("log"), "").expect("a file");
    fs::write(bed.point().join("whole"), whole(0)).expect("a file");
    let mut random = Random::of(&[seed]);
    let kills = match victim {
        Victim::Both => KILLS,
        Victim::Mounts => KILLS_OF_MOUNTS,
    };
    for round in 0..kills {
        let steps = AtomicU64::new(0);
        let last = 1 + random.below(1500);
        let point = bed.point().to_owned();
        let mut killed = 0;
        let error = thread::scope(|scope| {
            let writer = scope.spawn(|| {
                Writer {
                    directory: &point,
                    written: &mut written,
                    random: Random::of(&[seed, round]),
                    steps: &steps,
                    through: mode == Mode::Through,
                }
                .run()
            });
            wait_until("the writer to get on", || {
                assert!(
                    !writer.is_finished(),
                    "the writer fails before the daemon does"
                );
                steps.load(Ordering::SeqCst) >= last
            });
            // Every third time while everything is being written out.
            let sync = (round % 3 == 0)
                .then(|| Running::start(bed.bed().command("compcache").arg("sync").arg(&point)));
            match victim {
                Victim::Both => bed.kill(),
                Victim::Mounts => killed = bed.bed().signal_mounts(libc::SIGKILL),
            }
            if let Some(sync) = sync {
                // It is told that the daemon has gone, or was faster.
                sync.finish();
            }
            writer.join().expect("the writer")
        });
        assert!(
            matches!(
                error.raw_os_error(),
                Some(libc::ENOTCONN | libc::ECONNABORTED | libc::EIO)
            ),
            "{error}"
        );
        written.check(bed.source());
        match victim {
            Victim::Both => bed.mount_again(mode, options),
            Victim::Mounts => wait_until("the mount to be made again", || {
                let (daemon, _) = bed.bed().status();
                let is_new = daemon.mount_pid.is_some_and(|pid| pid != killed);
                // The dead one stays until then.
                let is_served = rustix::fs::statfs(bed.point()).is_ok();
                is_new && is_served && !mounts_under(bed.point()).is_empty()
            }),
        }
        written.check(bed.point());
        written.cut_log(bed.point());
    }
    bed.umount();
    written.check(bed.source());
}

#[test]
fn write_back() {
    kill_again_and_again(Victim::Both, Mode::Back, &["--cache", "1M"], 1);
}

/// Nothing is written out but for fsync and room.
#[test]
fn write_back_with_room() {
    let options = ["--cache", "64M", "--dirty-after", "3600"];
    kill_again_and_again(Victim::Both, Mode::Back, &options, 2);
}

/// What is answered is on SOURCE, fsync or not.
#[test]
fn write_through() {
    kill_again_and_again(Victim::Both, Mode::Through, &["--cache", "1M"], 3);
}

/// The daemon makes the mount again by itself.
#[test]
fn write_back_served_anew() {
    kill_again_and_again(Victim::Mounts, Mode::Back, &["--cache", "1M"], 4);
}

#[test]
fn write_through_served_anew() {
    kill_again_and_again(Victim::Mounts, Mode::Through, &["--cache", "1M"], 5);
}
