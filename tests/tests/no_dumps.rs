//! A crash of the daemon writes nobody's pages to a disk.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use compcache_tests::content::Kind;
use compcache_tests::{Bed, Cgroup, Hog, MIB, Mode, MountBed, NOBODY, Outcome};

/// A mapping, as `/proc/PID/smaps` shows it.
struct Mapped {
    bytes: u64,
    writable: bool,
    name: String,
    flags: Vec<String>,
}

impl Mapped {
    fn is_dumped(&self) -> bool {
        !self.flags.iter().any(|flag| flag == "dd")
    }
}

fn mappings(pid: u32) -> Vec<Mapped> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps")).expect("a process");
    let mut found: Vec<Mapped> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            "Size:" => {
                let last = found.last_mut().expect("a mapping");
                last.bytes = words[1].parse::<u64>().expect("kB") << 10;
            }
            "VmFlags:" => {
                let last = found.last_mut().expect("a mapping");
                last.flags = words[1..].iter().map(ToString::to_string).collect();
            }
            key if key.ends_with(':') => {}
            _ => found.push(Mapped {
                bytes: 0,
                writable: words[1].contains('w'),
                name: words.get(5..).unwrap_or_default().join(" "),
                flags: Vec::new(),
            }),
        }
    }
    found
}

fn assert_nothing_to_dump(pid: u32) {
    let filter = fs::read_to_string(format!("/proc/{pid}/coredump_filter"));
    let filter = filter.expect("a kernel with core dumps");
    assert_eq!(u32::from_str_radix(filter.trim(), 16), Ok(0));
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("a process");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<&str> = core.expect("a limit").split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"]);
}

#[test]
fn what_a_daemon_holds_is_in_no_dump() {
    let Some(mut bed) = MountBed::mounted(Mode::Back, &["--cache", "8M"]) else {
        return;
    };
    bed.bed()
        .compcache(&["swap", "on", "--size", "64M"])
        .success();
    let group = Cgroup::new(8 * MIB);
    let mut hog = Hog::start(&group, Kind::Mixed, 24 * MIB, 5);
    hog.fill();
    fs::write(bed.point().join("file"), vec![b'x'; 1 << 20]).expect("a file");
    for pid in [bed.pid(), bed.bed().mount_pid()] {
        assert_nothing_to_dump(pid);
        let mappings = mappings(pid);
        let held: Vec<_> = mappings
            .iter()
            .filter(|mapped| mapped.name.contains("memfd:"))
            .collect();
        // A pool and a table, of the device and of the mount, and the counts that both processes share.
        assert!(held.len() >= 3, "{} mappings", held.len());
        for mapped in held {
            assert!(!mapped.is_dumped(), "{} of {}", mapped.name, mapped.bytes);
        }
    }
    // The workers' buffers: a page, and the longest request.
    let mappings = mappings(bed.pid());
    let buffer = mappings
        .iter()
        .filter(|mapped| mapped.name.is_empty() && mapped.writable && mapped.bytes == MIB + 4096);
    let dumped: Vec<bool> = buffer.map(Mapped::is_dumped).collect();
    assert!(dumped.len() >= 2 && !dumped.contains(&true), "{dumped:?}");
    drop(hog);
    drop(group);
    bed.bed().compcache(&["swap", "off"]).success();
    bed.umount();
}

/// One of a user who is not root: that user can neither look into it nor stop it by a debugger, and neither
/// can a program of the user's that was taken over.
#[test]
fn a_daemon_is_closed_to_its_own_user() {
    let Some(mut bed) = Bed::new() else { return };
    fs::create_dir(bed.runtime_dir()).expect("a directory");
    chown(bed.runtime_dir(), Some(NOBODY), Some(NOBODY)).expect("its owner");
    let mut command = Command::new(bed.copy_of("compcached"));
    bed.set_environment(command.uid(NOBODY).gid(NOBODY));
    bed.start_by(&mut command);
    let pid = bed.daemon().pid();
    assert_nothing_to_dump(pid);
    let status = fs::metadata(format!("/proc/{pid}/status")).expect("a process");
    assert_eq!((status.uid(), status.gid()), (0, 0));
    let mut look = Command::new("cat");
    look.arg(format!("/proc/{pid}/maps"))
        .uid(NOBODY)
        .gid(NOBODY);
    Outcome::of(&mut look).refused(&["Permission denied"]);
    bed.as_nobody("compcache", &["status"]).success();
    bed.stop();
    bed.assert_nothing_left();
}
