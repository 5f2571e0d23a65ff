//! Unsafe code stands in a few places of the engine only, which ARCHITECTURE.md names.

mod common;

/// Files, and directories with all below them, relative to `engine/src`.
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

#[test]
fn unsafe_code_stands_where_it_may() {
    let mut found = Vec::new();
    common::each_source(&common::root().join("engine/src"), &mut |file, text| {
        if UNSAFE.iter().any(|how| text.contains(how)) {
            found.push(file.to_owned());
        }
    });
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
