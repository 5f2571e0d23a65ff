//! Tables of made-up machines, groups of plain files.

use std::fs;
use std::os::fd::AsFd as _;

use super::*;

const HYBRID: &[u8] = b"\
23 22 0:21 / / rw,relatime - ext4 /dev/vda1 rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

fn hierarchy(version: Version, top: &str, own: &str) -> Option<Hierarchy> {
    Some(Hierarchy {
        version,
        top: top.into(),
        own: own.into(),
    })
}

#[test]
fn hybrid_machine() {
    let found = Hierarchies::find(HYBRID, b"8:pids:/\n4:cpuset,memory:/a/b\n0::/\n");
    let (memory, unified) = ("/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified");
    assert_eq!(
        found.v1,
        hierarchy(Version::V1, memory, "/sys/fs/cgroup/memory/a/b")
    );
    assert_eq!(found.v2, hierarchy(Version::V2, unified, unified));
}

#[test]
fn systemd_machine() {
    let table = b"35 25 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    let found = Hierarchies::find(table, b"0::/user.slice/user-0.slice/session:1.scope\n");
    assert_eq!(found.v1, None);
    assert_eq!(
        found.v2,
        hierarchy(
            Version::V2,
            "/sys/fs/cgroup",
            "/sys/fs/cgroup/user.slice/user-0.slice/session:1.scope"
        )
    );
}

#[test]
fn container_sees_only_its_part() {
    let table = b"35 25 0:30 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
    let own = |cgroup: &str| Hierarchies::find(table, cgroup.as_bytes()).v1.unwrap().own;
    let top = Path::new("/sys/fs/cgroup/memory");
    assert_eq!(own("4:memory:/docker/abc\n"), top);
    assert_eq!(own("4:memory:/docker/abc/x\n"), top.join("x"));
    assert_eq!(own("4:memory:/elsewhere\n"), top);
}

#[test]
fn group_above_the_namespace_is_its_top() {
    let table = b"35 25 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    let own = Hierarchies::find(table, b"0::/../../x\n").v2.unwrap().own;
    assert_eq!(own, Path::new("/sys/fs/cgroup"));
}

fn write(group: &Path, files: &[(&str, &str)]) {
    fs::create_dir_all(group).unwrap();
    for (name, text) in files {
        fs::write(group.join(name), text).unwrap();
    }
}

#[test]
fn the_smallest_limit_on_the_way_up_counts() {
    let top = tempfile::tempdir().unwrap();
    let own = top.path().join("a/b");
    let hierarchies = Hierarchies {
        v1: None,
        v2: Some(Hierarchy {
            version: Version::V2,
            top: top.path().to_owned(),
            own: own.clone(),
        }),
    };
    assert_eq!(hierarchies.limit(), None);
    write(&own, &[("memory.max", "max\n")]);
    assert_eq!(hierarchies.limit(), None);
    write(&top.path().join("a"), &[("memory.max", "1048576\n")]);
    write(top.path(), &[("memory.max", "2097152\n")]);
    assert_eq!(hierarchies.limit(), Some(1 << 20));
}

#[test]
fn version_1_without_a_limit_has_a_number_all_the_same() {
    let group = tempfile::tempdir().unwrap();
    for (text, expected) in [
        ("9223372036854771712\n", None),
        ("9223372036854710272\n", None),
        ("33554432\n", Some(32 << 20)),
        ("", None),
    ] {
        write(group.path(), &[("memory.limit_in_bytes", text)]);
        assert_eq!(limit(group.path(), Version::V1), expected, "{text}");
    }
}

#[test]
fn usage_of_version_1_is_that_of_the_tree() {
    let group = tempfile::tempdir().unwrap();
    write(
        group.path(),
        &[
            ("memory.limit_in_bytes", "100\n"),
            ("memory.usage_in_bytes", "60\n"),
            (
                "memory.stat",
                "swap 7\ninactive_file 1\ntotal_swap 9\ntotal_inactive_file 10\ntotal_active_file 5\n",
            ),
        ],
    );
    let usage = Usage::read(group.path(), Version::V1).unwrap();
    let expected = Usage {
        limit: 100,
        memory: 60,
        file: 15,
        swapped: 9,
    };
    assert_eq!(usage, expected);
    assert_eq!(usage.room(), 55);
}

#[test]
fn version_2_counts_pages_once_and_knows_no_limit() {
    let group = tempfile::tempdir().unwrap();
    let files = |max| {
        [
            ("memory.max", max),
            ("memory.current", "20971520\n"),
            ("memory.swap.current", "31457280\n"),
            (
                "memory.stat",
                "anon 1\nfile 9\ninactive_file 0\nswapcached 20971520\n",
            ),
        ]
    };
    write(group.path(), &files("max\n"));
    assert_eq!(Usage::read(group.path(), Version::V2), None);
    write(group.path(), &files("31457280\n"));
    let usage = Usage::read(group.path(), Version::V2).unwrap();
    assert_eq!((usage.swapped, usage.room()), (10 << 20, 10 << 20));
}

#[test]
fn what_a_group_says_that_makes_no_sense_is_an_error() {
    let group = tempfile::tempdir().unwrap();
    let open = std::fs::File::open(group.path()).unwrap();
    let read = || Usage::read_at(open.as_fd(), Version::V2);
    // Without the controller there is no limit.
    assert_eq!(read().unwrap(), None);
    write(group.path(), &[("memory.max", "7 apples\n")]);
    let error = read().unwrap_err().to_string();
    assert!(
        error.contains("memory.max is no number: 7 apples"),
        "{error}"
    );
    let files = [("memory.max", "4096\n"), ("memory.current", "4096\n")];
    write(group.path(), &files);
    std::fs::create_dir(group.path().join("memory.stat")).unwrap();
    let error = read().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EISDIR));
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_without_panic(a in "[ -~\n]{0,200}", b in "[ -~\n]{0,80}") {
        let _ = Hierarchies::find(a.as_bytes(), b.as_bytes());
    }
}
