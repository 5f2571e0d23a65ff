//! SOURCE is on a disk that fails: who is told, what is kept, and what is given up at the end.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::IntoRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use compcache_host::proc;
use compcache_tests::content::{Kind, Page};
use compcache_tests::faulty::{Faults, Faulty};
use compcache_tests::{
    DEADLINE, MIB, Mode, MountBed, Outcome, SmallFilesystem, drop_page_cache, mounts_under, until,
    until_or, wait_until,
};
use rustix::fs::Advice;

const SIZE: usize = 4096;
/// Of a mount that writes nothing out by itself.
const KEPT: [&str; 4] = ["--cache", "8M", "--dirty-after", "3600"];
/// Of a mount that writes nothing out by itself, and gives up soon.
const GIVING_UP: [&str; 6] = [
    "--cache",
    "8M",
    "--dirty-after",
    "3600",
    "--give-up-after",
    "2",
];

/// A mount over a faulty directory.
struct FaultyBed {
    // Taken down in this order.
    bed: MountBed,
    faulty: Faulty,
}

impl Deref for FaultyBed {
    type Target = MountBed;

    fn deref(&self) -> &MountBed {
        &self.bed
    }
}

impl DerefMut for FaultyBed {
    fn deref_mut(&mut self) -> &mut MountBed {
        &mut self.bed
    }
}

impl FaultyBed {
    fn new(mode: Mode, options: &[&str]) -> Option<FaultyBed> {
        let bed = MountBed::new()?;
        let behind = bed.bed().directory().join("behind");
        fs::create_dir(&behind).expect("a new directory");
        let faulty = Faulty::mount(&behind, bed.source());
        bed.mount(mode, options);
        Some(FaultyBed { bed, faulty })
    }

    /// A mount that has `count` dirty pages in the file "file", which is open, and what they hold.
    fn with_dirty_pages(options: &[&str], count: usize) -> Option<(FaultyBed, File, Vec<u8>)> {
        let bed = FaultyBed::new(Mode::Back, options)?;
        let new = pages(count, 2);
        let file = bed.open("file");
        file.write_all_at(&new, 0).expect("dirty pages");
        Some((bed, file, new))
    }

    fn faults(&self) -> &Faults {
        self.faulty.faults()
    }

    /// Makes a file that nobody has read yet.
    fn file_behind(&self, name: &str, bytes: &[u8]) {
        fs::write(self.faulty.behind().join(name), bytes).expect("a file");
    }

    fn behind(&self, name: &str) -> Vec<u8> {
        fs::read(self.faulty.behind().join(name)).expect("the file behind")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.point().join(name)
    }

    fn open(&self, name: &str) -> File {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.path(name))
            .expect("a file")
    }
}

fn pages(count: usize, version: u64) -> Vec<u8> {
    let mut page = Page::zeros();
    (0..count)
        .flat_map(|index| {
            Kind::Mixed.fill(&mut page, 3, index as u64, version);
            page.bytes().to_vec()
        })
        .collect()
}

fn code<T>(result: io::Result<T>) -> i32 {
    match result {
        Ok(_) => 0,
        Err(error) => error.raw_os_error().expect("an error of the system"),
    }
}

fn close(file: File) -> io::Result<()> {
    // SAFETY: the descriptor was the file's own, and nobody uses it any more.
    match unsafe { libc::close(file.into_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn read_page(file: &File, page: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; SIZE];
    file.read_exact_at(&mut bytes, (page * SIZE) as u64)?;
    Ok(bytes)
}

/// One bad page among good ones, read in order, backwards and from the compressed cache.
#[test]
fn one_page_cannot_be_read() {
    for mode in Mode::WITH_SOURCE {
        let Some(bed) = FaultyBed::new(mode, &["--cache", "8M"]) else {
            return;
        };
        let wanted = pages(64, 1);
        for (name, backwards, slow) in [
            ("forward", false, false),
            ("backward", true, false),
            // Of a slow disk more is read than is asked for.
            ("slow forward", false, true),
            ("slow backward", true, true),
        ] {
            bed.file_behind(name, &wanted);
            bed.faults().fail_reads(name, 10 * 4096..10 * 4096 + 1);
            let file = File::open(bed.path(name)).unwrap();
            if slow {
                bed.faults().slow_reads(Duration::from_millis(2));
            }
            for _ in 0..2 {
                for number in 0..64 {
                    let page = if backwards { 63 - number } else { number };
                    let found = read_page(&file, page);
                    if page == 10 {
                        assert_eq!(code(found), libc::EIO, "{name}");
                    } else {
                        let wanted = &wanted[page * SIZE..][..SIZE];
                        let found = found.unwrap_or_else(|e| panic!("{name}, page {page}: {e}"));
                        assert!(found == wanted, "{name}, page {page}");
                    }
                }
                drop_page_cache(&file);
            }
            bed.faults().mend();
            assert!(read_page(&file, 10).unwrap() == wanted[10 * SIZE..][..SIZE]);
        }
        assert_eq!(bed.status().counts.corrupt, 0);
        bed.umount();
    }
}

#[test]
fn short_reads() {
    for longest in [1000, 4096, 5000] {
        let Some(bed) = FaultyBed::new(Mode::Through, &["--cache", "8M"]) else {
            return;
        };
        let wanted = &pages(50, 1)[..50 * SIZE - 77];
        bed.file_behind("file", wanted);
        bed.faults().shorten_reads(Some(longest));
        for _ in 0..2 {
            assert!(
                fs::read(bed.path("file")).unwrap() == wanted,
                "{longest} bytes at a time"
            );
            drop_page_cache(&File::open(bed.path("file")).unwrap());
        }
        bed.umount();
    }
}

/// Under write-through the writer is told at once, and nothing is shown that is not on SOURCE.
#[test]
fn write_through_fails() {
    let Some(bed) = FaultyBed::new(Mode::Through, &["--cache", "8M"]) else {
        return;
    };
    let (old, new) = (pages(16, 1), pages(16, 2));
    bed.file_behind("file", &old);
    let file = bed.open("file");
    assert!(fs::read(bed.path("file")).unwrap() == old);
    bed.faults().fail_writes(true);
    assert_eq!(code(file.write_all_at(&new, 0)), libc::EIO);
    bed.faults().mend();
    bed.faults().limit_room(Some(0));
    assert_eq!(code(file.write_all_at(&new, 0)), libc::ENOSPC);
    bed.faults().mend();
    drop_page_cache(&file);
    assert!(fs::read(bed.path("file")).unwrap() == bed.behind("file"));
    file.write_all_at(&new, 0).unwrap();
    bed.faults().fail_syncs(true);
    assert_eq!(code(file.sync_all()), libc::EIO);
    bed.faults().mend();
    file.sync_all().unwrap();
    assert!(fs::read(bed.path("file")).unwrap() == new);
    assert!(bed.behind("file") == new);
    drop(file);
    bed.umount();
}

/// What can't be written out is told to every open file once, by fsync or close, and kept.
#[test]
fn write_out_fails() {
    let Some(bed) = FaultyBed::new(Mode::Back, &["--cache", "8M", "--dirty-after", "1"]) else {
        return;
    };
    let (old, new) = (pages(16, 1), pages(16, 2));
    bed.file_behind("file", &old);
    let [synced, idle, closed] = [(); 3].map(|()| bed.open("file"));
    bed.faults().fail_writes(true);
    synced.write_all_at(&new, 0).unwrap();
    // Without a program: what one inherits until it starts is closed then, which counts as told.
    wait_until("the pages to be written out", || {
        bed.faults().counts().failed_writes > 0
    });
    assert!(bed.behind("file") == old);
    drop_page_cache(&synced);
    assert!(
        fs::read(bed.path("file")).unwrap() == new,
        "the pages are kept"
    );
    bed.faults().mend();
    assert_eq!(code(synced.sync_all()), libc::EIO, "the writer is told");
    assert_eq!(code(synced.sync_all()), 0, "once");
    assert!(bed.behind("file") == new, "and fsync wrote them");
    assert_eq!(
        code(idle.sync_data()),
        libc::EIO,
        "so is everyone who has it open"
    );
    assert_eq!(code(idle.sync_data()), 0, "once");
    assert_eq!(code(close(closed)), libc::EIO, "close tells as well");
    assert!(bed.status().write_errors > 0);
    let late = bed.open("file");
    assert_eq!(code(late.sync_all()), 0, "who comes later is not");
    assert_eq!(
        (code(close(late)), code(close(idle)), code(close(synced))),
        (0, 0, 0)
    );
    bed.umount();
    assert!(bed.behind("file") == new);
}

/// fsync itself finds that SOURCE does not take the pages; each one tries again.
#[test]
fn fsync_fails_for_as_long_as_source_does() {
    let Some(bed) = FaultyBed::new(Mode::Back, &KEPT) else {
        return;
    };
    let new = pages(16, 2);
    let file = bed.open("file");
    bed.faults().fail_writes(true);
    file.write_all_at(&new, 0).unwrap();
    for _ in 0..3 {
        let before = bed.faults().counts().failed_writes;
        assert_eq!(code(file.sync_all()), libc::EIO);
        assert!(bed.faults().counts().failed_writes > before, "it tries");
    }
    bed.faults().mend();
    bed.faults().fail_syncs(true);
    assert_eq!(code(file.sync_all()), libc::EIO);
    bed.faults().mend();
    file.sync_all().unwrap();
    assert!(bed.behind("file") == new);
    drop(file);
    bed.umount();
}

#[test]
fn no_room_for_what_is_written_out() {
    let Some((bed, file, new)) = FaultyBed::with_dirty_pages(&KEPT, 64) else {
        return;
    };
    bed.faults().limit_room(Some(8 * 4096));
    assert_eq!(code(file.sync_all()), libc::ENOSPC);
    drop_page_cache(&file);
    assert!(
        fs::read(bed.path("file")).unwrap() == new,
        "the pages are kept"
    );
    assert!(!bed.sync().status.success());
    bed.faults().limit_room(None);
    assert_eq!(
        code(file.sync_all()),
        libc::ENOSPC,
        "what sync met is told as well"
    );
    assert_eq!(code(file.sync_all()), 0, "once");
    assert!(bed.behind("file") == new);
    drop(file);
    bed.umount();
}

/// A mount that holds what SOURCE does not take is not taken away.
#[test]
fn unmount_keeps_what_cannot_be_written() {
    let Some((bed, file, new)) = FaultyBed::with_dirty_pages(&KEPT, 16) else {
        return;
    };
    bed.faults().fail_writes(true);
    assert_eq!(code(close(file)), libc::EIO);
    bed.bed()
        .compcache(&["umount", bed.point().to_str().expect("UTF-8")])
        .refused(&["SOURCE"]);
    drop_page_cache(&File::open(bed.path("file")).unwrap());
    assert!(fs::read(bed.path("file")).unwrap() == new);
    bed.faults().mend();
    bed.umount();
    assert!(bed.behind("file") == new);
}

/// A few bytes for a page that can't be read: the writer is told, or they get there later.
#[test]
fn part_of_a_page_that_cannot_be_read() {
    let Some(bed) = FaultyBed::new(Mode::Back, &KEPT) else {
        return;
    };
    let mut wanted = pages(4, 1);
    bed.file_behind("file", &wanted);
    let file = bed.open("file");
    bed.faults().fail_reads("file", 4096..8192);
    let done = file.write_all_at(b"new bytes", 5000);
    bed.faults().mend();
    match code(done) {
        0 => wanted[5000..5009].copy_from_slice(b"new bytes"),
        error => assert_eq!(error, libc::EIO),
    }
    file.sync_all().unwrap();
    assert!(fs::read(bed.path("file")).unwrap() == wanted);
    assert!(bed.behind("file") == wanted);
    drop(file);
    bed.umount();
}

/// Who waits for a slow SOURCE keeps nobody else waiting.
#[test]
fn slow_source_blocks_nobody_else() {
    for mode in Mode::WITH_SOURCE {
        let Some(bed) = FaultyBed::new(mode, &["--cache", "8M"]) else {
            return;
        };
        let wanted = pages(32, 1);
        for name in ["cached", "other", "slow"] {
            bed.file_behind(name, &wanted);
        }
        let cached = File::open(bed.path("cached")).unwrap();
        // Twice: a page that was read once may have been let go.
        for _ in 0..2 {
            assert!(fs::read(bed.path("cached")).unwrap() == wanted);
            drop_page_cache(&cached);
        }
        let slow = File::open(bed.path("slow")).unwrap();
        rustix::fs::fadvise(&slow, 0, None, Advice::Random).expect("fadvise");
        bed.faults().hold("slow");
        thread::scope(|scope| {
            let waiting = [3, 17].map(|page| {
                let slow = &slow;
                scope.spawn(move || read_page(slow, page).unwrap())
            });
            bed.faults().wait_for_held();
            let others = scope.spawn(|| {
                let found = ["cached", "other"].map(|name| fs::read(bed.path(name)).unwrap());
                fs::write(bed.path("new"), &wanted).unwrap();
                (found, fs::metadata(bed.path("slow")).unwrap().len())
            });
            let done = until_or(DEADLINE, &mut || others.is_finished().then_some(())).is_some();
            let still = waiting
                .iter()
                .filter(|thread| !thread.is_finished())
                .count();
            bed.faults().release();
            assert!(
                done,
                "{mode:?}: a read of another file waits for the slow one"
            );
            assert_eq!(still, 2);
            let (found, length) = others.join().unwrap();
            assert!(found.iter().all(|found| *found == wanted));
            assert_eq!(length, wanted.len() as u64);
            for (thread, page) in waiting.into_iter().zip([3, 17]) {
                assert!(thread.join().unwrap() == wanted[page * SIZE..][..SIZE]);
            }
        });
        drop((cached, slow));
        bed.umount();
    }
}

/// Whoever fills the disk of SOURCE does not keep the daemon from ending: it says what is lost.
#[test]
fn full_source_does_not_keep_the_daemon() {
    let Some(mut bed) = MountBed::new() else {
        return;
    };
    let small = SmallFilesystem::new(&bed.bed().directory().join("small"), 8 * MIB);
    bed.set_source(small.place());
    bed.mount(Mode::Back, &GIVING_UP);
    let directory = bed.point().join("directory");
    fs::create_dir(&directory).unwrap();
    let file = File::create_new(directory.join("file")).unwrap();
    file.write_all_at(&pages(16, 1), 0).unwrap();
    file.write_all_at(b"the last bytes", 32 * 4096).unwrap();
    small.fill();
    assert_eq!(code(close(file)), libc::ENOSPC);
    let out = bed.terminate().finish();
    assert_eq!(out.code(), 1, "{out}");
    let lost = format!(
        "{}: 65550 bytes are lost: 0-65535, 131072-131085",
        directory.join("file").display()
    );
    let total = "65550 bytes of 1 file that SOURCE did not take are lost";
    for words in [lost.as_str(), total, "No space left on device"] {
        assert!(out.stderr.contains(words), "no {words:?}: {out}");
    }
    assert_eq!(mounts_under(bed.point()), Vec::<PathBuf>::new());
}

/// Mends SOURCE once some more writes have failed.
fn mend_once_tried_again(bed: &FaultyBed) {
    let failed = bed.faults().counts().failed_writes;
    wait_until("more tries", || {
        bed.faults().counts().failed_writes > failed + 1
    });
    bed.faults().mend();
}

/// A SOURCE that fails is tried again until the time is over.
#[test]
fn source_that_has_room_again_is_waited_for() {
    let mut options = GIVING_UP;
    options[5] = "3600";
    let Some((mut bed, file, new)) = FaultyBed::with_dirty_pages(&options, 16) else {
        return;
    };
    bed.faults().limit_room(Some(0));
    assert_eq!(code(close(file)), libc::ENOSPC);
    let daemon = bed.terminate();
    mend_once_tried_again(&bed);
    daemon.finish().success();
    assert!(bed.behind("file") == new);
}

/// umount(8) cannot be refused: what SOURCE does not take then is tried again as well.
#[test]
fn what_others_unmount_is_written_once_source_has_room() {
    let mut options = GIVING_UP;
    options[5] = "3600";
    let Some((bed, file, new)) = FaultyBed::with_dirty_pages(&options, 16) else {
        return;
    };
    bed.faults().limit_room(Some(0));
    assert_eq!(code(close(file)), libc::ENOSPC);
    Outcome::of(Command::new("umount").arg(bed.point())).success();
    mend_once_tried_again(&bed);
    wait_until("the pages", || bed.behind("file") == new);
}

/// A SOURCE that never answers keeps neither the daemon nor programs on the mount: not even a thread
/// that cannot be killed.
#[test]
fn source_that_hangs_does_not_keep_the_daemon() {
    let Some((mut bed, file, _)) = FaultyBed::with_dirty_pages(&GIVING_UP, 16) else {
        return;
    };
    bed.faults().hold_writes();
    let syncing = thread::spawn({
        let file = file.try_clone().unwrap();
        move || file.sync_all()
    });
    bed.faults().wait_for_held();
    let daemon = bed.terminate();
    assert_eq!(until("its end", || daemon.exited()), 1);
    let log = daemon.stderr();
    let lost = format!(
        "{}: 65536 bytes are lost: 0-65535",
        bed.path("file").display()
    );
    for words in [&lost, "does not answer"] {
        assert!(log.contains(words), "no {words:?}: {log}");
    }
    syncing.join().unwrap().expect_err("a program that waits");
    file.write_all_at(b"late", 0)
        .expect_err("a mount that is gone");
    assert_eq!(mounts_under(bed.point()), Vec::<PathBuf>::new());
    // The next daemon finds everything free.
    bed.restart();
    bed.mount(Mode::Through, &[]);
    assert!(fs::exists(bed.path("file")).unwrap());
    bed.umount();
    bed.faults().release();
    assert_eq!(daemon.finish().code(), 1);
}

/// How many threads of this process are in that system call.
fn threads_in(call: libc::c_long) -> usize {
    let threads = fs::read_dir("/proc/self/task").expect("the threads");
    let is_in = |thread: io::Result<fs::DirEntry>| {
        let text = proc::read(&thread.ok()?.path().join("syscall")).ok()?;
        let number = proc::words(&text).next()?;
        (number == call.to_string().as_bytes()).then_some(())
    };
    threads.filter_map(is_in).count()
}

/// However many calls of fsync of one user wait for a slow disk: all else goes on.
#[test]
fn slow_fsyncs_block_nobody_else() {
    // More than a mount has threads.
    const CALLS: usize = 40;
    for mode in Mode::WITH_SOURCE {
        let Some(bed) = FaultyBed::new(mode, &["--cache", "8M"]) else {
            return;
        };
        // The kernel has one call at a time for a file.
        let files: Vec<File> = (0..CALLS)
            .map(|number| bed.open(&format!("file{number}")))
            .collect();
        bed.file_behind("other", b"content");
        bed.faults().hold_syncs();
        thread::scope(|scope| {
            let calls: Vec<_> = files
                .iter()
                .map(|file| scope.spawn(|| file.sync_all()))
                .collect();
            wait_until("all calls", || threads_in(libc::SYS_fsync) == CALLS);
            let others = scope.spawn(|| {
                // Each is a request at least.
                (0..50).all(|number| {
                    let new = bed.path(&format!("new{number}"));
                    fs::create_dir(new).is_ok() && fs::read(bed.path("other")).is_ok()
                })
            });
            let done = until_or(DEADLINE, &mut || others.is_finished().then_some(())).is_some();
            bed.faults().release();
            assert!(done, "{mode:?}: others wait for fsync");
            assert!(others.join().unwrap());
            for call in calls {
                call.join().unwrap().unwrap();
            }
        });
        drop(files);
        bed.umount();
    }
}
