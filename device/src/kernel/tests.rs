//! A driver in a tree of files, which take what is written and do nothing with it.

use tempfile::TempDir;

use super::*;

const ATTRIBUTES: [(&str, &str); 12] = [
    ("disksize", "0\n"),
    ("initstate", "0\n"),
    ("reset", ""),
    ("mem_limit", "0\n"),
    ("comp_algorithm", "lzo lz4 wks:fast [wks:balanced] zstd\n"),
    ("backing_dev", "none\n"),
    ("recompress_algorithm", "zstd:1\n"),
    ("recompress_after", "30\n"),
    ("recompress_cpu", "10\n"),
    (
        "stats",
        "reads 5\nwrites 7\npages_stored 9\ncompr_bytes 4096\nnew_counter 3\ncodec_lz4_pages 4\ncodec_lz4_bytes 99\n",
    ),
    ("latency", "store 1024 6\nload 512 2\nload 512 1\n"),
    (
        "features",
        "simd=avx2 free_notify=1 synchronous=0 zstd=1 version=0.1.0\n",
    ),
];

/// A tree with a driver of `devices` devices.
pub(crate) fn tree(devices: u32) -> (TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::below(dir.path(), "6.1.0-test");
    std::fs::create_dir_all(root.sys.join("module/ramzswap")).unwrap();
    std::fs::create_dir_all(&root.dev).unwrap();
    std::fs::create_dir_all(root.sys.join("block/loop0")).unwrap();
    for number in 0..devices {
        let block = root.sys.join(format!("block/ramzswap{number}"));
        std::fs::create_dir_all(&block).unwrap();
        for (name, text) in ATTRIBUTES {
            std::fs::write(block.join(name), text).unwrap();
        }
        std::fs::write(root.node(number), [0; 4096]).unwrap();
    }
    (dir, root)
}

#[test]
fn the_driver_is_found_or_it_is_said_why_not() {
    let (_dir, root) = tree(3);
    assert_eq!(
        root.presence(),
        Presence::Loaded {
            devices: vec![0, 1, 2]
        }
    );
    assert!(root.has(2) && !root.has(3));
    let (_dir, none) = tree(0);
    std::fs::remove_dir(none.sys.join("module/ramzswap")).unwrap();
    assert_eq!(
        none.presence().to_string(),
        "not loaded: module ramzswap not found for 6.1.0-test"
    );
    let modules = none.modules.join("6.1.0-test");
    std::fs::create_dir_all(&modules).unwrap();
    std::fs::write(modules.join("modules.dep"), "updates/ramzswap.ko:\n").unwrap();
    let text = none.presence().to_string();
    assert!(text.contains("not loaded, but installed") && text.ends_with("updates/ramzswap.ko"));
}

#[test]
fn names_of_devices() {
    assert_eq!(number("ramzswap17"), Some(17));
    for bad in [
        "ramzswap",
        "ramzswap01",
        "ramzswap+1",
        "zram0",
        "ramzswap0p1",
    ] {
        assert_eq!(number(bad), None, "{bad}");
    }
}

#[test]
fn what_backs_a_device_is_known_by_all_its_names() {
    let (dir, root) = tree(2);
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("swap"), "").unwrap();
    std::fs::write(at("other"), "").unwrap();
    std::fs::hard_link(at("swap"), at("hard")).unwrap();
    std::os::unix::fs::symlink("swap", at("soft")).unwrap();
    let block = root.block(1);
    std::fs::write(
        block.join("backing_dev"),
        format!("{}\n", at("swap").display()),
    )
    .unwrap();
    assert_eq!(root.backed_by(&at("swap")), None, "it is not initialised");
    std::fs::write(block.join("initstate"), "1\n").unwrap();
    for name in ["swap", "hard", "soft"] {
        assert_eq!(root.backed_by(&at(name)), Some(1), "{name}");
    }
    for name in ["other", "missing"] {
        assert_eq!(root.backed_by(&at(name)), None, "{name}");
    }
}

#[test]
fn one_at_a_time_sets_up_devices() {
    let (_dir, root) = tree(1);
    let lock = root.lock().unwrap();
    let (send, taken) = std::sync::mpsc::channel();
    let other = root.clone();
    let waiter = std::thread::spawn(move || {
        let _lock = other.lock().unwrap();
        send.send(()).unwrap();
    });
    let early = taken.recv_timeout(std::time::Duration::from_millis(50));
    assert!(early.is_err(), "the lock was taken twice");
    drop(lock);
    taken.recv().unwrap();
    waiter.join().unwrap();
}
