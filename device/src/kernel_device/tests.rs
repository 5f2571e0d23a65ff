//! Devices in a tree of files.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use compcache_engine::CodecId;
use compcache_engine::stats::CodecStats;
use compcache_engine::swap_header::SwapHeader;

use super::*;
use crate::freed::Freeing;
use crate::kernel::tests::tree;
use crate::settings::BackingEncryption;
use crate::status::{Driver, State};
use compcache_engine::disk::MIN_DISKSIZE;

fn device(root: &Root) -> KernelDevice {
    KernelDevice::new(0, root.clone())
}

fn written(root: &Root, attribute: &str) -> String {
    std::fs::read_to_string(root.block(0).join(attribute)).unwrap()
}

fn put(root: &Root, attribute: &str, text: &str) {
    std::fs::write(root.block(0).join(attribute), text).unwrap();
}

#[test]
fn parameters_become_attributes_and_the_size_comes_last() {
    let (_dir, root) = tree(1);
    let device = device(&root);
    let update = ParamsUpdate {
        disksize: Some(MIN_DISKSIZE + 5),
        codec: Some("zstd:3".into()),
        recompress: Some("off".into()),
        recompress_after: Some(60),
        recompress_cpu: Some(5),
        ..ParamsUpdate::default()
    };
    device.configure(&update).unwrap();
    assert_eq!(written(&root, "comp_algorithm"), "zstd:3\n");
    assert_eq!(written(&root, "recompress_algorithm"), "off\n");
    assert_eq!(written(&root, "recompress_after"), "60\n");
    assert_eq!(written(&root, "recompress_cpu"), "5\n");
    assert_eq!(
        written(&root, "disksize"),
        "0\n",
        "that would initialise it"
    );
    assert_eq!(device.status().params.disksize, Some(MIN_DISKSIZE));
    device.init().unwrap();
    assert_eq!(written(&root, "disksize"), format!("{MIN_DISKSIZE}\n"));
    let header = std::fs::read(root.node(0)).unwrap();
    assert!(header.ends_with(b"SWAPSPACE2"));
}

#[test]
fn what_a_device_holds_is_not_taken_for_swap() {
    let (_dir, root) = tree(1);
    let device = device(&root);
    put(&root, "initstate", "1\n");
    put(&root, "disksize", "1048576\n");
    std::fs::write(root.node(0), [7; 4096]).unwrap();
    let message = device.swap_on(Some(1)).unwrap_err().to_string();
    assert!(
        message.contains("something else than swap; reset it"),
        "{message}"
    );
    assert_eq!(std::fs::read(root.node(0)).unwrap(), [7; 4096]);
}

#[test]
fn what_is_not_swapped_on_is_left_alone_by_a_swap_off() {
    let (_dir, root) = tree(1);
    put(&root, "initstate", "1\n");
    device(&root)
        .swap_off(&|_: &Path| panic!("it is not swapped on"))
        .unwrap();
}

#[test]
fn values_out_of_range_change_nothing() {
    let (_dir, root) = tree(1);
    let device = device(&root);
    let bad = |change: fn(&mut ParamsUpdate), words: &str| {
        let mut update = ParamsUpdate {
            recompress_cpu: Some(7),
            ..ParamsUpdate::default()
        };
        change(&mut update);
        let message = device.configure(&update).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
        assert_eq!(written(&root, "recompress_cpu"), "10\n");
    };
    bad(|p| p.disksize = Some(1), "too small");
    bad(|p| p.memlimit = Some(4096), "memlimit of 4096 bytes");
    // What another driver has is not offered.
    let known = "choose one of lzo, lz4, zstd, wks (";
    bad(
        |p| p.codec = Some("gzip".into()),
        &format!("unknown codec 'gzip': {known}"),
    );
    bad(|p| p.codec = Some("zstd:99".into()), known);
    bad(|p| p.recompress = Some("gzip".into()), known);
    bad(
        |p| p.codec = Some("wkdm".into()),
        "which has lzo, lz4, wks, zstd",
    );
    bad(|p| p.recompress = Some("wkdm".into()), "--driver user");
    bad(|p| p.recompress_after = Some(0), "1 to 86400");
    bad(|p| p.recompress_cpu = Some(101), "1 to 100");
    bad(
        |p| p.backing_swap = Some("/nonexistent".into()),
        "/nonexistent",
    );
    for choice in [BackingEncryption::Auto, BackingEncryption::On] {
        let update = ParamsUpdate {
            recompress_cpu: Some(7),
            backing_encryption: Some(choice),
            ..ParamsUpdate::default()
        };
        for refused in [device.configure(&update), device.set(&update)] {
            let message = refused.unwrap_err().to_string();
            let words =
                format!("does not encrypt its backing swap (backing encryption '{choice}')");
            assert!(
                message.contains(&words) && message.contains("dm-crypt"),
                "{message}"
            );
        }
        assert_eq!(written(&root, "recompress_cpu"), "10\n");
    }
}

#[test]
fn that_it_does_not_encrypt_may_be_said() {
    let (_dir, root) = tree(1);
    let device = device(&root);
    let off = ParamsUpdate {
        recompress_cpu: Some(7),
        backing_encryption: Some(BackingEncryption::Off),
        ..ParamsUpdate::default()
    };
    device.configure(&off).unwrap();
    assert_eq!(written(&root, "recompress_cpu"), "7\n");
    assert_eq!(
        device.status().backing_encryption,
        None,
        "no backing swap yet"
    );
    put(&root, "initstate", "1\n");
    put(&root, "backing_dev", "/dev/sda2\n");
    assert_eq!(device.status().backing_encryption.as_deref(), Some("off"));
}

#[test]
fn where_one_attribute_is_refused_those_before_it_are_set_back() {
    let (_dir, root) = tree(1);
    let device = device(&root);
    std::fs::remove_file(root.block(0).join("recompress_cpu")).unwrap();
    let update = ParamsUpdate {
        codec: Some("lz4".into()),
        recompress_cpu: Some(5),
        ..ParamsUpdate::default()
    };
    let message = device.configure(&update).unwrap_err().to_string();
    assert!(
        message.contains("recompress_cpu of ramzswap0 to \"5\""),
        "{message}"
    );
    assert!(message.contains("another version"), "{message}");
    assert_eq!(written(&root, "comp_algorithm"), "wks:balanced\n");
}

#[test]
fn an_initialised_device_takes_what_can_change_live() {
    let (_dir, root) = tree(1);
    let device = device(&root);
    put(&root, "initstate", "1\n");
    put(&root, "disksize", "1048576\n");
    put(&root, "backing_dev", "/dev/sda2\n");
    let memlimit = |bytes| ParamsUpdate {
        memlimit: Some(bytes),
        codec: Some("lzo".into()),
        ..ParamsUpdate::default()
    };
    device.set(&memlimit(524_288)).unwrap();
    assert_eq!(written(&root, "mem_limit"), "524288\n");
    assert_eq!(written(&root, "comp_algorithm"), "lzo\n");
    let message = device.set(&memlimit(2 << 20)).unwrap_err().to_string();
    assert!(
        message.contains("larger than the disk (1024 kB)"),
        "{message}"
    );
    let size = ParamsUpdate {
        disksize: Some(1 << 20),
        ..ParamsUpdate::default()
    };
    for error in [device.set(&size), device.configure(&size), device.init()] {
        let message = error.unwrap_err().to_string();
        assert!(
            message.contains("already initialised: reset it first"),
            "{message}"
        );
    }
}

#[test]
fn a_limit_of_zero_is_none() {
    let limit = |bytes| ParamsUpdate {
        memlimit: Some(bytes),
        ..ParamsUpdate::default()
    };
    let (_dir, root) = tree(1);
    let device = device(&root);
    device.configure(&limit(1 << 19)).unwrap();
    device.configure(&limit(0)).unwrap();
    assert_eq!(written(&root, "mem_limit"), "0\n");
    assert_eq!(device.status().params, limit(0), "it is set, to none");
    device.configure(&limit(1 << 19)).unwrap();
    put(&root, "initstate", "1\n");
    put(&root, "backing_dev", "/dev/sda2\n");
    assert_eq!(device.set(&limit(0)).unwrap(), []);
    assert_eq!(written(&root, "mem_limit"), "0\n");
    assert_eq!(device.status().memlimit, None);
}

#[test]
fn a_change_of_a_device_that_is_not_in_use_says_when_it_applies() {
    let (_dir, root) = tree(1);
    let device = device(&root);
    let update = ParamsUpdate {
        codec: Some("lz4".into()),
        ..ParamsUpdate::default()
    };
    let warnings = device.set(&update).unwrap();
    assert_eq!(written(&root, "comp_algorithm"), "lz4\n");
    let [warning] = warnings.as_slice() else {
        panic!("{warnings:?}");
    };
    let message = warning.to_string();
    assert!(
        message.starts_with("ramzswap0 is not initialised: what was set applies when it is"),
        "{message}"
    );
    put(&root, "initstate", "1\n");
    assert_eq!(device.set(&update).unwrap(), []);
}

#[test]
fn the_status_is_that_of_a_device_in_userspace() {
    let (_dir, root) = tree(1);
    let device = device(&root);
    let new = device.status();
    assert_eq!((new.state, new.driver), (State::New, Driver::Kernel));
    assert_eq!((new.block_device, new.params.is_empty()), (None, true));
    put(&root, "initstate", "1\n");
    put(&root, "disksize", "1048576\n");
    let ready = device.status();
    assert_eq!(ready.state, State::Ready);
    assert_eq!(ready.block_device, Some(root.node(0)));
    assert_eq!(ready.disksize, 1 << 20);
    assert_eq!(ready.codec, "wks:balanced");
    assert_eq!((ready.recompress_after, ready.recompress_cpu), (30, 10));
    assert_eq!(ready.dead_slots, Some(Freeing::AtOnce));
    let store = &ready.stats.store;
    assert_eq!((store.reads, store.pages_stored), (5, 9));
    assert_eq!((store.store_latency[10], store.load_latency[9]), (6, 3));
    let held = CodecStats {
        pages: 4,
        bytes: 99,
    };
    assert_eq!(store.by_codec().collect::<Vec<_>>(), [(CodecId::Lz4, held)]);
    assert_eq!(ready.swap, None);
}

#[test]
fn the_path_of_a_backing_swap_goes_byte_for_byte() {
    let (dir, root) = tree(1);
    let device = device(&root);
    let attribute = root.block(0).join("backing_dev");
    let mut header = vec![0; 10 * 4096];
    header[..4096].copy_from_slice(&SwapHeader::fresh(10, [0; 16], "").to_page());
    let area = dir.path().join("area");
    std::fs::write(&area, &header).unwrap();
    let owners_alone = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&area, owners_alone).unwrap();
    // The directory may itself be too deep for the driver.
    let base = dir.path().as_os_str().len() + 1;
    let of_length = |bytes: usize| vec![b'l'; bytes - base];
    let names = [
        b"plain".as_slice(),
        b" both ",
        b"tab\t",
        b"in\nside",
        b"end\n",
        b"swap[1]",
        b"none",
        b"\xff\xfe",
        &of_length(127),
    ];
    for name in names {
        let path = dir.path().join(OsStr::from_bytes(name));
        std::fs::hard_link(&area, &path).unwrap();
        let update = ParamsUpdate {
            backing_swap: Some(path.clone()),
            ..ParamsUpdate::default()
        };
        device.configure(&update).unwrap();
        let line = [path.as_os_str().as_bytes(), b"\n"].concat();
        assert_eq!(std::fs::read(&attribute).unwrap(), line, "{path:?}");
        assert_eq!(device.backing_swap().unwrap(), Some(path.clone()));
        assert_eq!(device.status().params.backing_swap, Some(path.clone()));
        // Set back as it was, if something after it is refused.
        let cpu = root.block(0).join("recompress_cpu");
        std::fs::remove_file(&cpu).unwrap();
        let other = dir.path().join("soft");
        let _ = std::fs::hard_link(&area, &other);
        let update = ParamsUpdate {
            backing_swap: Some(other),
            recompress_cpu: Some(5),
            ..ParamsUpdate::default()
        };
        device.configure(&update).unwrap_err();
        assert_eq!(std::fs::read(&attribute).unwrap(), line, "{path:?}");
        std::fs::write(&cpu, "10\n").unwrap();
    }
    let long = dir.path().join(OsStr::from_bytes(&of_length(128)));
    std::fs::hard_link(dir.path().join("area"), &long).unwrap();
    let update = ParamsUpdate {
        backing_swap: Some(long),
        ..ParamsUpdate::default()
    };
    let message = device.configure(&update).unwrap_err().to_string();
    assert!(message.contains("128 bytes"), "{message}");
}

#[test]
fn a_device_that_is_not_there_is_new_and_takes_nothing() {
    let (_dir, root) = tree(1);
    let device = KernelDevice::new(7, root);
    assert!(!device.exists());
    assert_eq!(device.status().state, State::New);
    let error = device.reset().unwrap_err();
    assert!(error.to_string().contains("no such device"), "{error}");
}

#[test]
fn a_link_hides_the_drivers_node() {
    let (_dir, root) = tree(1);
    let device = device(&root);
    assert_eq!(device.hidden_by(), None);
    std::fs::remove_file(root.node(0)).unwrap();
    std::os::unix::fs::symlink("/dev/loop3", root.node(0)).unwrap();
    assert_eq!(device.hidden_by().as_deref(), Some(Path::new("/dev/loop3")));
}
