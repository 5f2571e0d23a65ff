//! Under `vm.overcommit_memory=2` the kernel refuses memory although some is free, also to who touches
//! a mapped page for the first time: who then has not asked before dies of SIGBUS.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use compcache_host::meminfo::Memory;
use compcache_host::proc;
use compcache_tests::{
    MIB, Mode, MountBed, Outcome, PAGE, Random, drop_page_cache, needs, wait_until,
};

/// What a device or a mount is given: more than what a daemon has in reserve.
const SIZE: u64 = 64 * MIB;

/// Settings of the kernel, as they were before, and are again at the end.
#[derive(Default)]
struct Sysctls(Vec<(&'static str, Vec<u8>)>);

impl Sysctls {
    fn set(&mut self, name: &'static str, value: u64) {
        let path = Path::new("/proc/sys/vm").join(name);
        self.0.push((name, proc::read(&path).expect("a setting")));
        fs::write(path, value.to_string()).expect("root");
    }

    /// Strict accounting, with as much memory to promise as there is: for other programs on this
    /// machine nothing is different.
    fn strict() -> Sysctls {
        let mut sysctls = Sysctls::default();
        sysctls.set_strict();
        sysctls
    }

    fn set_strict(&mut self) {
        self.set("overcommit_ratio", 100);
        self.set("overcommit_memory", 2);
    }

    /// As [`Sysctls::strict`], but a program must leave alone as much of it as a 32nd part of its own
    /// address space: none is left for one whose address space is 33 times the RAM.
    fn strict_for_the_large() -> Sysctls {
        let mut sysctls = Sysctls::default();
        sysctls.set("user_reserve_kbytes", ram() / 1024);
        sysctls.set_strict();
        sysctls
    }
}

impl Drop for Sysctls {
    fn drop(&mut self) {
        for (name, value) in self.0.drain(..).rev() {
            if let Err(error) = fs::write(Path::new("/proc/sys/vm").join(name), value) {
                eprintln!("vm.{name} stays changed: {error}");
            }
        }
    }
}

/// The machine's memory in bytes.
fn ram() -> u64 {
    Memory::now().expect("/proc/meminfo").total
}

/// Whether the limit is set as a ratio: setting one forgets a limit in kilobytes.
fn limit_is_a_ratio() -> bool {
    let kbytes = proc::number_in(Path::new("/proc/sys/vm/overcommit_kbytes"));
    needs::need(kbytes == Some(0), "needs vm.overcommit_kbytes=0")
}

/// Random bytes of which half are zeros, so that they compress.
fn content(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; SIZE as usize];
    let mut random = Random::new(seed);
    for page in bytes.chunks_exact_mut(PAGE as usize) {
        random.fill(&mut page[..PAGE as usize / 2]);
    }
    bytes
}

/// Writes to a file or a block device, to the end.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Reads a file or a block device, not from the page cache.
fn read(path: &Path) -> Vec<u8> {
    let file = File::open(path).expect("what was written");
    drop_page_cache(&file);
    let mut bytes = vec![0; SIZE as usize];
    file.read_exact_at(&mut bytes, 0).expect("what was written");
    bytes
}

/// Memory that is refused is a write that fails, or a page that is not cached, and the daemon serves
/// on.
#[test]
fn memory_that_is_refused() {
    for mode in Mode::ALL {
        let Some(mut bed) = MountBed::new() else {
            return;
        };
        if !limit_is_a_ratio() {
            return;
        }
        if mode != Mode::Ram {
            write(&bed.source().join("file"), &content(1)).expect("a file in the source");
        }
        // Both processes have an address space of 33 times the RAM: that of the mount for its pool,
        let cache = (33 * ram()).to_string();
        let size: &[&str] = if mode == Mode::Ram {
            &["--size", "1G"]
        } else {
            &[]
        };
        bed.mount(mode, &[&["--cache", &cache], size].concat());
        // and that of the device for its slots. More than 1/16 of the RAM: they are not populated beforehand.
        bed.bed().init_sized(33 * ram());
        let [file, small] = ["file", "small"].map(|name| bed.point().join(name));
        fs::write(&small, "small").expect("a small file");

        let strict = Sysctls::strict_for_the_large();
        let error = write(&bed.bed().node(0), &content(2)).expect_err("no memory");
        assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
        if mode == Mode::Ram {
            let error = write(&file, &content(1)).expect_err("no memory");
            assert_eq!(error.raw_os_error(), Some(libc::ENOSPC), "{error}");
        } else {
            assert!(read(&file) == content(1), "not cached, but read");
            assert!(read(&file) == content(1), "again");
            write(&file, &content(3)).expect("the source takes it");
            assert!(read(&file) == content(3));
        }
        assert!(!bed.daemon().has_ended(), "{}", bed.daemon().stderr());
        drop(strict);

        let log = |bed: &mut MountBed| bed.daemon().stderr();
        wait_until("the failed writes in the log", || {
            let log = log(&mut bed);
            log.lines()
                .any(|line| line.contains("ramzswap0") && line.contains("request(s) failed"))
        });
        assert!(
            log(&mut bed).matches("request(s) failed").count() <= 2,
            "{}",
            log(&mut bed)
        );
        for path in [bed.bed().node(0), file] {
            write(&path, &content(4)).expect("memory");
            assert!(read(&path) == content(4), "{}", path.display());
        }
        assert_eq!(fs::read_to_string(&small).expect("it is there"), "small");
        assert!(bed.bed().device(0).stats.store.failed_writes > 0);
        bed.umount();
    }
}

/// Who swaps on, mounts or looks is told.
#[test]
fn warnings() {
    let Some(bed) = MountBed::new() else { return };
    if !limit_is_a_ratio() {
        return;
    }
    let warns = |out: &Outcome| {
        let text = format!("{}{}", out.stdout, out.stderr);
        text.contains("vm.overcommit_memory=2: the kernel promises programs")
    };
    let status = || bed.bed().compcache(&["status"]);
    assert!(!warns(&status()));
    let strict = Sysctls::strict();
    assert!(warns(&status()), "{}", status());
    let swap_on = bed.bed().compcache(&["swap", "on", "--size", "16M"]);
    assert!(warns(&swap_on), "{swap_on}");
    let mount = bed.try_mount(Mode::Ram, &["--size", "16M"]);
    assert!(warns(&mount), "{mount}");
    bed.bed().compcache(&["swap", "off"]).success();
    drop(strict);
    assert!(!warns(&status()));
    bed.umount();
}
