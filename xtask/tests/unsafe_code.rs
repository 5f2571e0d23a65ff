//! Unsafe code stands in a few places of the engine only, which ARCHITECTURE.md names.

use std::fs;
use std::path::Path;

/// Files, and directories with all below them, relative to `src`.
const PLACES: [&str; 6] = [
    "codec/",
    "checksum.rs",
    "pool/",
    "host/",
    "cpu.rs",
    "fallible.rs",
];

/// How it is written, in two parts: this file is none of them.
const UNSAFE: [&str; 4] = [
    concat!("un", "safe {"),
    concat!("un", "safe fn"),
    concat!("un", "safe impl"),
    concat!("un", "safe extern"),
];

/// The sources below a directory that have unsafe code, relative to `root`.
fn find(root: &Path, directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("a source").path();
        if path.is_dir() {
            find(root, &path, found);
        } else {
            let text = fs::read_to_string(&path).expect("a source");
            if UNSAFE.iter().any(|how| text.contains(how)) {
                let below = path.strip_prefix(root).expect("below the root");
                found.push(below.display().to_string());
            }
        }
    }
}

#[test]
fn unsafe_code_stands_where_it_may() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    find(&root, &root, &mut found);
    for place in PLACES {
        assert!(
            found.iter().any(|file| file.starts_with(place)),
            "{place} has none any more: ARCHITECTURE.md names it"
        );
    }
    found.retain(|file| !PLACES.iter().any(|place| file.starts_with(place)));
    found.retain(|file| !file.contains("/tests"));
    assert!(found.is_empty(), "unsafe code in {found:?}");
}
