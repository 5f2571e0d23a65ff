//! What the kernel writes into files of /proc and /sys is bytes: a program's name, a path or a mount point in it need
//! not be UTF-8, and any user can choose one. So it is read by `compcache_host::proc` and its like, never as a string.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Reading a file as a string. In two parts, for this file is looked at, too.
const AS_STRING: &str = concat!("read_to", "_string");

/// Reading its lines as strings: all of these.
const LINES: [&str; 2] = [concat!("Buf", "Read"), concat!(".lines", "()")];

/// How a path of the kernel's begins in a program.
const KERNEL: [&str; 2] = ["\"/proc", "\"/sys/"];

/// The files that do both, and what they read as a string.
const ALLOWED: [(&str, &str); 8] = [
    ("bench/src/daemon.rs", "the daemon's log"),
    (
        "bench/src/swap/backend.rs",
        "a parameter of zswap: one word",
    ),
    ("bench/src/zram.rs", "attributes of zram: names of codecs"),
    (
        "bench/tests/quick.rs",
        "tables that are searched for the bench's own devices",
    ),
    ("device/tests/crash.rs", "what a process of the test prints"),
    ("tests/tests/overcommit.rs", "a file of the test's"),
    ("tests/tests/rights.rs", "our udev rules"),
    ("tests/tests/unit_sandbox.rs", "our unit"),
];

/// The programs below a directory that name files of the kernel's and read files as strings.
fn find(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    common::each_source(root, &mut |file, text| {
        let as_string = text.contains(AS_STRING) || LINES.iter().all(|part| text.contains(part));
        if as_string && KERNEL.iter().any(|begin| text.contains(begin)) {
            found.push(file.to_owned());
        }
    });
    found
}

#[test]
fn no_table_of_the_kernels_is_read_as_a_string() {
    let found = find(common::root());
    let mut allowed = BTreeMap::from(ALLOWED);
    let bad: Vec<_> = found
        .iter()
        .filter(|file| allowed.remove(file.as_str()).is_none())
        .collect();
    assert!(
        bad.is_empty(),
        "read with compcache_host::proc what the kernel writes, or say above why it can be a string: {bad:?}"
    );
    assert!(allowed.is_empty(), "no longer needed: {allowed:?}");
}

#[test]
fn what_is_looked_for_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir_all(root.join("a/target")).unwrap();
    let bad = format!("fn f() {{ {AS_STRING}(format!(\"/proc/{{pid}}/maps\")) }}");
    let by_line = format!(
        "use {}; fn f() {{ open(\"/proc/swaps\"){} }}",
        LINES[0], LINES[1]
    );
    for (file, text) in [
        ("a/bad.rs", &*bad),
        ("a/bad_lines.rs", &by_line),
        ("a/bytes.rs", "fn f() { read(\"/proc/self/maps\") }"),
        ("a/ours.rs", AS_STRING),
        ("a/target/made.rs", &bad),
        ("a/text.md", &bad),
    ] {
        fs::write(root.join(file), text).unwrap();
    }
    let mut found = find(root);
    found.sort();
    assert_eq!(found, ["a/bad.rs", "a/bad_lines.rs"]);
}
