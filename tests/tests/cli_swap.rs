//! `compcache swap`: devices switched on, changed while in use, and off.

use compcache_tests::Bed;
use serde_json::Value;

/// The state of the only device, as `compcache status --json` tells it.
fn device(bed: &Bed) -> Value {
    let text = bed.compcache(&["status", "--json"]).success();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    document["devices"][0].take()
}

#[test]
fn on_and_off_without_a_daemon_before() {
    let Some(bed) = Bed::new() else { return };
    let on = [
        "swap",
        "on",
        "--size",
        "64M",
        "--codec",
        "zstd:3",
        "--priority",
        "77",
    ];
    let node = bed.node(0).display().to_string();
    let out = bed.compcache(&on).success();
    assert_eq!(out, format!("{node}: swapped on with priority 77\n"));
    let table = bed.compcache(&["status"]).success();
    let words: Vec<_> = table.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(words[2..4], ["zstd:3", "64M"], "{table}");
    assert_eq!(words.last(), Some(&"77"), "{table}");
    let device = device(&bed);
    assert_eq!(device["swap"]["priority"], 77);
    assert_eq!(device["disksize"], 64 << 20);
    let out = bed.compcache(&["swap", "off"]).success();
    assert_eq!(out, format!("{node}: swapped off\n"));
    assert!(bed.devices_left().is_empty());
    bed.assert_nothing_left();
}

#[test]
fn codec_and_recompression_are_changed_while_swapped_on() {
    let Some(bed) = Bed::with_devices(4) else {
        return;
    };
    bed.compcache(&["swap", "on", "--size", "64M"]).success();
    let node = bed.node(0).display().to_string();
    let set = |options: &[&str]| bed.compcache(&[&["swap", "set"], options, &[&*node]].concat());
    set(&["--codec", "zstd:3"]).success();
    assert_eq!(device(&bed)["codec"], "zstd:3");
    let refused = set(&["--codec", "lzma"]);
    assert_eq!(refused.code(), 1, "{refused}");
    refused.refused(&["unknown codec 'lzma'"]);
    let before = device(&bed);
    assert_eq!(
        (&before["codec"], &before["recompress"]),
        (&"zstd:3".into(), &"zstd:1".into())
    );
    set(&["--recompress", "off", "--recompress-cpu", "3"]).success();
    let after = device(&bed);
    assert_eq!(
        (&after["codec"], &after["recompress"]),
        (&"zstd:3".into(), &"off".into())
    );
    assert_eq!(after["recompress_cpu"], 3);
    let new = bed.compcache(&["swap", "set", "--codec", "lz4", "ramzswap1"]);
    assert_eq!(new.code(), 0, "{new}");
    let when = "ramzswap1 is not initialised: what was set applies when it is";
    assert!(new.stderr.contains(when), "{new}");
    let nothing = set(&[]);
    assert_eq!(nothing.code(), 2, "{nothing}");
    nothing.refused(&["--recompress"]);
    bed.compcache(&["swap", "off"]).success();
    assert!(bed.devices_left().is_empty());
}
